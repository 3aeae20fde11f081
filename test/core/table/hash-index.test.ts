import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HashIndex } from '../../../core/table/hash-index.ts';

describe('hash index', () => {
  it('agrees with a Map under random insertions and removals, also when hashes collide', () => {
    const operation = fc.tuple(
      fc.boolean(),
      fc.integer({ min: 0, max: 63 }),
      fc.constantFrom(0, 1, 5, 126, 127, -1),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const index = new HashIndex(64);
        const model = new Map<number, number>();
        for (const [insert, record, hash] of operations) {
          const known = model.get(record);
          if (insert && known === undefined) {
            index.insert(hash, record);
            model.set(record, hash);
          } else if (!insert && known !== undefined) {
            assert.equal(index.remove(known, record), true);
            model.delete(record);
          } else if (!insert) assert.equal(index.remove(hash, record), false);
          assert.equal(index.size, model.size);
        }
        for (let record = 0; record < 64; record++) {
          const hash = model.get(record);
          assert.equal(index.has(hash ?? 0, record), hash !== undefined);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a capacity that is no power of two', () => {
    assert.throws(() => new HashIndex(1000), /1000 is not a power of two/);
  });
});
