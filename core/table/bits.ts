/** Bit rows: one bit a port, 32 to a word. Bits beyond the set are never asked for: the masks below have them as zero. */

export const setBit = (row: Int32Array, at: number, bit: number): void => {
  row[at + (bit >>> 5)] |= 1 << (bit & 31);
};

export const clearBit = (row: Int32Array, at: number, bit: number): void => {
  row[at + (bit >>> 5)] &= ~(1 << (bit & 31));
};

export const hasBit = (row: Int32Array, at: number, bit: number): boolean =>
  (row[at + (bit >>> 5)] & (1 << (bit & 31))) !== 0;

/**
 * A random bit that is set in `allowed` and clear in `taken`, or -1 when there is none: an exact search, word by word from a random
 * word, and within a word from a random bit.
 *
 * @param takenAt  offset of the row in `taken`, or -1 for an empty row
 */
export function randomFree(
  taken: Int32Array,
  takenAt: number,
  allowed: Int32Array,
  allowedAt: number,
  words: number,
  random: number,
): number {
  let word = (random >>> 8) % words;
  const turn = random & 31;
  for (let i = 0; i < words; i++) {
    const free = allowed[allowedAt + word] & (takenAt < 0 ? -1 : ~taken[takenAt + word]);
    if (free !== 0) {
      // Turned right by `turn`, the lowest set bit is a random one; turned back it has its number again.
      const turned = (free >>> turn) | (free << ((32 - turn) % 32));
      const lowest = 31 - Math.clz32(turned & -turned);
      return (word << 5) + ((lowest + turn) & 31);
    }
    word = word + 1 === words ? 0 : word + 1;
  }
  return -1;
}
