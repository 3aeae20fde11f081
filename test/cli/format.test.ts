/** Numbers for people, and the lines that hold them. */
import assert from 'node:assert/strict';
import {
  formatBar,
  formatBytes,
  formatCount,
  formatDuration,
  formatShare,
} from '../../cli/format.ts';
import { csvLine, printTable } from '../../cli/table.ts';
import { FakeTerminal } from './fake-terminal.ts';

describe('numbers for people', () => {
  it('counts in groups of three', () => {
    assert.deepEqual([0, 999, 1_000, 1_234_567].map(formatCount), [
      '0',
      '999',
      '1,000',
      '1,234,567',
    ]);
  });

  it('bytes with three digits, never "1000 kB"', () => {
    assert.deepEqual(
      [0, 999, 1_000, 9_994, 99_950, 999_499, 999_600, 1_210_000, 5e18].map(formatBytes),
      ['0 B', '999 B', '1.00 kB', '9.99 kB', '100 kB', '999 kB', '1.00 MB', '1.21 MB', '5000 PB'],
    );
  });

  it('durations in the two greatest units, never "60s"', () => {
    assert.deepEqual(
      [0, 0.25, 9.96, 59.4, 59.6, 303, 3_599.7, 3_720, 277_500, 86_400_000].map(formatDuration),
      ['0s', '0.3s', '10s', '59s', '1m00s', '5m03s', '1h00m', '1h02m', '3d05h', '1,000d00h'],
    );
  });

  it('shares and bars that show the least bit', () => {
    assert.equal(formatShare(1, 262_144), '<0.1 %');
    assert.equal(formatShare(0, 0), '0 %');
    assert.equal(formatShare(95, 100), '95 %');
    assert.equal(formatBar(1, 262_144, 4), '[#---]');
    assert.equal(formatBar(0, 10, 4), '[----]');
    assert.equal(formatBar(11, 10, 4), '[####]');
  });
});

describe('table', () => {
  const columns = [
    { title: 'NAME', text: (item: [string, number]) => item[0] },
    { title: 'COUNT', align: 'right' as const, text: (item: [string, number]) => String(item[1]) },
    { title: 'NOTE', text: () => 'some words' },
  ];

  it('sets numbers on the right and ends lines without blanks', () => {
    const terminal = new FakeTerminal();
    printTable(terminal, columns, [
      ['dns', 7],
      ['established', 12_345],
    ]);
    assert.equal(
      terminal.out,
      [
        'NAME         COUNT  NOTE',
        'dns              7  some words',
        'established  12345  some words',
        '',
      ].join('\n'),
    );
  });

  it('cuts at the width of a terminal and never on a pipe', () => {
    const terminal = new FakeTerminal(20, 24);
    printTable(terminal, columns, [['established', 1]]);
    assert.equal(terminal.out, 'NAME         COUNT …\nestablished      1 …\n');
  });

  it('lets no name steer the terminal', () => {
    const terminal = new FakeTerminal();
    printTable(terminal, columns, [['\x1b[2J\nx', 1]]);
    assert.match(terminal.out, /^\?\[2J\?x/m);
  });

  it('quotes CSV where it must', () => {
    assert.equal(csvLine(['a', undefined, 3, ['x', 'y'], 'a "b", c']), 'a,,3,x y,"a ""b"", c"\n');
  });
});
