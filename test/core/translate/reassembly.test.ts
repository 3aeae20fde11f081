/** Fragments of tunnel packets: in any order, with holes, overlaps and floods. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SLOTS } from '../../../core/translate/reassembly.ts';
import { COALESCE } from '../../../core/verdict.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { checksumProblems, udp4 } from '../../support/packets.ts';
import {
  BR,
  CE,
  OWN_TUNNEL,
  STRANGER,
  tunnelFragment,
  tunnelFragments,
} from '../../support/tunnel.ts';

const HOST = '192.168.1.10:5000';
const SERVER = '198.51.100.7:9';
const KERNELS = { ceAddress: CE, brAddress: BR, restoreHopsInbound: 1 };

/** Where a host asked something, the answers of the server with so many bytes. */
function answers(bench: Bench, ...sizes: number[]): Uint8Array[] {
  const out = bench.pass4(udp4({ from: HOST, to: SERVER }));
  return sizes.map((size, i) =>
    udp4({
      ...{ from: SERVER, to: endpoints(out).from, ttl: 50, id: i },
      payload: new Uint8Array(size).map((_, k) => k * 3 + i),
    }),
  );
}

/** Sends packets one after the other; what comes out of them. */
const sendAll = (bench: Bench, packets: Uint8Array[]): Uint8Array[] =>
  packets.map((packet) => bench.send(packet)).filter((out) => typeof out !== 'string');

const lost = (bench: Bench): number => bench.dropCount('TunnelReassembly');

describe('fragments of tunnel packets', () => {
  it('make their packets again, in any order, several mixed', () => {
    const packets = fc
      .array(fc.tuple(fc.integer({ min: 0, max: 4000 }), fc.integer({ min: 1, max: 200 })), {
        ...{ minLength: 1, maxLength: 6 },
      })
      .chain((list) => {
        const count = list.reduce((n, [size, step]) => n + Math.ceil((size + 28) / (step * 8)), 0);
        return fc.tuple(
          fc.constant(list),
          fc.shuffledSubarray([...Array(count).keys()], {
            minLength: count,
          }),
        );
      });
    fc.assert(
      fc.property(packets, fc.boolean(), ([list, order], isOwn) => {
        const bench = new Bench({ line: isOwn ? OWN_TUNNEL : KERNELS });
        const twin = new Bench({ line: isOwn ? OWN_TUNNEL : KERNELS });
        const whole = answers(bench, ...list.map(([size]) => size));
        assert.deepEqual(answers(twin, ...list.map(([size]) => size)), whole);
        const parts = whole.flatMap((packet, i) => tunnelFragments(packet, list[i][1] * 8, 77 + i));
        const out = sendAll(
          bench,
          order.map((i) => parts[i]),
        );
        const key = (packet: Uint8Array): string => Buffer.from(packet).toString('hex');
        // The same packets, translated as they are when nothing has cut them.
        const expected = whole.map((packet) => key(twin.pass4(packet)));
        if (!isOwn) assert.ok(out.every((packet) => packet[8] === 50));
        const got = out.map((packet) => {
          // A hop that the kernel took where it decapsulates, and that is given back.
          if (!isOwn) return key(bytesWithTtl(packet, 51));
          return key(packet);
        });
        assert.deepEqual(got.sort(), expected.sort());
        for (const packet of out) assert.deepEqual(checksumProblems(packet), []);
        assert.equal(lost(bench), 0);
        bench.pass(20);
        assert.equal(lost(bench), 0);
      }),
    );
  });

  it('may be of the largest packet, and not of a larger one', () => {
    const bench = new Bench({ line: OWN_TUNNEL });
    const [large] = answers(bench, 65_507);
    const parts = tunnelFragments(large, 1448, 1).reverse();
    assert.equal(sendAll(bench, parts)[0].length, 65_535);
    const beyond = new Uint8Array(65_544);
    assert.equal(bench.send(tunnelFragment(beyond, 65_528, 65_536, 2)), 'TunnelReassembly');
  });

  it('are accepted from the relay only, and of IPv4 only', () => {
    const bench = new Bench({ line: OWN_TUNNEL });
    const [answer] = answers(bench, 1000);
    const first = (outer: object): unknown => bench.send(tunnelFragment(answer, 0, 512, 3, outer));
    assert.equal(first({ from: STRANGER }), 'TunnelPacketNotAccepted');
    assert.equal(first({ innerHeader: 58 }), 'TunnelPacketNotAccepted');
    assert.equal(first({ to: STRANGER }), 'KernelChatter');
    const cut = tunnelFragment(answer, 0, 512, 3);
    assert.equal(bench.send(cut.slice(0, 300)), 'TruncatedHeader');
    const empty = tunnelFragment(answer, 0, 512, 3).slice(0, 47);
    empty[4] = 0;
    empty[5] = 7;
    assert.equal(bench.send(empty), 'TruncatedHeader');
    assert.equal(lost(bench), 0);
  });

  it('that is alone needs nobody (RFC 6946)', () => {
    const bench = new Bench({ line: OWN_TUNNEL });
    const [answer] = answers(bench, 100);
    assert.equal(bench.pass4(tunnelFragment(answer, 0, answer.length, 1)).length, answer.length);
    assert.equal(bench.frames.descriptors[3], COALESCE);
  });

  it('that overlap lose the whole packet and all that still comes of it (RFC 5722)', () => {
    const cut = fc
      .record({
        step: fc.integer({ min: 1, max: 60 }),
        from: fc.nat(120),
        units: fc.integer({ min: 1, max: 60 }),
      })
      .map(({ step, from, units }) => ({ step: step * 8, from: from * 8, to: (from + units) * 8 }));
    fc.assert(
      fc.property(cut, fc.nat(), ({ step, from, to }, place) => {
        const bench = new Bench({ line: OWN_TUNNEL });
        const [answer] = answers(bench, 1000);
        fc.pre(from < answer.length);
        const parts = tunnelFragments(answer, step, 1);
        fc.pre(parts.length > 1);
        const other = tunnelFragment(answer, from, Math.min(to, answer.length), 1, { more: true });
        const end = Math.min(to, answer.length);
        fc.pre((end - from) % 8 === 0);
        // Not behind the last one: the packet would be whole before.
        const all = parts.toSpliced(place % parts.length, 0, other);
        assert.deepEqual(sendAll(bench, all), []);
        bench.pass(1);
        assert.equal(lost(bench), all.length, 'every fragment is counted once');
        bench.pass(20);
        assert.equal(lost(bench), all.length);
      }),
    );
  });

  it('that contradict each other about the length lose the packet', () => {
    type Make = (whole: Uint8Array) => Uint8Array[];
    const part = (whole: Uint8Array, from: number, to: number, more: boolean): Uint8Array =>
      tunnelFragment(whole, from, to, 1, { more });
    const cases: [string, Make][] = [
      ['two ends', (a) => [part(a, 512, 1028, false), part(a, 8, 508, false)]],
      ['something behind the end', (a) => [part(a, 8, 512, false), part(a, 512, 1024, true)]],
      ['an end before what is there', (a) => [part(a, 512, 1024, true), part(a, 8, 512, false)]],
      // As many bytes as the end says, but not the right ones.
      [
        'a hole filled behind the end',
        (a) => [part(a, 1016, 1024, true), part(a, 0, 504, true), part(a, 512, 520, false)],
      ],
      ['a part in the middle of odd length', (a) => [part(a, 8, 500, true)]],
      ['a part of nothing', (a) => [part(a, 8, 8, true)]],
    ];
    for (const [what, make] of cases) {
      const bench = new Bench({ line: OWN_TUNNEL });
      const [answer] = answers(bench, 1000);
      const parts = [...make(answer), ...tunnelFragments(answer, 512, 1)];
      assert.deepEqual(sendAll(bench, parts), [], what);
      bench.pass(1);
      assert.equal(lost(bench), parts.length, what);
    }
  });

  it('that never become whole are given up after 10 s, and counted', () => {
    const bench = new Bench({ line: OWN_TUNNEL });
    const [answer] = answers(bench, 1000);
    const [first, second, third] = tunnelFragments(answer, 512, 1);
    assert.equal(bench.send(first), 'TunnelReassembly');
    assert.equal(bench.send(second), 'TunnelReassembly');
    assert.equal(lost(bench), 0, 'they may still become whole');
    bench.pass(9);
    assert.equal(lost(bench), 0);
    bench.pass(2);
    assert.equal(lost(bench), 2);
    assert.equal(bench.send(third), 'TunnelReassembly');
    bench.pass(12);
    assert.equal(lost(bench), 3);
    assert.equal(sendAll(bench, [third, second, first]).length, 1, 'the identification is free');
  });

  it('of too many packets push out the oldest only', () => {
    const bench = new Bench({ line: OWN_TUNNEL });
    const whole = answers(bench, ...new Array(SLOTS + 1).fill(1000));
    const parts = whole.map((packet, i) => tunnelFragments(packet, 520, 1000 + i));
    parts.forEach(([first]) => {
      assert.equal(bench.send(first), 'TunnelReassembly');
      bench.pass(0.25);
    });
    assert.equal(lost(bench), 1);
    const out = sendAll(
      bench,
      parts.slice(1).map(([, second]) => second),
    );
    assert.equal(out.length, SLOTS);
    assert.equal(bench.send(parts[0][1]), 'TunnelReassembly');
  });

  it('carry congestion to the packet if one of them was marked', () => {
    for (const [marks, expected] of [
      [[2, 2], 2],
      [[2, 3], 3],
      [[3, 2], 3],
    ] as const) {
      const bench = new Bench({ line: OWN_TUNNEL });
      const [answer] = answers(bench, 1000);
      answer[1] = 2;
      const sum = (answer[10] << 8) | answer[11];
      // The checksum falls by what the TOS rose.
      answer[10] = (sum - 2) >> 8;
      answer[11] = sum - 2;
      const parts = [
        tunnelFragment(answer, 0, 512, 1, { trafficClass: marks[0] }),
        tunnelFragment(answer, 512, answer.length, 1, { trafficClass: marks[1] }),
      ];
      const [out] = sendAll(bench, parts);
      assert.equal(out[1] & 3, expected);
      assert.deepEqual(checksumProblems(out), []);
    }
  });

  it('are no part of a line without a tunnel', () => {
    const bench = new Bench();
    const [answer] = answers(bench, 1000);
    assert.equal(bench.send(tunnelFragment(answer, 0, 512, 1)), 'KernelChatter');
  });
});

function bytesWithTtl(packet: Uint8Array, ttl: number): Uint8Array {
  const copy = packet.slice();
  const sum = ((copy[10] << 8) | copy[11]) - ((ttl - copy[8]) << 8);
  const folded = sum < 0 ? sum + 0xffff : sum;
  copy[8] = ttl;
  copy[10] = folded >> 8;
  copy[11] = folded;
  return copy;
}
