/**
 * Repeatable chance: the sfc32 generator (Chris Doty-Humphrey), four words of state from one seed. The same seed makes the same packets
 * in the same order, so that a failure is named by its seed and the index of its packet.
 */
import { allocate } from './build.ts';

export class Dice {
  private a: number;
  private b = 0x9e3779b9 | 0;
  private c = 0x243f6a88 | 0;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed | 0;
    for (let i = 0; i < 16; i++) this.next();
  }

  /** 32 random bits, signed. */
  next(): number {
    const result = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + result;
    this.c |= 0;
    return result;
  }

  /** A number from 0 to limit - 1. */
  below(limit: number): number {
    return (this.next() >>> 0) % limit;
  }

  /** A number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True `percent` times in a hundred. */
  chance(percent: number): boolean {
    return this.below(100) < percent;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)];
  }

  bytes(length: number): Uint8Array {
    const bytes = allocate(length);
    for (let i = 0; i < length; i += 4) {
      const word = this.next();
      bytes[i] = word;
      bytes[i + 1] = word >> 8;
      bytes[i + 2] = word >> 16;
      bytes[i + 3] = word >> 24;
    }
    return bytes;
  }

  fill(words: Int32Array): void {
    for (let i = 0; i < words.length; i++) words[i] = this.next();
  }
}
