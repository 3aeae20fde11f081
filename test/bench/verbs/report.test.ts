import assert from 'node:assert/strict';
import { type Report, ratio, reportAsMarkdown, reportAsText } from '../../../bench/verbs/report.ts';

const report: Report = {
  suite: 'x',
  command: 'portfold bench x',
  smoke: false,
  rows: [
    { name: 'speed', unit: 'Gbit/s', samples: { rival: [2, 4, 3], portfold: [6] } },
    { name: 'cost', unit: 'ns', isCost: true, samples: { rival: [100], portfold: [50] } },
    { name: 'alone', unit: 'ns', samples: { portfold: [20_000] } },
  ],
  notes: {},
  targets: [
    { name: 'fast', value: 2, bound: 'at least', wanted: 1.5 },
    { name: 'small', value: 151, bound: 'at most', wanted: 150, unit: 'MB' },
  ],
};

describe('bench report', () => {
  it('has ratios in which more is better, of costs too, and none for a single column', () => {
    assert.deepEqual(report.rows.map(ratio), [2, 2, undefined]);
  });

  it('says of each target whether it was met', () => {
    const text = reportAsText(report);
    assert.match(text, /fast +met +2\.00, wanted at least 1\.50/);
    assert.match(text, /small +NOT MET +151, wanted at most 150 MB/);
  });

  it('as Markdown has a line for each row, with the spread where there is one', () => {
    assert.deepEqual(reportAsMarkdown(report).split('\n'), [
      '| `portfold bench x` | rival | portfold | ratio |',
      '| --- | --- | --- | --- |',
      '| speed, Gbit/s | 3.00 (2.00–4.00) | 6.00 | 2.00 |',
      '| cost, ns | 100 | 50.0 | 2.00 |',
      '| alone, ns | - | 20,000 |  |',
      '',
      '| target | wanted | seen |  |',
      '| --- | --- | --- | --- |',
      '| fast | at least 1.50 | 2.00 | met |',
      '| small | at most 150 MB | 151 | not met |',
    ]);
  });
});
