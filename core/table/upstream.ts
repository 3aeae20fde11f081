/**
 * The NAT above: a model of its table, made of what we have sent (a venue's router with 20,000 entries that it keeps for 900 s).
 *
 *   our hosts ──▶ this gateway ──▶ NAT above ──▶ Internet
 *                 session              │ one entry for each external 5-tuple of ours, kept since its last packet
 *                    │ ends            │ for its own timer, whatever ours is
 *                    ▼                 ▼
 *                 lingering tuple: ends here when the entry ends above            lingering.ts
 *
 *   tuple      protocol, external address and port, remote address and port: what the NAT above tells its entries apart by
 *   entries    our sessions now + lingering tuples
 *   fill       entries / entries that the NAT above holds for us, in 1/256
 *
 * A packet costs nothing here: a session stands for its entry while it lives, and its lastSeen says when the entry ends. Two things follow.
 *
 *   Reuse    A new endpoint that sends to a remote endpoint with a lingering tuple gets the port of that tuple: the entry stands above
 *            already. The newest comes first, so that the others run out. DNS draws among 32, since a source port that hardly ever
 *            changes helps whoever forges answers (RFC 5452), and takes none where fewer linger. A TCP tuple is reused by the rules
 *            for closed sessions here (make-room.ts): the connection was reset, or its internal side closed first, so that the server
 *            holds no TIME_WAIT; or the timestamp, else the sequence number, of the new SYN is beyond the last one (RFC 6191).
 *   Refusal  A tuple that is not there yet is refused from 93 % of the table above on, of DNS from 94.5 % on. The rest is for what
 *            that router opens itself.
 *   Share    Nobody holds more of the table than is left of it for all: whoever does opens no new tuple. One host alone gets half of
 *            what there is, two that want all a third each, and one with few entries always finds room beside them. DNS goes on until
 *            its host holds four times what is left. A 128th of the table is always allowed, so that a crowd of visitors that fills it
 *            loses no page half-way. This does not hold for the gateway, nor for hosts that share a record.
 *
 *                one host   | held 1/2            | left 1/2            | reserve |
 *                two hosts  | held 1/3     | held 1/3     | left 1/3    | reserve |
 *
 * The estimate is never below the truth while what is true of the NAT above is said in the settings, but in four cases. After a restart
 * only the sessions are known, not what lingers. When longer timers come into force, what lingers already still ends by the shorter ones.
 * Packets of a closed TCP connection that do not keep it here are held not to keep it above. And when sessions that were there before
 * the model are more than the NAT above holds, not all of them can linger; each one that does not is counted in `forgotten`.
 */
import { Flag, State, TICKS_PER_SECOND } from '../state.ts';
import { DNS_PORT } from '../wire/dns.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  H_EXTERNAL_ADDRESSES,
  S_COMMIT,
  S_EXTERNAL,
  S_LAST_SEEN,
  S_MAPPING,
  S_PACKETS_IN,
  S_PACKETS_OUT,
  S_PORTS,
  S_REMOTE_ADDRESS,
  S_SEQUENCE_OUT,
  S_TIMESTAMP,
} from './arena.ts';
import { hasBit } from './bits.ts';
import { Counter } from './counters.ts';
import { HOST_OTHERS } from './hosts.ts';
import { Lingering } from './lingering.ts';
import type { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';
import { SESSION_SHIFT } from './sessions.ts';

/** What is known of the NAT above. A timer is that of an idle entry. */
export interface UpstreamSettings {
  /** Entries that it holds for us at most. */
  readonly entries: number;
  readonly udpSeconds: number;
  readonly tcpSeconds: number;
  readonly icmpSeconds: number;
  /** DNS that was answered, where it ends sooner than other UDP. */
  readonly dnsSeconds?: number;
  /** TCP after both FINs or a RST, where it ends sooner than TCP. */
  readonly tcpClosedSeconds?: number;
}

export const UPSTREAM_ENTRIES_MAX = 1 << 20;

/** Flags of a lingering tuple: a new session may take it; its TCP connection was closed, its DNS answered. */
const REUSABLE = 1;
const DONE = 2;
/** Of TCP: the server may hold a TIME_WAIT, and whether a new SYN is beyond it is told by timestamps. */
const TIME_WAIT = 4;
const TIMESTAMPS = 8;

/** Of 128 parts of the table above, those that DNS may fill, and all others. */
const DNS_PARTS = 121;
const OTHER_PARTS = 119;
/** Times what is left that a host may hold and still ask for names. */
const DNS_SHARES = 4;
/** Of this many parts of the table above one is few: as much as a visitor with some pages open. */
const FEW_PARTS = 128;
/** DNS reuses one of this many tuples towards the same resolver. */
const DNS_CHOICE = 32;
/** The last packet came somewhere in its tick, and a NAT looks at its timers once a second, or not much more often. */
const GRAIN_TICKS = 1 + TICKS_PER_SECOND;
/** Below this fill nobody cares whether a session opens an entry above or takes one over. */
const FILL_MATTERS_256 = 64;
/** Tuples of one bucket looked at when one is wanted. */
const REUSE_STEPS_MAX = 64;

if (REUSE_STEPS_MAX < DNS_CHOICE) throw new Error('DNS could never reuse a tuple');

/** Puts the model of other settings in force, or none. What is known of the NAT above is kept. */
export function renewUpstream(parts: TableParts, settings: UpstreamSettings | undefined): void {
  const { upstream } = parts;
  if (settings === undefined) {
    parts.upstream = undefined;
    parts.counters[Counter.UpstreamEntries] = 0;
    parts.counters[Counter.UpstreamCapacity] = 0;
  } else if (upstream === undefined || !isSame(upstream.settings, settings))
    parts.upstream = new Upstream(parts, settings, upstream);
}

const isSame = (a: UpstreamSettings, b: UpstreamSettings): boolean =>
  a.entries === b.entries &&
  a.udpSeconds === b.udpSeconds &&
  a.dnsSeconds === b.dnsSeconds &&
  a.tcpSeconds === b.tcpSeconds &&
  a.tcpClosedSeconds === b.tcpClosedSeconds &&
  a.icmpSeconds === b.icmpSeconds;

export class Upstream {
  readonly settings: UpstreamSettings;
  private readonly parts: TableParts;
  private readonly tuples: Lingering;
  /** Entries from which on no new ones are opened, by DNS and by others. */
  private readonly dnsLimit: number;
  private readonly limit: number;
  /** Entries that a host may hold however little is left. */
  private readonly few: number;
  /** Our sessions that stand above: all but those between two hosts of ours. */
  live = 0;
  /** Tuples that there was no room to remember. */
  forgotten = 0;

  /** Begins with the sessions that there are, and with what lingers in a predecessor's model. */
  constructor(parts: TableParts, settings: UpstreamSettings, predecessor?: Upstream) {
    const { entries } = settings;
    if (!(entries >= 1 && entries <= UPSTREAM_ENTRIES_MAX))
      throw new RangeError(`a NAT above with ${entries} entries; use 1 to ${UPSTREAM_ENTRIES_MAX}`);
    this.parts = parts;
    this.settings = settings;
    this.tuples = new Lingering(entries, parts.random.next(), parts.hosts);
    this.dnsLimit = Math.max(1, Math.floor((entries * DNS_PARTS) / 128));
    this.limit = Math.max(1, Math.floor((entries * OTHER_PARTS) / 128));
    this.few = Math.max(1, Math.floor(entries / FEW_PARTS));
    this.countSessions();
    if (predecessor !== undefined)
      this.forgotten = predecessor.forgotten + this.tuples.addAll(predecessor.tuples);
    this.publish();
  }

  /** Tuples that our sessions have left behind. */
  get lingering(): number {
    return this.tuples.count;
  }

  /** Entries that stand above, as far as we know. */
  get entries(): number {
    return this.live + this.tuples.count;
  }

  /** Sessions that took over a lingering tuple, as long as the arena lives. */
  get reused(): number {
    return this.parts.counters[Counter.UpstreamReused];
  }

  /** 256: the table above is full. */
  get fill256(): number {
    return Math.min(256, Math.floor((this.entries * 256) / this.settings.entries));
  }

  /** Counts the sessions anew; after the records of the arena were restored. */
  countSessions(): void {
    const { sessions, hosts } = this.parts;
    const { words, capacity } = sessions;
    this.live = 0;
    hosts.above.fill(0);
    for (let at = 0; at < capacity << SESSION_SHIFT; at += 1 << SESSION_SHIFT) {
      if ((words[at + S_COMMIT] & 63) === State.Free || this.staysHere(at)) continue;
      this.live++;
      hosts.changeAbove(this.ownerOf(at), 1);
    }
    this.tuples.countOwners();
  }

  /** True if the session that is asked for may have port `number` of the set: its tuple stands above already, or has room there. */
  admits(first: Opening, number: number): boolean {
    const { remoteAddress, remotePort } = first;
    const external = (this.parts.ports.set.ports[number] << 16) | first.low;
    return (
      this.hasRoomFor(first) ||
      this.isOurs(external, remoteAddress, remotePort) ||
      this.tuples.find(external, remoteAddress, remotePort) >= 0
    );
  }

  /** True if a tuple that is not there yet may be opened. */
  private hasRoomFor({ remotePort, host, isGateway }: Opening): boolean {
    const isDns = remotePort === DNS_PORT;
    const left = (isDns ? this.dnsLimit : this.limit) - this.entries;
    if (left <= 0) return false;
    if (isGateway || host === HOST_OTHERS) return true;
    const share = Math.max(this.few, isDns ? left * DNS_SHARES : left);
    return this.parts.hosts.above[host] < share;
  }

  /**
   * Number of the port of a lingering tuple towards the same remote endpoint that the session asked for may have as a guest, or -1.
   * @param low externalAddressIndex << 8 | protocol
   */
  portFor(first: Opening, low: number): number {
    const { tuples } = this;
    const { remoteAddress, remotePort } = first;
    const { ports, random } = this.parts;
    const { set } = ports;
    let record = tuples.newest(remoteAddress, remotePort, low);
    if (record < 0) return -1;

    const rowAt = ports.group(low >>> 8, low & 0xff) * set.rowWords;
    const isDns = remotePort === DNS_PORT;
    const wanted = isDns ? random.below(DNS_CHOICE) : 0;
    let seen = 0;
    let chosen = -1;
    for (let step = 0; record >= 0 && step < REUSE_STEPS_MAX; step++) {
      const candidate = record;
      record = tuples.older(record);
      if (!tuples.isTowards(candidate, remoteAddress, remotePort, low)) continue;
      if (!this.isReusable(candidate, first)) continue;
      const number = set.numberOf(tuples.externalPort(candidate));
      if (!hasBit(ports.shareable, rowAt, number)) continue;
      if (seen === wanted) chosen = number;
      seen++;
      if (!isDns || seen === DNS_CHOICE) return chosen;
    }
    return -1;
  }

  /** The fill that matters to the session that is asked for: none where it takes over a tuple that lingers. */
  fillFor(first: Opening, low: number): number {
    const { fill256 } = this;
    if (fill256 < FILL_MATTERS_256 || first.hasMapping) return fill256;
    return this.portFor(first, low) >= 0 ? 0 : fill256;
  }

  /** A session was made: its tuple stands above, if it did not before. */
  opened(session: number): void {
    const { words } = this.parts.sessions;
    const at = session << SESSION_SHIFT;
    if (this.staysHere(at)) return;
    this.live++;
    this.parts.hosts.changeAbove(this.ownerOf(at), 1);
    const record = this.tuples.find(
      words[at + S_EXTERNAL],
      words[at + S_REMOTE_ADDRESS],
      words[at + S_PORTS] & 0xffff,
    );
    if (record < 0) return;
    this.tuples.remove(record);
    this.parts.counters[Counter.UpstreamReused]++;
  }

  /** A session ends: its tuple lingers as long as its entry above. */
  ended(session: number, tick: number): void {
    const { words } = this.parts.sessions;
    const at = session << SESSION_SHIFT;
    if (this.staysHere(at)) return;
    this.live--;
    const owner = this.ownerOf(at);
    this.parts.hosts.changeAbove(owner, -1);
    const external = words[at + S_EXTERNAL];
    const remotePort = words[at + S_PORTS] & 0xffff;
    const flags = this.flagsOf(at);
    const ends = this.endOf(words[at + S_LAST_SEEN], external & 0xff, flags);
    if (ends - tick <= 0) return;
    const isRemembered = this.tuples.add(
      external,
      words[at + S_REMOTE_ADDRESS],
      remotePort,
      flags,
      ends,
      words[at + S_SEQUENCE_OUT],
      words[at + S_TIMESTAMP],
      owner,
    );
    if (!isRemembered) this.forgotten++;
  }

  /**
   * A packet came in for which we have no session: if its tuple lingers, the entry above begins its time anew.
   * @param external externalPort << 16 | externalAddressIndex << 8 | protocol
   */
  heard(external: number, remoteAddress: number, remotePort: number, tick: number): void {
    const record = this.tuples.find(external, remoteAddress, remotePort);
    if (record < 0) return;
    this.tuples.extend(record, this.endOf(tick, external & 0xff, this.tuples.flags(record)));
  }

  /** Forgets what has ended above, and publishes the counts. */
  advance(nowMs: number, tick: number): void {
    this.tuples.advance(nowMs, tick);
    this.publish();
  }

  /** What is wrong, in words. Expensive. */
  selfCheck(): string[] {
    const { sessions, hosts } = this.parts;
    const problems = this.tuples.selfCheck(
      (external, remoteAddress, remotePort) =>
        sessions.findExternal(external, remoteAddress, remotePort) >= 0,
    );
    const { live } = this;
    const above = hosts.above.slice();
    this.countSessions();
    above.forEach((count, host) => {
      if (count !== hosts.above[host])
        problems.push(
          `host ${host} holds ${count} entries above, it should be ${hosts.above[host]}`,
        );
    });
    if (live !== this.live) problems.push(`${live} sessions counted above, there are ${this.live}`);
    return problems;
  }

  private publish(): void {
    const { counters } = this.parts;
    counters[Counter.UpstreamEntries] = this.entries;
    counters[Counter.UpstreamCapacity] = this.settings.entries;
  }

  /** The host of the session whose record begins at `at`, as the owner of an entry above. */
  private ownerOf(at: number): number {
    const { sessions, mappings, hosts } = this.parts;
    return hosts.ownerOf(mappings.host(sessions.words[at + S_MAPPING]));
  }

  /** True if the session whose record begins at `at` is between two hosts of ours. */
  private staysHere(at: number): boolean {
    const { words } = this.parts.sessions;
    return this.isOurs(
      words[at + S_EXTERNAL],
      words[at + S_REMOTE_ADDRESS],
      words[at + S_PORTS] & 0xffff,
    );
  }

  /** True if the remote endpoint is one of our own ports: what is sent there turns back here. */
  private isOurs(external: number, remoteAddress: number, remotePort: number): boolean {
    const { arena, ports } = this.parts;
    return (
      arena.header[H_EXTERNAL_ADDRESSES + ((external >>> 8) & 0xff)] === remoteAddress &&
      ports.set.numberOf(remotePort) >= 0
    );
  }

  /** What the tuple of the session whose record begins at `at` is good for when the session has ended. */
  private flagsOf(at: number): number {
    const { words } = this.parts.sessions;
    const commit = words[at + S_COMMIT];
    const state = commit & 63;
    if ((words[at + S_EXTERNAL] & 0xff) === PROTOCOL_TCP) {
      if (state === State.TcpReset) return REUSABLE | DONE;
      if (state !== State.TcpClosing) return 0;
      const history = commit >>> 12;
      if ((history & Flag.RemoteClosedFirst) === 0) return REUSABLE | DONE;
      const timestamps = (history & Flag.HasTimestamps) !== 0 ? TIMESTAMPS : 0;
      return REUSABLE | DONE | TIME_WAIT | timestamps;
    }
    // A query that is still open keeps the entry above as other UDP does.
    const isDone =
      (words[at + S_PORTS] & 0xffff) === DNS_PORT &&
      state === State.Answered &&
      words[at + S_PACKETS_IN] >= words[at + S_PACKETS_OUT];
    return isDone ? REUSABLE | DONE : REUSABLE;
  }

  /** True if the session asked for may take a tuple; of TCP only if no TIME_WAIT of the server can be in the way of its SYN. */
  private isReusable(record: number, first: Opening): boolean {
    const { tuples } = this;
    const flags = tuples.flags(record);
    if ((flags & TIME_WAIT) === 0) return (flags & REUSABLE) !== 0;
    if (!first.isSyn) return false;
    if ((flags & TIMESTAMPS) !== 0 && first.hasTimestamp)
      return ((first.timestamp - tuples.timestamp(record)) | 0) > 0;
    return ((first.sequence - tuples.sequence(record)) | 0) > 0;
  }

  /** The tick at which an entry has ended above whose last packet was in tick `lastSeen`; flags as of a lingering tuple. */
  private endOf(lastSeen: number, protocol: number, flags: number): number {
    const { settings } = this;
    const isDone = (flags & DONE) !== 0;
    let seconds = settings.icmpSeconds;
    if (protocol === PROTOCOL_UDP)
      seconds = isDone ? (settings.dnsSeconds ?? settings.udpSeconds) : settings.udpSeconds;
    else if (protocol === PROTOCOL_TCP)
      seconds = isDone ? (settings.tcpClosedSeconds ?? settings.tcpSeconds) : settings.tcpSeconds;
    return lastSeen + Math.ceil(seconds * TICKS_PER_SECOND) + GRAIN_TICKS;
  }
}
