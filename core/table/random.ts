/**
 * Random numbers from a buffer that the system fills (RFC 6056: ports must be hard to guess). The core has no source of its own, so the
 * gateway passes in a function that fills an Int32Array.
 */
const BUFFER_WORDS = 1024;

export class RandomSource {
  private readonly words = new Int32Array(BUFFER_WORDS);
  private readonly fill: (words: Int32Array) => void;
  private at = BUFFER_WORDS;

  constructor(fill: (words: Int32Array) => void) {
    this.fill = fill;
  }

  /** 32 random bits, signed. */
  next(): number {
    if (this.at === BUFFER_WORDS) {
      this.fill(this.words);
      this.at = 0;
    }
    return this.words[this.at++];
  }

  /** A number from 0 to limit - 1; `limit` at most 65,536, so that the bias is below 2^-16. */
  below(limit: number): number {
    return Math.imul(this.next() >>> 16, limit) >>> 16;
  }
}
