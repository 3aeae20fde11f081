/**
 * A hash index over records that live elsewhere: open addressing, linear probing, backward-shift deletion.
 *
 *   entry, 2 words:   0 hash   1 record + 1 (0: empty)          slots = 2 x capacity, a power of two
 *
 * The full 32-bit hash stands in the entry, so a probe reads a record only when the hashes are equal, and a deletion reads no record
 * at all. At half load a hit costs 1.5 probes on average, all in one or two cache lines.
 *
 * Each table has its own `find`, since the keys differ; it walks like this:
 *
 *   for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
 *     const record = slots[slot * 2 + 1] - 1;
 *     if (record < 0) return -1;
 *     if (slots[slot * 2] === hash && …) return record;
 *   }
 */
export class HashIndex {
  readonly slots: Int32Array;
  readonly mask: number;
  /** Entries in use. */
  size = 0;

  /** @param capacity records at most, a power of two */
  constructor(capacity: number) {
    if (capacity < 1 || (capacity & (capacity - 1)) !== 0)
      throw new RangeError(`capacity ${capacity} is not a power of two`);
    this.slots = new Int32Array(capacity * 4);
    // A capacity that was computed as a double would make this field one, and every probe would convert it.
    this.mask = (capacity * 2 - 1) | 0;
  }

  /** Adds `record`. The caller knows that it is not there and that there is room. */
  insert(hash: number, record: number): void {
    const { slots, mask } = this;
    let slot = hash & mask;
    while (slots[slot * 2 + 1] !== 0) slot = (slot + 1) & mask;
    slots[slot * 2] = hash;
    slots[slot * 2 + 1] = record + 1;
    this.size++;
  }

  /** Removes `record`; false if it was not there. */
  remove(hash: number, record: number): boolean {
    const { slots, mask } = this;
    let slot = hash & mask;
    while (slots[slot * 2 + 1] !== record + 1) {
      if (slots[slot * 2 + 1] === 0) return false;
      slot = (slot + 1) & mask;
    }

    // Each later entry of the run moves back into the hole if its home is not between the hole and itself.
    let hole = slot;
    for (;;) {
      slot = (slot + 1) & mask;
      if (slots[slot * 2 + 1] === 0) break;
      const home = slots[slot * 2] & mask;
      if (((slot - home) & mask) >= ((slot - hole) & mask)) {
        slots[hole * 2] = slots[slot * 2];
        slots[hole * 2 + 1] = slots[slot * 2 + 1];
        hole = slot;
      }
    }
    slots[hole * 2] = 0;
    slots[hole * 2 + 1] = 0;
    this.size--;
    return true;
  }

  /** True if `record` is found under `hash`. For checks. */
  has(hash: number, record: number): boolean {
    const { slots, mask } = this;
    for (let slot = hash & mask; slots[slot * 2 + 1] !== 0; slot = (slot + 1) & mask)
      if (slots[slot * 2 + 1] === record + 1) return slots[slot * 2] === hash;
    return false;
  }

  clear(): void {
    this.slots.fill(0);
    this.size = 0;
  }
}

/**
 * Mixes three words and a seed to 32 bits: a multiplication carries differences upwards, the shift behind it brings them down again, so
 * that every key bit reaches the low bits, which choose the slot (constants of MurmurHash3 and xxHash). The seed is new at every
 * start, so that an outsider cannot aim at one run of slots.
 *
 * The first word needs both steps before the second comes in. Ports stand in the upper half of an external key; with one multiplication
 * their differences stayed in 16 bits, on top of those of the remote addresses, and keys met in all 32 bits: a million sessions of 240
 * ports lay 14 slots from home on average instead of 0.46 (test/core/table/hash-index.test.ts).
 */
export function hash3(a: number, b: number, c: number, seed: number): number {
  let h = Math.imul(a ^ seed, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca6b);
  h = Math.imul(h ^ b, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16) ^ c ^ (seed >>> 7), 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 15), 0x165667b1);
  return h ^ (h >>> 16);
}
