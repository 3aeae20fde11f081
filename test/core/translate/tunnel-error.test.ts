import assert from 'node:assert/strict';
import { readU16, writeI32, writeU16 } from '../../../core/wire/bytes.ts';
import { sumBytes } from '../../../core/wire/checksum.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { checksumProblems, udp4 } from '../../support/packets.ts';
import { inTunnel } from '../../support/tunnel.ts';

const CE = Uint8Array.from([
  0x24, 0x0b, 0, 0x10, 0x12, 0x34, 0x56, 0, 0, 0x6a, 0x48, 0x12, 0x34, 0, 0x56, 0,
]);
const BR = Uint8Array.from([0x24, 4, 0x92, 0, 2, 0x25, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x64]);
const ROUTER = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const HOST = '192.168.1.11:5000';
const SERVER = '198.51.100.9:9';

const ipv6 = (nextHeader: number, from: Uint8Array, to: Uint8Array, payload: Uint8Array) =>
  inTunnel(payload, { nextHeader, from, to });

interface Error6 {
  type: number;
  code?: number;
  mtu?: number;
  inner: Uint8Array;
  tunnelSource?: Uint8Array;
  tunnelDestination?: Uint8Array;
}

/** An ICMPv6 error of a router about a tunnel packet. */
function error6({
  type,
  code = 0,
  mtu = 0,
  inner,
  tunnelSource = CE,
  tunnelDestination = BR,
}: Error6): Uint8Array {
  const quoted = ipv6(4, tunnelSource, tunnelDestination, inner);
  const message = new Uint8Array(8 + quoted.length);
  message[0] = type;
  message[1] = code;
  writeI32(message, 4, mtu);
  message.set(quoted, 8);
  const packet = ipv6(58, ROUTER, CE, message);
  let sum = 58 + message.length;
  for (let i = 8; i < 40; i += 2) sum += readU16(packet, i);
  writeU16(packet, 42, ~sumBytes(packet, 40, message.length, sum) & 0xffff);
  return packet;
}

const makeBench = (): Bench => new Bench({ line: { ceAddress: CE, brAddress: BR } });

describe('ICMPv6 errors from inside the tunnel', () => {
  it('Packet Too Big reaches the sender as 3/4 with the MTU less 40, and its own packet inside', () => {
    const bench = makeBench();
    const original = udp4({ from: HOST, to: SERVER, payload: new Uint8Array(1400) });
    const out = bench.pass4(original);
    const told = bench.pass4(error6({ type: 2, mtu: 1380, inner: out }));
    assert.deepEqual(checksumProblems(told), []);
    assert.deepEqual([told[20], told[21], readU16(told, 26)], [3, 4, 1340]);
    assert.deepEqual(endpoints(told), { from: '192.168.1.1:0', to: '192.168.1.11:0' });
    assert.deepEqual(endpoints(told.slice(28)), { from: HOST, to: SERVER });
    assert.ok(told.length <= 576);
  });

  for (const [name, type, code] of [
    ['no route', 1, 0],
    ['hop limit exceeded', 3, 0],
    ['parameter problem', 4, 1],
  ] as const)
    it(`${name} becomes host unreachable`, () => {
      const bench = makeBench();
      const out = bench.pass4(udp4({ from: HOST, to: SERVER }));
      const told = bench.pass4(error6({ type, code, inner: out }));
      assert.deepEqual(checksumProblems(told), []);
      assert.deepEqual([told[20], told[21]], [3, 1]);
    });

  it('are refused by name when they are not about a packet of ours', () => {
    const bench = makeBench();
    const out = bench.pass4(udp4({ from: HOST, to: SERVER }));
    const foreign = udp4({ from: '203.0.113.5:4929', to: '198.51.100.77:9' });
    assert.equal(bench.send(error6({ type: 1, inner: foreign })), 'TunnelErrorWithoutSession');
    assert.equal(bench.send(error6({ type: 1, inner: out, tunnelSource: ROUTER })), 'IcmpBadQuote');
    assert.equal(
      bench.send(error6({ type: 1, inner: out, tunnelDestination: ROUTER })),
      'IcmpBadQuote',
    );
    const spoilt = error6({ type: 1, inner: out });
    spoilt[60] ^= 1;
    assert.equal(bench.send(spoilt), 'IcmpBadChecksum');
    assert.equal(bench.send(error6({ type: 1, inner: out.slice(0, 24) })), 'IcmpBadQuote');
  });

  it('a Packet Too Big below the least MTU of IPv6, or about a packet that may be cut, is ignored', () => {
    const bench = makeBench();
    const out = bench.pass4(udp4({ from: HOST, to: SERVER, payload: new Uint8Array(1400) }));
    assert.equal(bench.send(error6({ type: 2, mtu: 900, inner: out })), 'TunnelPacketNotAccepted');
    const may = bench.pass4(
      udp4({ from: HOST, to: SERVER, df: false, payload: new Uint8Array(1400) }),
    );
    assert.equal(bench.send(error6({ type: 2, mtu: 1380, inner: may })), 'TunnelPacketNotAccepted');
  });

  it('what the kernel says into the TUN by itself is counted as its chatter', () => {
    const bench = makeBench();
    const allRouters = Uint8Array.from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    const solicitation = ipv6(58, ROUTER, allRouters, Uint8Array.from([133, 0, 0, 0, 0, 0, 0, 0]));
    assert.equal(bench.send(solicitation), 'KernelChatter');
  });
});
