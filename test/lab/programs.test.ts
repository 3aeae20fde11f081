/**
 * Which Debian package holds which program is said twice, in TypeScript and in bash; both must say
 * the same.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  DEBIAN_PACKAGES,
  missingPrograms,
  missingSentence,
  programPath,
  projectFolder,
} from '../../lab/programs.ts';

describe('programs of the lab', () => {
  it('are in the packages that scripts/debian-packages.sh installs', () => {
    const script = readFileSync(join(projectFolder(), 'scripts', 'debian-packages.sh'), 'utf8');
    const table = script.match(/^PACKAGES='\n([^']*)'/m)?.[1] ?? '';
    const pairs = table
      .trim()
      .split('\n')
      .map((line) => line.split('='));
    assert.deepEqual(Object.fromEntries(pairs), DEBIAN_PACKAGES);
  });

  it('are found, or named with what to do', () => {
    assert.ok(programPath('sh')?.endsWith('/sh'));
    assert.deepEqual(missingPrograms(['sh', 'no-such-program']), ['no-such-program']);
    assert.match(
      missingSentence(['dig']),
      /^dig is not installed; .*apt-get install bind9-dnsutils/,
    );
  });
});
