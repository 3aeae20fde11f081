import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PROTOCOL_UDP, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { captureOf } from '../../../lab/sim/capture.ts';
import { parseRecording, readRecording } from '../../../lab/sim/pcap.ts';
import { ethernet, ipv4, type Packet, pcap, pcapng } from './recordings.ts';
import { runAll, scenarioOf } from './support.ts';

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
    assert.deepEqual([...others], [['ARP', 1]]);
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

  it('tell by what they are the packets that are not read', () => {
    const others = (bytes: Buffer): unknown => [...parseRecording(bytes, 'x').others];
    assert.deepEqual(others(pcap(EXCHANGE, true, false, 105)), [
      ['Wi-Fi (link type 105)', EXCHANGE.length],
    ]);
    assert.deepEqual(others(pcap(EXCHANGE, true, false, 195)), [
      ['link type 195', EXCHANGE.length],
    ]);
    const typed = pcap(EXCHANGE.slice(0, 2), true, false);
    const lengthOfOne = (typed.length - 24) / 2;
    typed.writeUInt16BE(0x8864, 24 + 16 + 12);
    typed.writeUInt16BE(0x88cc, 24 + lengthOfOne + 16 + 12);
    assert.deepEqual(others(typed), [
      ['PPPoE', 1],
      ['EtherType 0x88cc', 1],
    ]);
    const raw = pcap(EXCHANGE.slice(0, 1), true, false, 101);
    raw[24 + 16] = 0x60;
    assert.deepEqual(others(raw), [['IPv6', 1]]);
  });

  it('are refused with a word when they are too large to be read', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pfp-'));
    try {
      const path = join(folder, 'x.pcap');
      writeFileSync(path, '');
      truncateSync(path, 3 * 2 ** 30);
      assert.throws(() => readRecording(path), {
        code: 'SIM_BAD_CAPTURE',
        message: /x\.pcap is larger than 2 GiB; cut it, for instance with `editcap -c 1000000`$/,
      });
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
