/** A process that is killed at a random moment leaves an arena from which nothing is lost; bench/fuzz/kill.mts does it in full size. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

describe('kill -9 at a random moment', () => {
  it('loses no session and leaves the tables consistent', () => {
    const program = fileURLToPath(new URL('../../../bench/fuzz/kill.mts', import.meta.url));
    const words = ['--import', 'tsx', program, '--times', '5', '--sessions', '20000'];
    const result = JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8' }));
    assert.deepEqual([result.times, result.sessions, result.lost], [5, 20_000, 0]);
  }).timeout(60_000);
});
