/**
 * The documentation keeps up with the code: drop reasons, commands, packages, links.
 *
 * What a page says in words cannot be checked here; what it must name can.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RELAY_DROP_MEANING } from '../../core/relay/drops.ts';
import { DROP_MEANING } from '../../core/verdict.ts';
import { TUN_QUEUE_FULL } from '../../gateway/source/tun-losses.ts';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const docs = readdirSync(join(root, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
const pages = ['README.md', 'CONTRIBUTING.md', ...docs];

/** First cells of the rows of all tables in a text, without the code marks. */
const firstCells = (text: string): string[] =>
  [...text.matchAll(/^\|\s*([^|]*?)\s*\|/gm)].map((match) => match[1]);

/** The part of a page from a heading to the next one of the same rank. */
function section(text: string, heading: string): string {
  const start = text.indexOf(`\n## ${heading}\n`);
  assert.notEqual(start, -1, `there is no section "${heading}"`);
  const end = text.indexOf('\n## ', start + 1);
  return end < 0 ? text.slice(start) : text.slice(start, end);
}

/** The anchors that a page offers, made as GitHub makes them. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );

describe('documentation', () => {
  it('docs/operations.md has a row for each drop reason, and for nothing else', () => {
    const rows = firstCells(section(read('docs/operations.md'), 'Drop reasons'))
      .filter((cell) => /^`\w+`$/.test(cell))
      .map((cell) => cell.slice(1, -1));
    assert.deepEqual(rows, [...DROP_MEANING.map(([name]) => name), TUN_QUEUE_FULL]);
  });

  it('docs/br.md has a row for each drop reason of the relay, and names tests that exist', () => {
    const page = read('docs/br.md');
    const rows = firstCells(section(page, 'Drop reasons')).filter((cell) => /^`\w+`$/.test(cell));
    const names = [...RELAY_DROP_MEANING.map(([name]) => name), TUN_QUEUE_FULL];
    assert.deepEqual(
      rows,
      names.map((name) => `\`${name}\``),
    );
    const tests = [...page.matchAll(/`(test\/[^`]+\.test\.ts)` “([^”]+)”/g)];
    assert.ok(tests.length > 5);
    for (const [, file, title] of tests) assert.ok(read(file).includes(title), title);
  });

  it('docs/cli.md has a row for each command', () => {
    const cells = firstCells(read('docs/cli.md')).join(' ');
    const commands = readdirSync(join(root, 'cli', 'commands')).map((file) => file.slice(0, -3));
    assert.ok(commands.length > 5, 'no commands were found');
    const missing = commands.filter((command) => !cells.includes(`\`${command}\``));
    assert.deepEqual(missing, []);
  });

  it('docs/dependencies.md names each package, and no package that is not used', () => {
    const text = read('docs/dependencies.md');
    const { dependencies, devDependencies } = JSON.parse(read('package.json'));
    const named = (heading: string): string[] =>
      firstCells(section(text, heading)).flatMap((cell) =>
        [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1]),
      );
    assert.deepEqual(named('npm, at run time').sort(), Object.keys(dependencies).sort());
    assert.deepEqual(named('npm, for development').sort(), Object.keys(devDependencies).sort());

    const list = /PACKAGES='([^']+)'/.exec(read('scripts/debian-packages.sh'))?.[1] ?? '';
    const debian = new Set([...list.matchAll(/=(\S+)/g)].map((match) => match[1]));
    const heading = 'Debian, for the demo, the benchmarks and the end-to-end tests';
    assert.deepEqual(named(heading).sort(), [...debian].sort());
  });

  it('README.md opens with two commands, one line each', () => {
    const blocks = [...read('README.md').matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)];
    assert.deepEqual(
      blocks.slice(0, 2).map((block) => block[2]),
      ['npm ci && sudo npm run demo\n', 'npm ci && sudo npm test\n'],
    );
    const { scripts } = JSON.parse(read('package.json'));
    assert.ok(scripts.demo && scripts.test, 'package.json lacks one of the two');
  });

  it('docs/README.md leads to each page', () => {
    const index = read('docs/README.md');
    const missing = docs.filter(
      (page) => page !== 'docs/README.md' && !index.includes(`](${page.slice('docs/'.length)})`),
    );
    assert.deepEqual(missing, []);
  });

  for (const page of pages)
    it(`${page}: relative links and their anchors exist`, () => {
      const text = read(page).replace(/^```[\s\S]*?^```$/gm, '');
      const wrong: string[] = [];
      for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [path, anchor] = target.split('#');
        const file = path === '' ? page : join(dirname(page), path);
        if (!existsSync(join(root, file))) wrong.push(target);
        else if (anchor !== undefined && !anchors(read(file)).includes(anchor)) wrong.push(target);
      }
      assert.deepEqual(wrong, []);
    });
});
