import assert from 'node:assert/strict';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { Frames, GSO_TCPV4, VNET_NEEDS_CSUM } from '../../core/frames.ts';
import {
  DESCRIPTOR_WORDS,
  type Device,
  HEADROOM_BYTES,
  VNET_HEADER_BYTES,
} from '../../tun/device.ts';
import { MemoryDevice } from '../../tun/memory-device.ts';

const BUFFER_BYTES = 1 << 18;

function packet(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
}

function attach(device: Device, capacity = 64): Frames {
  const frames = new Frames(BUFFER_BYTES, capacity);
  device.register(frames);
  return frames;
}

function frameBytes(frames: Frames, index: number): Uint8Array {
  const offset = frames.descriptors[index * DESCRIPTOR_WORDS];
  return frames.bytes.slice(offset, offset + frames.descriptors[index * DESCRIPTOR_WORDS + 1]);
}

describe('MemoryDevice', () => {
  it('gives back what was put in, whatever the lengths, aligned and with headroom', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 16 }), (sizes, capacity) => {
        const device = new MemoryDevice({ queueBytes: BUFFER_BYTES });
        const frames = attach(device, capacity);
        for (const [i, size] of sizes.entries()) assert.ok(device.enqueue(packet(size, i)));

        let seen = 0;
        while (device.readBatch() > 0) {
          let end = 0;
          for (let i = 0; i < frames.count; i++, seen++) {
            const offset = frames.descriptors[i * DESCRIPTOR_WORDS];
            assert.equal(offset % 64, 0);
            assert.ok(offset >= end + HEADROOM_BYTES);
            assert.deepEqual(frameBytes(frames, i), packet(sizes[seen], seen));
            assert.equal(frames.descriptors[i * DESCRIPTOR_WORDS + 3], 0);
            end = offset + sizes[seen];
          }
          assert.equal(device.writeBatch(), frames.count);
        }
        assert.equal(seen, sizes.length);
        assert.equal(device.capturedCount, sizes.length);
        for (const [i, size] of sizes.entries()) {
          assert.deepEqual(device.captured(i).bytes, packet(size, i));
        }
      }),
    );
  });

  it('carries the virtio header both ways and sums it up in the descriptor', () => {
    const device = new MemoryDevice();
    const frames = attach(device);
    const offload = {
      flags: VNET_NEEDS_CSUM,
      gsoType: GSO_TCPV4,
      headerLength: 52,
      gsoSize: 0xfffe,
      csumStart: 20,
      csumOffset: 16,
    };
    device.enqueue(packet(60_001, 1), offload);
    device.readBatch();
    assert.equal(frames.descriptors[2] >>> 16, 0xfffe);
    assert.equal((frames.descriptors[2] >> 8) & 0xff, GSO_TCPV4);
    assert.equal(frames.descriptors[2] & 0xff, VNET_NEEDS_CSUM);

    frames.descriptors[3] = 7;
    device.writeBatch();
    assert.deepEqual(device.captured(0).offload, offload);
    assert.equal(device.captured(0).verdict, 7);
  });

  it('writes only frames with a verdict >= 0, from where the engine moved them', () => {
    const device = new MemoryDevice();
    const frames = attach(device);
    for (let i = 0; i < 3; i++) device.enqueue(packet(100, i));
    device.readBatch();
    frames.descriptors[1 * DESCRIPTOR_WORDS + 3] = -5;
    frames.descriptors[2 * DESCRIPTOR_WORDS] -= 27;
    frames.descriptors[2 * DESCRIPTOR_WORDS + 1] = 30;

    assert.equal(device.writeBatch(), 2);
    assert.equal(device.capturedCount, 2);
    const offset = frames.descriptors[2 * DESCRIPTOR_WORDS];
    assert.deepEqual(device.captured(1).bytes, frames.bytes.slice(offset, offset + 30));
  });

  it('refuses a frame outside of the buffer and goes on with the next', () => {
    const device = new MemoryDevice();
    const frames = attach(device);
    for (let i = 0; i < 4; i++) device.enqueue(packet(100, i));
    device.readBatch();
    frames.descriptors[0] = VNET_HEADER_BYTES - 1;
    frames.descriptors[1 * DESCRIPTOR_WORDS + 1] = 0;
    frames.descriptors[2 * DESCRIPTOR_WORDS] = BUFFER_BYTES - 99;

    assert.equal(device.writeBatch(), 1);
    assert.equal(device.counters.writeErrors, 3);
    assert.deepEqual(device.captured(0).bytes, packet(100, 3));
  });

  it('says when queue or capture have no room', () => {
    const device = new MemoryDevice({ packetsMax: 2, queueBytes: 1 << 17 });
    attach(device);
    assert.equal(device.enqueue(packet(65_535, 0)), true);
    assert.equal(device.enqueue(packet(65_535, 0)), false);
    assert.equal(device.enqueue(packet(100, 0)), true);
    assert.equal(device.enqueue(packet(100, 0)), false);
    assert.equal(device.waiting, 2);

    for (let round = 0; round < 2; round++, device.rewind()) {
      while (device.readBatch() > 0) device.writeBatch();
    }
    assert.equal(device.counters.packetsOut, 4);
    assert.equal(device.capturedCount, 2);
    assert.equal(device.captureMissed, 2);
  });

  it('makes no garbage for a million packets, and the observer would see it', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const device = new MemoryDevice({ capture: false });
    const frames = attach(device);
    for (let i = 0; i < 1000; i++) device.enqueue(packet(64, i));

    // A packet that leaves an object behind, for the control.
    const kept: { at: number }[] = [{ at: 0 }];
    function run(rounds: number, littering: boolean): void {
      for (let round = 0; round < rounds; round++, device.rewind()) {
        while (device.readBatch() > 0) {
          for (let i = 0; i < frames.count && littering; i++) kept[0] = { at: i + 0.5 };
          device.writeBatch();
        }
      }
    }

    const collections: number[] = [];
    const observer = new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) collections.push(entry.startTime);
    });
    observer.observe({ entryTypes: ['gc'] });
    async function collectionsDuring(littering: boolean): Promise<number> {
      run(100, littering);
      collectGarbage();
      const from = performance.now();
      run(1000, littering);
      const to = performance.now();
      await delay(10);
      return collections.filter((at) => at >= from && at <= to).length;
    }

    try {
      assert.equal(await collectionsDuring(false), 0);
      assert.ok((await collectionsDuring(true)) > 0, 'the control leaves a million objects');
    } finally {
      observer.disconnect();
    }
    assert.equal(device.counters.packetsOut, 2_200_000);
  });
});
