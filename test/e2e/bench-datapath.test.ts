/**
 * The datapath suite on the line where most must fit together: a C forwarder that segments and
 * encapsulates in turn with a gateway that does so itself. How fast is another matter.
 */
import assert from 'node:assert/strict';
import { datapath, PROGRAMS } from '../../bench/datapath/datapath.ts';
import type { Report } from '../../bench/verbs/report.ts';
import { requirePrograms } from './support.ts';

describe('bench datapath', () => {
  let report: Report;

  before(async function () {
    requirePrograms(this, PROGRAMS);
    const cases = 'tcp-out,tcp-in,udp64-in';
    report = await datapath({ smoke: true, line: 'own', cases });
  });

  const samples = (name: string): Record<string, number[]> =>
    report.rows.find((row) => row.name === name)?.samples ?? {};

  it('moves traffic through both, in both directions', () => {
    assert.equal(report.notes.line, 'own, encapsulation own');
    for (const name of ['TCP out', 'TCP in', 'UDP in, 64 bytes']) {
      const found = samples(name);
      assert.deepEqual(Object.keys(found), ['null tunnel', 'portfold'], name);
      for (const [rival, [value]] of Object.entries(found)) {
        assert.ok(value > 0, `${name}, ${rival}: ${value}`);
      }
    }
  });

  it('finds the thread that did the work', () => {
    const costs = report.rows.filter((row) => row.name === '  system');
    assert.equal(costs.length, 3);
    for (const row of costs) {
      for (const [rival, [value]] of Object.entries(row.samples)) {
        assert.ok(value > 0, `${row.unit}, ${rival}: ${value}`);
      }
    }
  });

  it('holds the figures against the targets of that line', () => {
    assert.deepEqual(
      report.targets?.map(({ name, wanted }) => [name, wanted]),
      [
        ['TCP out, against the null tunnel', 0.9],
        ['TCP in, against the null tunnel', 2],
      ],
    );
  });
});
