/** The relay against the gateway's engine and against the MAP vectors: each checks what the other makes. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DESCRIPTOR_WORDS } from '../../../core/frames.ts';
import { type MapRule, PSID_FROM_EA } from '../../../core/mape/rule.ts';
import { ENCAPSULATE } from '../../../core/verdict.ts';
import { formatIpv4, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { parseIpv6 } from '../../../gateway/config/addresses.ts';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import {
  ACK,
  cutPacket,
  echo4,
  error4,
  joinFragments,
  SYN,
  tcp4,
  udp4,
} from '../../support/packets.ts';
import { RelayBench, withOuter } from '../../support/relay.ts';
import { BR, CE, inTunnel, OWN_TUNNEL } from '../../support/tunnel.ts';
import { iidOf, ofClass, ruleOf } from '../mape/vectors.ts';

const HOST = '192.168.1.10';
const SERVER = '198.51.100.7';

/** The rule under which the gateway of the bench has its address and PSID 0x34. */
const RULE: MapRule = {
  ipv6: parseIpv6('2001:db8:12::')!,
  ipv6Length: 48,
  ipv4: parseIpv4(EXTERNAL),
  ipv4Length: 32,
  eaLength: 8,
  offsetBits: 4,
  psid: PSID_FROM_EA,
  forwarding: false,
};

/** What the device of the gateway writes for the relay. */
function tunnelPackets(bench: Bench): Uint8Array[] {
  const { bytes, descriptors, count } = bench.frames;
  const packets: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const [at, length, , verdict] = descriptors.subarray(i * DESCRIPTOR_WORDS);
    if (verdict === ENCAPSULATE) packets.push(withOuter(bytes, at, bytes.slice(at, at + length)));
  }
  return packets;
}

const port = fc.integer({ min: 1, max: 65535 });
const size = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 4000 }));
const from = port.map((p) => `${HOST}:${p}`);
const to = port.map((p) => `${SERVER}:${p}`);
const payload = size.map((length) => Uint8Array.from({ length }, (_, i) => i * 5));

/** Batches of packets as a LAN host sends them; a batch is one packet or its fragments in some order. */
const sent = fc.oneof(
  fc.record({ from, to, payload, df: fc.boolean() }).map((p) => [udp4(p)]),
  fc.record({ from, to }).map((p) => [tcp4({ ...p, flags: SYN, mss: 1460 })]),
  fc.record({ from }).map((p) => [echo4({ ...p, to: SERVER })]),
  fc.record({ from, to, payload, id: port, first: fc.boolean() }).map(({ first, ...p }) => {
    const parts = cutPacket(udp4({ ...p, df: false }), 1000);
    return first ? parts : parts.reverse();
  }),
);

describe('relay and gateway', () => {
  it('all that the gateway encapsulates is honest, and comes out as the same IPv4 packet', () => {
    let seen = 0;
    fc.assert(
      fc.property(fc.array(sent, { minLength: 1, maxLength: 20 }), (batches) => {
        const bench = new Bench({ line: OWN_TUNNEL });
        const relay = new RelayBench({ rules: [RULE] });
        for (const packet of batches.flat()) {
          bench.send(packet);
          for (const tunnel of tunnelPackets(bench)) {
            assert.deepEqual(relay.one(tunnel), tunnel.slice(40));
            seen++;
          }
        }
        assert.deepEqual(relay.drops(), []);
      }),
      { numRuns: 60 },
    );
    assert.ok(seen > 300, `only ${seen} packets came through`);
  });

  it('and what the server answers comes back to the host, cut or whole', () => {
    fc.assert(
      fc.property(from, payload, fc.boolean(), (internal, bytes, cut) => {
        const bench = new Bench({ line: OWN_TUNNEL });
        const relay = new RelayBench({ rules: [RULE] });
        bench.send(udp4({ from: internal, to: `${SERVER}:9` }));
        const external = endpoints(relay.one(tunnelPackets(bench)[0])).from;
        const answer = udp4({
          from: `${SERVER}:9`,
          to: external,
          payload: bytes,
          df: false,
          id: 3,
        });
        const parts = cut ? cutPacket(answer, 700).reverse() : [answer];
        const got = parts
          .flatMap((part) => relay.send(part))
          .flatMap((tunnel) => {
            bench.send(tunnel);
            return bench.all();
          });
        const whole = joinFragments(got);
        assert.deepEqual(endpoints(whole), { from: `${SERVER}:9`, to: internal });
        assert.deepEqual(whole.slice(28), bytes);
        assert.deepEqual(relay.drops(), []);
      }),
      { numRuns: 40 },
    );
  });

  it('errors reach the host and the server', () => {
    const bench = new Bench({ line: OWN_TUNNEL });
    const relay = new RelayBench({ rules: [RULE] });
    const internal = `${HOST}:5000`;
    bench.send(tcp4({ from: internal, to: `${SERVER}:80`, flags: SYN }));
    const out = relay.one(tunnelPackets(bench)[0]);
    const external = endpoints(out).from;

    const expired = error4({ from: '203.0.113.99', to: EXTERNAL, type: 11, code: 0, quoted: out });
    const [inbound] = relay.send(expired);
    const delivered = bench.pass4(inbound);
    assert.equal(endpoints(delivered.slice(28)).from, internal);

    const answer = tcp4({ from: `${SERVER}:80`, to: external, flags: SYN | ACK });
    const got = bench.pass4(relay.one(answer));
    const refused = error4({ from: HOST, to: SERVER, type: 3, code: 3, quoted: got });
    bench.send(refused);
    const told = relay.one(tunnelPackets(bench)[0]);
    assert.equal(endpoints(told.slice(28)).to, external);
    assert.deepEqual(relay.drops(), []);
  });

  it('is the same CE address that the gateway of this bench has', () => {
    const relay = new RelayBench({ rules: [RULE] });
    const out = relay.one(udp4({ from: `${SERVER}:9`, to: `${EXTERNAL}:4928` }));
    assert.deepEqual(out.slice(24, 40), CE);
  });
});

/** In no rule of any vector. */
const FAR = '192.88.99.7';

describe('relay and the vectors of other implementations', () => {
  const usable = ofClass('calculator').filter(
    (v) =>
      v.rule?.ipv6 && v.ce_ipv6 && v.ipv4 && v.port_ranges && v.rule.psid_from_dhcp === undefined,
  );

  it('there are many', () => assert.ok(usable.length > 40, `${usable.length}`));

  it('every port of each CE leads to its address and may come from there, and its neighbours’ may not', () => {
    for (const v of usable) {
      const relay = new RelayBench({ rules: [ruleOf(v.rule!)], iidFormat: iidOf(v) });
      const ce = parseIpv6(v.ce_ipv6!)!;
      const address = formatIpv4(parseIpv4(v.ipv4!));
      for (const range of v.port_ranges!) {
        const [first, last] = range.split('-').map(Number);
        for (const own of [first, last]) {
          const out = relay.one(udp4({ from: `${FAR}:9`, to: `${address}:${own}` }));
          assert.deepEqual(out.slice(24, 40), ce, `${v.id} to port ${own}`);
          const packet = udp4({ from: `${address}:${own}`, to: `${FAR}:9` });
          assert.deepEqual(relay.one(inTunnel(packet, { from: ce, to: BR })), packet, v.id);
        }
        for (const other of [first - 1, last + 1]) {
          if (other < 1 || other > 65535 || v.psid === null) continue;
          const packet = udp4({ from: `${address}:${other}`, to: `${FAR}:9` });
          const [said] = relay.send(inTunnel(packet, { from: ce, to: BR }));
          assert.equal(said?.[40], 1, `${v.id}: port ${other} of a neighbour`);
        }
      }
    }
  });
});
