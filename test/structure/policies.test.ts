/** docs/policies.md says what the presets hold and which keys there are; here is checked that the numbers and names are those of the code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { policyTable } from '../../gateway/config/policy-schema.ts';
import { PRESETS, type PresetName, TIMER_NAMES, UDP_CLASS_NAMES } from '../../policies/settings.ts';
import { UPSTREAM_MODELS } from '../../policies/upstream-models.ts';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const page = read('docs/policies.md');

/** Cells of the tables of a section, row by row, without the code marks. */
function rows(heading: string): string[][] {
  const start = page.indexOf(`\n## ${heading}\n`);
  assert.notEqual(start, -1, `there is no section "${heading}"`);
  const end = page.indexOf('\n## ', start + 1);
  return page
    .slice(start, end < 0 ? undefined : end)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(2, -2)
        .split(' | ')
        .map((cell) => cell.replaceAll('`', '').trim()),
    );
}

/** As in the heads of the tables. */
const ORDER: readonly PresetName[] = ['home', 'game', 'event', 'rfc'];

describe('docs/policies.md', () => {
  it('has the timers of each preset, all of them and in order', () => {
    const table = rows('Timers').filter(([name]) => name !== 'timer' && !name.startsWith('-'));
    assert.deepEqual(
      table.map(([name]) => name),
      [...TIMER_NAMES].sort((a, b) => position(a) - position(b)),
    );
    for (const [name, ...cells] of table)
      ORDER.forEach((preset, n) => {
        const levels = PRESETS[preset].timers[name as (typeof TIMER_NAMES)[number]];
        const text = new Set(levels).size === 1 ? `${levels[0]}` : levels.join(' · ');
        assert.equal(cells[n], text, `${name} of ${preset}`);
      });
  });

  /** The page has them in the order of the schema. */
  const position = (name: (typeof TIMER_NAMES)[number]): number => TIMER_NAMES.indexOf(name);

  it('has the numbers of each preset', () => {
    const none = (value: number): string => (value === 0 ? 'no limit' : `${value}`);
    const expected: [row: string, of: (preset: PresetName) => string][] = [
      ['endpoints share ports', (p) => (PRESETS[p].sharing ? 'yes' : 'no')],
      ['ports that may be owned, of the set', (p) => `${PRESETS[p].ownedPercent} %`],
      ['owned ports of a host', (p) => none(PRESETS[p].limits.ownedPorts)],
      ['sessions of a host', (p) => none(PRESETS[p].limits.sessions)],
      [
        'new sessions of a host a second, and at once',
        (p) => {
          const { newPerSecond, newAtOnce } = PRESETS[p].limits;
          return newPerSecond === 0 ? 'no limit' : `${newPerSecond}, ${newAtOnce}`;
        },
      ],
      ['unanswered for 3 s, of a host to one address', (p) => none(PRESETS[p].unansweredPerRemote)],
      ['reserve of the table for hosts that hold little', (p) => `${PRESETS[p].reserve.percent} %`],
      ['pressure levels begin at', (p) => `${PRESETS[p].pressure.levelsPercent.join(', ')} %`],
      [
        'sessions give way',
        (p) => (PRESETS[p].evictUnanswered && PRESETS[p].pressure.evict ? 'yes' : 'no'),
      ],
      [
        'QUIC',
        (p) => {
          const { mode, fromLevel } = PRESETS[p].quic;
          return mode === 'pressure' ? `rejected from level ${fromLevel}` : `${mode}ed`;
        },
      ],
    ];
    const table = new Map(rows('Presets').map(([name, ...cells]) => [name, cells]));
    for (const [row, of] of expected) assert.deepEqual(table.get(row), ORDER.map(of), row);
  });

  it('has a row for each key, and for nothing else', () => {
    const keys = rows('All keys').map(([name]) => name);
    assert.deepEqual(keys.slice(1), Object.keys(policyTable.shape));
  });

  it('names each class and each model of a NAT above', () => {
    const classes = rows('Classes').flatMap((cells) => [cells[0], cells[2]]);
    for (const name of UDP_CLASS_NAMES) assert.ok(classes.includes(name), name);
    for (const name of Object.keys(UPSTREAM_MODELS)) assert.ok(page.includes(`\`${name}\``), name);
  });

  it('shows the example as it stands in its file', () => {
    const shown = /```ts\n([\s\S]*?)```/.exec(page)?.[1];
    const file = read('policies/outbound-mail.ts').replace(/^\/\*\*[\s\S]*?\*\/\n/, '');
    assert.equal(shown, file);
  });
});
