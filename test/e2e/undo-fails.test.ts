/** An undo that fails is told: by the log, by the exit code, and by what is not said. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withBed } from './support.ts';

describe('an undo that fails', () => {
  const bed = withBed({ line: 'address', start: false });

  it('ends with 1 and without a word of success; repaired, `doctor --clean` completes it', async () => {
    await bed.gateway.start();
    const file = join(bed.gateway.folder, 'state', 'host-snapshot.json');
    const text = readFileSync(file, 'utf8');
    const snapshot = JSON.parse(text);
    snapshot.items.at(-1).remove = { program: 'false', args: ['by', 'the', 'test'] };
    writeFileSync(file, JSON.stringify(snapshot));

    const end = await bed.gateway.stop();
    assert.equal(end.code, 1, end.stderr);
    assert.match(end.stderr, /Not everything could be taken back.*false by the test/);
    assert.doesNotMatch(end.stderr, /the host is as it was before/);

    writeFileSync(file, text);
    const clean = await bed.gateway.portfold('doctor', '--clean', '-c', bed.gateway.configFile);
    assert.match(clean.stdout, /clean: undone/);
  });
});
