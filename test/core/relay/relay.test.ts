/** The border relay's packet path, packets in and packets out. */
import assert from 'node:assert/strict';
import { RelayCounter } from '../../../core/relay/context.ts';
import type { RelayDrop } from '../../../core/relay/drops.ts';
import { ANSWERED, COALESCE, ENCAPSULATE } from '../../../core/verdict.ts';
import { readI32, readU16 } from '../../../core/wire/bytes.ts';
import { parseIpv6 } from '../../../gateway/config/addresses.ts';
import {
  ACK,
  checksumProblems,
  cutPacket,
  echo4,
  error4,
  ipv4,
  joinFragments,
  SYN,
  tcp4,
  udp4,
  withTos,
} from '../../support/packets.ts';
import { icmpv6, icmpv6Sum, RELAY_IPV4, RelayBench } from '../../support/relay.ts';
import { BR, inTunnel, STRANGER, tunnelFragments } from '../../support/tunnel.ts';

const OUTER_BYTES = 40;
const REMOTE = '203.0.113.9';
/** RFC 7597 appendix A: PSID 0x34 has the ports 1232-1235, 2256-2259, … */
const CE_A = parseIpv6('2001:db8:12:3400:0:c000:212:34')!;
const A = '192.0.2.18:1232';
const A_ADDRESS = '192.0.2.18';
/** On the same IPv4 address, the next PSID; and on another address. */
const CE_B = parseIpv6('2001:db8:12:3500:0:c000:212:35')!;
const B = '192.0.2.18:1236';
const CE_C = parseIpv6('2001:db8:13:3400:0:c000:213:34')!;
const C = '192.0.2.19:1233';
/** Who shares his address with nobody. */
const CE_WHOLE = parseIpv6('2001:db8:8005:0:0:c612:705:0')!;
const WHOLE = '198.18.7.5:53';

const fromCe = (packet: Uint8Array, from = CE_A, change: object = {}): Uint8Array =>
  inTunnel(packet, { from, to: BR, ...change });

/** The packet in the tunnel, after a look at its outer header. */
function inside(packet: Uint8Array, to: Uint8Array): Uint8Array {
  assert.equal(packet[0] >> 4, 6);
  assert.equal(packet[6], 4);
  assert.equal(packet[7], 65);
  assert.deepEqual(packet.slice(8, 24), BR);
  assert.deepEqual(packet.slice(24, 40), to);
  assert.equal(readU16(packet, 4), packet.length - OUTER_BYTES);
  return packet.slice(OUTER_BYTES);
}

function assertError(packet: Uint8Array, type: number, code: number, to: string): Uint8Array {
  assert.deepEqual(checksumProblems(packet), []);
  const address = (at: number): string => packet.slice(at, at + 4).join('.');
  assert.deepEqual([address(12), address(16)], [RELAY_IPV4, to]);
  assert.deepEqual([packet[9], packet[20], packet[21]], [1, type, code]);
  return packet.slice(28);
}

describe('relay, from a CE', () => {
  const conversations: [string, Uint8Array, Uint8Array?][] = [
    ['UDP', udp4({ from: A, to: `${REMOTE}:9` })],
    ['the last port of the set', udp4({ from: '192.0.2.18:64723', to: `${REMOTE}:9` })],
    ['TCP', tcp4({ from: A, to: `${REMOTE}:80`, flags: SYN, mss: 1420 })],
    ['an echo request', echo4({ from: A, to: REMOTE })],
    ['an echo reply', echo4({ from: A_ADDRESS, to: `${REMOTE}:1235`, type: 0 })],
    [
      'an ICMP error about what came to its port',
      error4({
        ...{ from: A_ADDRESS, to: REMOTE, type: 3, code: 3 },
        quoted: udp4({ from: `${REMOTE}:9`, to: A }),
      }),
    ],
    ['a neighbour on the same address', udp4({ from: B, to: `${REMOTE}:9` }), CE_B],
    ['a CE on another address', udp4({ from: C, to: `${REMOTE}:9` }), CE_C],
    [
      'a CE with an address of its own, any port',
      udp4({ from: WHOLE, to: `${REMOTE}:9` }),
      CE_WHOLE,
    ],
    [
      '… and any protocol',
      ipv4(47, { from: '198.18.7.5', to: REMOTE }, new Uint8Array(30)),
      CE_WHOLE,
    ],
    ['IPv4 options', udp4({ from: A, to: `${REMOTE}:9`, ipOptions: [148, 4, 0, 0] })],
  ];
  for (const [name, packet, from] of conversations)
    it(`${name} comes out as it was`, () => {
      const bench = new RelayBench();
      assert.deepEqual(bench.one(fromCe(packet, from)), packet);
      assert.equal(bench.verdict(), COALESCE);
      assert.deepEqual(bench.drops(), []);
      assert.equal(bench.counters[RelayCounter.BytesOutbound], packet.length);
    });

  const forged: [string, keyof typeof RelayDrop, Uint8Array, Uint8Array?][] = [
    ['a port of the neighbour', 'SourceSpoofed', udp4({ from: B, to: `${REMOTE}:9` })],
    ['a system port', 'SourceSpoofed', udp4({ from: `${A_ADDRESS}:80`, to: `${REMOTE}:9` })],
    ['another CE’s address', 'SourceSpoofed', udp4({ from: C, to: `${REMOTE}:9` })],
    ['an echo identifier of the neighbour', 'SourceSpoofed', echo4({ from: B, to: REMOTE })],
    [
      'an ICMP error about the neighbour’s packet',
      'SourceSpoofed',
      error4({
        ...{ from: A_ADDRESS, to: REMOTE, type: 3, code: 3 },
        quoted: udp4({ from: `${REMOTE}:9`, to: B }),
      }),
    ],
    [
      'the right IPv4 source from a stranger',
      'SourceSpoofed',
      udp4({ from: A, to: `${REMOTE}:9` }),
      STRANGER,
    ],
    [
      'another interface identifier in the right prefix',
      'SourceSpoofed',
      udp4({ from: A, to: `${REMOTE}:9` }),
      parseIpv6('2001:db8:12:3400::1')!,
    ],
    [
      'a private source',
      'SourceOutsideRules',
      udp4({ from: '192.168.1.2:1232', to: `${REMOTE}:9` }),
    ],
    [
      'the relay’s own address',
      'SourceOutsideRules',
      udp4({ from: `${RELAY_IPV4}:1232`, to: `${REMOTE}:9` }),
    ],
  ];
  for (const [name, reason, packet, from = CE_A] of forged)
    it(`${name} is refused with ICMPv6 1/5`, () => {
      const bench = new RelayBench();
      const tunnel = fromCe(packet, from);
      const said = bench.one(tunnel);
      assert.deepEqual(bench.drops(), [reason]);
      assert.equal(bench.verdict(), ANSWERED);
      assert.deepEqual([said[6], said[40], said[41]], [58, 1, 5]);
      assert.deepEqual([said.slice(8, 24), said.slice(24, 40)], [BR, from]);
      assert.equal(icmpv6Sum(said), 0xffff);
      assert.deepEqual(said.slice(48), tunnel);
    });

  const dropped: [string, keyof typeof RelayDrop, Uint8Array][] = [
    [
      'GRE on a shared address',
      'SourceWithoutPort',
      fromCe(ipv4(47, { from: A_ADDRESS, to: REMOTE }, new Uint8Array(20))),
    ],
    [
      'a redirect',
      'SourceWithoutPort',
      fromCe(ipv4(1, { from: A_ADDRESS, to: REMOTE }, new Uint8Array([10, 0, 0, 0, 0, 0, 0, 0]))),
    ],
    ['to multicast', 'UnroutableDestination', fromCe(udp4({ from: A, to: '224.0.0.1:9' }))],
    ['to loopback', 'UnroutableDestination', fromCe(udp4({ from: A, to: '127.0.0.1:9' }))],
    [
      'congestion on a packet that cannot carry the mark',
      'TunnelCongestion',
      fromCe(udp4({ from: A, to: `${REMOTE}:9` }), CE_A, { trafficClass: 3 }),
    ],
    [
      'another next header',
      'TunnelPacketNotAccepted',
      fromCe(udp4({ from: A, to: `${REMOTE}:9` }), CE_A, { nextHeader: 60 }),
    ],
    [
      'not to the relay',
      'KernelChatter',
      inTunnel(udp4({ from: A, to: `${REMOTE}:9` }), { from: CE_A, to: CE_B }),
    ],
    ['from the relay itself', 'LoopedOwnSource', fromCe(udp4({ from: A, to: `${REMOTE}:9` }), BR)],
    ['IPv6 inside', 'NotIp', fromCe(fromCe(udp4({ from: A, to: `${REMOTE}:9` })))],
    ['nothing inside', 'TruncatedHeader', fromCe(new Uint8Array(0))],
    [
      'half an IPv4 packet inside',
      'TruncatedHeader',
      fromCe(udp4({ from: A, to: `${REMOTE}:9` }).slice(0, 25)),
    ],
    ['half an IPv6 header', 'TruncatedHeader', fromCe(new Uint8Array(0)).slice(0, 30)],
    ['neither IPv4 nor IPv6', 'NotIp', new Uint8Array(60).fill(0x77)],
  ];
  for (const [name, reason, packet] of dropped)
    it(`${name} is dropped as ${reason}`, () => {
      const bench = new RelayBench();
      assert.deepEqual(bench.send(packet), []);
      assert.deepEqual(bench.drops(), [reason]);
    });

  it('a hop count that ends here is told through the tunnel, by the relay’s IPv4 address', () => {
    const bench = new RelayBench();
    const packet = udp4({ from: A, to: `${REMOTE}:9`, ttl: 1 });
    const said = inside(bench.one(fromCe(packet)), CE_A);
    assert.deepEqual(assertError(said, 11, 0, A_ADDRESS), packet);
    assert.deepEqual(bench.drops(), ['TtlExpired']);
    // To the relay itself the way is over, not the hops.
    const ping = echo4({ from: A, to: RELAY_IPV4, ttl: 1 });
    assert.deepEqual(bench.one(fromCe(ping)), ping);
  });

  it('marks of congestion are combined', () => {
    const bench = new RelayBench();
    const packet = withTos(udp4({ from: A, to: `${REMOTE}:9` }), 0xb8 | 2);
    const out = bench.one(fromCe(packet, CE_A, { trafficClass: 3 }));
    assert.deepEqual(out, withTos(packet, 0xb8 | 3));
  });

  it('answers that the source was refused are limited, and begin anew', () => {
    const bench = new RelayBench();
    const packet = fromCe(udp4({ from: B, to: `${REMOTE}:9` }));
    let answers = 0;
    for (let i = 0; i < 1500; i++) answers += bench.send(packet).length;
    assert.equal(answers, 1000);
    assert.equal(bench.dropped('AnswerLimited'), 500);
    assert.equal(bench.dropped('SourceSpoofed'), 1500);
    bench.pass(1);
    assert.equal(bench.send(packet).length, 1);
  });

  it('a ping of the relay is answered', () => {
    const bench = new RelayBench();
    const body = new Uint8Array([1, 2, 3, 4]);
    const said = bench.one(icmpv6(STRANGER, BR, { type: 128, parameter: 77, body }));
    assert.deepEqual(said.slice(0, 7), icmpv6(BR, STRANGER, { type: 129, body }).slice(0, 7));
    const padded = new Uint8Array(60);
    padded.set(icmpv6(STRANGER, BR, { type: 128, parameter: 77, body }));
    assert.deepEqual(bench.one(padded), said);
    assert.deepEqual([said[40], readI32(said, 44)], [129, 77]);
    assert.deepEqual([said.slice(8, 24), said.slice(24, 40)], [BR, STRANGER]);
    assert.equal(icmpv6Sum(said), 0xffff);
  });
});

describe('relay, to a CE', () => {
  const arrivals: [string, Uint8Array, Uint8Array][] = [
    ['UDP', udp4({ from: `${REMOTE}:9`, to: A }), CE_A],
    ['the neighbour on the same address', udp4({ from: `${REMOTE}:9`, to: B }), CE_B],
    ['another address', udp4({ from: `${REMOTE}:9`, to: C }), CE_C],
    ['TCP', tcp4({ from: `${REMOTE}:80`, to: A, flags: SYN | ACK }), CE_A],
    ['an echo reply', echo4({ from: REMOTE, to: A, type: 0 }), CE_A],
    ['an echo request', echo4({ from: `${REMOTE}:1232`, to: A_ADDRESS }), CE_A],
    [
      'an ICMP error about what it sent',
      error4({
        ...{ from: '203.0.113.1', to: A_ADDRESS, type: 11, code: 0 },
        quoted: udp4({ from: A, to: `${REMOTE}:9` }),
      }),
      CE_A,
    ],
    ['an address that is shared with nobody', udp4({ from: `${REMOTE}:9`, to: WHOLE }), CE_WHOLE],
    [
      '… by any protocol',
      ipv4(47, { from: REMOTE, to: '198.18.7.5' }, new Uint8Array(9)),
      CE_WHOLE,
    ],
  ];
  for (const [name, packet, to] of arrivals)
    it(`${name} goes into the tunnel as it was`, () => {
      const bench = new RelayBench();
      const tos = withTos(packet, 0xb9);
      const out = bench.one(tos);
      assert.equal(bench.verdict(), ENCAPSULATE);
      assert.deepEqual(inside(out, to), tos);
      assert.equal(((out[0] & 15) << 4) | (out[1] >> 4), 0xb9);
      assert.deepEqual(bench.drops(), []);
      assert.equal(bench.counters[RelayCounter.PacketsInbound], 1);
    });

  it('a port that nobody can own is answered with 3/1', () => {
    const bench = new RelayBench();
    for (const packet of [
      udp4({ from: `${REMOTE}:9`, to: `${A_ADDRESS}:80` }),
      tcp4({ from: `${REMOTE}:9`, to: `${A_ADDRESS}:1023`, flags: SYN }),
      echo4({ from: `${REMOTE}:7`, to: A_ADDRESS }),
    ])
      assert.deepEqual(assertError(bench.one(packet), 3, 1, REMOTE), packet);
    assert.deepEqual(bench.drops(), ['DestinationUnassigned']);
    assert.equal(bench.dropped('DestinationUnassigned'), 3);
  });

  const dropped: [string, keyof typeof RelayDrop, Uint8Array][] = [
    [
      'outside of all rules',
      'DestinationOutsideRules',
      udp4({ from: `${REMOTE}:9`, to: '192.0.3.1:1232' }),
    ],
    [
      'GRE to a shared address',
      'DestinationWithoutPort',
      ipv4(47, { from: REMOTE, to: A_ADDRESS }, new Uint8Array(20)),
    ],
    ['with a CE’s address as source', 'SourceClaimsCe', udp4({ from: C, to: A })],
    ['to multicast', 'KernelChatter', udp4({ from: `${REMOTE}:9`, to: '224.0.0.22:1' })],
    [
      'an ICMP error about a port of nobody',
      'DestinationUnassigned',
      error4({
        ...{ from: REMOTE, to: A_ADDRESS, type: 3, code: 3 },
        quoted: udp4({ from: `${A_ADDRESS}:80`, to: `${REMOTE}:9` }),
      }),
    ],
  ];
  for (const [name, reason, packet] of dropped)
    it(`${name}: dropped as ${reason}, without a word`, () => {
      const bench = new RelayBench();
      assert.deepEqual(bench.send(packet), []);
      assert.deepEqual(bench.drops(), [reason]);
    });

  it('what is too big and may not be cut is answered with the MTU of the tunnel', () => {
    const bench = new RelayBench();
    const payload = new Uint8Array(1460 - 28);
    const fits = udp4({ from: `${REMOTE}:9`, to: A, payload });
    assert.deepEqual(inside(bench.one(fits), CE_A), fits);
    const over = udp4({ from: `${REMOTE}:9`, to: A, payload: new Uint8Array(1460 - 27) });
    const said = bench.one(over);
    assert.deepEqual(assertError(said, 3, 4, REMOTE), over.slice(0, 548));
    assert.equal(readU16(said, 26), 1460);
    assert.deepEqual(bench.drops(), ['TooBigForTunnel']);
  });

  it('a superpacket passes when its segments fit', () => {
    const bench = new RelayBench();
    const payload = new Uint8Array(14_200);
    const packet = tcp4({ from: `${REMOTE}:80`, to: A, flags: ACK, payload });
    assert.deepEqual(inside(bench.one(packet, (1420 << 16) | (1 << 8)), CE_A), packet);
    assertError(bench.one(packet, (1421 << 16) | (1 << 8)), 3, 4, REMOTE);
  });

  it('what is too big and may be cut is cut before it is encapsulated', () => {
    const bench = new RelayBench();
    const payload = Uint8Array.from({ length: 4000 }, (_, i) => i * 7);
    const packet = udp4({ from: `${REMOTE}:9`, to: A, payload, df: false, id: 5 });
    const parts = bench.send(packet).map((part) => inside(part, CE_A));
    assert.equal(parts.length, 3);
    for (const part of parts) assert.ok(part.length <= 1460);
    assert.deepEqual(joinFragments(parts), packet);
  });

  it('the limit of answers about unused ports leaves other answers alone', () => {
    const bench = new RelayBench();
    for (let i = 0; i < 1100; i++) bench.send(udp4({ from: `${REMOTE}:9`, to: `${A_ADDRESS}:80` }));
    assert.equal(bench.dropped('AnswerLimited'), 100);
    const over = udp4({ from: `${REMOTE}:9`, to: A, payload: new Uint8Array(1500) });
    assertError(bench.one(over), 3, 4, REMOTE);
  });
});

describe('relay, from CE to CE', () => {
  it('goes into the tunnel again at once, with one hop less', () => {
    const bench = new RelayBench();
    for (const [to, address] of [
      [C, CE_C],
      [B, CE_B],
      // To itself: its own router did not keep it.
      ['192.0.2.18:1233', CE_A],
      [WHOLE, CE_WHOLE],
    ] as const) {
      const out = inside(bench.one(fromCe(udp4({ from: A, to, ttl: 9 }))), address);
      assert.deepEqual(out, udp4({ from: A, to, ttl: 8 }));
    }
    assert.equal(bench.counters[RelayCounter.PacketsBetweenCes], 4);
  });

  it('errors go back the same way', () => {
    const bench = new RelayBench();
    const nobody = udp4({ from: A, to: '192.0.2.19:80' });
    assertError(inside(bench.one(fromCe(nobody)), CE_A), 3, 1, A_ADDRESS);
    const last = udp4({ from: A, to: C, ttl: 1 });
    assertError(inside(bench.one(fromCe(last)), CE_A), 11, 0, A_ADDRESS);
    const small = new RelayBench({ mtu: 1280 });
    const big = udp4({ from: A, to: C, payload: new Uint8Array(1300) });
    assertError(inside(small.one(fromCe(big)), CE_A), 3, 4, A_ADDRESS);
  });
});

describe('relay, fragments', () => {
  const payload = Uint8Array.from({ length: 3000 }, (_, i) => i * 3);
  const cut = (from: string, to: string, id = 9): Uint8Array[] =>
    cutPacket(udp4({ from, to, payload, df: false, id }), 1400);

  it('of a CE pass in any order, and each must be its own', () => {
    const bench = new RelayBench();
    const parts = cut(A, `${REMOTE}:9`);
    for (const part of parts.toReversed()) assert.deepEqual(bench.one(fromCe(part)), part);
    for (const part of parts) {
      const said = bench.one(fromCe(part, CE_C));
      assert.deepEqual([said[40], said[41]], [1, 5]);
    }
    // A neighbour shares the address, and his later fragments may have it; his first one may not have the port.
    assert.equal(bench.one(fromCe(parts[0], CE_B))[40], 1);
    assert.equal(bench.dropped('SourceSpoofed'), parts.length + 1);
  });

  it('to a CE follow their first, and wait for it if they come before', () => {
    for (const order of [
      [0, 1, 2],
      [1, 0, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const bench = new RelayBench();
      const parts = cut(`${REMOTE}:9`, A);
      const out = order.flatMap((i) => bench.send(parts[i])).map((part) => inside(part, CE_A));
      assert.equal(out.length, 3, order.join());
      assert.deepEqual(
        joinFragments(out),
        udp4({ from: `${REMOTE}:9`, to: A, payload, df: false, id: 9 }),
      );
      assert.deepEqual(bench.drops(), []);
    }
  });

  it('with one identification from two servers stay apart', () => {
    const bench = new RelayBench();
    const [first, second] = [cut(`${REMOTE}:9`, A), cut('203.0.113.10:9', B)];
    const out = [second[0], first[0], first[1], second[1], first[2], second[2]].map((p) =>
      bench.one(p),
    );
    assert.deepEqual(
      out.map((p) => p.slice(24, 40)),
      [CE_B, CE_A, CE_A, CE_B, CE_A, CE_B],
    );
  });

  it('that wait in vain are counted, and so are those of a refused packet', () => {
    const bench = new RelayBench();
    const [, later] = cut(`${REMOTE}:9`, A);
    assert.deepEqual(bench.send(later), []);
    assert.deepEqual(bench.drops(), []);
    bench.pass(3);
    assert.equal(bench.dropped('FragmentWithoutFirst'), 1);
    const parts = cut(`${REMOTE}:9`, `${A_ADDRESS}:80`);
    bench.send(parts[1]);
    assertError(bench.one(parts[0]), 3, 1, REMOTE);
    assert.equal(bench.dropped('FragmentOfDropped'), 1);
  });

  it('of a refused packet are dropped at once, in any order, and take no room', () => {
    const unassigned = cut(`${REMOTE}:9`, `${A_ADDRESS}:80`);
    for (const order of [
      [0, 1, 2],
      [1, 0, 2],
      [2, 1, 0],
    ]) {
      const bench = new RelayBench();
      const answers = order.flatMap((i) => bench.send(unassigned[i]));
      assert.equal(answers.length, 1, order.join());
      assertError(answers[0], 3, 1, REMOTE);
      assert.equal(bench.dropped('FragmentOfDropped'), 2, order.join());
      bench.pass(3);
      assert.equal(bench.dropped('FragmentWithoutFirst'), 0, order.join());
    }
    // One that waits for its first fragment is not pushed out by many of refused packets.
    const bench = new RelayBench();
    const [first, later] = cut(`${REMOTE}:9`, A);
    assert.deepEqual(bench.send(later), []);
    for (let id = 100; id < 400; id++) {
      const [refused, ...rest] = cut(`${REMOTE}:9`, `${A_ADDRESS}:80`, id);
      for (const part of [refused, ...rest]) bench.send(part);
    }
    assert.equal(bench.send(first).length, 2);
    assert.equal(bench.dropped('FragmentOfDropped'), 600);
  });

  it('from CE to CE are checked and follow', () => {
    const bench = new RelayBench();
    const parts = cut(A, C);
    const out = [2, 0, 1].flatMap((i) => bench.send(fromCe(parts[i])));
    const whole = joinFragments(out.map((part) => inside(part, CE_C)));
    assert.deepEqual(whole, udp4({ from: A, to: C, payload, df: false, id: 9, ttl: 62 }));
  });

  it('to an address that is shared with nobody need no first one', () => {
    const bench = new RelayBench();
    const [, later] = cut(`${REMOTE}:9`, WHOLE);
    assert.deepEqual(inside(bench.one(later), CE_WHOLE), later);
  });

  it('of the tunnel are made whole, by source', () => {
    const bench = new RelayBench();
    const [a, c] = [A, C].map((from) => udp4({ from, to: `${REMOTE}:9`, payload }));
    const parts = (packet: Uint8Array, from: Uint8Array): Uint8Array[] =>
      tunnelFragments(packet, 1400, 7).map((part) => {
        const copy = part.slice();
        copy.set(from, 8);
        copy.set(BR, 24);
        return copy;
      });
    const [ofA, ofC] = [parts(a, CE_A), parts(c, CE_C)];
    const out = [0, 1, 2].flatMap((i) => [...bench.send(ofC[i]), ...bench.send(ofA[2 - i])]);
    assert.deepEqual(out, [c, a]);
    const forged = parts(a, CE_C).flatMap((part) => bench.send(part));
    assert.deepEqual(forged, []);
    assert.deepEqual(bench.drops(), ['SourceSpoofed']);
  });
});

describe('relay, ICMPv6 errors about its packets', () => {
  const ROUTER = STRANGER;
  const sent = (bench: RelayBench, change: object = {}): Uint8Array =>
    bench.one(udp4({ from: `${REMOTE}:9`, to: A, payload: new Uint8Array(1400), ...change }));
  const about = (body: Uint8Array, type = 2, parameter = 1400): Uint8Array =>
    icmpv6(ROUTER, BR, { type, parameter, body });

  it('packet too big becomes 3/4 for the sender, with the MTU less 40', () => {
    const bench = new RelayBench();
    const tunnel = sent(bench);
    const said = bench.one(about(tunnel.slice(0, 1232)));
    const quoted = assertError(said, 3, 4, REMOTE);
    assert.deepEqual(quoted, tunnel.slice(OUTER_BYTES, OUTER_BYTES + 548));
    assert.equal(readU16(said, 26), 1360);
  });

  it('… and for a CE, through the tunnel', () => {
    const bench = new RelayBench();
    const tunnel = bench.one(fromCe(udp4({ from: C, to: A, payload: new Uint8Array(1400) }), CE_C));
    assertError(inside(bench.one(about(tunnel.slice(0, 1232))), CE_C), 3, 4, '192.0.2.19');
  });

  it('unreachable and hop limit become 3/1', () => {
    const bench = new RelayBench();
    for (const type of [1, 3, 4]) assertError(bench.one(about(sent(bench), type, 0)), 3, 1, REMOTE);
  });

  it('what cannot be told, or was never sent, is dropped by name', () => {
    const bench = new RelayBench();
    const noDf = sent(bench, { df: false });
    assert.deepEqual(bench.send(about(noDf)), []);
    assert.deepEqual(bench.send(about(sent(bench), 2, 1279)), []);
    assert.equal(bench.dropped('TunnelErrorNotForwarded'), 2);
    const toOther = sent(bench);
    toOther.set(CE_B, 24);
    const fromOther = sent(bench);
    fromOther.set(CE_B, 8);
    for (const body of [toOther, fromOther, new Uint8Array(12)])
      assert.deepEqual(bench.send(about(body)), []);
    assert.equal(bench.dropped('IcmpBadQuote'), 3);
    const broken = about(sent(bench));
    broken[60] ^= 1;
    assert.deepEqual(bench.send(broken), []);
    assert.equal(bench.dropped('IcmpBadChecksum'), 1);
    assert.deepEqual(bench.send(icmpv6(ROUTER, BR, { type: 135, body: new Uint8Array(20) })), []);
    assert.equal(bench.dropped('TunnelPacketNotAccepted'), 1);
  });
});
