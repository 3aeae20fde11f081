/**
 * Permits: towards which remote addresses the owner of a port has sessions (address-dependent filtering, RFC 4787 section 5).
 *
 *   Permit, 4 words:  0 mapping   1 remote address   2 sessions (0: free)   3 spare
 *
 * Only owned ports have permits, so the table is small. When it is full an owner's new remote has no permit: its answers still come
 * in by their exact 5-tuple, other ports of that remote are filtered. Derived from the sessions.
 */
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';

const PERMIT_SHIFT = 2;

export class Permits {
  private readonly words: Int32Array;
  private readonly index: HashIndex;
  private readonly free: FreeList;
  private readonly capacity: number;
  private readonly seed: number;

  /** @param capacity a power of two */
  constructor(capacity: number, seed: number) {
    this.capacity = capacity;
    this.words = new Int32Array(capacity << PERMIT_SHIFT);
    this.index = new HashIndex(capacity);
    this.free = new FreeList(this.words, 1 << PERMIT_SHIFT);
    this.seed = seed ^ 0x2545f491;
    this.clear();
  }

  get count(): number {
    return this.index.size;
  }

  private find(mapping: number, address: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(mapping, address, 0, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const permit = slots[slot * 2 + 1] - 1;
      if (permit < 0) return -1;
      const at = permit << PERMIT_SHIFT;
      if (slots[slot * 2] === hash && words[at] === mapping && words[at + 1] === address)
        return permit;
    }
  }

  /** True if the owner has a session with that address. */
  admits(mapping: number, address: number): boolean {
    return this.find(mapping, address) >= 0;
  }

  /** Sessions that the owner has with that address. */
  sessions(mapping: number, address: number): number {
    const permit = this.find(mapping, address);
    return permit < 0 ? 0 : this.words[(permit << PERMIT_SHIFT) + 2];
  }

  /** Counts a session with that address; false when the table is full and it is not counted. */
  add(mapping: number, address: number): boolean {
    let permit = this.find(mapping, address);
    if (permit < 0) {
      permit = this.free.take();
      if (permit < 0) return false;
      const at = permit << PERMIT_SHIFT;
      this.words[at] = mapping;
      this.words[at + 1] = address;
      this.words[at + 2] = 0;
      this.index.insert(hash3(mapping, address, 0, this.seed), permit);
    }
    this.words[(permit << PERMIT_SHIFT) + 2]++;
    return true;
  }

  /** Takes back what `add` has counted. */
  remove(mapping: number, address: number): void {
    const permit = this.find(mapping, address);
    if (permit < 0) return;
    const at = permit << PERMIT_SHIFT;
    if (--this.words[at + 2] > 0) return;
    this.index.remove(hash3(mapping, address, 0, this.seed), permit);
    this.free.give(permit);
  }

  clear(): void {
    this.index.clear();
    this.free.clear();
    for (let permit = this.capacity - 1; permit >= 0; permit--) {
      this.words[(permit << PERMIT_SHIFT) + 2] = 0;
      this.free.give(permit);
    }
  }
}
