import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HashIndex, hash3 } from '../../../core/table/hash-index.ts';

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

  /** Mean distance of the entries from the slots that their hashes choose. */
  const displacement = (index: HashIndex): number => {
    let sum = 0;
    for (let slot = 0; slot <= index.mask; slot++)
      if (index.slots[slot * 2 + 1] !== 0)
        sum += (slot - (index.slots[slot * 2] & index.mask)) & index.mask;
    return sum / index.size;
  };

  it('keeps the sessions of 240 ports with many remotes near their homes', () => {
    const capacity = 1 << 16;
    for (const seed of [1, 0x7fffffff, -20261122]) {
      const index = new HashIndex(capacity);
      for (let n = 0; n < capacity; n++) {
        const i = n % 240;
        const port = ((1 + (i >> 4)) << 12) | (86 << 4) | (i & 15);
        const remote = ((198 << 24) | (18 << 16)) + Math.floor(n / 240);
        index.insert(hash3((port << 16) | 17, remote, 443, seed), n);
      }
      // Random hashes at half load: a half.
      assert.ok(displacement(index) < 0.55, `${displacement(index)} slots with seed ${seed}`);
    }
  });

  it('spreads keys that differ in any one word', () => {
    const capacity = 1 << 12;
    const keys: ((n: number) => [number, number, number])[] = [];
    for (const shift of [0, 8, 16, 20])
      keys.push(
        (n) => [n << shift, 7, 443],
        (n) => [7, n << shift, 443],
        (n) => [7, 443, n << shift],
      );
    for (const [at, key] of keys.entries()) {
      const index = new HashIndex(capacity);
      for (let n = 0; n < capacity; n++) index.insert(hash3(...key(n), 20261122), n);
      assert.ok(displacement(index) < 0.75, `${displacement(index)} slots, kind ${at}`);
    }
  });
});
