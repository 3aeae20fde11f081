/** docs/rfc-compliance.md names a test for what it claims; here is checked that each exists, and that no requirement is missing. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const page = readFileSync(join(root, 'docs/rfc-compliance.md'), 'utf8');

const numbered = (letter: string, last: number): string[] =>
  Array.from({ length: last }, (_, i) => `${letter}${i + 1}`);
const REQUIREMENTS = [
  ...numbered('U', 15),
  'U3a',
  'U13a',
  ...numbered('T', 15),
  ...numbered('I', 12),
  ...numbered('N', 4),
  ...numbered('C', 7),
  ...numbered('E', 17),
  ...numbered('G', 6),
  ...numbered('K', 5),
];

interface Row {
  id: string;
  marks: string[];
  tests: { file: string; title: string }[];
}

/** Tests that a text names: `file` “title”. */
const testsIn = (text: string): Row['tests'] =>
  [...text.matchAll(/`(test\/[^`]+\.test\.ts)` “([^”]+)”/g)].map(([, file, title]) => ({
    file,
    title,
  }));

const rows: Row[] = [...page.matchAll(/^\| ([A-Z]\d+a?) \|.*$/gm)].map(([line, id]) => {
  const cells = line.split(' | ');
  return { id, marks: [cells[3], cells[4]], tests: testsIn(line) };
});

describe('docs/rfc-compliance.md', () => {
  it('has one row for each requirement', () => {
    assert.deepEqual(rows.map((row) => row.id).sort(), [...REQUIREMENTS].sort());
  });

  it('says of each preset whether it keeps it', () => {
    for (const { id, marks } of rows)
      for (const mark of marks) assert.ok(['✅', '⚠️', '❌', '–'].includes(mark), `${id}: ${mark}`);
  });

  it('names a test for whatever is kept, whole or in part', () => {
    const bare = rows.filter(
      ({ marks, tests }) => (marks.includes('✅') || marks.includes('⚠️')) && tests.length === 0,
    );
    assert.deepEqual(
      bare.map((row) => row.id),
      [],
    );
  });

  it('names tests that exist, by file and title', () => {
    const named = testsIn(page);
    assert.ok(named.length > 80, `${named.length} tests are named`);
    assert.equal(named.length, (page.match(/`test\/[^`]+\.test\.ts`/g) ?? []).length);
    const wrong = named.filter(({ file, title }) => {
      const path = join(root, file);
      return !existsSync(path) || !readFileSync(path, 'utf8').includes(title);
    });
    assert.deepEqual(wrong, []);
  });
});
