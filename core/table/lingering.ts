/**
 * Tuples of sessions that have ended here and still stand in the table of a NAT above (upstream.ts): found by the whole tuple, and by
 * the remote endpoint.
 *
 *   Lingering tuple, 8 words
 *    0 remoteAddress   1 externalPort<<16 | externalAddressIndex<<8 | protocol (0: free)   2 remotePort<<16 | flags
 *    3 tick at which it ends   4 next + 1, 5 previous + 1 among those of its bucket   6, 7 of TCP: last sequence number, last TSval
 *   and beside it its owner, the host that it counts for (hosts.ts)
 *
 * A bucket holds the tuples of one remote endpoint, newest first, and rarely those of another one too. Fixed capacity, taken at the
 * start. What has ended is found by a sweep that visits every record once a second.
 */
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';
import type { Hosts } from './hosts.ts';

const LINGER_SHIFT = 3;
const L_REMOTE_ADDRESS = 0;
const L_EXTERNAL = 1;
const L_REMOTE_PORT = 2;
const L_ENDS = 3;
const L_NEXT = 4;
const L_PREVIOUS = 5;
const L_SEQUENCE = 6;
const L_TIMESTAMP = 7;

/** The whole table is swept once in this time. */
const SWEEP_MS = 1000;

export class Lingering {
  readonly capacity: number;
  private readonly words: Int32Array;
  private readonly owners: Int32Array;
  private readonly hosts: Hosts;
  private readonly index: HashIndex;
  private readonly free: FreeList;
  private readonly buckets: Int32Array;
  private readonly seed: number;
  private sweptMs = Number.MAX_SAFE_INTEGER;
  private cursor = 0;

  /** @param entries tuples at most, rounded up to a power of two; @param hosts count the tuples of each */
  constructor(entries: number, seed: number, hosts: Hosts) {
    let capacity = 1;
    while (capacity < entries) capacity *= 2;
    this.capacity = capacity;
    this.words = new Int32Array(capacity << LINGER_SHIFT);
    this.owners = new Int32Array(capacity);
    this.hosts = hosts;
    this.index = new HashIndex(capacity);
    this.free = new FreeList(this.words, 1 << LINGER_SHIFT);
    this.buckets = new Int32Array(capacity * 2);
    this.seed = seed;
    for (let record = capacity - 1; record >= 0; record--) this.free.give(record);
  }

  get count(): number {
    return this.index.size;
  }

  /**
   * The record of a tuple, or -1.
   * @param external externalPort << 16 | externalAddressIndex << 8 | protocol
   */
  find(external: number, remoteAddress: number, remotePort: number): number {
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

  /** The newest record of the bucket that holds this remote endpoint's, or -1. @param low externalAddressIndex << 8 | protocol */
  newest(remoteAddress: number, remotePort: number, low: number): number {
    return this.buckets[this.bucketOf(remoteAddress, (remotePort << 16) | low)] - 1;
  }

  /** The next older record of the same bucket, or -1. */
  older(record: number): number {
    return this.words[(record << LINGER_SHIFT) + L_NEXT] - 1;
  }

  /** True if the record is a tuple towards this remote endpoint: others share its bucket. */
  isTowards(record: number, remoteAddress: number, remotePort: number, low: number): boolean {
    const { words } = this;
    const at = record << LINGER_SHIFT;
    return (
      words[at + L_REMOTE_ADDRESS] === remoteAddress &&
      words[at + L_REMOTE_PORT] >>> 16 === remotePort &&
      (words[at + L_EXTERNAL] & 0xffff) === low
    );
  }

  flags(record: number): number {
    return this.words[(record << LINGER_SHIFT) + L_REMOTE_PORT] & 0xffff;
  }

  externalPort(record: number): number {
    return this.words[(record << LINGER_SHIFT) + L_EXTERNAL] >>> 16;
  }

  /** The highest sequence number and the last TSval that the internal side of a TCP connection has sent. */
  sequence(record: number): number {
    return this.words[(record << LINGER_SHIFT) + L_SEQUENCE];
  }

  timestamp(record: number): number {
    return this.words[(record << LINGER_SHIFT) + L_TIMESTAMP];
  }

  /** Lets a tuple linger until `ends` if it would end sooner. */
  extend(record: number, ends: number): void {
    const at = (record << LINGER_SHIFT) + L_ENDS;
    if (ends - this.words[at] > 0) this.words[at] = ends;
  }

  /** Enters a tuple that is not there; false when there is no room. @param flags 16 bits of the caller's */
  add(
    external: number,
    remoteAddress: number,
    remotePort: number,
    flags: number,
    ends: number,
    sequence: number,
    timestamp: number,
    owner: number,
  ): boolean {
    const record = this.free.take();
    if (record < 0) return false;
    const { words, buckets } = this;
    const at = record << LINGER_SHIFT;
    const hash = hash3(external, remoteAddress, remotePort, this.seed);
    const bucket = this.bucketOf(remoteAddress, (remotePort << 16) | (external & 0xffff));
    const next = buckets[bucket];
    words[at + L_REMOTE_ADDRESS] = remoteAddress;
    words[at + L_EXTERNAL] = external;
    words[at + L_REMOTE_PORT] = (remotePort << 16) | flags;
    words[at + L_ENDS] = ends;
    words[at + L_NEXT] = next;
    words[at + L_PREVIOUS] = 0;
    words[at + L_SEQUENCE] = sequence;
    words[at + L_TIMESTAMP] = timestamp;
    if (next !== 0) words[((next - 1) << LINGER_SHIFT) + L_PREVIOUS] = record + 1;
    buckets[bucket] = record + 1;
    this.index.insert(hash, record);
    this.owners[record] = owner;
    this.hosts.changeAbove(owner, 1);
    return true;
  }

  remove(record: number): void {
    const { words } = this;
    const at = record << LINGER_SHIFT;
    const next = words[at + L_NEXT];
    const previous = words[at + L_PREVIOUS];
    if (next !== 0) words[((next - 1) << LINGER_SHIFT) + L_PREVIOUS] = previous;
    if (previous !== 0) words[((previous - 1) << LINGER_SHIFT) + L_NEXT] = next;
    else this.buckets[this.bucketAt(at)] = next;
    this.index.remove(this.hashAt(at), record);
    this.hosts.changeAbove(this.owners[record], -1);
    words[at + L_EXTERNAL] = 0;
    this.free.give(record);
  }

  /** Removes what has ended: visits a share of the records in proportion to the time since the last call. */
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
  }

  /** Enters what lingers in another table; the number of tuples for which there was no room. */
  addAll(other: Lingering): number {
    let without = 0;
    for (const at of other.offsets()) {
      const { words } = other;
      const port = words[at + L_REMOTE_PORT];
      const isIn = this.add(
        words[at + L_EXTERNAL],
        words[at + L_REMOTE_ADDRESS],
        port >>> 16,
        port & 0xffff,
        words[at + L_ENDS],
        words[at + L_SEQUENCE],
        words[at + L_TIMESTAMP],
        other.owners[at >> LINGER_SHIFT],
      );
      if (!isIn) without++;
    }
    return without;
  }

  /** Counts every tuple for its host again. */
  countOwners(): void {
    for (const at of this.offsets()) this.hosts.changeAbove(this.owners[at >> LINGER_SHIFT], 1);
  }

  /** What is wrong, in words. Expensive. @param isLive true if a session has the tuple */
  selfCheck(
    isLive: (external: number, remoteAddress: number, remotePort: number) => boolean,
  ): string[] {
    const problems: string[] = [];
    const { words } = this;
    let used = 0;
    for (const at of this.offsets()) {
      used++;
      const record = at >> LINGER_SHIFT;
      const external = words[at + L_EXTERNAL];
      const remoteAddress = words[at + L_REMOTE_ADDRESS];
      const remotePort = words[at + L_REMOTE_PORT] >>> 16;
      if (this.find(external, remoteAddress, remotePort) !== record)
        problems.push(`lingering tuple ${record} is not found`);
      if (isLive(external, remoteAddress, remotePort))
        problems.push(`lingering tuple ${record} is a session's`);
      const previous = words[at + L_PREVIOUS] - 1;
      const link =
        previous < 0 ? this.buckets[this.bucketAt(at)] : words[(previous << LINGER_SHIFT) + L_NEXT];
      if (link !== record + 1) problems.push(`lingering tuple ${record} is not in its bucket`);
    }
    if (used !== this.index.size || used + this.free.length !== this.capacity)
      problems.push(`${used} tuples linger, the index holds ${this.index.size}`);
    return problems;
  }

  /** First words of the records in use. */
  private *offsets(): Generator<number> {
    for (let at = 0; at < this.words.length; at += 1 << LINGER_SHIFT)
      if (this.words[at + L_EXTERNAL] !== 0) yield at;
  }

  private hashAt(at: number): number {
    const { words } = this;
    const remotePort = words[at + L_REMOTE_PORT] >>> 16;
    return hash3(words[at + L_EXTERNAL], words[at + L_REMOTE_ADDRESS], remotePort, this.seed);
  }

  private bucketAt(at: number): number {
    const { words } = this;
    const port = words[at + L_REMOTE_PORT] & 0xffff0000;
    return this.bucketOf(words[at + L_REMOTE_ADDRESS], port | (words[at + L_EXTERNAL] & 0xffff));
  }

  private bucketOf(remoteAddress: number, remoteKey: number): number {
    return hash3(remoteAddress, remoteKey, 0, this.seed) & (this.buckets.length - 1);
  }
}
