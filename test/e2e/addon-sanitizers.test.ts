/**
 * The addon under AddressSanitizer, in small: some thousand packets and everything else that it
 * takes (bench/fuzz/addon), and the same with a check taken out, which must be noticed.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { faultOf, runVictim } from '../../bench/fuzz/addon/packets.ts';
import { BREAKS, buildSanitized } from '../../bench/fuzz/addon/sanitized.ts';
import { requirePrograms } from './support.ts';

const RUN = { packets: 2000, seed: 1, mutated: 50 };
const BEHIND_THE_BUFFER = BREAKS[0];

describe('the addon under AddressSanitizer', () => {
  let folder: string;
  before(function () {
    requirePrograms(this, ['gcc']);
    folder = mkdtempSync(join(tmpdir(), 'portfold-sanitized-'));
  });
  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  it('touches nothing that is not its own, and leaks nothing', async () => {
    assert.equal(faultOf(await runVictim(buildSanitized(folder), RUN)), undefined);
  });

  it('is reported when a frame may end behind the buffer', async () => {
    const { reports } = await runVictim(buildSanitized(folder, BEHIND_THE_BUFFER), RUN);
    // Into a red zone, or so far that there is no memory at all.
    assert.match(reports.errors.join('\n'), /AddressSanitizer: (.*overflow|SEGV)/);
  });
});
