/**
 * The session table of one worker: makes and ends sessions, and keeps the tables consistent. What has been idle too long: sweep.ts.
 *
 * What a session touches when it is made, and gives back when it ends:
 *
 *   session record + two index entries  →  mapping (sessions)  →  host (sessions, mappings, owned ports)
 *                                       →  remote (count, row bit)
 *                                       →  port (sessions, owner)          →  permit, on an owned port
 */
import {
  DECISION_CLASS_MASK,
  DECISION_PEER,
  DECISION_REASON_SHIFT,
  DECISION_SILENT,
  type Policy,
  type Profile,
} from '../policy.ts';
import { Flag, State, TICK_MS } from '../state.ts';
import { DROP_COUNT, Drop } from '../verdict.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import { Allocator } from './allocate.ts';
import {
  H_TICK,
  M_LAST_SEEN,
  M_SESSIONS,
  S_BYTES_IN,
  S_BYTES_OUT,
  S_COMMIT,
  S_EXTERNAL,
  S_MAPPING,
  S_REMOTE,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { Counter } from './counters.ts';
import { Event } from './events.ts';
import {
  HOST_ADDRESS,
  HOST_MAPPINGS,
  HOST_OWNED,
  HOST_REFUSED,
  HOST_SESSIONS,
  HOST_SHIFT,
} from './hosts.ts';
import { MAPPING_SHIFT } from './mappings.ts';
import { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';
import { PROTOCOLS, protocolIndexOf } from './protocols.ts';
import { type Restored, restore } from './restore.ts';
import { SESSION_SHIFT } from './sessions.ts';
import { Sweep } from './sweep.ts';

/** In ~(what `open` returns) beside the reason: the sender is not told. */
export const REFUSED_SILENTLY = 1 << 8;

export class NatTable {
  readonly parts: TableParts;
  policy: Policy;
  readonly allocator: Allocator;
  /** The session that is being decided on. */
  readonly opening = new Opening();
  /** Pressure now, 0 … 3: chooses the timers. */
  pressureLevel = 0;
  /** Ticks of 250 ms since the epoch of the arena. */
  tick = 0;
  /** Sessions now, by protocol index. */
  readonly sessionsNow = new Int32Array(PROTOCOLS);
  private readonly epochMs: number;
  private readonly sweep: Sweep;

  /** @param nowMs boot-time clock */
  constructor(parts: TableParts, policy: Policy, nowMs: number) {
    this.parts = parts;
    this.policy = policy;
    this.epochMs = parts.arena.epochMs;
    this.setClock(nowMs);
    const end = (session: number): void => this.end(session);
    this.sweep = new Sweep(parts.sessions, nowMs, end);
    this.allocator = new Allocator(parts, end);
  }

  /** Takes over the records that lie in the arena. Once, before the first packet. */
  restore(): Restored {
    const restored = restore(this.parts, this.tick);
    this.sessionsNow.set(restored.byProtocol);
    this.publish();
    return restored;
  }

  /** Puts another policy in force, between two batches: for sessions that are made from now on, and for the timers of all. */
  setPolicy(policy: Policy): void {
    this.policy = policy;
  }

  /** Sets the tick from the boot-time clock, in milliseconds. Once per batch. */
  setClock(nowMs: number): void {
    this.tick = Math.floor((nowMs - this.epochMs) / TICK_MS);
    this.parts.arena.header[H_TICK] = this.tick;
  }

  /**
   * Decides about a session and makes it: its number, or ~reason when it is refused, with REFUSED_SILENTLY in the reason where the sender
   * is not to be told. The caller has looked: no such internal 5-tuple exists.
   *
   * @param first who asks for what; this.opening, filled in by the caller
   * @param externalAddress the line's external address; @param externalIndex its index
   */
  open(first: Opening, externalAddress: number, externalIndex: number): number {
    const { sessions, mappings, remotes, hosts } = this.parts;
    const { tick, policy } = this;
    const { internalAddress, internalPort, remoteAddress, remotePort, protocol } = first;
    const low = (externalIndex << 8) | protocol;
    const remoteKey = (remotePort << 16) | low;

    first.profile = profileOf(policy, first.lan);
    first.host = hosts.findOrAdd(internalAddress, first.lan, tick);
    first.mapping = mappings.find(internalAddress, internalPort, protocol);
    if (first.mapping >= 0) first.host = mappings.host(first.mapping);
    const hostAt = first.host << HOST_SHIFT;
    first.hasMapping = first.mapping >= 0;
    first.hostSessions = hosts.words[hostAt + HOST_SESSIONS];
    first.hostOwned = hosts.words[hostAt + HOST_OWNED];
    first.pressure = this.pressureLevel;

    const decision = policy.decide(first);
    if (decision < 0) return this.refuse(first, reasonOf(decision));
    if (sessions.free.length === 0) return this.refuse(first, Drop.SessionTableFull);

    first.isPeer = (decision & DECISION_PEER) !== 0;
    first.low = low;
    first.remote = remotes.find(remoteAddress, remoteKey);
    const number = this.allocator.portFor(first, tick);
    if (number < 0) return this.refuse(first, Drop.NoPortLeft);

    // The search may have ended a session, and with it this remote or this mapping.
    first.remote = remotes.find(remoteAddress, remoteKey);
    if (first.remote < 0) first.remote = remotes.add(remoteAddress, remoteKey);
    if (first.remote < 0) return this.refuse(first, Drop.RemoteTableFull);
    if (first.hasMapping) first.mapping = mappings.find(internalAddress, internalPort, protocol);
    return this.make(first, number, decision & DECISION_CLASS_MASK, externalAddress);
  }

  /** Makes the session that was decided on, at port `number` of the set. */
  private make(
    first: Opening,
    number: number,
    sessionClass: number,
    externalAddress: number,
  ): number {
    const { sessions, mappings, hosts, ports, permits, events, counters } = this.parts;
    const { allocator, tick } = this;
    const { protocol, remoteAddress, host, remote, low } = first;
    const group = ports.group(low >>> 8, protocol);
    const port = ports.set.ports[number];
    let { mapping } = first;
    if (mapping < 0) {
      mapping = mappings.add(
        first.internalAddress,
        first.internalPort,
        port,
        low >>> 8,
        protocol,
        sessionClass,
        host,
        tick,
      );
      hosts.words[(host << HOST_SHIFT) + HOST_MAPPINGS]++;
    }
    if (allocator.claimed) {
      mappings.setExternalPort(mapping, port);
      mappings.setOwner(mapping, true);
      ports.claim(group, number, mapping);
      hosts.words[(host << HOST_SHIFT) + HOST_OWNED]++;
    }

    const session = sessions.take(
      first.internalAddress,
      first.internalPort,
      remoteAddress,
      first.remotePort,
      protocol,
      externalAddress,
      (port << 16) | low,
      mapping,
      remote,
      tick,
    );
    const owner = ports.owner(group, number);
    let flags = allocator.diverted ? Flag.Diverted : 0;
    if (owner === mapping) {
      if (permits.add(mapping, remoteAddress)) flags |= Flag.Permit;
    } else if (owner >= 0) flags |= Flag.GuestOfOwned;
    sessions.commit(session, sessionClass, firstState(protocol), flags);

    sessions.link(session);
    this.account(session, number, group, mapping, host, remote, 1);
    this.fillRow(remote, remoteAddress, first.remotePort, low, number);
    if (allocator.unowned)
      events.add(
        Event.PeerWithoutPort,
        tick,
        first.internalAddress,
        remoteAddress,
        first.ports,
        protocol,
        0,
      );
    counters[Counter.SessionsCreated]++;
    if (allocator.diverted) counters[Counter.SessionsDiverted]++;
    return session;
  }

  /** Adds a session to, or takes it from, everything that counts it. */
  private account(
    session: number,
    number: number,
    group: number,
    mapping: number,
    host: number,
    remote: number,
    change: 1 | -1,
  ): void {
    const { ports, mappings, remotes, hosts, sessions } = this.parts;
    const protocol = sessions.words[(session << SESSION_SHIFT) + S_EXTERNAL] & 0xff;
    const at = mapping << MAPPING_SHIFT;
    mappings.words[at + M_SESSIONS] += change;
    mappings.words[at + M_LAST_SEEN] = this.tick;
    remotes.changeSessions(remote, change);
    this.sessionsNow[protocolIndexOf(protocol)] += change;
    if (change > 0) {
      ports.addSession(group, number);
      hosts.addSession(host, this.tick);
    } else {
      ports.removeSession(group, number);
      const words = sessions.words;
      const s = session << SESSION_SHIFT;
      hosts.removeSession(host, words[s + S_BYTES_OUT], words[s + S_BYTES_IN]);
    }
  }

  /** Marks the new session's port in the row of its remote, and gives a row when it is time. */
  private fillRow(
    remote: number,
    remoteAddress: number,
    remotePort: number,
    low: number,
    number: number,
  ): void {
    const { remotes, rowBuilder } = this.parts;
    if (remotes.rowAt(remote) >= 0) remotes.mark(remote, number);
    else if (remotes.sessions(remote) >= remotes.rowGiveAt) {
      rowBuilder.begin(remote, remoteAddress, remotePort, low);
      remotes.mark(remote, number);
    }
  }

  /** Ends a session and gives back what it held. */
  end(session: number): void {
    const { sessions, mappings, remotes, ports, permits, hosts, rowBuilder, counters } = this.parts;
    const { words } = sessions;
    const at = session << SESSION_SHIFT;
    const external = words[at + S_EXTERNAL];
    const mapping = words[at + S_MAPPING];
    const remote = words[at + S_REMOTE];
    const group = ports.group((external >>> 8) & 0xff, external & 0xff);
    const number = ports.set.numberOf(external >>> 16);
    const host = mappings.host(mapping);

    this.account(session, number, group, mapping, host, remote, -1);
    // By the flag and not by the port: a session that came to this port before its endpoint owned it was never counted.
    if (((words[at + S_COMMIT] >>> 12) & Flag.Permit) !== 0)
      permits.remove(mapping, words[at + S_REMOTE_ADDRESS]);

    const left = remotes.sessions(remote);
    if (left < remotes.rowTakeBackBelow && remotes.rowAt(remote) >= 0) {
      rowBuilder.abandon(remote);
      remotes.takeBackRow(remote);
    }
    if (left === 0) remotes.remove(remote);
    else remotes.unmark(remote, number);

    if (mappings.words[(mapping << MAPPING_SHIFT) + M_SESSIONS] === 0) {
      const hostAt = host << HOST_SHIFT;
      hosts.words[hostAt + HOST_MAPPINGS]--;
      if (mappings.isOwner(mapping)) {
        ports.release(group, ports.set.numberOf(mappings.externalPort(mapping)));
        hosts.words[hostAt + HOST_OWNED]--;
      }
      mappings.remove(mapping);
    }
    sessions.unlink(session);
    counters[Counter.SessionsEnded]++;
  }

  /** Counts a refusal, tells of it, and returns ~reason. @param reason may hold REFUSED_SILENTLY */
  private refuse(first: Opening, reason: number): number {
    const { hosts, events, counters } = this.parts;
    const drop = reason & ~REFUSED_SILENTLY;
    hosts.words[(first.host << HOST_SHIFT) + HOST_REFUSED]++;
    counters[Counter.SessionsRefused]++;
    events.add(
      eventOf(drop),
      this.tick,
      first.internalAddress,
      first.remoteAddress,
      first.ports,
      first.protocol,
      drop,
    );
    return ~reason;
  }

  /** Changes the state of a session, and sets flags. */
  setState(session: number, state: number, flagsToSet: number): void {
    const { words } = this.parts.sessions;
    const at = (session << SESSION_SHIFT) + S_COMMIT;
    words[at] = (words[at] & ~63) | state | (flagsToSet << 12);
  }

  /** Sweeps a share of the table in proportion to the time since the last call, and publishes the counts. */
  advance(nowMs: number): void {
    this.setClock(nowMs);
    this.sweep.advance(nowMs, this.tick, this.policy.timers[this.pressureLevel]);
    this.parts.rowBuilder.advance();
    this.publish();
  }

  private publish(): void {
    const { counters, sessions, mappings, remotes, hosts, events } = this.parts;
    counters[Counter.SessionsNow] = sessions.count;
    counters[Counter.MappingsNow] = mappings.count;
    counters[Counter.RemotesNow] = remotes.count;
    counters[Counter.HostsNow] = hosts.count;
    counters[Counter.RowsNow] = remotes.rowCount - remotes.freeRowCount;
    counters[Counter.TcpSessionsNow] = this.sessionsNow[0];
    counters[Counter.UdpSessionsNow] = this.sessionsNow[1];
    counters[Counter.IcmpSessionsNow] = this.sessionsNow[2];
    counters[Counter.EventsSuppressed] = events.suppressedTotal;
    counters[Counter.PressureLevel] = this.pressureLevel;
  }

  /** The address of a host record, for tests and words. */
  hostAddress(host: number): number {
    return this.parts.hosts.words[(host << HOST_SHIFT) + HOST_ADDRESS];
  }
}

/** The state of a session that its first packet made. */
const firstState = (protocol: number): number =>
  protocol === PROTOCOL_TCP ? State.TcpInit : State.Unanswered;

/** What holds for the hosts of a LAN. */
const profileOf = (policy: Policy, lan: number): Profile =>
  policy.profiles[policy.profileOfLan[lan] ?? 0] ?? policy.profiles[0];

/** Why a policy refuses, with REFUSED_SILENTLY. A reason that does not exist would be counted as something else. */
function reasonOf(decision: number): number {
  const named = (decision >>> DECISION_REASON_SHIFT) & 0xff;
  const reason = named > 0 && named < DROP_COUNT ? named : Drop.RefusedByPolicy;
  return (decision & DECISION_SILENT) !== 0 ? reason | REFUSED_SILENTLY : reason;
}

/** The event that tells of a refusal. */
function eventOf(reason: number): number {
  switch (reason) {
    case Drop.NoPortLeft:
      return Event.SessionRefused;
    case Drop.SessionTableFull:
    case Drop.RemoteTableFull:
      return Event.TableFull;
    case Drop.HostSessionLimit:
    case Drop.HostRateLimit:
    case Drop.ReservedForOthers:
      return Event.HostLimited;
    default:
      return Event.PolicyRefused;
  }
}
