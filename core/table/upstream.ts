/**
 * The NAT above: a model of its table, made of what we have sent (a venue's router with 20,000 entries that it keeps for 900 s).
 *
 *   our hosts ──▶ this gateway ──▶ NAT above ──▶ Internet
 *                 session              │ one entry for each external 5-tuple of ours, kept since its last packet
 *                    │ ends            │ for its own timer, whatever ours is
 *                    ▼                 ▼
 *                 lingering tuple: ends here when the entry ends above
 *
 *   tuple      protocol, external address and port, remote address and port: what the NAT above tells its entries apart by
 *   entries    our sessions now + lingering tuples
 *   fill       entries / entries that the NAT above holds for us, in 1/256
 *
 * A packet costs nothing here: a session stands for its entry while it lives, and its lastSeen says when the entry ends. Two things follow.
 *
 *   Reuse    A new endpoint that sends to a remote endpoint with a lingering tuple gets the port of that tuple: the entry stands above
 *            already. The newest comes first, so that the others run out. DNS draws among 32, since a source port that hardly ever
 *            changes helps whoever forges answers (RFC 5452), and takes none where fewer linger. A TCP tuple is reused only if the
 *            connection was reset or its internal side closed first: the server then holds no TIME_WAIT that a new SYN would meet.
 *   Refusal  A tuple that is not there yet is refused where it would overflow the table above; the last 1/64 is for DNS.
 *
 * The estimate is never below the truth while what is true of the NAT above is said in the settings, but in three cases. After a restart
 * only the sessions are known, not what lingers. Packets of a closed TCP connection that do not keep it here are held not to keep it
 * above. And when sessions that were taken over at a start are more than the NAT above holds, not all of them can linger; each
 * that does not is counted in `forgotten`.
 *
 *   Lingering tuple, 8 words
 *    0 remoteAddress   1 externalPort<<16 | externalAddressIndex<<8 | protocol (0: free)   2 remotePort<<16 | flags
 *    3 tick at which it ends   4 next + 1, 5 previous + 1 among those of its bucket   6 hash of the tuple   7 bucket: hash of the remote
 *
 * A bucket holds the tuples of one remote endpoint, newest first, and rarely those of another one.
 */
import { Flag, State, TICKS_PER_SECOND } from '../state.ts';
import { DNS_PORT } from '../wire/dns.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  H_EXTERNAL_ADDRESSES,
  S_COMMIT,
  S_EXTERNAL,
  S_LAST_SEEN,
  S_PACKETS_IN,
  S_PACKETS_OUT,
  S_PORTS,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { hasBit } from './bits.ts';
import { Counter } from './counters.ts';
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';
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

const LINGER_SHIFT = 3;
const L_REMOTE_ADDRESS = 0;
const L_EXTERNAL = 1;
const L_REMOTE_PORT = 2;
const L_ENDS = 3;
const L_NEXT = 4;
const L_PREVIOUS = 5;
const L_HASH = 6;
const L_BUCKET = 7;

/** Flags of a lingering tuple: a new session may take it; its TCP connection was closed, its DNS answered. */
const REUSABLE = 1;
const DONE = 2;

/** The share of the table above that is left for DNS, as a shift. */
const DNS_RESERVE_SHIFT = 6;
/** DNS reuses one of this many tuples towards the same resolver. */
const DNS_CHOICE = 32;
/** Below this fill nobody cares whether a session opens an entry above or takes one over. */
const FILL_MATTERS_256 = 64;
/** Tuples of one bucket looked at when one is wanted. */
const REUSE_STEPS_MAX = 64;
/** The lingering tuples are swept once in this time. */
const SWEEP_MS = 1000;

if (REUSE_STEPS_MAX < DNS_CHOICE) throw new Error('DNS could never reuse a tuple');

/** Puts the model of other settings in force, or none. What is known of the NAT above is kept. */
export function renewUpstream(parts: TableParts, settings: UpstreamSettings | undefined): void {
  const { counters, upstream } = parts;
  if (settings === undefined) {
    parts.upstream = undefined;
    counters[Counter.UpstreamEntries] = 0;
    counters[Counter.UpstreamCapacity] = 0;
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
  private readonly words: Int32Array;
  private readonly capacity: number;
  private readonly index: HashIndex;
  private readonly free: FreeList;
  private readonly buckets: Int32Array;
  private readonly bucketMask: number;
  private readonly seed: number;
  /** Entries above which only DNS opens new ones. */
  private readonly entriesButForDns: number;
  private sweptMs = Number.MAX_SAFE_INTEGER;
  private cursor = 0;
  /** Our sessions that stand above: all but those between two hosts of ours. */
  live = 0;
  /** Sessions that took over a lingering tuple. */
  reused = 0;
  /** Tuples that there was no room to remember. */
  forgotten = 0;

  /** Begins with the sessions that there are, and with what lingered in a predecessor's model. */
  constructor(parts: TableParts, settings: UpstreamSettings, predecessor?: Upstream) {
    const { entries } = settings;
    if (!(entries >= 1 && entries <= UPSTREAM_ENTRIES_MAX))
      throw new RangeError(`a NAT above with ${entries} entries; use 1 to ${UPSTREAM_ENTRIES_MAX}`);
    let capacity = 1;
    while (capacity < entries) capacity *= 2;
    this.parts = parts;
    this.settings = settings;
    this.capacity = capacity;
    this.words = new Int32Array(capacity << LINGER_SHIFT);
    this.index = new HashIndex(capacity);
    this.free = new FreeList(this.words, 1 << LINGER_SHIFT);
    this.buckets = new Int32Array(capacity * 2);
    this.bucketMask = capacity * 2 - 1;
    this.seed = parts.random.next();
    this.entriesButForDns =
      entries - ((entries + (1 << DNS_RESERVE_SHIFT) - 1) >> DNS_RESERVE_SHIFT);
    for (let record = capacity - 1; record >= 0; record--) this.free.give(record);
    this.countSessions();
    if (predecessor !== undefined) this.adopt(predecessor);
  }

  /** Tuples that our sessions have left behind. */
  get lingering(): number {
    return this.index.size;
  }

  /** Entries that stand above, as far as we know. */
  get entries(): number {
    return this.live + this.index.size;
  }

  /** 256: the table above is full. */
  get fill256(): number {
    return Math.min(256, Math.floor((this.entries * 256) / this.settings.entries));
  }

  /** Counts the sessions anew; after the records of the arena were restored. */
  countSessions(): void {
    const { words, capacity } = this.parts.sessions;
    this.live = 0;
    for (let at = 0; at < capacity << SESSION_SHIFT; at += 1 << SESSION_SHIFT)
      if ((words[at + S_COMMIT] & 63) !== State.Free && !this.staysHere(at)) this.live++;
  }

  /** True if the session that is asked for may have port `number` of the set: its tuple stands above already, or has room there. */
  admits(first: Opening, number: number): boolean {
    const { remoteAddress, remotePort } = first;
    const external = (this.parts.ports.set.ports[number] << 16) | first.low;
    const limit = remotePort === DNS_PORT ? this.settings.entries : this.entriesButForDns;
    return (
      this.entries < limit ||
      this.isOurs(external, remoteAddress, remotePort) ||
      this.find(external, remoteAddress, remotePort) >= 0
    );
  }

  /**
   * Number of the port of a lingering tuple towards this remote endpoint that a new guest may have, or -1.
   * @param low externalAddressIndex << 8 | protocol
   */
  portTowards(remoteAddress: number, remotePort: number, low: number): number {
    const { words } = this;
    const { ports, random } = this.parts;
    const { set } = ports;
    const rowAt = ports.group(low >>> 8, low & 0xff) * set.rowWords;
    const isDns = remotePort === DNS_PORT;
    const bucket = this.bucketOf(remoteAddress, (remotePort << 16) | low);
    let record = this.buckets[bucket] - 1;
    if (record < 0) return -1;

    let skip = isDns ? random.below(DNS_CHOICE) : 0;
    let seen = 0;
    let chosen = -1;
    for (let step = 0; record >= 0 && step < REUSE_STEPS_MAX; step++) {
      const at = record << LINGER_SHIFT;
      record = words[at + L_NEXT] - 1;
      const port = words[at + L_REMOTE_PORT];
      const isTowards =
        words[at + L_REMOTE_ADDRESS] === remoteAddress &&
        port >>> 16 === remotePort &&
        (words[at + L_EXTERNAL] & 0xffff) === low;
      if (!isTowards || (port & REUSABLE) === 0) continue;
      const number = set.numberOf(words[at + L_EXTERNAL] >>> 16);
      if (!hasBit(ports.shareable, rowAt, number)) continue;
      if (skip-- === 0) chosen = number;
      seen++;
      if (!isDns) return chosen;
      if (seen === DNS_CHOICE) return chosen;
    }
    return -1;
  }

  /** The fill that matters to the session that is asked for: none where it takes over a tuple that lingers. */
  fillFor(first: Opening, low: number): number {
    const { fill256 } = this;
    if (fill256 < FILL_MATTERS_256 || first.hasMapping) return fill256;
    return this.portTowards(first.remoteAddress, first.remotePort, low) >= 0 ? 0 : fill256;
  }

  /** A session was made: its tuple stands above, if it did not before. */
  opened(session: number): void {
    const { words } = this.parts.sessions;
    const at = session << SESSION_SHIFT;
    const external = words[at + S_EXTERNAL];
    const remoteAddress = words[at + S_REMOTE_ADDRESS];
    const remotePort = words[at + S_PORTS] & 0xffff;
    if (this.isOurs(external, remoteAddress, remotePort)) return;
    this.live++;
    const record = this.find(external, remoteAddress, remotePort);
    if (record < 0) return;
    this.remove(record);
    this.reused++;
  }

  /** A session ends: its tuple lingers as long as its entry above. */
  ended(session: number, tick: number): void {
    const { words } = this.parts.sessions;
    const at = session << SESSION_SHIFT;
    if (this.staysHere(at)) return;
    this.live--;
    const external = words[at + S_EXTERNAL];
    const remotePort = words[at + S_PORTS] & 0xffff;
    const commit = words[at + S_COMMIT];
    const state = commit & 63;
    let flags = REUSABLE;
    if (state === State.TcpReset) flags |= DONE;
    else if (state === State.TcpClosing)
      flags = ((commit >>> 12) & Flag.RemoteClosedFirst) === 0 ? REUSABLE | DONE : DONE;
    else if ((external & 0xff) === PROTOCOL_TCP) flags = 0;
    else if (remotePort === DNS_PORT && state === State.Answered)
      // A query that is still open keeps the entry as other UDP does.
      flags |= words[at + S_PACKETS_IN] < words[at + S_PACKETS_OUT] ? 0 : DONE;
    const ends = this.endOf(words[at + S_LAST_SEEN], external & 0xff, flags);
    if (ends - tick > 0)
      this.add(words[at + S_REMOTE_ADDRESS], external, (remotePort << 16) | flags, ends);
  }

  /**
   * A packet came in for which we have no session: if its tuple lingers, the entry above begins its time anew.
   * @param external externalPort << 16 | externalAddressIndex << 8 | protocol
   */
  heard(external: number, remoteAddress: number, remotePort: number, tick: number): void {
    const record = this.find(external, remoteAddress, remotePort);
    if (record < 0) return;
    const { words } = this;
    const at = record << LINGER_SHIFT;
    const ends = this.endOf(tick, external & 0xff, words[at + L_REMOTE_PORT] & 0xffff);
    if (ends - words[at + L_ENDS] > 0) words[at + L_ENDS] = ends;
  }

  /** Forgets what has ended above: visits a share of the tuples in proportion to the time since the last call. */
  advance(nowMs: number, tick: number): void {
    const { words, capacity } = this;
    if (nowMs < this.sweptMs) this.sweptMs = nowMs;
    const due = Math.floor((capacity * (nowMs - this.sweptMs)) / SWEEP_MS);
    if (due < 1) return;
    this.sweptMs = nowMs;
    let record = this.cursor;
    for (let i = Math.min(due, capacity); i > 0; i--) {
      const at = record << LINGER_SHIFT;
      if (words[at + L_EXTERNAL] !== 0 && words[at + L_ENDS] - tick <= 0) this.remove(record);
      record = record + 1 === capacity ? 0 : record + 1;
    }
    this.cursor = record;
    this.publish();
  }

  private publish(): void {
    const { counters } = this.parts;
    counters[Counter.UpstreamEntries] = this.entries;
    counters[Counter.UpstreamReused] = this.reused;
    counters[Counter.UpstreamCapacity] = this.settings.entries;
  }

  /** What is wrong, in words. Expensive. */
  selfCheck(): string[] {
    const problems: string[] = [];
    const { words } = this;
    let used = 0;
    for (let record = 0; record < this.capacity; record++) {
      const at = record << LINGER_SHIFT;
      const external = words[at + L_EXTERNAL];
      if (external === 0) continue;
      used++;
      const remotePort = words[at + L_REMOTE_PORT] >>> 16;
      if (this.find(external, words[at + L_REMOTE_ADDRESS], remotePort) !== record)
        problems.push(`lingering tuple ${record} is not found`);
      if (this.parts.sessions.findExternal(external, words[at + L_REMOTE_ADDRESS], remotePort) >= 0)
        problems.push(`lingering tuple ${record} is a session's`);
      const previous = words[at + L_PREVIOUS] - 1;
      const link =
        previous < 0
          ? this.buckets[words[at + L_BUCKET]]
          : words[(previous << LINGER_SHIFT) + L_NEXT];
      if (link !== record + 1) problems.push(`lingering tuple ${record} is not in its bucket`);
    }
    if (used !== this.index.size || used + this.free.length !== this.capacity)
      problems.push(`${used} tuples linger, the index holds ${this.index.size}`);
    const { live } = this;
    this.countSessions();
    if (live !== this.live) problems.push(`${live} sessions counted above, there are ${this.live}`);
    return problems;
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

  /** The tick at which an entry has ended above whose last packet was in tick `lastSeen`; flags as of a lingering tuple. */
  private endOf(lastSeen: number, protocol: number, flags: number): number {
    const { settings } = this;
    const isDone = (flags & DONE) !== 0;
    let seconds = settings.icmpSeconds;
    if (protocol === PROTOCOL_UDP)
      seconds = isDone ? (settings.dnsSeconds ?? settings.udpSeconds) : settings.udpSeconds;
    else if (protocol === PROTOCOL_TCP)
      seconds = isDone ? (settings.tcpClosedSeconds ?? settings.tcpSeconds) : settings.tcpSeconds;
    // One tick more: the last packet came somewhere in its tick.
    return lastSeen + Math.ceil(seconds * TICKS_PER_SECOND) + 1;
  }

  private bucketOf(remoteAddress: number, remoteKey: number): number {
    return hash3(remoteAddress, remoteKey, 0, this.seed) & this.bucketMask;
  }

  private find(external: number, remoteAddress: number, remotePort: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(external, remoteAddress, remotePort, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const record = slots[slot * 2 + 1] - 1;
      if (record < 0) return -1;
      if (slots[slot * 2] !== hash) continue;
      const at = record << LINGER_SHIFT;
      if (
        words[at + L_EXTERNAL] === external &&
        words[at + L_REMOTE_ADDRESS] === remoteAddress &&
        words[at + L_REMOTE_PORT] >>> 16 === remotePort
      )
        return record;
    }
  }

  /** Enters a tuple that is not there. @param port remotePort << 16 | flags */
  private add(remoteAddress: number, external: number, port: number, ends: number): void {
    const record = this.free.take();
    if (record < 0) {
      this.forgotten++;
      return;
    }
    const { words, buckets } = this;
    const at = record << LINGER_SHIFT;
    const hash = hash3(external, remoteAddress, port >>> 16, this.seed);
    const bucket = this.bucketOf(remoteAddress, (port & 0xffff0000) | (external & 0xffff));
    const next = buckets[bucket];
    words[at + L_REMOTE_ADDRESS] = remoteAddress;
    words[at + L_EXTERNAL] = external;
    words[at + L_REMOTE_PORT] = port;
    words[at + L_ENDS] = ends;
    words[at + L_NEXT] = next;
    words[at + L_PREVIOUS] = 0;
    words[at + L_HASH] = hash;
    words[at + L_BUCKET] = bucket;
    if (next !== 0) words[((next - 1) << LINGER_SHIFT) + L_PREVIOUS] = record + 1;
    buckets[bucket] = record + 1;
    this.index.insert(hash, record);
  }

  private remove(record: number): void {
    const { words } = this;
    const at = record << LINGER_SHIFT;
    const next = words[at + L_NEXT];
    const previous = words[at + L_PREVIOUS];
    if (next !== 0) words[((next - 1) << LINGER_SHIFT) + L_PREVIOUS] = previous;
    if (previous !== 0) words[((previous - 1) << LINGER_SHIFT) + L_NEXT] = next;
    else this.buckets[words[at + L_BUCKET]] = next;
    this.index.remove(words[at + L_HASH], record);
    words[at + L_EXTERNAL] = 0;
    this.free.give(record);
  }

  /** Takes over what lingers in the model of other settings. */
  private adopt(predecessor: Upstream): void {
    this.reused = predecessor.reused;
    const { words, capacity } = predecessor;
    for (let at = 0; at < capacity << LINGER_SHIFT; at += 1 << LINGER_SHIFT)
      if (words[at + L_EXTERNAL] !== 0)
        this.add(
          words[at + L_REMOTE_ADDRESS],
          words[at + L_EXTERNAL],
          words[at + L_REMOTE_PORT],
          words[at + L_ENDS],
        );
  }
}
