/** Packets with bytes turned, cut short or made longer: whatever comes out of the relay is sound, and honest. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IID_RFC7597 } from '../../../core/mape/address.ts';
import {
  checkSource,
  checkSourceOfLaterFragment,
  SourceCheck,
} from '../../../core/mape/forward.ts';
import { readI32, readU16 } from '../../../core/wire/bytes.ts';
import { ipv4HeaderIsSound, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { portOfDestination, portOfSource } from '../../../core/wire/ports.ts';
import { parseIpv6 } from '../../../gateway/config/addresses.ts';
import { cutPacket, echo4, error4, SYN, tcp4, udp4 } from '../../support/packets.ts';
import { icmpv6, icmpv6Sum, RELAY_IPV4, RelayBench, RFC_RULE } from '../../support/relay.ts';
import { BR, inTunnel, STRANGER, tunnelFragments } from '../../support/tunnel.ts';

const CE = parseIpv6('2001:db8:12:3400:0:c000:212:34')!;
const A = '192.0.2.18:1232';
const C = '192.0.2.19:1233';
const REMOTE = '203.0.113.9:9';
const LATER = 0x1fff;

const outer = { from: CE, to: BR };
const long = udp4({ from: A, to: REMOTE, payload: new Uint8Array(200) });
const down = udp4({ from: REMOTE, to: A, payload: new Uint8Array(900), df: false });
const SEEDS: Uint8Array[] = [
  inTunnel(long, outer),
  inTunnel(tcp4({ from: A, to: C, flags: SYN, mss: 1460 }), outer),
  inTunnel(echo4({ from: A, to: '203.0.113.9' }), outer),
  inTunnel(
    error4({ from: '192.0.2.18', to: '203.0.113.9', type: 3, code: 3, quoted: down }),
    outer,
  ),
  inTunnel(udp4({ from: A, to: REMOTE, ttl: 1 }), outer),
  ...tunnelFragments(long, 104, 3).map((part) => {
    const copy = part.slice();
    copy.set(CE, 8);
    copy.set(BR, 24);
    return copy;
  }),
  down,
  ...cutPacket(down, 500),
  tcp4({ from: REMOTE, to: A, flags: SYN }),
  echo4({ from: '203.0.113.9', to: A, type: 0 }),
  error4({ from: '203.0.113.1', to: '192.0.2.18', type: 11, code: 0, quoted: long }),
  icmpv6(STRANGER, BR, { type: 2, parameter: 1400, body: inTunnel(down, { from: BR, to: CE }) }),
  icmpv6(STRANGER, BR, { type: 128, body: new Uint8Array(20) }),
];

const mutated = fc
  .record({
    seed: fc.constantFrom(...SEEDS),
    turns: fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 3 }),
    length: fc.option(fc.nat(300)),
  })
  .map(({ seed, turns, length }) => {
    const copy = seed.slice(0, length === null ? undefined : Math.max(1, length));
    for (const [at, value] of turns) if (at < copy.length) copy[at] = value;
    return copy;
  });

const isFromCe = (address: number): boolean => (address & 0xffffff00) === parseIpv4('192.0.2.0');

/** Throws if the relay should not have written this. */
function judge(packet: Uint8Array, sent: Uint8Array): void {
  if (packet[0] >> 4 === 4) {
    const source = readI32(packet, 12);
    assert.ok(readU16(packet, 2) <= packet.length);
    // An answer of the relay, else what was in the tunnel: then from its owner.
    if (source === parseIpv4(RELAY_IPV4)) {
      assert.ok(ipv4HeaderIsSound(packet, 0));
      return;
    }
    const isLater = (readU16(packet, 6) & LATER) !== 0;
    const port = portOfSource(packet, 0, packet.length);
    const check = isLater
      ? checkSourceOfLaterFragment(RFC_RULE, IID_RFC7597, sent, 8, source)
      : checkSource(RFC_RULE, IID_RFC7597, sent, 8, source, port);
    assert.equal(check, SourceCheck.Fits);
    return;
  }
  assert.deepEqual(packet.slice(8, 24), BR);
  assert.equal(readU16(packet, 4), packet.length - 40);
  if (packet[6] === 58) {
    // The checksum of a ping is carried on, right or wrong.
    if (packet[40] !== 129) assert.equal(icmpv6Sum(packet), 0xffff);
    return;
  }
  const inner = packet.slice(40);
  const destination = readI32(inner, 16);
  assert.ok(isFromCe(destination));
  if ((readU16(inner, 6) & LATER) !== 0) return;
  const port = portOfDestination(inner, 0, inner.length);
  const check = checkSource(RFC_RULE, IID_RFC7597, packet, 24, destination, port);
  assert.equal(check, SourceCheck.Fits);
}

describe('relay, mutated packets', () => {
  it('nothing unsound and nothing forged comes out', () => {
    let written = 0;
    let total = 0;
    fc.assert(
      fc.property(fc.array(mutated, { minLength: 1, maxLength: 40 }), (packets) => {
        const bench = new RelayBench({ rules: [RFC_RULE] });
        for (const packet of packets) {
          const out = bench.send(packet);
          for (const one of out) judge(one, packet);
          written += out.length;
          total++;
        }
      }),
      { numRuns: 150 },
    );
    assert.ok(written > total / 10 && written < total, `${written} of ${total} came out`);
  });
});
