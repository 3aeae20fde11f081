/** The tables under measurement do the same work: they find the same records, and so does the twin in C. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { footprint } from '../../../bench/table/footprint.ts';
import { PortfoldSubject } from '../../../bench/table/portfold-subject.ts';
import { lruSubject, mapSubject } from '../../../bench/table/string-subjects.ts';
import { buildTwin } from '../../../bench/table/twin.ts';
import { makeWorkload, STEPS, type Subject } from '../../../bench/table/workload.ts';

const SESSIONS = 3000;
const OPERATIONS = 5000;

function proofOf(table: Subject): number {
  let proof = 0;
  for (const step of STEPS) {
    const found = table[step]();
    if (found !== undefined) proof = (Math.imul(proof, 31) + found) | 0;
  }
  return proof;
}

describe('tables of the benchmark', () => {
  it('find the same records in TypeScript, in Maps, in lru-caches and in C', () => {
    const work = makeWorkload(SESSIONS, OPERATIONS);
    const proof = proofOf(new PortfoldSubject(work, 4096));
    assert.equal(proofOf(mapSubject(work, 4096)), proof);
    assert.equal(proofOf(lruSubject(work, 4096)), proof);
    const twin = buildTwin();
    try {
      const words = [String(SESSIONS), String(OPERATIONS)];
      const printed = JSON.parse(execFileSync(twin.path, words, { encoding: 'utf8' }));
      assert.equal(printed.proof, proof);
    } finally {
      twin.remove();
    }
  }).timeout(30_000);

  it('a session takes 96 bytes with its indexes, and 180 at most with what belongs to it', () => {
    const { session, withAll, allocated } = footprint(1 << 16);
    assert.equal(session, 96);
    assert.ok(withAll > session && withAll <= 180, `${withAll} bytes`);
    assert.ok(allocated > withAll, `${allocated} bytes`);
  });
});
