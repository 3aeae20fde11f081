/**
 * Which external ports of a modelled router are in use, by pool: how many entries each carries, and towards each remote endpoint the
 * lowest port that may be free.
 *
 *   pool     ports are counted once for each; TCP, UDP and ICMP have one each, or two of them one together
 *   lowest   below this number every port is taken towards that remote endpoint, so that "the first that is free" is found at once
 */
interface Towards {
  entries: number;
  lowest: number;
}

export class PortUse {
  readonly count: number;
  private readonly entries: Int32Array;
  private readonly used: Int32Array;
  private readonly towards = new Map<number, Towards>();

  constructor(count: number, pools: number) {
    this.count = count;
    this.entries = new Int32Array(count * pools);
    this.used = new Int32Array(pools);
  }

  /** Ports with entries in the pool that has most. */
  most(): number {
    return Math.max(...this.used);
  }

  isUnused(pool: number, number: number): boolean {
    return this.entries[pool * this.count + number] === 0;
  }

  /** A port without entries, the first behind `from`; -1 when there is none. */
  unusedFrom(pool: number, from: number): number {
    if (this.used[pool] === this.count) return -1;
    for (let i = 0, number = from; i < this.count; i++) {
      if (this.isUnused(pool, number)) return number;
      number = number + 1 === this.count ? 0 : number + 1;
    }
    return -1;
  }

  /** The lowest port for which `isFree` holds, towards a remote endpoint; -1 when there is none. */
  lowestFree(remote: number, isFree: (number: number) => boolean): number {
    const towards = this.towards.get(remote);
    let number = towards?.lowest ?? 0;
    while (number < this.count && !isFree(number)) number++;
    if (towards !== undefined) towards.lowest = number;
    return number < this.count ? number : -1;
  }

  /** @param remote a number that stands for the remote endpoint and the pool */
  add(pool: number, number: number, remote: number): void {
    if (this.entries[pool * this.count + number]++ === 0) this.used[pool]++;
    const towards = this.towards.get(remote);
    if (towards === undefined) this.towards.set(remote, { entries: 1, lowest: 0 });
    else towards.entries++;
  }

  remove(pool: number, number: number, remote: number): void {
    if (--this.entries[pool * this.count + number] === 0) this.used[pool]--;
    const towards = this.towards.get(remote) as Towards;
    if (--towards.entries === 0) this.towards.delete(remote);
    else towards.lowest = Math.min(towards.lowest, number);
  }
}
