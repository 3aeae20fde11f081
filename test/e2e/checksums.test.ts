/**
 * What the engine writes, judged by a program that we did not write: packets of every kind pass the engine, PcapWriter records both
 * sides, and tcpdump -vv says of each whether its checksums are right. A packet that was spoilt on purpose must be found.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryDevice } from '../../tun/memory-device.ts';
import { PcapWriter } from '../../tun/pcap-writer.ts';
import { Bench, EXTERNAL, endpoints } from '../support/gateway.ts';
import { ACK, echo4, error4, SYN, tcp4, udp4 } from '../support/packets.ts';
import { requirePrograms } from './support.ts';

const ROUNDS = 2000;

function record(path: string, spoil: boolean): number {
  const bench = new Bench({ capacity: 32768 });
  const memory = new MemoryDevice({ packetsMax: 1, queueBytes: 1 << 17, capture: false });
  const device = new PcapWriter(memory, path, { nowMicroseconds: () => bench.now * 1000 });
  device.register(bench.frames);
  const pass = (packet: Uint8Array): Uint8Array => {
    memory.clear();
    memory.enqueue(packet);
    const count = device.readBatch();
    bench.engine.process(count, bench.now);
    const { bytes, descriptors } = bench.frames;
    assert.ok(descriptors[3] >= 0, `dropped for reason ${~descriptors[3]}`);
    if (spoil) bytes[descriptors[0] + descriptors[1] - 1] ^= 0x40;
    device.writeBatch();
    return bytes.slice(descriptors[0], descriptors[0] + descriptors[1]);
  };

  for (let i = 0; i < (spoil ? 1 : ROUNDS); i++) {
    const host = `192.168.1.${(i % 250) + 2}:${20_000 + i * 7}`;
    // High ports: tcpdump looks into the payload of known ones and then spreads over lines.
    const server = `198.51.100.${(i % 97) + 1}:${40_000 + (i % 20_000)}`;
    const payload = new Uint8Array(i % 300).fill(i * 13);
    const udp = pass(udp4({ from: host, to: server, payload }));
    pass(udp4({ from: server, to: endpoints(udp).from, payload }));
    const syn = pass(tcp4({ from: host, to: server, flags: SYN, mss: 8960, timestamp: i }));
    pass(tcp4({ from: server, to: endpoints(syn).from, flags: SYN | ACK, mss: 8960, payload }));
    const echo = pass(echo4({ from: host, to: server, size: i % 200 }));
    const to = endpoints(echo).from;
    pass(echo4({ from: server.split(':')[0], to, type: 0, size: i % 200 }));
    for (const quoted of [udp, syn, echo])
      pass(error4({ from: '100.64.0.1', to: EXTERNAL, type: 11, code: 0, quoted }));
    if (i % 50 === 0) pass(udp4({ from: host, to: server, payload: new Uint8Array(1440) }));
    bench.now += 10;
  }
  device.close();
  return device.recorded;
}

/** Lines in which tcpdump complains of a checksum. */
function complaints(path: string): { lines: string[]; packets: number } {
  const output = execFileSync('tcpdump', ['-vvnr', path], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines = output.split('\n');
  return {
    lines: lines.filter((line) => /incorrect|bad \w*\s?cksum|wrong \w+ cksum|bad cksum/.test(line)),
    packets: lines.filter((line) => /^\d\d:/.test(line)).length,
  };
}

describe('checksums as tcpdump sees them', () => {
  let folder = '';
  before(function () {
    requirePrograms(this, ['tcpdump']);
    folder = mkdtempSync(join(tmpdir(), 'portfold-checksums-'));
  });
  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true });
  });

  it('are right in everything that the engine forwards and answers', () => {
    const path = join(folder, 'right.pcap');
    const recorded = record(path, false);
    const { lines, packets } = complaints(path);
    assert.equal(packets, recorded);
    assert.ok(packets > ROUNDS * 18, `${packets} packets`);
    assert.deepEqual(lines.slice(0, 5), []);
  });

  it('are found wrong where they were spoilt', () => {
    const path = join(folder, 'spoilt.pcap');
    record(path, true);
    assert.ok(complaints(path).lines.length >= 5);
  });
});
