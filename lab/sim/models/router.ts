/**
 * A known router, acting on its parameters: entries with timers, ports from its pools, and a filter by address and port.
 *
 *   outbound   entry by the internal 5-tuple, else a port is assigned and an entry made
 *   inbound    entry by the external 5-tuple, else lost
 *   advance    every entry is looked at once a second
 *
 * An entry whose timer has run out is gone for a packet that comes, whether it was looked at or not; its port and its place in the
 * table it holds until then. What is refused is refused in silence: none of these routers is known to answer.
 */
import { Drop } from '../../../core/verdict.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../../core/wire/tcp.ts';
import { type ModelMaker, type ModelOptions, type RouterModel, refused } from '../model.ts';
import { Entries, InternalEndpoints, Seen } from './entries.ts';
import type { Assignment, RouterParameters } from './parameters.ts';
import { PortUse } from './port-use.ts';

const DNS_PORT = 53;
const POOLS = 3;
const LOOK_MS = 1000;
/** Entries that a full table looks at for one to let go (nf_conntrack: eight buckets). */
const EARLY_DROP_TRIES = 8;
/** nf_nat tries so many ports, then half as many from another place, down to this. */
const NETFILTER_TRIES = 128;
const NETFILTER_TRIES_MIN = 16;

/** What makes the model of this router. */
export const routerModel =
  (parameters: RouterParameters): ModelMaker =>
  (options) =>
    new KnownRouter(parameters, options);

class KnownRouter implements RouterModel {
  readonly name: string;
  readonly capacity: number;
  readonly portCount: number;
  internalAddress = 0;
  private readonly parameters: RouterParameters;
  private readonly ports: Uint16Array;
  /** Number by port, or -1. */
  private readonly numbers = new Int32Array(65_536).fill(-1);
  private readonly random: () => number;
  private readonly entries: Entries;
  private readonly endpoints: InternalEndpoints;
  private readonly use: PortUse;
  private readonly timersMs: Record<keyof RouterParameters['timers'], number>;
  private readonly streamAfterMs: number;
  private turn = 0;
  private lookedMs = 0;

  constructor(parameters: RouterParameters, options: ModelOptions) {
    const ports = parameters.usable?.(options.ports) ?? options.ports;
    const entries = options.entries ?? parameters.entries;
    this.name = parameters.name;
    this.capacity = entries;
    this.portCount = ports.length;
    this.parameters = parameters;
    this.ports = ports;
    ports.forEach((port, number) => {
      this.numbers[port] = number;
    });
    this.random = options.random;
    this.entries = new Entries(entries);
    this.endpoints = new InternalEndpoints(entries);
    this.use = new PortUse(ports.length, POOLS);
    this.timersMs = { ...parameters.timers };
    for (const name of Object.keys(this.timersMs) as (keyof typeof this.timersMs)[])
      this.timersMs[name] *= 1000;
    this.streamAfterMs = (parameters.streamAfterSeconds ?? 0) * 1000;
  }

  outbound(
    protocol: number,
    internalAddress: number,
    internalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    _payload: number,
    nowMs: number,
  ): number {
    const now = Math.floor(nowMs);
    const ports = (internalPort << 16) | remotePort;
    let entry = this.alive(
      this.entries.findInternal(internalAddress, remoteAddress, ports, protocol),
      now,
    );
    if (entry < 0) {
      if ((tcpFlags & TCP_RST) !== 0) return refused(Drop.TcpWithoutSession);
      if (!this.hasRoom()) return refused(Drop.SessionTableFull);
      const key = (internalPort << 16) | protocol;
      const known = this.endpoints.find(internalAddress, key);
      const number = this.assign(protocol, internalPort, known, remoteAddress, remotePort);
      if (number < 0) return refused(Drop.NoPortLeft);
      const endpoint = known >= 0 ? known : this.endpoints.add(internalAddress, key, number);
      const external = (number << 8) | protocol;
      entry = this.entries.add(internalAddress, remoteAddress, ports, external, endpoint, now);
      this.endpoints.addEntry(endpoint);
      const pool = this.poolOf(protocol);
      this.use.add(pool, number, remoteKey(remoteAddress, remotePort, pool));
    }
    this.see(entry, protocol, tcpFlags, true, now);
    return this.ports[this.entries.portNumber(entry)];
  }

  inbound(
    protocol: number,
    externalPort: number,
    remoteAddress: number,
    remotePort: number,
    tcpFlags: number,
    _payload: number,
    nowMs: number,
  ): number {
    const now = Math.floor(nowMs);
    const number = this.numbers[externalPort];
    if (number < 0) return refused(Drop.NotInPortSet);
    const entry = this.alive(
      this.entries.findExternal((number << 8) | protocol, remoteAddress, remotePort),
      now,
    );
    if (entry < 0) return refused(Drop.NoSession);
    this.see(entry, protocol, tcpFlags, false, now);
    this.internalAddress = this.entries.internalAddress(entry);
    return this.entries.internalPort(entry);
  }

  advance(nowMs: number): void {
    const now = Math.floor(nowMs);
    if (now - this.lookedMs < LOOK_MS) return;
    this.lookedMs = now;
    const { entries } = this;
    for (let entry = 0; entry < entries.records; entry++)
      if (entries.isInUse(entry)) this.alive(entry, now);
  }

  sessions(): number {
    return this.entries.count;
  }

  portsUsed(): number {
    return this.use.most();
  }

  /** The entry itself, or -1 after ending it because its timer has run out. */
  private alive(entry: number, now: number): number {
    if (entry < 0 || now - this.entries.lastMs(entry) < this.timerMs(entry)) return entry;
    this.end(entry);
    return -1;
  }

  private end(entry: number): void {
    const { entries } = this;
    const pool = this.poolOf(entries.protocol(entry));
    const remote = remoteKey(entries.remoteAddress(entry), entries.remotePort(entry), pool);
    this.use.remove(pool, entries.portNumber(entry), remote);
    this.endpoints.removeEntry(entries.endpoint(entry));
    entries.remove(entry);
  }

  private timerMs(entry: number): number {
    const { entries, timersMs } = this;
    const seen = entries.seen(entry);
    switch (entries.protocol(entry)) {
      case PROTOCOL_TCP: {
        if ((seen & Seen.Reset) !== 0) return timersMs.tcpReset;
        const fins = seen & (Seen.FinOut | Seen.FinIn);
        if (fins === (Seen.FinOut | Seen.FinIn)) return timersMs.tcpClosed;
        if (fins !== 0) return timersMs.tcpFin;
        return (seen & Seen.Answer) !== 0 ? timersMs.tcpEstablished : timersMs.tcpSyn;
      }
      case PROTOCOL_UDP: {
        const isStream = (seen & Seen.Stream) !== 0;
        if (entries.remotePort(entry) === DNS_PORT)
          return isStream ? timersMs.dns : timersMs.dnsNew;
        return isStream ? timersMs.udp : timersMs.udpNew;
      }
      default:
        return timersMs.icmp;
    }
  }

  /** Notes what a packet shows, and begins the entry's time anew. */
  private see(entry: number, protocol: number, flags: number, isOut: boolean, now: number): void {
    const { entries } = this;
    let seen = entries.seen(entry);
    if (protocol === PROTOCOL_TCP) {
      const isOver = (seen & (Seen.Reset | Seen.FinOut | Seen.FinIn)) !== 0;
      // A connection that is opened again on the same ports.
      if (isOut && isOver && (flags & (TCP_SYN | TCP_ACK)) === TCP_SYN) seen = 0;
      if ((flags & TCP_RST) !== 0) seen |= Seen.Reset;
      if ((flags & TCP_FIN) !== 0) seen |= isOut ? Seen.FinOut : Seen.FinIn;
      if (!isOut) seen |= Seen.Answer;
    } else {
      if (!isOut) seen |= Seen.Answer;
      const age = now - entries.begunMs(entry);
      if ((seen & Seen.Answer) !== 0 && age >= this.streamAfterMs) seen |= Seen.Stream;
    }
    entries.setSeen(entry, seen);
    entries.touch(entry, now);
  }

  /** True if the table has room for an entry, if need be after letting one go. */
  private hasRoom(): boolean {
    const { entries } = this;
    if (entries.count < entries.limit) return true;
    if (this.parameters.dropsEarly === undefined) return false;
    for (let i = 0; i < EARLY_DROP_TRIES; i++) {
      const entry = this.below(entries.records);
      const confirmed = entries.protocol(entry) === PROTOCOL_TCP ? Seen.Answer : Seen.Stream;
      if (!entries.isInUse(entry) || (entries.seen(entry) & confirmed) !== 0) continue;
      this.end(entry);
      return true;
    }
    return false;
  }

  /** Number of the port that an entry gets, or -1. @param known the endpoint's record, or -1 */
  private assign(
    protocol: number,
    internalPort: number,
    known: number,
    remoteAddress: number,
    remotePort: number,
  ): number {
    const { use } = this;
    const pool = this.poolOf(protocol);
    const isFree = (number: number): boolean =>
      this.entries.findExternal((number << 8) | protocol, remoteAddress, remotePort) < 0;
    switch (this.assignmentOf(protocol)) {
      case 'own':
        if (known >= 0) return this.endpoints.portNumber(known);
        return use.unusedFrom(pool, this.below(use.count));
      case 'shared':
        return use.lowestFree(remoteKey(remoteAddress, remotePort, pool), isFree);
      case 'netfilter':
        return this.byNetfilter(internalPort, known, isFree);
      default: {
        const number = this.turn;
        this.turn = (number + 1) % use.count;
        return isFree(number) ? number : -1;
      }
    }
  }

  private byNetfilter(
    internalPort: number,
    known: number,
    isFree: (number: number) => boolean,
  ): number {
    const { count } = this.use;
    const same = this.numbers[internalPort];
    if (same >= 0 && isFree(same)) return same;
    if (known >= 0) {
      const number = this.endpoints.portNumber(known);
      if (isFree(number)) return number;
    }
    for (let tries = Math.min(NETFILTER_TRIES, count); ; tries >>= 1) {
      let number = this.below(count);
      for (let i = 0; i < tries; i++) {
        if (isFree(number)) return number;
        number = number + 1 === count ? 0 : number + 1;
      }
      if (tries >= count || tries < NETFILTER_TRIES_MIN) return -1;
    }
  }

  private assignmentOf(protocol: number): Assignment {
    const { tcp, udp, icmp } = this.parameters.assignment;
    return protocol === PROTOCOL_TCP ? tcp : protocol === PROTOCOL_UDP ? udp : icmp;
  }

  private poolOf(protocol: number): number {
    if (protocol === PROTOCOL_TCP) return 0;
    return protocol === PROTOCOL_ICMP && this.parameters.icmpFromUdpPool === undefined ? 2 : 1;
  }

  /** A number from 0 to limit - 1. */
  private below(limit: number): number {
    return (this.random() >>> 0) % limit;
  }
}

/** A remote endpoint and a pool as one number. */
const remoteKey = (address: number, port: number, pool: number): number =>
  ((address >>> 0) * 65_536 + port) * 4 + pool;
