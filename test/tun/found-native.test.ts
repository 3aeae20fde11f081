/** What the run of the addon under AddressSanitizer found (bench/fuzz/addon), each with its packet or its call. */
import assert from 'node:assert/strict';
import { DESCRIPTOR_WORDS, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { COALESCE, ENCAPSULATE, FORWARDED } from '../../core/verdict.ts';
import { loadNative, writeInto } from '../../tun/native.ts';

const OUTER_BYTES = 40;
const OFFSET = OUTER_BYTES + VNET_HEADER_BYTES;

describe('found in the addon', () => {
  // It was written, and the kernel had to find out; only ENCAPSULATE refused it.
  it('a frame that is longer than a packet can be is refused, whatever its verdict', () => {
    const output = new Uint8Array(1 << 18);
    const bytes = new Uint8Array(OFFSET + 65_536);
    bytes[OFFSET] = 0x45;
    const descriptors = new Int32Array(DESCRIPTOR_WORDS);
    for (const verdict of [FORWARDED, ENCAPSULATE, COALESCE]) {
      descriptors.set([OFFSET, 65_536, 0, verdict]);
      assert.equal(writeInto(bytes, descriptors, 1, output), -1);
      descriptors.set([OFFSET, 65_535, 0, verdict]);
      assert.ok(writeInto(bytes, descriptors, 1, output) > 65_535);
    }
  });

  // undefined and null made V8 throw a TypeError without a code, about objects.
  it('what is no device is refused in the same words, whatever it is', () => {
    const native = loadNative() as unknown as Record<string, (...values: unknown[]) => unknown>;
    const calls = ['closeTun', 'setPersist', 'registerBuffers', 'readBatch', 'writeBatch', 'wait'];
    for (const name of calls) {
      for (const value of [undefined, null, 1, 'x', {}, Symbol('s'), 10n, new Uint8Array(8)]) {
        assert.throws(() => native[name](value, 0, 0, 0, 0, 0), {
          code: 'NATIVE_USAGE',
          message: 'a device handle was expected',
        });
      }
    }
  });
});
