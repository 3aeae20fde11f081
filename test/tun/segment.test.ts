/**
 * What the addon does behind the verdict ENCAPSULATE, on buffers. The oracle is in TypeScript and shares nothing with it: segments are
 * joined again and held against the superpacket, every checksum is computed anew.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { COALESCE, ENCAPSULATE, FORWARDED } from '../../core/verdict.ts';
import { readU16, writeU16 } from '../../core/wire/bytes.ts';
import { writeInto } from '../../tun/native.ts';
import { ACK, checksumProblems, FIN, tcp4, udp4 } from '../support/packets.ts';
import {
  CWR,
  FROM,
  flagsOf,
  GSO_TCPV4,
  GSO_UDP_L4,
  inner,
  numbered,
  PSH,
  payloadAt,
  payloadOf,
  segmentsOf,
  sequenceOf,
  TO,
  tcpAt,
  write,
} from '../support/written.ts';

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
