/** How often whom is searched for. */
import assert from 'node:assert/strict';
import { RETRY_TICKS, RoomBudget } from '../../../core/table/room-budget.ts';

const many = (ask: (n: number) => boolean): number =>
  Array.from({ length: 2000 }, (_, n) => ask(n)).filter((given) => given).length;

describe('the budget of making room', () => {
  it('has 16 searches in a tick, four for a host, and as many in the next', () => {
    const budget = new RoomBudget();
    for (const tick of [7, 8]) {
      assert.equal(
        many((n) => budget.takeSearch(n, 1, tick)),
        4,
      );
      assert.equal(
        many((n) => budget.takeSearch(n, 2, tick)),
        4,
      );
      assert.equal(
        many((n) => budget.takeSearch(5, 3 + n, tick)),
        8,
      );
    }
  });

  it('lets who was searched for in vain wait for a second, there and nobody else', () => {
    const budget = new RoomBudget();
    assert.ok(budget.takeSearch(5, 1, 7));
    budget.foundNothing(5, 1, 7);
    for (let tick = 7; tick < 7 + RETRY_TICKS; tick++) {
      assert.ok(!budget.takeSearch(5, 1, tick));
      assert.ok(budget.takeSearch(6, 1, tick));
      assert.ok(budget.takeSearch(5, 2, tick));
    }
    assert.ok(budget.takeSearch(5, 1, 7 + RETRY_TICKS));
  });

  it('makes room in the table 512 times a tick, 16 times for a host, and no more where there is none', () => {
    const budget = new RoomBudget();
    assert.equal(
      many(() => budget.takeTableRoom(1, 7)),
      16,
    );
    assert.ok(budget.takeTableRoom(2, 7));
    budget.foundNoTableRoom(2, 7);
    assert.ok(!budget.takeTableRoom(2, 7));
    assert.ok(budget.takeTableRoom(2, 8));
    assert.equal(
      many((n) => budget.takeTableRoom(3 + n, 9)),
      512,
    );
  });
});
