/** The build gives modules of the packet path local names for what they import and export; they must mean the same afterwards. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { giveLocalNames } = await import(
  new URL('../../scripts/local-names.js', import.meta.url).href
);

describe('local names', () => {
  it('leave a module with the same values, under the same names', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portfold-names-'));
    try {
      mkdirSync(join(folder, 'inner'));
      writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
      writeFileSync(
        join(folder, 'inner', 'words.js'),
        'export const ONE = 1;\nexport const TWO = ONE + 1;\nexport function add(a, b) {\n    return a + b;\n}\n',
      );
      writeFileSync(
        join(folder, 'sum.js'),
        "import { add, ONE as FIRST,\n TWO } from './inner/words.js';\nimport { sep } from 'node:path';\n" +
          'export const SUM = add(FIRST, TWO);\nexport let later = 0;\nexport const setLater = () => {\n    later = SUM;\n};\nexport { sep };\n',
      );
      giveLocalNames(folder);
      const module = await import(pathToFileURL(join(folder, 'sum.js')).href);
      assert.equal(module.SUM, 3);
      module.setLater();
      assert.equal(module.later, 3, 'what may change stays bound to its module');
      assert.deepEqual(Object.keys(module).sort(), ['SUM', 'later', 'sep', 'setLater']);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
