/**
 * What happens when: a ring with one slot for each virtual millisecond, and a list of items in each slot.
 *
 *   slots  | now | now + 1 | …  | now + 131,071 |      item: a number; at most one place in the ring for each
 *             │
 *             └─ item ─▶ item ─▶ item                  first in, first out
 *
 * Adding and taking are a few stores each, where a heap of a hundred thousand events costs seventeen comparisons; the order of items
 * in a millisecond is the order in which they were added, so a run is the same every time. What lies further ahead than the ring waits
 * in its last slot and is put in again from there.
 */

/** A power of two: more than two minutes, so that most items are put in once. */
const SLOTS = 1 << 17;
const MASK = SLOTS - 1;

export class Timeline {
  nowMs = 0;
  private readonly heads = new Int32Array(SLOTS).fill(-1);
  private readonly tails = new Int32Array(SLOTS);
  private next = new Int32Array(1024);
  private due = new Float64Array(1024);

  /** Puts an item, which must not be in the ring, at `atMs`, or now if that is past. */
  add(item: number, atMs: number): void {
    if (item >= this.next.length) this.grow(item);
    const time = Math.max(this.nowMs, Math.ceil(atMs));
    this.due[item] = time;
    this.put(item, Math.min(time, this.nowMs + MASK) & MASK);
  }

  /** The next item up to `endMs`, with `nowMs` set to its time; -1 when there is none, with `nowMs` set to `endMs`. */
  take(endMs: number): number {
    const { heads } = this;
    for (;;) {
      const slot = this.nowMs & MASK;
      const item = heads[slot];
      if (item < 0) {
        if (this.nowMs >= endMs) return -1;
        this.nowMs++;
        continue;
      }
      heads[slot] = this.next[item];
      if (this.due[item] <= this.nowMs) return item;
      this.put(item, Math.min(this.due[item], this.nowMs + MASK) & MASK);
    }
  }

  private put(item: number, slot: number): void {
    this.next[item] = -1;
    if (this.heads[slot] < 0) this.heads[slot] = item;
    else this.next[this.tails[slot]] = item;
    this.tails[slot] = item;
  }

  private grow(item: number): void {
    let size = this.next.length;
    while (size <= item) size *= 2;
    const next = new Int32Array(size);
    next.set(this.next);
    this.next = next;
    const due = new Float64Array(size);
    due.set(this.due);
    this.due = due;
  }
}
