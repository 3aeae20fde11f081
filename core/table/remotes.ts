/**
 * Remote endpoints, and which ports are taken towards each. Keyed by remote address, remote port, external address and protocol.
 *
 * A remote with few sessions needs no more than its count: a random port is free with high probability, and the external session
 * index says whether it is. One with many gets a *row*, a bit a port, so that the search is exact and costs a few words:
 *
 *   count >= max(8, ports / 16)    the row is given
 *   count <  max(4, ports / 32)    it is taken back
 *
 * Rows come from a pool of capacity / (ports / 16). When the pool is empty the search walks the set by the external index instead.
 * `refuseUntil` (low 16 bits of a tick, 0: none) says until when searching is useless.
 */
import { type Arena, R_ADDRESS, R_COUNT, R_PORT, R_ROW } from './arena.ts';
import { clearBit, setBit } from './bits.ts';
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';
import type { PortSet } from './port-set.ts';

export const REMOTE_SHIFT = 2;

/** A refusal is remembered for at most a minute, so that 16 bits of the tick are enough. */
export const REFUSE_TICKS_MAX = 240;

export class Remotes {
  readonly words: Int32Array;
  readonly capacity: number;
  readonly index: HashIndex;
  readonly free: FreeList;
  readonly rows: Int32Array;
  readonly rowWords: number;
  readonly rowGiveAt: number;
  readonly rowTakeBackBelow: number;
  private readonly freeRows: Int32Array;
  freeRowCount: number;
  private readonly seed: number;

  constructor(arena: Arena, set: PortSet, seed: number) {
    this.words = arena.remotes;
    this.capacity = arena.shape.capacity;
    this.index = new HashIndex(this.capacity);
    this.free = new FreeList(this.words, 1 << REMOTE_SHIFT);
    this.seed = seed ^ 0x1b873593;
    this.rowWords = set.rowWords;
    this.rowGiveAt = Math.max(8, set.count >> 4);
    this.rowTakeBackBelow = this.rowGiveAt >> 1;
    const rowCount = Math.max(1, Math.floor(this.capacity / this.rowGiveAt));
    this.rows = new Int32Array(rowCount * this.rowWords);
    this.freeRows = new Int32Array(rowCount);
    this.freeRowCount = 0;
    this.clearRows();
  }

  get count(): number {
    return this.index.size;
  }

  /** The remote with this key, or -1. @param key remotePort << 16 | externalIndex << 8 | protocol */
  find(address: number, key: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(address, key, 0, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const remote = slots[slot * 2 + 1] - 1;
      if (remote < 0) return -1;
      if (slots[slot * 2] !== hash) continue;
      const at = remote << REMOTE_SHIFT;
      if (words[at + R_ADDRESS] === address && words[at + R_PORT] === key) return remote;
    }
  }

  /** Makes a remote without sessions, or -1 when the table is full. */
  add(address: number, key: number): number {
    const remote = this.free.take();
    if (remote < 0) return -1;
    const at = remote << REMOTE_SHIFT;
    this.words[at + R_ADDRESS] = address;
    this.words[at + R_PORT] = key;
    this.words[at + R_ROW] = 0;
    this.words[at + R_COUNT] = 0;
    this.index.insert(hash3(address, key, 0, this.seed), remote);
    return remote;
  }

  remove(remote: number): void {
    const at = remote << REMOTE_SHIFT;
    if (this.words[at + R_ROW] !== 0) this.takeBackRow(remote);
    this.index.remove(this.hashOf(remote), remote);
    this.words[at + R_COUNT] = 0;
    this.free.give(remote);
  }

  link(remote: number): void {
    this.index.insert(this.hashOf(remote), remote);
  }

  isLinked(remote: number): boolean {
    return this.index.has(this.hashOf(remote), remote);
  }

  sessions(remote: number): number {
    return this.words[(remote << REMOTE_SHIFT) + R_COUNT] >>> 16;
  }

  /** Adds `change` to the count and forgets a refusal: a session that ended may have freed a port. */
  changeSessions(remote: number, change: 1 | -1): number {
    const at = (remote << REMOTE_SHIFT) + R_COUNT;
    const count = (this.words[at] >>> 16) + change;
    this.words[at] = (count << 16) | (change < 0 ? 0 : this.words[at] & 0xffff);
    return count;
  }

  /** True while searching towards this remote is known to be useless. */
  refuses(remote: number, tick: number): boolean {
    const at = (remote << REMOTE_SHIFT) + R_COUNT;
    const until = this.words[at] & 0xffff;
    if (until === 0) return false;
    const left = (until - tick) & 0xffff;
    if (left !== 0 && left <= REFUSE_TICKS_MAX) return true;
    this.words[at] &= 0xffff0000;
    return false;
  }

  /** @param ticks 1 … REFUSE_TICKS_MAX */
  refuseFor(remote: number, tick: number, ticks: number): void {
    const at = (remote << REMOTE_SHIFT) + R_COUNT;
    const until = (tick + ticks) & 0xffff || 1;
    this.words[at] = (this.words[at] & 0xffff0000) | until;
  }

  /** First word of the row in `rows`, or -1. */
  rowAt(remote: number): number {
    const row = this.words[(remote << REMOTE_SHIFT) + R_ROW] - 1;
    return row < 0 ? -1 : row * this.rowWords;
  }

  /** Gives an empty row; false when the pool is empty. */
  giveRow(remote: number): boolean {
    if (this.freeRowCount === 0) return false;
    const row = this.freeRows[--this.freeRowCount];
    this.rows.fill(0, row * this.rowWords, (row + 1) * this.rowWords);
    this.words[(remote << REMOTE_SHIFT) + R_ROW] = row + 1;
    return true;
  }

  takeBackRow(remote: number): void {
    const at = (remote << REMOTE_SHIFT) + R_ROW;
    this.freeRows[this.freeRowCount++] = this.words[at] - 1;
    this.words[at] = 0;
  }

  mark(remote: number, number: number): void {
    const at = this.rowAt(remote);
    if (at >= 0) setBit(this.rows, at, number);
  }

  unmark(remote: number, number: number): void {
    const at = this.rowAt(remote);
    if (at >= 0) clearBit(this.rows, at, number);
  }

  /** Takes every row back without touching records. */
  clearRows(): void {
    this.freeRowCount = this.freeRows.length;
    for (let row = 0; row < this.freeRows.length; row++)
      this.freeRows[row] = this.freeRows.length - 1 - row;
  }

  get rowCount(): number {
    return this.freeRows.length;
  }

  private hashOf(remote: number): number {
    const at = remote << REMOTE_SHIFT;
    return hash3(this.words[at + R_ADDRESS], this.words[at + R_PORT], 0, this.seed);
  }

  rebuildFree(): void {
    this.free.clear();
    for (let remote = this.capacity - 1; remote >= 0; remote--)
      if (this.words[(remote << REMOTE_SHIFT) + R_COUNT] >>> 16 === 0) this.free.give(remote);
  }
}
