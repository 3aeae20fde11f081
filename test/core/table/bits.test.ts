import assert from 'node:assert/strict';
import fc from 'fast-check';
import { hasBit, randomFree, setBit } from '../../../core/table/bits.ts';

describe('bit rows', () => {
  it('finds a free bit if and only if there is one, for any random number', () => {
    const bits = fc.uniqueArray(fc.integer({ min: 0, max: 239 }), { maxLength: 240 });
    fc.assert(
      fc.property(bits, bits, fc.integer(), (takenBits, allowedBits, random) => {
        const taken = new Int32Array(8);
        const allowed = new Int32Array(8);
        for (const bit of takenBits) setBit(taken, 0, bit);
        for (const bit of allowedBits) setBit(allowed, 0, bit);
        const free = allowedBits.filter((bit) => !takenBits.includes(bit));
        const found = randomFree(taken, 0, allowed, 0, 8, random);
        if (free.length === 0) assert.equal(found, -1);
        else assert.ok(free.includes(found), `${found} is not free`);
        if (found >= 0) assert.ok(hasBit(allowed, 0, found) && !hasBit(taken, 0, found));
      }),
      { numRuns: 2000 },
    );
  });

  it('finds the last free bit wherever it is', () => {
    for (let bit = 0; bit < 64; bit++)
      for (let random = 0; random < 2048; random += 37) {
        const allowed = new Int32Array(2);
        setBit(allowed, 0, bit);
        assert.equal(randomFree(allowed, -1, allowed, 0, 2, random), bit);
      }
  });
});
