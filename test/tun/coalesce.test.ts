/**
 * What the addon does behind the verdict COALESCE, on buffers: what it has merged is cut again, and must be what came. Checksums are
 * computed anew.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { COALESCE, ENCAPSULATE, FORWARDED } from '../../core/verdict.ts';
import { readU16, writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { ACK, checksumProblems, FIN, ipv4, SYN, tcp4, udp4 } from '../support/packets.ts';
import {
  CWR,
  FROM,
  type Given,
  GSO_TCPV4,
  inner,
  numbered,
  PSH,
  partialOf,
  payloadAt,
  payloadOf,
  segmentsOf,
  sequenceOf,
  TO,
  tcpAt,
  type Written,
  write,
} from '../support/written.ts';

/** Cuts what was written into segments again, as the kernel would. */
function resegment(written: Written): Uint8Array[] {
  if (written.gsoType === 0) return [written.packet];
  assert.equal(written.gsoType, GSO_TCPV4);
  assert.equal(written.flags, 1);
  assert.equal(written.csumStart, 20);
  assert.equal(written.csumOffset, 16);
  assert.equal(written.headerLength, payloadAt(written.packet));
  assert.equal(sumBytes(written.packet, 0, 20), 0xffff, 'IPv4 header checksum');
  const { packet, gsoSize } = written;
  assert.deepEqual(packet, partialOf(packet), 'partial checksum');
  return write([{ packet, verdict: ENCAPSULATE, gsoType: GSO_TCPV4, gsoSize, partial: true }]).map(
    inner,
  );
}

const withoutId = (packet: Uint8Array): Uint8Array => {
  const copy = packet.slice();
  writeU16(copy, 4, 0);
  writeU16(copy, 10, 0);
  return copy;
};

describe('TCP segments that follow each other', () => {
  it('become one superpacket, from which the kernel makes them again', () => {
    const sizes = fc
      .tuple(fc.integer({ min: 1, max: 1420 }), fc.integer({ min: 2, max: 40 }), fc.nat())
      .map(([size, count, last]) => [...new Array(count - 1).fill(size), 1 + (last % size)]);
    fc.assert(
      fc.property(sizes, fc.boolean(), fc.boolean(), (all, partial, hasPush) => {
        const given = segmentsOf(all).map((one) => ({ ...one, partial }));
        if (hasPush) {
          const last = given.length - 1;
          const seq = sequenceOf(given[last].packet);
          const payload = payloadOf(given[last].packet);
          const same = { from: TO, to: FROM, seq, payload, timestamp: 5 };
          given[last].packet = tcp4({ ...same, flags: ACK | PSH });
        }
        const written = write(given);
        assert.equal(written.length, 1);
        assert.equal(written[0].gsoSize, all[0]);
        const again = resegment(written[0]);
        assert.deepEqual(
          again.map(withoutId),
          given.map((one) => withoutId(one.packet)),
        );
      }),
    );
  });

  it('of several flows, mixed with others, keep their order and lose nothing', () => {
    const change = fc.constantFrom<Partial<Parameters<typeof tcp4>[0]>>(
      {},
      {},
      {},
      { flags: ACK | PSH },
      { flags: ACK | FIN },
      { flags: SYN },
      { ack: 99 },
      { timestamp: 6 },
      { ttl: 9 },
      { df: false, id: 7 },
      { ipOptions: [1, 1, 1, 0] },
    );
    const step = fc.record({
      flow: fc.integer({ min: 0, max: 11 }),
      size: fc.constantFrom(0, 100, 100, 100, 60, 200),
      gap: fc.constantFrom(0, 0, 0, 1),
      change,
      spoilt: fc.constantFrom(false, false, false, true),
      verdict: fc.constantFrom(COALESCE, COALESCE, COALESCE, FORWARDED, -1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const next = new Array(12).fill(1000);
        const given: Given[] = steps.map(({ flow, size, gap, change, spoilt, verdict }, i) => {
          const seq = next[flow] + gap;
          next[flow] = seq + size;
          const from = `198.51.100.7:${30_000 + flow}`;
          const payload = numbered(size, i);
          const packet = tcp4({
            from,
            to: FROM,
            flags: ACK,
            seq,
            payload,
            timestamp: 5,
            ...change,
          });
          if (spoilt) packet[packet.length - 1] ^= 1;
          return { packet, verdict };
        });
        const flowOf = (packet: Uint8Array): number => readU16(packet, tcpAt(packet));
        const byFlow = (packets: Uint8Array[]): Map<number, string[]> => {
          const flows = new Map<number, string[]>();
          for (const packet of packets) {
            const hex = Buffer.from(withoutId(packet)).toString('hex');
            flows.set(flowOf(packet), [...(flows.get(flowOf(packet)) ?? []), hex]);
          }
          for (const [, list] of flows) list.sort();
          return flows;
        };
        const mayMerge = given.filter((one) => one.verdict === COALESCE).map((one) => one.packet);
        const rest = given.filter((one) => one.verdict === FORWARDED).map((one) => one.packet);
        const written = write(given).flatMap(resegment);
        assert.deepEqual(byFlow(written), byFlow([...mayMerge, ...rest]));

        // In order: what may merge of a flow comes out in the order in which it came in.
        const hexes = (packets: Uint8Array[]): string[] =>
          packets.map((packet) => Buffer.from(withoutId(packet)).toString('hex'));
        const kept = new Set(hexes(mayMerge));
        for (let flow = 0; flow < 12; flow++) {
          const ofFlow = (packets: Uint8Array[]): string[] =>
            hexes(packets.filter((packet) => flowOf(packet) === 30_000 + flow));
          const came = ofFlow(written).filter((hex) => kept.has(hex));
          const went = new Set(ofFlow(mayMerge));
          assert.deepEqual([...new Set(came)], [...went]);
        }
      }),
      { numRuns: 300 },
    );
  });

  const pair = (
    first: Partial<Parameters<typeof tcp4>[0]>,
    second: Partial<Parameters<typeof tcp4>[0]>,
  ): number => {
    const [a] = segmentsOf([100], first);
    const [, b] = segmentsOf([100, 100], { ...first, ...second });
    return write([a, b]).length;
  };

  it('are merged only if nothing tells them apart', () => {
    assert.equal(pair({}, {}), 1, 'two that fit');
    assert.equal(pair({}, { flags: ACK | PSH }), 1, 'PSH on the last');
    assert.equal(pair({ df: false, id: 7 }, { id: 8 }), 1, 'identification counted up');
    assert.equal(pair({ id: 7 }, { id: 7 }), 1, 'with DF it means nothing');

    assert.equal(pair({ flags: ACK | PSH }, {}), 2, 'PSH before the last');
    assert.equal(pair({}, { flags: ACK | FIN }), 2, 'FIN');
    assert.equal(pair({}, { flags: ACK | CWR }), 2, 'CWR');
    assert.equal(pair({}, { ack: 1 }), 2, 'another acknowledgement');
    assert.equal(pair({}, { timestamp: 6 }), 2, 'another timestamp');
    assert.equal(pair({}, { mss: 1000 }), 2, 'other options');
    assert.equal(pair({}, { ttl: 62 }), 2, 'another TTL');
    assert.equal(pair({}, { df: false, id: 1 }), 2, 'another DF');
    assert.equal(pair({ df: false, id: 7 }, { id: 9 }), 2, 'identification not the next');
    assert.equal(pair({}, { seq: 5101 }), 2, 'a hole');
    assert.equal(pair({}, { seq: 5000 }), 2, 'the same again');
    assert.equal(pair({}, { from: '198.51.100.7:40001' }), 2, 'another flow');
    assert.equal(pair({}, { payload: numbered(101, 1) }), 2, 'longer than the first');
    assert.equal(pair({}, { payload: new Uint8Array(0) }), 2, 'nothing in it');
    assert.equal(pair({ ipOptions: [1, 1, 1, 0] }, {}), 2, 'IPv4 options');
  });

  it('another TOS or window tells them apart, and a wrong checksum is kept wrong', () => {
    const spoil = (at: number, value: number): Written[] => {
      const [a, b] = segmentsOf([100, 100]);
      b.packet[at] = value;
      return write([a, b]);
    };
    const [a, b] = segmentsOf([100, 100]);
    assert.equal(write([a, b]).length, 1);
    assert.equal(spoil(1, 4).length, 2, 'IPv4 header checksum');
    const wrong = spoil(b.packet.length - 1, b.packet[b.packet.length - 1] ^ 0x10);
    assert.equal(wrong.length, 2, 'TCP checksum');
    assert.deepEqual(checksumProblems(wrong[1].packet), ['transport checksum of protocol 6']);

    const retos = (packet: Uint8Array): Uint8Array => {
      const copy = packet.slice();
      copy[1] = 3;
      writeU16(copy, 10, 0);
      writeU16(copy, 10, ~sumBytes(copy, 0, 20) & 0xffff);
      return copy;
    };
    assert.equal(write([a, { ...b, packet: retos(b.packet) }]).length, 2, 'TOS');
    const rewindow = (packet: Uint8Array): Uint8Array => {
      const copy = packet.slice();
      writeU16(copy, 34, 1000);
      // 65,535 is minus zero in one's complement: the checksum falls by 1,000.
      writeU16(copy, 36, (readU16(copy, 36) + 0xffff - 1000) % 0xffff);
      return copy;
    };
    const other = rewindow(b.packet);
    assert.deepEqual(checksumProblems(other), []);
    assert.equal(write([a, { ...b, packet: other }]).length, 2, 'window');
  });

  it('are merged up to 64 KB and no further', () => {
    const written = write(segmentsOf(new Array(60).fill(1400)));
    assert.deepEqual(
      written.map((one) => one.packet.length),
      [52 + 46 * 1400, 52 + 14 * 1400],
    );
    const small = write(segmentsOf(new Array(70).fill(10)));
    assert.deepEqual(
      small.map((one) => one.packet.length),
      [52 + 640, 52 + 60],
    );
  });

  it('leave fragments and other protocols alone', () => {
    const [a, b] = segmentsOf([100, 100]).map((one) => {
      const packet = one.packet.slice();
      writeU16(packet, 6, 0x2000);
      writeU16(packet, 10, 0);
      writeU16(packet, 10, ~sumBytes(packet, 0, 20) & 0xffff);
      return { packet, verdict: COALESCE };
    });
    assert.equal(write([a, b]).length, 2);
    const odd = { packet: ipv4(47, { from: TO, to: FROM }, numbered(100, 2)), verdict: COALESCE };
    const udp = { packet: udp4({ from: TO, to: FROM }), verdict: COALESCE };
    assert.deepEqual(
      write([odd, udp, odd]).map((one) => one.packet),
      [odd.packet, udp.packet, odd.packet],
    );
  });
});
