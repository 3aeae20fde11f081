import assert from 'node:assert/strict';
import fc from 'fast-check';
import { writeU16 } from '../../../core/wire/bytes.ts';
import {
  addressDelta,
  adjust,
  fold,
  inverse,
  replaceWord,
  sumBytes,
  wordDelta,
} from '../../../core/wire/checksum.ts';

/** Equal as one's complement numbers: both zeros are zero. */
const same = (a: number, b: number): boolean => a % 0xffff === b % 0xffff;

describe('checksums', () => {
  it('follow the example of RFC 1624 section 4: equation 3, not equation 2', () => {
    assert.equal(adjust(0xdd2f, fold(wordDelta(0x5555, 0x3285))), 0x0000);
  });

  it('agree with a full computation after a million edits, zeros and ones included', () => {
    const bytes = new Uint8Array(40);
    let checksum = ~sumBytes(bytes, 0, 40) & 0xffff;
    let state = 12345;
    for (let i = 0; i < 1_000_000; i++) {
      state = (Math.imul(state, 1103515245) + 12345) | 0;
      const at = ((state >>> 8) % 20) * 2;
      const pick = (state >>> 16) & 7;
      const value = pick === 0 ? 0 : pick === 1 ? 0xffff : (state >>> 4) & 0xffff;
      checksum = adjust(checksum, fold(wordDelta((bytes[at] << 8) | bytes[at + 1], value)));
      writeU16(bytes, at, value);
      if (i % 97 === 0) assert.ok(same(~checksum & 0xffff, sumBytes(bytes, 0, 40)), `edit ${i}`);
    }
  });

  it('undo a delta by its inverse', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.integer({ min: 0, max: 0xffff }), (a, b, sum) => {
        const delta = fold(addressDelta(a, b));
        assert.ok(same(adjust(adjust(sum, delta), inverse(delta)), sum));
      }),
    );
  });

  it('replace a word at an odd distance', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 24, maxLength: 24 }),
        fc.integer({ min: 2, max: 22 }),
        fc.integer({ min: 0, max: 0xffff }),
        (bytes, at, value) => {
          writeU16(bytes, 0, 0);
          writeU16(bytes, 0, ~sumBytes(bytes, 0, 24) & 0xffff);
          replaceWord(bytes, at, value, 0, 0);
          assert.ok(same(sumBytes(bytes, 0, 24), 0xffff));
        },
      ),
    );
  });
});
