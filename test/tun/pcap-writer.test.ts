import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Frames, VNET_NEEDS_CSUM } from '../../core/frames.ts';
import { DESCRIPTOR_WORDS } from '../../tun/device.ts';
import { MemoryDevice } from '../../tun/memory-device.ts';
import { PcapWriter } from '../../tun/pcap-writer.ts';

/** 2026-03-04 05:06:07.000008 UTC. */
const MICROSECONDS = Date.UTC(2026, 2, 4, 5, 6, 7) * 1000 + 8;

/**
 * A UDP datagram 192.0.2.1:4000 > 198.51.100.7:53 whose checksum field holds the folded
 * pseudo-header sum, as with NEEDS_CSUM. The payload is zeros, so tcpdump knows the true checksum
 * without our help.
 */
function partialDatagram(payload: number): Uint8Array {
  const bytes = new Uint8Array(28 + payload);
  const view = new DataView(bytes.buffer);
  bytes.set([0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7]);
  view.setUint16(2, bytes.length);
  view.setUint16(10, ~sum(bytes.subarray(0, 20), 0) & 0xffff);
  view.setUint16(20, 4000);
  view.setUint16(22, 5300);
  view.setUint16(24, 8 + payload);
  view.setUint16(26, sum(bytes.subarray(12, 20), 17 + 8 + payload));
  return bytes;
}

function sum(bytes: Uint8Array, start: number): number {
  let total = start;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i] << 8) | bytes[i + 1];
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

describe('PcapWriter', () => {
  let directory: string;
  let path: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'portfold-pcap-'));
    path = join(directory, 'out.pcap');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function open(
    memory: MemoryDevice,
    fileBytesMax?: number,
  ): { writer: PcapWriter; frames: Frames } {
    const options = { nowMicroseconds: () => MICROSECONDS, fileBytesMax };
    const writer = new PcapWriter(memory, path, options);
    const frames = new Frames(1 << 18, 16);
    writer.register(frames);
    return { writer, frames };
  }

  function tcpdump(): string[] {
    const args = ['-r', path, '-n', '-vv', '--nano', '-tttt'];
    const env = { ...process.env, TZ: 'UTC' };
    const text = execFileSync('tcpdump', args, {
      encoding: 'utf8',
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return text.trim().replaceAll(/\n +/g, ' ').split('\n');
  }

  it('records what comes in and what goes out, with time and completed checksums', () => {
    const memory = new MemoryDevice();
    const { writer, frames } = open(memory);
    const offload = { flags: VNET_NEEDS_CSUM, csumStart: 20, csumOffset: 6 };
    memory.enqueue(partialDatagram(100), offload);
    memory.enqueue(partialDatagram(33), offload);
    assert.equal(writer.readBatch(), 2);

    // The engine drops the first and sends the second to another port.
    frames.descriptors[3] = -1;
    const second = frames.descriptors[DESCRIPTOR_WORDS];
    frames.bytes[second + 22] = 0x20;
    assert.equal(writer.writeBatch(), 1);
    writer.close();

    const lines = tcpdump();
    assert.equal(lines.length, 3);
    for (const line of lines) {
      assert.match(line, /^2026-03-04 05:06:07\.000008000 IP /);
      assert.match(line, /\[udp sum ok\]/);
    }
    assert.match(lines[0], /192\.0\.2\.1\.4000 > 198\.51\.100\.7\.5300: .* UDP, length 100$/);
    assert.match(lines[1], /\.5300: .* UDP, length 33$/);
    assert.match(lines[2], /\.8372: .* UDP, length 33$/);
  });

  it('completes the checksum in the copy only', () => {
    const memory = new MemoryDevice();
    const { writer, frames } = open(memory);
    const packet = partialDatagram(50);
    memory.enqueue(packet, { flags: VNET_NEEDS_CSUM, csumStart: 20, csumOffset: 6 });
    writer.readBatch();
    const offset = frames.descriptors[0];
    assert.deepEqual(frames.bytes.slice(offset, offset + packet.length), packet);
    writer.close();
    assert.match(tcpdump()[0], /\[udp sum ok\]/);
  });

  it('records a packet of the largest size as one, and more than its buffer holds', () => {
    const memory = new MemoryDevice({ capture: false });
    const { writer } = open(memory);
    memory.enqueue(partialDatagram(65_535 - 28), {
      flags: VNET_NEEDS_CSUM,
      csumStart: 20,
      csumOffset: 6,
    });
    for (let round = 0; round < 20; round++, memory.rewind()) {
      writer.readBatch();
      writer.writeBatch();
    }
    writer.close();
    const lines = tcpdump();
    assert.equal(lines.length, 40);
    assert.ok(lines.every((line) => line.includes('[udp sum ok] UDP, length 65507')));
  });

  it('can be looked at while the device sleeps', () => {
    const memory = new MemoryDevice();
    const { writer } = open(memory);
    memory.enqueue(partialDatagram(10));
    writer.readBatch();
    writer.wait(0);
    assert.equal(tcpdump().length, 1);
    assert.equal(memory.waits, 1);
    writer.close();
    writer.close();
  });

  it('ends at its limit, says so, and lets the traffic go on', () => {
    const memory = new MemoryDevice();
    const { writer } = open(memory, 300);
    for (let i = 0; i < 5; i++) memory.enqueue(partialDatagram(72));
    assert.equal(writer.readBatch(), 5);
    assert.equal(writer.writeBatch(), 5);
    assert.equal(writer.recorded, 2);
    assert.match(writer.stopped ?? '', /300 bytes/);
    writer.close();
    assert.equal(statSync(path).size, 24 + 2 * (16 + 100));
    assert.equal(tcpdump().length, 2);
  });

  it('goes on when the disk refuses', () => {
    path = '/dev/full';
    const memory = new MemoryDevice();
    const { writer } = open(memory);
    memory.enqueue(partialDatagram(72));
    assert.equal(writer.readBatch(), 1);
    assert.equal(writer.writeBatch(), 1);
    assert.match(writer.stopped ?? '', /ENOSPC/);
    writer.close();
  });

  it('is for the eyes of its owner, and says which file it cannot write', () => {
    const { writer } = open(new MemoryDevice());
    writer.close();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(readFileSync(path).length, 24);
    path = join(directory, 'nowhere', 'out.pcap');
    assert.throws(() => open(new MemoryDevice()), { code: 'PCAP_OPEN' });
  });
});
