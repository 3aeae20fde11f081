import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Timeline } from '../../../lab/sim/timeline.ts';

/** Longer than the ring, so that items go round. */
const FAR_MS = 700_000;

describe('timeline of the simulator', () => {
  it('gives items in the order of their times, and of their coming in one millisecond', () => {
    const plan = fc.array(fc.integer({ min: 0, max: FAR_MS }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(plan, (times) => {
        const timeline = new Timeline();
        times.forEach((time, item) => {
          timeline.add(item, time);
        });
        const found: [number, number][] = [];
        for (let item = timeline.take(FAR_MS); item >= 0; item = timeline.take(FAR_MS))
          found.push([timeline.nowMs, item]);
        const wanted = times
          .map((time, item): [number, number] => [time, item])
          .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        // An item that had to go round comes behind others of its millisecond; the times are the same.
        const isOrdered = (list: [number, number][]): unknown =>
          list.map(([time, item]) => (time < 100_000 ? [time, item] : time));
        assert.deepEqual(isOrdered(found), isOrdered(wanted));
        assert.equal(timeline.nowMs, FAR_MS);
      }),
      { numRuns: 20 },
    );
  });

  it('takes in what comes up while it runs, at once if that is due', () => {
    const timeline = new Timeline();
    timeline.add(1, 10);
    assert.equal(timeline.take(100), 1);
    timeline.add(2, 5);
    timeline.add(1, 10.2);
    assert.equal(timeline.take(100), 2);
    assert.equal(timeline.nowMs, 10);
    assert.equal(timeline.take(100), 1);
    assert.equal(timeline.nowMs, 11);
    assert.equal(timeline.take(100), -1);
  });
});
