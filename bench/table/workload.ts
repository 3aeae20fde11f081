/**
 * What every table is asked, from a fixed seed: sessions of as many internal endpoints with remotes of 240 sessions each, as a full
 * v6 Plus line has them. `bench/native/table-twin.c` makes the same numbers; `proof` shows that both found the same records.
 *
 *   session n:   internal 10.0.0.0 + n / 64, port 1024 + n % 64      remote 198.18.0.0 + n / 240, port 443      external port n % 240
 *
 *   insert     sessions 0 … sessions-1, in order           outbound, inbound   hits: random sessions, by either 5-tuple
 *   churn      a random record ends, a new session comes   miss                random sessions that were never there
 *   end        all of them, in random order                streamed            outbound once more, as one stream
 *
 * The keys of the look-ups stand one behind the other, so that reading them costs no miss. Which key comes next depends on what the
 * last look-up found, as the work on a packet does: the processor cannot begin with the next before it knows. In `streamed` nothing
 * depends on anything, and it works on as many look-ups at once as fit its window: then the count of instructions decides, and not the
 * cache misses.
 */
import { mapEPorts, seeded } from '../support/seeded.ts';

export const SEED = 20261122;
export const REMOTE_PORT = 443;
export const PROTOCOL = 17;
const LAN_FIRST = 10 << 24;
const REMOTE_FIRST = (198 << 24) | (18 << 16);
const PORT_FIRST = 1024;
/** Numbers of sessions that were never made begin here. */
const NEVER_FIRST = 1 << 22;

const external = mapEPorts();

export const internalOf = (n: number): number => LAN_FIRST + (n >> 6);
export const portsOf = (n: number): number => ((PORT_FIRST + (n & 63)) << 16) | REMOTE_PORT;
export const remoteOf = (n: number): number => (REMOTE_FIRST + n / 240) | 0;
export const externalOf = (n: number): number => (external[n % 240] << 16) | PROTOCOL;

export interface Workload {
  sessions: number;
  operations: number;
  /** Three words each: internal address, remote address, ports. */
  outbound: Int32Array;
  missed: Int32Array;
  /** Two words each: external port and protocol, remote address. */
  inbound: Int32Array;
  /** Records that give way to sessions `sessions`, `sessions` + 1, … */
  victims: Int32Array;
  /** All records, shuffled. */
  ends: Int32Array;
}

export function makeWorkload(sessions: number, operations: number): Workload {
  const next = seeded(SEED);
  const outbound = new Int32Array(operations * 3);
  const inbound = new Int32Array(operations * 2);
  const missed = new Int32Array(operations * 3);
  const victims = new Int32Array(operations);
  const ends = Int32Array.from({ length: sessions }, (_, i) => i);
  for (let i = 0; i < operations; i++) {
    putKey(outbound, i, (next() >>> 0) % sessions);
    const n = (next() >>> 0) % sessions;
    inbound[i * 2] = externalOf(n);
    inbound[i * 2 + 1] = remoteOf(n);
    putKey(missed, i, NEVER_FIRST + ((next() >>> 0) % sessions));
    victims[i] = (next() >>> 0) % sessions;
  }
  for (let i = sessions - 1; i > 0; i--) {
    const other = (next() >>> 0) % (i + 1);
    const record = ends[i];
    ends[i] = ends[other];
    ends[other] = record;
  }
  return { sessions, operations, outbound, missed, inbound, victims, ends };
}

function putKey(keys: Int32Array, i: number, n: number): void {
  keys[i * 3] = internalOf(n);
  keys[i * 3 + 1] = remoteOf(n);
  keys[i * 3 + 2] = portsOf(n);
}

/** The steps of a turn, in this order; each is timed as a whole. */
export const STEPS = ['insert', 'outbound', 'inbound', 'miss', 'streamed', 'churn', 'end'] as const;

/** A table under measurement. What a look-up finds is summed, so that no compiler leaves it out and so that two tables can be compared. */
export interface Subject {
  insert(): void;
  outbound(): number;
  inbound(): number;
  miss(): number;
  streamed(): number;
  churn(): void;
  end(): void;
  /** Bytes of its records and indexes, where they are not objects of the heap. */
  bytes?(): number;
}
