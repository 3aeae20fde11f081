/** What the looks at the arena count with, against what JavaScript has for the same. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { AddressTable, Top } from '../../../gateway/source/why-records.ts';

const address = fc.oneof(fc.integer({ min: -8, max: 8 }), fc.integer());

describe('counting records', () => {
  it('by two addresses gives what a Map of texts gives, and leaves out what comes too late', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(address, address), { maxLength: 300 }),
        fc.integer({ min: 2, max: 64 }),
        (pairs, most) => {
          const table = new AddressTable(most);
          const map = new Map<string, number>();
          for (const [one, other] of pairs) {
            table.increment(one, other);
            const key = `${one} ${other}`;
            if (map.has(key) || map.size < most) map.set(key, (map.get(key) ?? 0) + 1);
          }
          assert.equal(table.size, map.size);
          for (const [one, other] of pairs)
            assert.equal(table.get(one, other), map.get(`${one} ${other}`) ?? 0);
          const greatest = table.greatest(5, 2).map(({ one, other }) => table.get(one, other));
          const expected = [...map.values()].filter((count) => count > 1).sort((a, b) => b - a);
          assert.deepEqual(greatest, expected.slice(0, 5));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('keeps the greatest in order, and nothing that is zero', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), fc.integer({ min: 1, max: 10 }), (values, size) => {
        const top = new Top(size);
        values.forEach((value, key) => {
          top.add(key, value);
        });
        const expected = values.filter((value) => value > 0).sort((a, b) => b - a);
        assert.deepEqual(
          top.keys.map((key) => values[key]),
          expected.slice(0, size),
        );
      }),
    );
  });
});
