import assert from 'node:assert/strict';
import { Random, Zipf } from '../../../lab/sim/random.ts';

const DRAWS = 20_000;

describe('chance in the simulator', () => {
  it('is the same for a seed, and another one for another seed', () => {
    const of = (seed: number): number[] => {
      const random = new Random(seed);
      return Array.from({ length: 5 }, () => random.next());
    };
    assert.deepEqual(of(1), of(1));
    assert.notDeepEqual(of(1), of(2));
  });

  it('gives a user the same numbers whatever others drew', () => {
    const one = new Random(7);
    const other = new Random(7);
    for (let i = 0; i < 100; i++) other.next();
    assert.equal(one.fork(3, 4).next(), other.fork(3, 4).next());
    assert.notEqual(one.fork(3, 4).next(), one.fork(4, 3).next());
  });

  it('draws servers by their popularity', () => {
    const random = new Random(1);
    const zipf = new Zipf(100, 1);
    const counts = new Array<number>(100).fill(0);
    for (let i = 0; i < DRAWS; i++) counts[zipf.draw(random)]++;
    // The sum of 1/n up to 100 is 5.187: the first server has 19.3 % of the draws, the tenth a tenth of that.
    assert.ok(Math.abs(counts[0] / DRAWS - 0.193) < 0.015, `${counts[0]}`);
    assert.ok(Math.abs(counts[9] / DRAWS - 0.0193) < 0.005, `${counts[9]}`);
    assert.ok(counts.every((count) => count > 0));
  });

  it('keeps heavy tails within their bounds, with most of the draws near the least', () => {
    const random = new Random(1);
    const drawn = Array.from({ length: DRAWS }, () => random.pareto(3, 60, 1.5));
    assert.ok(drawn.every((value) => value >= 3 && value <= 60));
    const median = drawn.sort((a, b) => a - b)[DRAWS / 2];
    assert.ok(Math.abs(median - 3 * 2 ** (1 / 1.5)) < 0.2, `${median}`);
    assert.equal(drawn[DRAWS - 1], 60);
  });

  it('waits as long as asked for on the average', () => {
    const random = new Random(1);
    let sum = 0;
    for (let i = 0; i < DRAWS; i++) sum += random.exponential(250);
    assert.ok(Math.abs(sum / DRAWS - 250) < 10, `${sum / DRAWS}`);
  });
});
