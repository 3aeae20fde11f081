import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROTOCOL_UDP, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { captureOf } from '../../../lab/sim/capture.ts';
import { parseRecording, readRecording } from '../../../lab/sim/pcap.ts';
import { runAll, scenarioOf } from './support.ts';

interface Packet {
  ms: number;
  from: [address: string, port: number];
  to: [address: string, port: number];
  protocol?: 'tcp' | 'udp' | 'echo' | 'reply';
  flags?: number;
}

const HOST: [string, number] = ['192.168.7.20', 40_000];
const RESOLVER: [string, number] = ['8.8.8.8', 53];
const WEB: [string, number] = ['93.184.216.34', 443];
const EXCHANGE: Packet[] = [
  { ms: 1000, from: HOST, to: RESOLVER },
  { ms: 1020, from: RESOLVER, to: HOST },
  { ms: 1100, from: HOST, to: WEB, protocol: 'tcp', flags: 2 },
  { ms: 1150, from: WEB, to: HOST, protocol: 'tcp', flags: 18 },
  { ms: 1151, from: HOST, to: WEB, protocol: 'tcp', flags: 16 },
  { ms: 3000, from: ['192.168.7.20', 0], to: ['1.1.1.1', 0], protocol: 'echo' },
  { ms: 3010, from: ['1.1.1.1', 0], to: ['192.168.7.20', 0], protocol: 'reply' },
  // Stays in the LAN, goes to everybody: neither comes to a router.
  { ms: 3100, from: HOST, to: ['192.168.7.1', 53] },
  { ms: 3200, from: HOST, to: ['224.0.0.251', 5353] },
];

/** An IPv4 packet with eight bytes of payload behind its transport header. */
function ipv4({ from, to, protocol = 'udp', flags = 0 }: Packet): Buffer {
  const header = protocol === 'tcp' ? 20 : 8;
  const bytes = Buffer.alloc(20 + header + 8);
  bytes[0] = 0x45;
  bytes.writeUInt16BE(bytes.length, 2);
  bytes[8] = 64;
  bytes[9] = { tcp: 6, udp: 17, echo: 1, reply: 1 }[protocol];
  bytes.writeInt32BE(parseIpv4(from[0]), 12);
  bytes.writeInt32BE(parseIpv4(to[0]), 16);
  if (protocol === 'echo') bytes[20] = 8;
  if (protocol === 'tcp' || protocol === 'udp') {
    bytes.writeUInt16BE(from[1], 20);
    bytes.writeUInt16BE(to[1], 22);
  }
  if (protocol === 'udp') bytes.writeUInt16BE(16, 24);
  if (protocol === 'tcp') {
    bytes[32] = 0x50;
    bytes[33] = flags;
  }
  bytes.fill(0xab, 20 + header);
  return bytes;
}

const ethernet = (packet: Buffer, tag = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.alloc(12), tag, Buffer.of(8, 0), packet]);

/** A pcap file in either byte order, with fractions of a second in micro- or nanoseconds. */
function pcap(packets: Packet[], littleEndian: boolean, nanoseconds: boolean, link = 1): Buffer {
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    if (littleEndian) bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const magic = nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4;
  const parts = [word(magic), word(0), word(0), word(0), word(65_535), word(link)];
  for (const packet of packets) {
    const bytes = link === 1 ? ethernet(ipv4(packet)) : ipv4(packet);
    const fraction = (packet.ms % 1000) * (nanoseconds ? 1e6 : 1e3);
    parts.push(word(Math.floor(packet.ms / 1000)), word(fraction), word(bytes.length));
    parts.push(word(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** A pcapng file: a section, an interface whose time is in milliseconds, and a block of each packet. */
function pcapng(packets: Packet[]): Buffer {
  const block = (type: number, body: Buffer): Buffer => {
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(type);
    head.writeUInt32LE(padded.length + 12, 4);
    return Buffer.concat([head, padded, head.subarray(4)]);
  };
  const section = Buffer.alloc(16, 0xff);
  section.writeUInt32LE(0x1a2b3c4d);
  const resolution = Buffer.of(9, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0);
  const link = Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 0, 0, 0), resolution]);
  const blocks = packets.map((packet) => {
    const bytes = ethernet(ipv4(packet));
    const head = Buffer.alloc(20);
    head.writeUInt32LE(packet.ms, 8);
    head.writeUInt32LE(bytes.length, 12);
    head.writeUInt32LE(bytes.length, 16);
    return block(6, Buffer.concat([head, bytes]));
  });
  return Buffer.concat([block(0x0a0d0d0a, section), block(1, link), ...blocks]);
}

const flowsOf = (bytes: Buffer): unknown => {
  const { flows, packets, durationMs } = captureOf(parseRecording(bytes, 'x.pcap'));
  return { flows, packets, durationMs };
};

describe('recorded captures', () => {
  it('give flows with a side that is inside, and packets at their times', () => {
    const { flows, packets, durationMs } = captureOf(
      parseRecording(pcap(EXCHANGE, true, false), 'x.pcap'),
    );
    assert.equal(flows.length, 3);
    assert.deepEqual(
      flows.map(({ internalAddress }) => internalAddress),
      [1, 2, 3].map(() => parseIpv4('192.168.7.20')),
    );
    assert.deepEqual(flows[0].first, new Uint8Array(8).fill(0xab));
    assert.deepEqual(
      packets.map(({ timeMs, flow, isOutbound, tcpFlags }) => [timeMs, flow, isOutbound, tcpFlags]),
      [
        [0, 0, true, 0],
        [20, 0, false, 0],
        [100, 1, true, 2],
        [150, 1, false, 18],
        [151, 1, true, 16],
        [2000, 2, true, 0],
        [2010, 2, false, 0],
      ],
    );
    assert.equal(durationMs, 4000);
  });

  it('are the same in every form of the file', () => {
    const wanted = flowsOf(pcap(EXCHANGE, true, false));
    assert.deepEqual(flowsOf(pcap(EXCHANGE, false, false)), wanted);
    assert.deepEqual(flowsOf(pcap(EXCHANGE, true, true)), wanted);
    assert.deepEqual(flowsOf(pcap(EXCHANGE, true, false, 101)), wanted);
    assert.deepEqual(flowsOf(pcapng(EXCHANGE)), wanted);
  });

  it('are read behind VLAN tags, and without what is not IPv4', () => {
    const tagged = ethernet(ipv4(EXCHANGE[0]), Buffer.of(0x81, 0, 0, 5));
    const arp = Buffer.concat([Buffer.alloc(12), Buffer.of(8, 6), Buffer.alloc(28)]);
    const file = pcap([], true, false);
    const records = [tagged, arp].map((bytes) => {
      const head = Buffer.alloc(16);
      head.writeUInt32LE(bytes.length, 8);
      head.writeUInt32LE(bytes.length, 12);
      return Buffer.concat([head, bytes]);
    });
    const { packets, others } = parseRecording(Buffer.concat([file, ...records]), 'x.pcap');
    assert.equal(packets.length, 1);
    assert.equal(others, 1);
  });

  it('are read up to where they are cut off', () => {
    const whole = pcap(EXCHANGE, true, false);
    assert.equal(parseRecording(whole.subarray(0, -1), 'x').packets.length, EXCHANGE.length - 1);
    const blocks = pcapng(EXCHANGE);
    assert.equal(parseRecording(blocks.subarray(0, -1), 'x').packets.length, EXCHANGE.length - 1);
  });

  it('are refused with a word when they are something else', () => {
    const wanted = { code: 'SIM_BAD_CAPTURE', exitCode: 2 };
    assert.throws(() => parseRecording(Buffer.from('hello, this is no capture'), 'x'), wanted);
    assert.throws(() => readRecording('/nowhere/x.pcap'), wanted);
    const folder = mkdtempSync(join(tmpdir(), 'pfp-'));
    try {
      const path = join(folder, 'x.pcap');
      writeFileSync(path, pcap(EXCHANGE, true, false));
      assert.equal(readRecording(path).packets.length, EXCHANGE.length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are played behind the routers of a scenario', () => {
    const scenario = scenarioOf(
      'duration = "1m"\nports = "v6plus"\n[[model]]\nrouter = "portfold"\nentries = 1024\n[[users]]\nkind = "mouse"\n',
    );
    const dead: Packet[] = [{ ms: 4000, from: HOST, to: ['192.168.99.1', 9] }];
    const capture = captureOf(parseRecording(pcap([...EXCHANGE, ...dead], true, false), 'x'));
    assert.equal(capture.flows[3].protocol, PROTOCOL_UDP);
    const { tally } = runAll({ ...scenario, capture, durationMs: capture.durationMs }).portfold;
    assert.deepEqual(tally.kinds(), [
      { kind: 'recorded flow', actions: 4, failures: 1, missing: { 'first packet refused': 1 } },
    ]);
    assert.equal(tally.packets, 7);
    assert.equal(tally.lostInbound, 0);
    assert.deepEqual(tally.reasons(), { PrivateDestination: 1 });
  });
});
