/** What the tables of a worker take, counted from the arrays that they hold: all is allocated at start, so the worst case is every case. */
import { makeEngine } from '../support/engine.ts';

export interface Footprint {
  /** Bytes a session: its record and both of its index entries. */
  session: number;
  /** The same with a mapping and a remote of its own, their index entries, and the bit rows. */
  withAll: number;
  /** Every byte that is allocated at start, over the capacity: hosts, permits, ports, events and counters too. */
  allocated: number;
}

export function footprint(capacity: number): Footprint {
  const { table } = makeEngine(capacity);
  const { sessions, mappings, remotes } = table.parts;
  const sum = (...arrays: Int32Array[]): number =>
    arrays.reduce((bytes, { byteLength }) => bytes + byteLength, 0) / capacity;
  const session = sum(sessions.words, sessions.byInternal.slots, sessions.byExternal.slots);
  const mapping = sum(mappings.words, mappings.index.slots);
  const remote = sum(remotes.words, remotes.index.slots, remotes.rows);
  const buffers = new Set<ArrayBufferLike>();
  collect(table, buffers, new Set());
  const allocated =
    [...buffers].reduce((bytes, { byteLength }) => bytes + byteLength, 0) / capacity;
  return { session, withAll: session + mapping + remote, allocated };
}

/** Adds the buffers of every typed array that can be reached from `value`. */
function collect(value: unknown, buffers: Set<ArrayBufferLike>, seen: Set<object>): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  if (ArrayBuffer.isView(value)) buffers.add(value.buffer);
  else for (const part of Object.values(value)) collect(part, buffers, seen);
}
