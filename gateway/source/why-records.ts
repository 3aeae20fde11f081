/** How the control thread looks at many records of the arena: each whole, a few milliseconds at a time, with bounded counts. */
import { setImmediate as turn } from 'node:timers/promises';
import { State } from '../../core/state.ts';
import { type Arena, HOST_WORDS, S_COMMIT, SESSION_WORDS } from '../../core/table/arena.ts';
import { HOST_ADDRESS } from '../../core/table/hosts.ts';
import { formatAddress } from '../control/text.ts';

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

const TOP_SHOWN = 8;

export const topOf = (counts: ReadonlyMap<number, number>): [number, number][] =>
  [...counts].sort((a, b) => b[1] - a[1]).slice(0, TOP_SHOWN);

export const addressOf = (arena: Arena, host: number): string =>
  formatAddress(arena.hosts[host * HOST_WORDS + HOST_ADDRESS]);
