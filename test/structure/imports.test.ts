/** Imports run one way. This test is the wall between the rooms. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What a room may import besides itself; a path ends with the file or folder that is open to it. */
const ALLOWED: Record<string, readonly string[]> = {
  core: [],
  policies: ['core'],
  tun: [],
  gateway: ['core', 'policies', 'tun'],
  cli: ['gateway/control'],
  lab: ['core', 'tun', 'gateway', 'policies'],
  bench: ['core', 'policies', 'tun', 'gateway', 'lab'],
};

function* sources(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}

const importsOf = (file: string): string[] => {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern = /(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => match[1]);
};

describe('imports', () => {
  for (const [room, allowed] of Object.entries(ALLOWED))
    it(`${room}/ imports ${allowed.length === 0 ? 'nothing outside itself' : allowed.join(', ')}`, () => {
      const wrong: string[] = [];
      for (const file of sources(room))
        for (const target of importsOf(file)) {
          if (!target.startsWith('.')) continue;
          const path = relative(root, resolve(root, dirname(file), target));
          if (![room, ...allowed].some((open) => path === open || path.startsWith(`${open}/`)))
            wrong.push(`${file} imports ${path}`);
        }
      assert.deepEqual(wrong, []);
    });

  it('core/ and policies/ use no package, no clock and no chance', () => {
    const wrong: string[] = [];
    for (const room of ['core', 'policies'])
      for (const file of sources(room)) {
        for (const target of importsOf(file))
          if (!target.startsWith('.')) wrong.push(`${file} imports ${target}`);
        const text = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
        const found =
          /\b(?:Date\.now|new Date|Math\.random|performance\.now|process\.|Buffer\.)/.exec(text);
        if (found) wrong.push(`${file} uses ${found[0]}`);
      }
    assert.deepEqual(wrong, []);
  });
});
