/** How the control thread looks at many records of the arena: each whole, a few milliseconds at a time, with bounded counts. */
import { setImmediate as turn } from 'node:timers/promises';
import { State } from '../../core/state.ts';
import { type Arena, S_COMMIT, SESSION_WORDS } from '../../core/table/arena.ts';

const RECORDS_PER_LOOK = 4_096;
const TURN_MILLISECONDS = 4;

/** Visits every session that lives. A visitor reads what it needs, asks isSame, and only then counts. */
export async function eachSession(
  arena: Arena,
  visit: (at: number, commit: number) => void,
): Promise<void> {
  const { sessions, shape } = arena;
  let since = performance.now();
  for (let session = 0; session < shape.capacity; session++) {
    if (session % RECORDS_PER_LOOK === 0 && performance.now() - since > TURN_MILLISECONDS) {
      await turn();
      since = performance.now();
    }
    const at = session * SESSION_WORDS;
    const commit = Atomics.load(sessions, at + S_COMMIT);
    if ((commit & 63) !== State.Free) visit(at, commit);
  }
}

/** True if the record is still the session that it was when `commit` was read: it may have ended, and another begun in its place. */
export const isSame = (sessions: Int32Array, at: number, commit: number): boolean =>
  ((Atomics.load(sessions, at + S_COMMIT) ^ commit) & (0xff << 24)) === 0 &&
  (sessions[at + S_COMMIT] & 63) !== State.Free;

/**
 * Small numbers by one or two addresses: open addressing in one typed array, since a Map takes twenty times as long for keys that are
 * no small integers. Holds `most` keys; whatever comes later is left out.
 */
export class AddressTable {
  size = 0;
  private readonly most: number;
  private readonly shift: number;
  /** Two addresses and a value; a value of 0 is a free slot. */
  private readonly words: Int32Array;

  constructor(most: number) {
    const bits = Math.ceil(Math.log2(most)) + 1;
    this.most = most;
    this.shift = 32 - bits;
    this.words = new Int32Array(3 << bits);
  }

  /** The value, or 0. */
  get(one: number, other: number): number {
    return this.words[this.find(one, other) + 2];
  }

  /** @param value not 0 */
  set(one: number, other: number, value: number): void {
    const { words } = this;
    const at = this.find(one, other);
    if (words[at + 2] === 0) {
      if (this.size === this.most) return;
      this.size++;
      words[at] = one;
      words[at + 1] = other;
    }
    words[at + 2] = value;
  }

  increment(one: number, other: number): void {
    const { words } = this;
    const at = this.find(one, other);
    if (words[at + 2] !== 0) words[at + 2]++;
    else this.set(one, other, 1);
  }

  /** The keys with the greatest values, greatest first. */
  greatest(count: number, least: number): { one: number; other: number; value: number }[] {
    const { words } = this;
    const top = new Top(count);
    for (let at = 0; at < words.length; at += 3)
      if (words[at + 2] >= least) top.add(at, words[at + 2]);
    return top.keys.map((at) => ({
      one: words[at],
      other: words[at + 1],
      value: words[at + 2],
    }));
  }

  private find(one: number, other: number): number {
    const { words } = this;
    const mask = (1 << (32 - this.shift)) - 1;
    let slot = Math.imul(one ^ Math.imul(other, 0x85ebca6b), 0x9e3779b1) >>> this.shift;
    for (;;) {
      const at = slot * 3;
      if (words[at + 2] === 0 || (words[at] === one && words[at + 1] === other)) return at;
      slot = (slot + 1) & mask;
    }
  }
}

/** The keys with the greatest values, greatest first; a value of 0 is none. */
export class Top {
  readonly keys: number[] = [];
  private readonly values: number[] = [];
  private readonly size: number;

  constructor(size: number) {
    this.size = size;
  }

  add(key: number, value: number): void {
    const { keys, values, size } = this;
    if (value <= 0 || (keys.length === size && value <= values[size - 1])) return;
    let at = Math.min(keys.length, size - 1);
    for (; at > 0 && values[at - 1] < value; at--) {
      keys[at] = keys[at - 1];
      values[at] = values[at - 1];
    }
    keys[at] = key;
    values[at] = value;
  }
}

export function add(counts: Map<number, number>, key: number, most: number): void {
  const known = counts.get(key);
  if (known !== undefined) counts.set(key, known + 1);
  else if (counts.size < most) counts.set(key, 1);
}

export const TOP_SHOWN = 8;

export const topOf = (counts: ReadonlyMap<number, number>): [number, number][] =>
  [...counts].sort((a, b) => b[1] - a[1]).slice(0, TOP_SHOWN);
