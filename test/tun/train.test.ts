/** What the addon makes of datagrams that follow each other, on buffers: a train is cut again, and must be what came, in the same order. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ENCAPSULATE, FORWARDED } from '../../core/verdict.ts';
import { writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { checksumProblems, udp4 } from '../support/packets.ts';
import {
  FROM,
  type Given,
  GSO_UDP_L4,
  inner,
  numbered,
  partialOf,
  TO,
  type Written,
  write,
} from '../support/written.ts';

type Change = Partial<Parameters<typeof udp4>[0]>;

/** Datagrams of one flow with these payload sizes, as a card with checksum offload hands them over. */
const datagrams = (sizes: number[], change: Change = {}): Given[] =>
  sizes.map((size, i) => ({
    packet: udp4({ from: FROM, to: TO, payload: numbered(size, i), ...change }),
    verdict: FORWARDED,
    valid: true,
  }));

/** What the kernel hands to the next interface: the datagrams of a train, each with a whole checksum. */
function cut(written: Written): Uint8Array[] {
  const { packet, gsoType, gsoSize, flags } = written;
  if (gsoType === 0) {
    if (flags !== 1) return [packet];
    return write([{ packet, verdict: ENCAPSULATE, partial: true }]).map(inner);
  }
  assert.equal(gsoType, GSO_UDP_L4);
  assert.deepEqual(
    [flags, written.headerLength, written.csumStart, written.csumOffset],
    [1, 28, 20, 6],
  );
  assert.equal(sumBytes(packet, 0, 20), 0xffff, 'IPv4 header checksum');
  assert.deepEqual(packet, partialOf(packet), 'partial checksum');
  return write([{ packet, verdict: ENCAPSULATE, gsoType, gsoSize, partial: true }]).map(inner);
}

/** With DF the identification means nothing, and the kernel counts it up. */
function comparable(packet: Uint8Array): string {
  const copy = packet.slice();
  if ((copy[6] & 0x40) !== 0) {
    writeU16(copy, 4, 0);
    writeU16(copy, 10, 0);
  }
  return Buffer.from(copy).toString('hex');
}

describe('datagrams that follow each other', () => {
  it('become one superpacket, from which the kernel makes them again', () => {
    const sizes = fc
      .tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 2, max: 64 }), fc.nat())
      .map(([size, count, last]) => [...new Array(count - 1).fill(size), 1 + (last % size)]);
    fc.assert(
      fc.property(sizes, fc.boolean(), (all, partial) => {
        const given = datagrams(all).map((one) =>
          partial ? { ...one, valid: false, partial } : one,
        );
        const written = write(given);
        assert.equal(written.length, 1);
        assert.equal(written[0].gsoSize, all[0]);
        const again = cut(written[0]);
        assert.deepEqual(
          again.map(comparable),
          given.map(({ packet }) => comparable(packet)),
        );
        for (const packet of again) assert.deepEqual(checksumProblems(packet), []);
      }),
    );
  });

  it('of several flows, mixed with what is not to be merged, come out as they came in', () => {
    const step = fc.record({
      flow: fc.constantFrom(0, 0, 0, 1),
      size: fc.constantFrom(100, 100, 100, 60, 200, 0),
      change: fc.constantFrom<Change>(
        {},
        {},
        {},
        { ttl: 9 },
        { df: false, id: 7 },
        { df: false, id: 8 },
        { ipOptions: [1, 1, 1, 0] },
        { checksum: 0 },
      ),
      kind: fc.constantFrom<Partial<Given>>(
        { valid: true },
        { valid: true },
        { partial: true },
        {},
      ),
      verdict: fc.constantFrom(FORWARDED, FORWARDED, FORWARDED, -1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const given = steps.map(({ flow, size, change, kind, verdict }, i): Given => {
          const from = `203.0.113.5:${4924 + flow}`;
          const packet = udp4({ from, to: TO, payload: numbered(size, i), ...change });
          return { packet, verdict, ...(change.checksum === 0 ? {} : kind) };
        });
        const went = given
          .filter(({ verdict }) => verdict >= 0)
          .map(({ packet }) => comparable(packet));
        assert.deepEqual(write(given).flatMap(cut).map(comparable), went);
      }),
      { numRuns: 300 },
    );
  });

  const count = (first: Given, second: Given): number => write([first, second]).length;
  const [one] = datagrams([100]);

  it('are merged only if nothing tells them apart', () => {
    const next = (change: Change, size = 100): Given => datagrams([size], change)[0];
    assert.equal(count(one, next({})), 1);
    assert.equal(count(one, next({}, 99)), 1);
    assert.equal(count(one, next({}, 101)), 2);
    assert.equal(count(one, next({ to: '198.51.100.7:40001' })), 2);
    assert.equal(count(one, next({ from: '203.0.113.6:4924' })), 2);
    assert.equal(count(one, next({ ttl: 9 })), 2);
    assert.equal(count(one, next({ ipOptions: [1, 1, 1, 0] })), 2);
    const loose = { df: false };
    assert.equal(count(next({ ...loose, id: 7 }), next({ ...loose, id: 8 })), 1);
    assert.equal(count(next({ ...loose, id: 7 }), next({ ...loose, id: 9 })), 2);
    assert.equal(count(next({ ...loose, id: 0xffff }), next({ ...loose, id: 0 })), 1);
  });

  it('are left alone where nobody vouches for the checksum, or there is none', () => {
    const unknown = { ...one, valid: false };
    assert.equal(count(unknown, unknown), 2);
    const none = { ...datagrams([100], { checksum: 0 })[0] };
    assert.equal(count(none, none), 2);
  });

  it('are merged up to 64, and up to 64 KB', () => {
    assert.deepEqual(
      write(datagrams(new Array(130).fill(100))).map(({ packet }) => (packet.length - 28) / 100),
      [64, 64, 2],
    );
    const large = write(datagrams(new Array(60).fill(1400)));
    assert.deepEqual(
      large.map(({ packet }) => (packet.length - 28) / 1400),
      [46, 14],
    );
  });

  it('that are longer than their header says, or shorter, are left alone', () => {
    const [first, second] = datagrams([100, 100]);
    writeU16(second.packet, 24, 50);
    assert.equal(count(first, second), 2);
    assert.equal(count(second, first), 2);
  });
});
