/**
 * One turn of one table, in a process of its own:  subject.ts NAME SESSIONS OPERATIONS  prints the result as JSON.
 *
 * Rounds with a tenth of the work come first, so that the compiler has done its own. What is timed is processor time: on a machine that others use too, a
 * clock on the wall measures them.
 */

import { PortfoldSubject } from './portfold-subject.ts';
import { lruSubject, mapSubject } from './string-subjects.ts';
import { makeWorkload, STEPS, type Subject, type Workload } from './workload.ts';

/** Nanoseconds for one operation of each step, and what the look-ups found. */
export interface Turn {
  nanoseconds: Record<(typeof STEPS)[number], number>;
  bytesPerSession: number;
  proof: number;
}

const PRACTICE_ROUNDS = 8;

const SUBJECTS: Record<string, (work: Workload, capacity: number) => Subject> = {
  portfold: (work, capacity) => new PortfoldSubject(work, capacity),
  map: mapSubject,
  'lru-cache': lruSubject,
};

/** The least power of two that holds `sessions` at most. */
const capacityFor = (sessions: number): number => 1 << Math.ceil(Math.log2(sessions));

function bytesInUse(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

function takeTurn(name: string, sessions: number, operations: number): Turn {
  const make = SUBJECTS[name];
  if (make === undefined) throw new RangeError(`there is no table "${name}"`);
  const capacity = capacityFor(sessions);
  const practice = makeWorkload(Math.ceil(sessions / 10), Math.ceil(operations / 10));
  const practised = make(practice, capacity);
  for (let round = 0; round < PRACTICE_ROUNDS; round++) for (const step of STEPS) practised[step]();

  const work = makeWorkload(sessions, operations);
  const before = bytesInUse();
  const table = make(work, capacity);
  const nanoseconds = {} as Turn['nanoseconds'];
  let proof = 0;
  let bytesPerSession = 0;
  for (const step of STEPS) {
    const started = process.cpuUsage();
    const found = table[step]();
    const { user, system } = process.cpuUsage(started);
    const count = step === 'insert' || step === 'end' ? sessions : operations;
    nanoseconds[step] = ((user + system) * 1000) / count;
    if (found !== undefined) proof = (Math.imul(proof, 31) + found) | 0;
    if (step === 'insert') bytesPerSession = (table.bytes?.() ?? bytesInUse() - before) / sessions;
  }
  return { nanoseconds, bytesPerSession, proof };
}

const [name, sessions, operations] = process.argv.slice(2);
if (name !== undefined)
  process.stdout.write(`${JSON.stringify(takeTurn(name, Number(sessions), Number(operations)))}\n`);
