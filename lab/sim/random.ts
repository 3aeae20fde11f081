/**
 * Chance from a seed: the same numbers in every run, and for every model the same users.
 *
 * What a user does must not depend on what a router does to others, or two models would be asked different things. So each user, page
 * and call draws from a generator of its own, whose seed is made from the run's seed and its own numbers (`fork`).
 */

/** A good mixer of 32 bits (the finalizer of MurmurHash3). */
export function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

export class Random {
  private readonly seed: number;
  private state: number;

  constructor(seed: number) {
    this.seed = mix(seed + 0x9e3779b9);
    this.state = this.seed;
  }

  /** A generator that depends on this one's seed and on `keys`, not on what was drawn. */
  fork(...keys: number[]): Random {
    let seed = this.seed;
    for (const key of keys) seed = mix(seed ^ Math.imul(key + 1, 0x9e3779b1));
    return new Random(seed);
  }

  /** 32 bits, signed (mulberry32). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return t ^ (t >>> 14);
  }

  /** From 0 to 1, without 1. */
  unit(): number {
    return (this.next() >>> 0) / 4294967296;
  }

  /** A whole number from 0 to limit - 1. */
  below(limit: number): number {
    return Math.floor(this.unit() * limit);
  }

  /** A number between the two. */
  between(low: number, high: number): number {
    return low + this.unit() * (high - low);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** Waiting times of what happens at any moment alike. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.unit());
  }

  /** Heavy-tailed: most values are little above `least`, a few near `most`. The smaller `shape`, the more of these. */
  pareto(least: number, most: number, shape: number): number {
    return Math.min(most, least / (1 - this.unit()) ** (1 / shape));
  }
}

/** Numbers 0 … count - 1 by popularity: number n is drawn in proportion to 1 / (n + 1)^exponent. */
export class Zipf {
  private readonly upTo: Float64Array;

  constructor(count: number, exponent: number) {
    this.upTo = new Float64Array(count);
    let sum = 0;
    for (let n = 0; n < count; n++) {
      sum += 1 / (n + 1) ** exponent;
      this.upTo[n] = sum;
    }
    for (let n = 0; n < count; n++) this.upTo[n] /= sum;
  }

  draw(random: Random): number {
    const { upTo } = this;
    const wanted = random.unit();
    let low = 0;
    let high = upTo.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (upTo[middle] > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
