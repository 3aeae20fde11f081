/**
 * What the addon does behind the verdicts ENCAPSULATE and COALESCE, on buffers. The oracle is in TypeScript and shares nothing with it:
 * segments are joined again and held against the superpacket, every checksum is computed anew.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { COALESCE, ENCAPSULATE, FORWARDED } from '../../core/verdict.ts';
import { readI32, readU16, readU16le, writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { writeInto } from '../../tun/native.ts';
import { ACK, checksumProblems, FIN, ipv4, SYN, tcp4, udp4 } from '../support/packets.ts';

const PSH = 8;
const CWR = 128;
const OUTER_BYTES = 40;
const SLOT_BYTES = 66_000;
const GSO_TCPV4 = 1;
const GSO_UDP_L4 = 5;

interface Given {
  packet: Uint8Array;
  verdict: number;
  /** The transport checksum becomes partial, as a host with offload hands it over. */
  partial?: boolean;
  gsoType?: number;
  gsoSize?: number;
}

interface Written {
  flags: number;
  gsoType: number;
  headerLength: number;
  gsoSize: number;
  csumStart: number;
  csumOffset: number;
  packet: Uint8Array;
}

const outerHeader = (): Uint8Array => {
  const header = new Uint8Array(OUTER_BYTES).map((_, i) => 0x20 + i);
  header[0] = 0x60;
  return header;
};

/** Lays frames out as a batch has them, writes it, and reads what came. */
function write(frames: Given[]): Written[] {
  const bytes = new Uint8Array(frames.length * SLOT_BYTES).fill(0xa5);
  const descriptors = new Int32Array(frames.length * DESCRIPTOR_WORDS);
  frames.forEach((frame, i) => {
    const at = i * SLOT_BYTES + HEADROOM_BYTES;
    const virtio = at - VNET_HEADER_BYTES;
    bytes.set(frame.partial ? partialOf(frame.packet) : frame.packet, at);
    bytes.fill(0, virtio, at);
    bytes.set(outerHeader(), virtio - OUTER_BYTES);
    const l4 = (frame.packet[0] & 15) * 4;
    if (frame.partial) {
      bytes[virtio] = 1;
      bytes[virtio + 6] = l4;
      bytes[virtio + 8] = frame.packet[9] === 6 ? 16 : 6;
    }
    bytes[virtio + 1] = frame.gsoType ?? 0;
    bytes[virtio + 4] = (frame.gsoSize ?? 0) & 255;
    bytes[virtio + 5] = (frame.gsoSize ?? 0) >> 8;
    descriptors.set([at, frame.packet.length, 0, frame.verdict], i * DESCRIPTOR_WORDS);
  });

  const output = new Uint8Array(bytes.length * 3 + 100_000);
  const used = writeInto(bytes, descriptors, frames.length, output);
  assert.ok(used >= 0, `${-used} packets could not be written`);
  const written: Written[] = [];
  for (let at = 0; at < used; ) {
    const length = readU16le(output, at) | (readU16le(output, at + 2) << 16);
    const virtio = at + 4;
    written.push({
      flags: output[virtio],
      gsoType: output[virtio + 1],
      headerLength: readU16le(output, virtio + 2),
      gsoSize: readU16le(output, virtio + 4),
      csumStart: readU16le(output, virtio + 6),
      csumOffset: readU16le(output, virtio + 8),
      packet: output.slice(virtio + VNET_HEADER_BYTES, virtio + length),
    });
    at = virtio + length;
  }
  return written;
}

/** The packet with the folded pseudo-header sum where the transport checksum stands. */
function partialOf(packet: Uint8Array): Uint8Array {
  const partial = packet.slice();
  const l4 = (packet[0] & 15) * 4;
  const head = new Uint8Array(12);
  head.set(packet.slice(12, 20));
  head[9] = packet[9];
  writeU16(head, 10, packet.length - l4);
  writeU16(partial, l4 + (packet[9] === 6 ? 16 : 6), sumBytes(head, 0, 12));
  return partial;
}

/** Takes the outer header off, after a look at it. */
function inner({ packet, ...offload }: Written): Uint8Array {
  assert.deepEqual(
    Object.values(offload).every((value) => value === 0),
    true,
    'offload was asked for inside a tunnel',
  );
  const header = outerHeader();
  writeU16(header, 4, packet.length - OUTER_BYTES);
  assert.deepEqual(packet.slice(0, OUTER_BYTES), header);
  return packet.slice(OUTER_BYTES);
}

const tcpAt = (packet: Uint8Array): number => (packet[0] & 15) * 4;
const payloadAt = (packet: Uint8Array): number =>
  tcpAt(packet) + (packet[9] === 6 ? (packet[tcpAt(packet) + 12] >> 4) * 4 : 8);
const flagsOf = (packet: Uint8Array): number => packet[tcpAt(packet) + 13];
const sequenceOf = (packet: Uint8Array): number => readI32(packet, tcpAt(packet) + 4);
const payloadOf = (packet: Uint8Array): Uint8Array => packet.slice(payloadAt(packet));

function numbered(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) + seed * 31) & 255);
}

const FROM = '203.0.113.5:4924';
const TO = '198.51.100.7:40000';

describe('a packet behind its outer header', () => {
  it('keeps every byte, with a whole or a partial checksum of its own', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1400 }),
        fc.integer(),
        fc.boolean(),
        fc.boolean(),
        (size, seed, partial, isUdp) => {
          const payload = numbered(size, seed);
          const packet = isUdp
            ? udp4({ from: FROM, to: TO, payload })
            : tcp4({ from: FROM, to: TO, flags: ACK, payload, timestamp: seed });
          const [written, ...rest] = write([{ packet, verdict: ENCAPSULATE, partial }]);
          assert.equal(rest.length, 0);
          assert.deepEqual(inner(written), packet);
        },
      ),
    );
  });
});

describe('a superpacket behind its outer header', () => {
  it('is cut into TCP segments that make it again', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 60_000 }),
        fc.integer({ min: 200, max: 1420 }),
        fc.integer(),
        fc.constantFrom(0, FIN, PSH, FIN | PSH, CWR, CWR | PSH),
        fc.constantFrom<number[]>([], [1, 1, 1, 0], [7, 4, 4, 0]),
        fc.boolean(),
        (size, gsoSize, seq, flags, ipOptions, df) => {
          const payload = numbered(size, seq);
          const packet = tcp4({
            ...{ from: FROM, to: TO, flags: ACK | flags, seq, ack: 77, id: 65_530, df },
            ...{ payload, timestamp: seq, ipOptions },
          });
          const given = {
            packet,
            verdict: ENCAPSULATE,
            partial: true,
            gsoType: GSO_TCPV4,
            gsoSize,
          };
          const segments = write([given]).map(inner);
          assert.equal(segments.length, Math.ceil(size / gsoSize));

          segments.forEach((segment, i) => {
            const isLast = i === segments.length - 1;
            assert.deepEqual(checksumProblems(segment), []);
            assert.equal(readU16(segment, 2), segment.length);
            assert.equal(readU16(segment, 4), (65_530 + i) & 0xffff);
            assert.equal(sequenceOf(segment), (seq + i * gsoSize) | 0);
            if (!isLast) assert.equal(payloadOf(segment).length, gsoSize);
            const kept = flags & ~(isLast ? 0 : FIN | PSH) & ~(i === 0 ? 0 : CWR);
            assert.equal(flagsOf(segment), ACK | kept);
            // All else in the headers is as it was.
            const same = segment.slice(0, payloadAt(segment));
            const original = packet.slice(0, payloadAt(packet));
            for (const header of [same, original]) {
              const tcp = tcpAt(header);
              for (const at of [2, 4, 10, tcp + 4, tcp + 6, tcp + 16]) writeU16(header, at, 0);
              header[tcp + 13] = 0;
            }
            assert.deepEqual(same, original);
          });
          assert.deepEqual(Buffer.concat(segments.map(payloadOf)), Buffer.from(payload));
        },
      ),
    );
  });

  it('is cut into UDP datagrams', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 40_000 }),
        fc.integer({ min: 100, max: 1400 }),
        fc.integer(),
        (size, gsoSize, seed) => {
          const payload = numbered(size, seed);
          const packet = udp4({ from: FROM, to: TO, payload, id: 9, df: false });
          const given = { packet, verdict: ENCAPSULATE, partial: true, gsoSize };
          const datagrams = write([{ ...given, gsoType: GSO_UDP_L4 }]).map(inner);
          assert.equal(datagrams.length, Math.ceil(size / gsoSize));
          datagrams.forEach((datagram, i) => {
            assert.deepEqual(checksumProblems(datagram), []);
            assert.equal(readU16(datagram, 24), datagram.length - 20);
            assert.equal(readU16(datagram, 4), 9 + i);
          });
          assert.deepEqual(Buffer.concat(datagrams.map(payloadOf)), Buffer.from(payload));
        },
      ),
    );
  });

  it('of thousands of segments is not written', () => {
    const packet = tcp4({ from: FROM, to: TO, flags: ACK, payload: numbered(60_000, 1) });
    const given = { packet, verdict: ENCAPSULATE, partial: true, gsoType: GSO_TCPV4 };
    assert.equal(write([{ ...given, gsoSize: 30 }]).length, 2000);
    assert.throws(() => write([{ ...given, gsoSize: 20 }]), /1 packets could not be written/);
  });

  it('that cannot be one is not written, and counted', () => {
    const output = new Uint8Array(1000);
    const refused = (change: (bytes: Uint8Array, words: Int32Array) => void): number => {
      const bytes = new Uint8Array(2000);
      const packet = tcp4({ from: FROM, to: TO, flags: ACK, payload: numbered(500, 1) });
      bytes.set(packet, HEADROOM_BYTES);
      const virtio = HEADROOM_BYTES - VNET_HEADER_BYTES;
      bytes.set([1, GSO_TCPV4, 0, 0, 100, 0, 20, 0, 16], virtio);
      const words = new Int32Array([HEADROOM_BYTES, packet.length, 0, ENCAPSULATE]);
      change(bytes, words);
      return writeInto(bytes, words, 1, output);
    };
    const virtio = HEADROOM_BYTES - VNET_HEADER_BYTES;
    const changes: ((bytes: Uint8Array, words: Int32Array) => void)[] = [
      (bytes) => bytes.fill(0, virtio + 4, virtio + 6),
      (bytes) => bytes.fill(4, virtio + 1, virtio + 2),
      (bytes) => bytes.fill(0x41, HEADROOM_BYTES, HEADROOM_BYTES + 1),
      (bytes) => bytes.fill(0x10, HEADROOM_BYTES + 32, HEADROOM_BYTES + 33),
      (bytes) => bytes.fill(17, HEADROOM_BYTES + 9, HEADROOM_BYTES + 10),
      // A partial checksum whose field lies behind the packet.
      (bytes) => bytes.set([1, 0, 0, 0, 0, 0, 0xff, 0x7f], virtio),
      (_, words) => words.fill(51, 0, 1),
      (_, words) => words.fill(1990, 1, 2),
      (_, words) => words.fill(-1, 1, 2),
      (_, words) => words.fill(40, 1, 2),
    ];
    assert.deepEqual(changes.map(refused), new Array(changes.length).fill(-1));
    assert.ok(refused(() => {}) > 0, 'the packet is wrong without a change');
  });
});

/** Consecutive segments of a flow with these payload sizes. */
function segmentsOf(sizes: number[], change: Partial<Parameters<typeof tcp4>[0]> = {}): Given[] {
  let seq = 5000;
  return sizes.map((size, i) => {
    const payload = numbered(size, i);
    const packet = tcp4({ from: TO, to: FROM, flags: ACK, seq, payload, timestamp: 5, ...change });
    seq += size;
    return { packet, verdict: COALESCE };
  });
}

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

describe('frames of any bytes', () => {
  it('are written or refused, and nothing else is touched', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const frame = fc.record({
      verdict: fc.constantFrom(ENCAPSULATE, COALESCE, FORWARDED),
      offset: fc.constantFrom(HEADROOM_BYTES, 0, 12, 51, 52, 1900, -4),
      length: fc.constantFrom(1, 19, 20, 39, 40, 41, 52, 152, 500, 2000, 0, -1),
      changes: fc.array(fc.tuple(fc.nat(60), byte), { maxLength: 8 }),
      virtio: fc.tuple(
        byte,
        fc.constantFrom(0, 1, 1, 5, 4),
        byte,
        byte,
        byte,
        byte,
        byte,
        byte,
        byte,
      ),
    });
    const output = new Uint8Array(1 << 20);
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
        const slot = 2048;
        const bytes = new Uint8Array(slot * 12 + 4096).fill(0xa5);
        const words = new Int32Array(frames.length * DESCRIPTOR_WORDS);
        const [segment] = segmentsOf([100]);
        frames.forEach(({ verdict, offset, length, changes, virtio }, i) => {
          const at = i * slot + offset;
          words.set([at, length, 0, verdict], i * DESCRIPTOR_WORDS);
          if (at < VNET_HEADER_BYTES) return;
          bytes.set(segment.packet, at);
          bytes.set(virtio, at - VNET_HEADER_BYTES);
          for (const [place, value] of changes) bytes[at + place] = value;
        });
        const behind = bytes.slice(slot * 12 + 2048);
        const used = writeInto(bytes, words, frames.length, output);
        assert.ok(used >= -frames.length && used <= output.length);
        assert.deepEqual(bytes.slice(slot * 12 + 2048), behind);
      }),
      { numRuns: 2000 },
    );
  });
});
