/** A mesh of CEs, whose rule and addresses test/support/mesh.ts explains. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DESCRIPTOR_WORDS, VNET_HEADER_BYTES } from '../../../core/frames.ts';
import { Mesh } from '../../../core/translate/mesh.ts';
import { ANSWERED, COALESCE, ENCAPSULATE, FORWARDED } from '../../../core/verdict.ts';
import { writeI32, writeU16 } from '../../../core/wire/bytes.ts';
import { sumBytes } from '../../../core/wire/checksum.ts';
import { Bench, EXTERNAL, endpoints, outerOf, verdicts } from '../../support/gateway.ts';
import {
  ceOf,
  endpointOf,
  FLATMATE,
  MESH_LINE,
  meshOf,
  NEIGHBOURS,
  type Neighbour,
  OTHER,
  OURS,
  RULE,
  TWIN,
} from '../../support/mesh.ts';
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
} from '../../support/packets.ts';
import {
  BR,
  inTunnel,
  ipv6,
  STRANGER,
  tunnelFragment,
  tunnelFragments,
} from '../../support/tunnel.ts';

const HOST = '192.168.1.10';
const SERVER = '198.51.100.7';
/** Where the kernel encapsulates for the relay, and where the engine does. */
const KINDS = [
  ['the kernel', { ...MESH_LINE, encapsulatesHere: false }, FORWARDED],
  ['the engine', { ...MESH_LINE, encapsulatesHere: true }, ENCAPSULATE],
] as const;

const meshed = (): Bench => new Bench({ line: MESH_LINE });

const outerDestination = (bench: Bench): Uint8Array => outerOf(bench).slice(24);

/** A session of the host with a neighbour, and its external endpoint. */
function opened(bench: Bench, neighbour: Neighbour, from = `${HOST}:5000`): string {
  return endpoints(bench.pass4(udp4({ from, to: endpointOf(neighbour) }))).from;
}

describe('what leaves for a neighbour', () => {
  for (const [who, line, forRelay] of KINDS)
    describe(`where ${who} encapsulates for the relay`, () => {
      it('has his CE address as outer destination', () => {
        for (const neighbour of NEIGHBOURS) {
          const bench = new Bench({ line });
          const twin = new Bench({ line: { ceAddress: OURS, brAddress: BR } });
          const packet = udp4({ from: `${HOST}:5000`, to: endpointOf(neighbour) });
          const out = bench.pass4(packet);
          assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
          const outer = outerOf(bench);
          assert.deepEqual([...outer.slice(0, 4), ...outer.slice(6, 8)], [0x60, 0, 0, 0, 4, 65]);
          assert.deepEqual(outer.slice(8, 24), OURS);
          assert.deepEqual(outer.slice(24), neighbour.ce);
          assert.deepEqual(out, twin.pass4(packet), 'inside it is what the relay would get');
        }
      });

      it('is not what goes elsewhere: that takes the usual way', () => {
        const bench = new Bench({ line });
        const elsewhere = [
          udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }),
          // The lowest 4,096 ports belong to nobody.
          udp4({ from: `${HOST}:5000`, to: `${TWIN.address}:53` }),
          udp4({ from: `${HOST}:5000`, to: '203.0.114.9:4933' }),
        ];
        for (const packet of elsewhere) {
          bench.pass4(packet);
          assert.deepEqual(verdicts(bench), [forRelay], endpoints(packet).to);
          if (forRelay === ENCAPSULATE) assert.deepEqual(outerDestination(bench), BR);
        }
      });

      it('is not what is in fragments: all of a packet go to the relay', () => {
        const bench = new Bench({ line });
        const big = udp4({
          ...{ from: `${HOST}:5000`, to: endpointOf(OTHER), df: false },
          payload: new Uint8Array(3000),
        });
        for (const part of cutPacket(big, 1400)) {
          bench.pass4(part);
          assert.deepEqual(verdicts(bench), [forRelay]);
        }
        bench.pass4(big);
        assert.deepEqual(verdicts(bench), [forRelay, forRelay, forRelay], 'cut by ourselves');
      });

      it('is several frames of a batch, each with its own way', () => {
        const bench = new Bench({ line });
        const packets = [
          endpointOf(OTHER),
          `${SERVER}:9`,
          endpointOf(FLATMATE),
          endpointOf(TWIN),
        ].map((to, i) => udp4({ from: `${HOST}:${5000 + i}`, to }));
        const { bytes, descriptors } = bench.frames;
        packets.forEach((packet, i) => {
          const offset = 128 + i * 512;
          bytes.set(packet, offset);
          descriptors.set([offset, packet.length, 0, 0], i * DESCRIPTOR_WORDS);
        });
        bench.engine.process(packets.length, bench.now);
        assert.deepEqual(verdicts(bench), [ENCAPSULATE, forRelay, ENCAPSULATE, ENCAPSULATE]);
        [OTHER, undefined, FLATMATE, TWIN].forEach((neighbour, i) => {
          const end = descriptors[i * DESCRIPTOR_WORDS] - VNET_HEADER_BYTES;
          if (neighbour) assert.deepEqual(bytes.slice(end - 16, end), neighbour.ce);
        });
      });
    });

  it('carries its traffic class outside', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), (tos) => {
        const bench = meshed();
        const packet = udp4({ from: `${HOST}:5000`, to: endpointOf(OTHER) });
        packet[1] = tos;
        writeU16(packet, 10, 0);
        writeU16(packet, 10, ~sumBytes(packet, 0, 20) & 0xffff);
        bench.pass4(packet);
        const outer = outerOf(bench);
        assert.deepEqual([...outer.slice(0, 4)], [0x60 | (tos >> 4), (tos & 15) << 4, 0, 0]);
      }),
    );
  });

  it('is a superpacket too, whose virtio header the device needs', () => {
    const bench = meshed();
    bench.pass4(tcp4({ from: `${HOST}:6000`, to: endpointOf(OTHER), flags: SYN }));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    const payload = new Uint8Array(20_000);
    const packet = tcp4({ from: `${HOST}:6000`, to: endpointOf(OTHER), flags: ACK, payload });
    bench.setVirtio(20, 16);
    bench.pass4(packet, (1400 << 16) | (1 << 8) | 1);
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    const { bytes, descriptors } = bench.frames;
    const virtio = bytes.slice(descriptors[0] - VNET_HEADER_BYTES, descriptors[0]);
    assert.deepEqual([virtio[0], virtio[6], virtio[8]], [1, 20, 16]);
  });

  it('is a ping by its identifier, which is ours: the neighbour with our PSID gets it', () => {
    const bench = meshed();
    bench.pass4(echo4({ from: `${HOST}:7`, to: TWIN.address }));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(outerDestination(bench), TWIN.ce);
  });

  it('is the answer to his ping, and an error about his packet', () => {
    const bench = meshed();
    const id = Number(opened(bench, TWIN).split(':')[1]);
    const ping = echo4({ from: `${TWIN.address}:${id}`, to: EXTERNAL });
    const reply = bench.pass4(inTunnel(ping, { from: TWIN.ce, to: OURS }));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(outerDestination(bench), TWIN.ce);
    assert.deepEqual([reply[20], ...checksumProblems(reply)], [0]);

    const us = opened(bench, OTHER);
    const came = bench.pass4(
      inTunnel(udp4({ from: endpointOf(OTHER), to: us }), { from: OTHER.ce, to: OURS }),
    );
    const error = error4({ from: HOST, to: OTHER.address, type: 3, code: 3, quoted: came });
    const out = bench.pass4(error);
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(outerDestination(bench), OTHER.ce, 'by the source port of what is quoted');
    assert.equal(endpoints(out.slice(28)).to, us);

    const last = udp4({ from: endpointOf(OTHER), to: us, ttl: 1 });
    bench.pass4(inTunnel(last, { from: OTHER.ce, to: OURS }));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE], 'time exceeded');
    assert.deepEqual(outerDestination(bench), OTHER.ce);
  });

  it('that is too big is answered with the MTU of the line', () => {
    const bench = meshed();
    const payload = new Uint8Array(1450);
    const told = bench.pass4(udp4({ from: `${HOST}:5000`, to: endpointOf(OTHER), payload }));
    assert.deepEqual([told[20], told[21], told[26] * 256 + told[27]], [3, 4, 1460]);
    assert.deepEqual(verdicts(bench), [ANSWERED]);
  });

  it('is not what stays in the house', () => {
    const bench = meshed();
    const payload = new Uint8Array([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)]);
    const stun = udp4({ from: `${HOST}:5000`, to: `${SERVER}:3478`, payload });
    const to = endpoints(bench.pass4(stun)).from;
    const hairpin = bench.pass4(udp4({ from: '192.168.1.11:6000', to }));
    assert.equal(endpoints(hairpin).to, `${HOST}:5000`);
    assert.deepEqual(verdicts(bench), [FORWARDED]);
  });

  it('goes by forwarding rules alone, and by the longest of them', () => {
    const own = { ...RULE, ipv6: ipv6('2001:db8:8000:0:0:0:0:0'), ipv4Length: 25, eaLength: 15 };
    const line = { ...MESH_LINE, mesh: meshOf(RULE, own) };
    const bench = new Bench({ line });
    const to = '203.0.113.9:9575';
    bench.pass4(udp4({ from: `${HOST}:5000`, to }));
    assert.deepEqual(outerDestination(bench), ipv6('2001:db8:8012:ac00:0:cb00:7109:56'));

    const passedOver = { ...own, forwarding: false };
    const mesh = meshOf(RULE, passedOver);
    const other = new Bench({ line: { ...MESH_LINE, mesh } });
    other.pass4(udp4({ from: `${HOST}:5000`, to }));
    assert.deepEqual(outerDestination(other), OTHER.ce);

    const none = meshOf({ ...RULE, forwarding: false });
    const alone = new Bench({ line: { ...MESH_LINE, mesh: none } });
    alone.pass4(udp4({ from: `${HOST}:5000`, to }));
    assert.deepEqual(verdicts(alone), [FORWARDED]);
  });
});

describe('what comes from a neighbour', () => {
  it('reaches the host as what the relay sends does, on another address and on ours', () => {
    for (const neighbour of NEIGHBOURS) {
      const [bench, twin] = [meshed(), meshed()];
      const to = opened(bench, neighbour);
      assert.equal(opened(twin, neighbour), to);
      const answer = udp4({ from: endpointOf(neighbour), to, payload: new Uint8Array(900) });
      const out = bench.pass4(inTunnel(answer, { from: neighbour.ce, to: OURS }));
      assert.deepEqual(verdicts(bench), [COALESCE]);
      assert.deepEqual(out, twin.pass4(inTunnel(answer, { to: OURS })), 'by the relay');
      assert.equal(endpoints(out).to, `${HOST}:5000`);
    }
  });

  it('has lost its hop and its marks as what the relay sends', () => {
    const bench = new Bench({ line: { ...MESH_LINE, restoreHopsInbound: 1 } });
    const to = opened(bench, OTHER);
    const outer = { from: OTHER.ce, to: OURS };
    const packet = udp4({ from: endpointOf(OTHER), to, ttl: 50 });
    assert.equal(bench.pass4(inTunnel(packet, outer))[8], 50);
    assert.equal(bench.send(inTunnel(packet, { ...outer, trafficClass: 3 })), 'TunnelCongestion');
  });

  it('is dropped by name when the source inside is not his, and nothing becomes of it', () => {
    const bench = meshed();
    const to = opened(bench, OTHER);
    const sessions = bench.table.parts.sessions.count;
    const honest = udp4({ from: endpointOf(OTHER), to });
    const changed = (place: number): Uint8Array => {
      const copy = OTHER.ce.slice();
      copy[place] ^= 1;
      return copy;
    };
    const cases: [string, Uint8Array, Uint8Array][] = [
      ['another PSID outside', honest, TWIN.ce],
      ['another address outside', honest, FLATMATE.ce],
      ['a stranger', honest, STRANGER],
      ['ourselves', udp4({ from: to, to }), OURS],
      ['a port of another PSID', udp4({ from: endpointOf(TWIN), to }), OTHER.ce],
      ['a port of nobody', udp4({ from: `${OTHER.address}:53`, to }), OTHER.ce],
      [
        'another address inside',
        udp4({ from: endpointOf({ ...OTHER, address: SERVER }), to }),
        OTHER.ce,
      ],
      ['our address inside', udp4({ from: `${EXTERNAL}:${OTHER.port}`, to }), OTHER.ce],
      ['no port', ipv4(47, { from: OTHER.address, to: EXTERNAL }, new Uint8Array(8)), OTHER.ce],
      ['a bit of the prefix', honest, changed(4)],
      ['a bit of the subnet', honest, changed(7)],
      ['a bit of the address', honest, changed(12)],
      ['a bit of the PSID', honest, changed(15)],
    ];
    for (const [what, packet, from] of cases)
      assert.equal(bench.send(inTunnel(packet, { from, to: OURS })), 'TunnelSourceSpoofed', what);
    assert.equal(bench.dropCount('TunnelSourceSpoofed'), cases.length);
    assert.equal(bench.table.parts.sessions.count, sessions);
    assert.ok(typeof bench.send(inTunnel(honest, { from: OTHER.ce, to: OURS })) !== 'string');
  });

  it('of any source is let in exactly if the source is the owner of the ports', () => {
    const bench = meshed();
    const last = fc.constantFrom(5, 9);
    const psid = fc.constantFrom(0x33, 0x35, 0x56);
    fc.assert(
      fc.property(last, psid, last, fc.nat(65535), (outerLast, outerPsid, innerLast, port) => {
        const packet = udp4({ from: `203.0.113.${innerLast}:${port}`, to: `${EXTERNAL}:4928` });
        const out = bench.send(inTunnel(packet, { from: ceOf(outerLast, outerPsid), to: OURS }));
        const fits =
          port >> 12 !== 0 && ((port >> 4) & 255) === outerPsid && innerLast === outerLast;
        assert.equal(out !== 'TunnelSourceSpoofed', fits);
      }),
      {
        numRuns: 2000,
        examples: [
          [9, 0x56, 9, 0x2567],
          [5, 0x33, 5, 0xf33f],
        ],
      },
    );
  });

  it('is refused as from a stranger where there is no mesh', () => {
    const bench = new Bench({ line: { ceAddress: OURS, brAddress: BR } });
    const to = opened(bench, OTHER);
    const packet = inTunnel(udp4({ from: endpointOf(OTHER), to }), { from: OTHER.ce, to: OURS });
    assert.equal(bench.send(packet), 'TunnelPacketNotAccepted');
  });

  it('is a ping and its answer by identifier', () => {
    const bench = meshed();
    const id = endpoints(bench.pass4(echo4({ from: `${HOST}:7`, to: TWIN.address }))).from;
    const to = id;
    const reply = echo4({ from: TWIN.address, to, type: 0 });
    const out = bench.pass4(inTunnel(reply, { from: TWIN.ce, to: OURS }));
    assert.equal(endpoints(out).to, `${HOST}:7`);
    const forged = inTunnel(reply, { from: OTHER.ce, to: OURS });
    assert.equal(bench.send(forged), 'TunnelSourceSpoofed');
  });

  it('is an ICMP error about a packet to him, and to nobody else', () => {
    const bench = meshed();
    const from = opened(bench, OTHER);
    const quoted = udp4({ from, to: endpointOf(OTHER) });
    const error = error4({ from: OTHER.address, to: EXTERNAL, type: 3, code: 3, quoted });
    const out = bench.pass4(inTunnel(error, { from: OTHER.ce, to: OURS }));
    assert.deepEqual(checksumProblems(out), []);
    assert.deepEqual(endpoints(out.slice(28)), { from: `${HOST}:5000`, to: endpointOf(OTHER) });

    const forged = inTunnel(error, { from: TWIN.ce, to: OURS });
    assert.equal(bench.send(forged), 'TunnelSourceSpoofed', 'from another CE');
    const server = `${SERVER}:${OTHER.port}`;
    const session = endpoints(bench.pass4(udp4({ from: `${HOST}:5000`, to: server }))).from;
    const meddling = error4({
      ...{ from: OTHER.address, to: EXTERNAL, type: 3, code: 4 },
      quoted: udp4({ from: session, to: server }),
    });
    const packet = inTunnel(meddling, { from: OTHER.ce, to: OURS });
    assert.equal(bench.send(packet), 'TunnelSourceSpoofed', 'about somebody else’s session');
  });

  it('comes in fragments, in any order; a later one must fit as far as it tells', () => {
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
      [1, 2, 0],
    ])
      for (const neighbour of NEIGHBOURS) {
        const bench = meshed();
        const to = opened(bench, neighbour);
        const payload = Uint8Array.from({ length: 3000 }, (_, i) => i);
        const packet = udp4({ from: endpointOf(neighbour), to, payload, df: false, id: 99 });
        const parts = cutPacket(packet, 1400);
        const outer = { from: neighbour.ce, to: OURS };
        const got = order.flatMap((i) => {
          bench.send(inTunnel(parts[i], outer));
          return bench.all();
        });
        const whole = joinFragments(got);
        assert.deepEqual(checksumProblems(whole), []);
        assert.deepEqual(whole.slice(28), payload);
        assert.equal(endpoints(whole).to, `${HOST}:5000`);
      }

    const bench = meshed();
    const to = opened(bench, OTHER);
    const parts = cutPacket(
      udp4({ from: endpointOf(OTHER), to, payload: new Uint8Array(3000), df: false }),
      1400,
    );
    const spoofed: [string, Uint8Array, Uint8Array][] = [
      ['a first one of another PSID', parts[0], TWIN.ce],
      ['a later one of another address', parts[1], FLATMATE.ce],
      ['a later one of a stranger', parts[1], STRANGER],
    ];
    for (const [what, part, from] of spoofed)
      assert.equal(bench.send(inTunnel(part, { from, to: OURS })), 'TunnelSourceSpoofed', what);
    const sound = OTHER.ce.slice();
    for (const place of [4, 5, 6, 7, 8, 10, 12, 15]) {
      const from = sound.slice();
      from[place] ^= 1;
      const part = inTunnel(parts[1], { from, to: OURS });
      assert.equal(bench.send(part), 'TunnelSourceSpoofed', `byte ${place}`);
    }
  });

  it('comes in fragments of the tunnel, which do not mix with the relay’s or each other’s', () => {
    const bench = meshed();
    const [a, b] = [
      opened(bench, OTHER),
      opened(bench, TWIN),
      bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` })),
    ];
    const payload = (seed: number): Uint8Array =>
      Uint8Array.from({ length: 1200 }, (_, i) => i * seed);
    const packets = [
      [udp4({ from: endpointOf(OTHER), to: String(a), payload: payload(3) }), OTHER.ce],
      [udp4({ from: endpointOf(TWIN), to: String(b), payload: payload(5) }), TWIN.ce],
      [udp4({ from: `${SERVER}:9`, to: String(a), payload: payload(7) }), BR],
    ] as const;
    const id = 77;
    const got: Uint8Array[] = [];
    for (const i of [0, 1, 2])
      for (const [packet, from] of packets) {
        const end = Math.min(packet.length, i * 480 + 480);
        const outer = { from, to: OURS };
        const out = bench.send(tunnelFragment(packet, i * 480, end, id, outer));
        if (typeof out !== 'string') got.push(out);
      }
    assert.deepEqual(
      got.map((packet) => packet.slice(28)),
      [3, 5, 7].map(payload),
    );
  });

  it('in fragments of the tunnel must fit too, and strangers take no room', () => {
    const bench = meshed();
    const to = opened(bench, OTHER);
    const packet = udp4({ from: endpointOf(OTHER), to, payload: new Uint8Array(1000) });
    const reach = (from: Uint8Array): string[] =>
      tunnelFragments(packet, 480, 5).map((part) => {
        const copy = part.slice();
        copy.set(from, 8);
        copy.set(OURS, 24);
        const out = bench.send(copy);
        return typeof out === 'string' ? out : 'in';
      });
    assert.deepEqual(reach(TWIN.ce).at(-1), 'TunnelSourceSpoofed');
    assert.deepEqual(reach(STRANGER), new Array(3).fill('TunnelSourceSpoofed'));
    assert.deepEqual(reach(OTHER.ce).at(-1), 'in');
    const atomic = tunnelFragment(packet, 0, packet.length, 6, { from: TWIN.ce, to: OURS });
    assert.equal(bench.send(atomic), 'TunnelSourceSpoofed');

    // Neighbours with half packets by the hundred leave the relay's slots alone.
    const answer = udp4({ from: endpointOf(OTHER), to, payload: new Uint8Array(1000) });
    const [first, ...rest] = tunnelFragments(answer, 480, 7).map((part) => {
      part.set(OURS, 24);
      return part;
    });
    bench.send(first);
    for (let i = 0; i < 200; i++)
      bench.send(tunnelFragment(packet, 0, 480, 1000 + i, { from: OTHER.ce, to: OURS }));
    const outs = rest.map((part) => bench.send(part));
    assert.ok(typeof outs.at(-1) !== 'string');
    const before = bench.dropCount('TunnelReassembly');
    bench.pass(11);
    assert.ok(bench.dropCount('TunnelReassembly') > before, 'what never came is counted');
  });

  it('of any bytes never harms the engine', () => {
    const bench = meshed();
    const to = opened(bench, OTHER);
    const inside = error4({
      ...{ from: OTHER.address, to: EXTERNAL, type: 3, code: 3 },
      quoted: udp4({ from: to, to: endpointOf(OTHER) }),
    });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(100), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        fc.nat(100),
        (changes, length) => {
          const packet = inTunnel(inside, { from: OTHER.ce, to: OURS });
          for (const [place, value] of changes) if (place < packet.length) packet[place] = value;
          packet[0] = 0x60;
          bench.send(packet.slice(0, length));
          bench.send(packet);
        },
      ),
      { numRuns: 2000 },
    );
    const honest = inTunnel(udp4({ from: endpointOf(OTHER), to }), { from: OTHER.ce, to: OURS });
    assert.ok(typeof bench.send(honest) !== 'string');
  });
});

describe('our own address as source', () => {
  it('is a neighbour’s where the port is not ours, by the relay too', () => {
    const bench = meshed();
    const to = opened(bench, FLATMATE);
    const answer = udp4({ from: endpointOf(FLATMATE), to });
    assert.equal(endpoints(bench.pass4(answer)).to, `${HOST}:5000`, 'the kernel decapsulated it');
    assert.equal(endpoints(bench.pass4(inTunnel(answer, { to: OURS }))).to, `${HOST}:5000`);
    assert.equal(bench.send(udp4({ from: to, to })), 'LoopedOwnSource');
    assert.equal(
      bench.send(udp4({ from: endpointOf(FLATMATE), to: `${SERVER}:9` })),
      'LoopedOwnSource',
    );
  });

  it('of a neighbour does not open the port of an owner, as that of a host of ours does', () => {
    const bench = meshed();
    const payload = new Uint8Array([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)]);
    const stun = udp4({ from: `${HOST}:5000`, to: `${SERVER}:3478`, payload });
    const owned = endpoints(bench.pass4(stun)).from;
    assert.equal(typeof bench.send(udp4({ from: '192.168.1.11:6000', to: owned })), 'object');
    const knock = udp4({ from: endpointOf(FLATMATE), to: owned });
    const outer = { from: FLATMATE.ce, to: OURS };
    assert.equal(bench.send(inTunnel(knock, outer)), 'FilteredByOwner');
    assert.equal(bench.send(knock), 'FilteredByOwner', 'by the relay');
    assert.equal(opened(bench, FLATMATE), owned);
    const elsewhere = udp4({ from: `${EXTERNAL}:${FLATMATE.port + 1}`, to: owned });
    assert.equal(endpoints(bench.pass4(inTunnel(elsewhere, outer))).to, `${HOST}:5000`);
  });

  it('of a neighbour is where an error about his packet goes', () => {
    const bench = meshed();
    const us = opened(bench, FLATMATE);
    const came = bench.pass4(
      inTunnel(udp4({ from: endpointOf(FLATMATE), to: us }), { from: FLATMATE.ce, to: OURS }),
    );
    const out = bench.pass4(
      error4({ from: HOST, to: EXTERNAL, type: 3, code: 3, quoted: came, ttl: 60 }),
    );
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(outerDestination(bench), FLATMATE.ce);
    assert.deepEqual(checksumProblems(out), []);
    assert.deepEqual(endpoints(out.slice(28)), { from: endpointOf(FLATMATE), to: us });
    assert.equal(endpoints(out).from.split(':')[0], EXTERNAL);
  });

  it('is a loop where the address is ours alone', () => {
    const bench = new Bench({ line: { isShared: false } });
    const to = endpoints(bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }))).from;
    assert.equal(bench.send(udp4({ from: endpointOf(FLATMATE), to })), 'LoopedOwnSource');
  });
});

describe('an ICMPv6 error about a packet to a neighbour', () => {
  const ROUTER = ipv6('2001:db8:feed:0:0:0:0:1');

  /** The error that a router sends about `packet` on its way to `neighbour`. */
  function routerError(
    type: number,
    parameter: number,
    packet: Uint8Array,
    neighbour: Uint8Array,
  ): Uint8Array {
    const quoted = inTunnel(packet, { from: OURS, to: neighbour });
    const message = new Uint8Array(8 + quoted.length);
    message[0] = type;
    writeI32(message, 4, parameter);
    message.set(quoted, 8);
    const error = inTunnel(message, { from: ROUTER, to: OURS, nextHeader: 58 });
    const pseudo = new Uint8Array(40);
    pseudo.set(error.slice(8, 40));
    writeI32(pseudo, 32, message.length);
    pseudo[39] = 58;
    const all = new Uint8Array([...pseudo, ...message]);
    writeU16(error, 42, ~sumBytes(all, 0, all.length) & 0xffff);
    return error;
  }

  it('reaches the sender: Packet Too Big as 3/4 with the MTU less 40, unreachable as 3/1', () => {
    for (const neighbour of NEIGHBOURS) {
      const bench = meshed();
      const payload = new Uint8Array(1300);
      const packet = udp4({ from: `${HOST}:5000`, to: endpointOf(neighbour), payload });
      const sent = bench.pass4(packet);
      const told = bench.pass4(routerError(2, 1300, sent, neighbour.ce));
      assert.deepEqual(checksumProblems(told), []);
      assert.deepEqual([told[20], told[21], told[26] * 256 + told[27]], [3, 4, 1260]);
      assert.deepEqual(endpoints(told.slice(28)), {
        from: `${HOST}:5000`,
        to: endpointOf(neighbour),
      });
      assert.deepEqual(verdicts(bench), [ANSWERED]);

      const unreachable = bench.pass4(routerError(1, 0, sent, neighbour.ce));
      assert.deepEqual([unreachable[20], unreachable[21]], [3, 1]);
    }
  });

  it('is about the packet that is quoted, and not about one to another CE', () => {
    const bench = meshed();
    const sent = bench.pass4(udp4({ from: `${HOST}:5000`, to: endpointOf(OTHER) }));
    for (const elsewhere of [TWIN.ce, FLATMATE.ce, STRANGER, OURS])
      assert.equal(bench.send(routerError(1, 0, sent, elsewhere)), 'IcmpBadQuote');
    const alone = new Bench({ line: { ceAddress: OURS, brAddress: BR } });
    alone.pass4(udp4({ from: `${HOST}:5000`, to: endpointOf(OTHER) }));
    assert.equal(alone.send(routerError(1, 0, sent, OTHER.ce)), 'IcmpBadQuote', 'without a mesh');
  });
});

describe('the rule of an address', () => {
  it('is the longest that covers it, whatever rules there are', () => {
    const rule = fc.record({ ipv4: fc.integer(), ipv4Length: fc.nat(32) });
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 12 }), fc.array(fc.integer()), (list, others) => {
        const rules = list.map((each) => ({ ...RULE, ...each }));
        const mesh = new Mesh(meshOf(...rules), OURS);
        const edges = rules.flatMap(({ ipv4: address, ipv4Length }) => {
          const mask = ipv4Length === 0 ? 0 : -1 << (32 - ipv4Length);
          const first = address & mask;
          return [first, first | ~mask, (first - 1) | 0, ((first | ~mask) + 1) | 0];
        });
        for (const address of [...edges, ...others]) {
          let best = -1;
          rules.forEach(({ ipv4: network, ipv4Length }, n) => {
            const mask = ipv4Length === 0 ? 0 : -1 << (32 - ipv4Length);
            if (((network ^ address) & mask) !== 0) return;
            if (best < 0 || ipv4Length > rules[best].ipv4Length) best = n;
          });
          assert.equal(mesh.ruleOf(address), best);
        }
      }),
      { numRuns: 500 },
    );
  });
});
