/** How often a host is repaired that somebody else breaks again and again. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RepairPace } from '../../gateway/watch.ts';

describe('the pace of repairs', () => {
  it('ten at once, and the eleventh when it said', () => {
    const pace = new RepairPace();
    for (let i = 0; i < 10; i++) assert.equal(pace.take(5000), 0);
    const wait = pace.take(5000);
    assert.equal(wait, 10_000);
    assert.equal(pace.take(5000 + wait - 1) > 0, true);
    assert.equal(pace.take(5000 + wait), 0);
  });

  it('never more than ten and one for each ten seconds, however it is asked', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 200 }), (gaps) => {
        const pace = new RepairPace();
        let now = 0;
        let taken = 0;
        for (const gap of gaps) {
          now += gap;
          if (pace.take(now) === 0) taken++;
        }
        assert.ok(taken <= 10 + Math.ceil(now / 10_000), `${taken} in ${now} ms`);
      }),
    );
  });
});
