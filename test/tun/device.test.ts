import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as frames from '../../core/frames.ts';
import { COALESCE, ENCAPSULATE } from '../../core/verdict.ts';
import * as device from '../../tun/device.ts';

/**
 * `tun` imports nothing of `core`, and C nothing of either; this file is what holds the three
 * together.
 */
describe('the layout of a batch', () => {
  const source = ['frame.h', 'device.c']
    .map((file) => readFileSync(new URL(`../../tun/native/${file}`, import.meta.url), 'utf8'))
    .join('\n');

  const constants: [name: string, inCore: number, inDevice: number][] = [
    ['DESCRIPTOR_WORDS', frames.DESCRIPTOR_WORDS, device.DESCRIPTOR_WORDS],
    ['VNET_HEADER_BYTES', frames.VNET_HEADER_BYTES, device.VNET_HEADER_BYTES],
    ['HEADROOM_BYTES', frames.HEADROOM_BYTES, device.HEADROOM_BYTES],
    ['VERDICT_ENCAPSULATE', ENCAPSULATE, device.VERDICT_ENCAPSULATE],
    ['VERDICT_COALESCE', COALESCE, device.VERDICT_COALESCE],
  ];

  for (const [name, inCore, inDevice] of constants) {
    it(`${name} is the same in core, in the device interface and in C`, () => {
      assert.equal(inDevice, inCore);
      const inC = source.match(new RegExp(`^ *${name} = (\\d+),$`, 'm'));
      assert.equal(Number(inC?.[1]), inCore);
    });
  }

  it('has room in front of each packet for an ICMP answer, its virtio header and an IPv6 header', () => {
    assert.ok(frames.HEADROOM_BYTES >= 28 + frames.VNET_HEADER_BYTES + 40);
  });

  it('keeps the fields of a descriptor in the order that the device fills', () => {
    const order = [
      frames.FRAME_OFFSET,
      frames.FRAME_LENGTH,
      frames.FRAME_OFFLOAD,
      frames.FRAME_VERDICT,
    ];
    assert.deepEqual(order, [0, 1, 2, 3]);
    for (const word of order) assert.match(source, new RegExp(`word\\[${word}\\] = `));
  });

  it('is what a Frames offers to a device', () => {
    const batch: device.FrameBatch = new frames.Frames(1 << 17, 8);
    assert.equal(batch.descriptors.length, 8 * device.DESCRIPTOR_WORDS);
    assert.equal(batch.bytes.length, 1 << 17);
  });
});
