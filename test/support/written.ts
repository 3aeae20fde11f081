/** What the addon writes of a batch, on buffers, and what tests look at in it. */
import assert from 'node:assert/strict';
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { COALESCE } from '../../core/verdict.ts';
import { readI32, readU16le, writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { writeInto } from '../../tun/native.ts';
import { ACK, tcp4 } from './packets.ts';

export const PSH = 8;
export const CWR = 128;
const OUTER_BYTES = 40;
const SLOT_BYTES = 66_000;
export const GSO_TCPV4 = 1;
export const GSO_UDP_L4 = 5;

export interface Given {
  packet: Uint8Array;
  verdict: number;
  /** The transport checksum becomes partial, as a host with offload hands it over. */
  partial?: boolean;
  /** The kernel says that the transport checksum is right (VIRTIO_NET_HDR_F_DATA_VALID). */
  valid?: boolean;
  gsoType?: number;
  gsoSize?: number;
}

export interface Written {
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
export function write(frames: Given[]): Written[] {
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
    if (frame.valid) bytes[virtio] = 2;
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
export function partialOf(packet: Uint8Array): Uint8Array {
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
export function inner({ packet, ...offload }: Written): Uint8Array {
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

export const tcpAt = (packet: Uint8Array): number => (packet[0] & 15) * 4;
export const payloadAt = (packet: Uint8Array): number =>
  tcpAt(packet) + (packet[9] === 6 ? (packet[tcpAt(packet) + 12] >> 4) * 4 : 8);
export const flagsOf = (packet: Uint8Array): number => packet[tcpAt(packet) + 13];
export const sequenceOf = (packet: Uint8Array): number => readI32(packet, tcpAt(packet) + 4);
export const payloadOf = (packet: Uint8Array): Uint8Array => packet.slice(payloadAt(packet));

export function numbered(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) + seed * 31) & 255);
}

export const FROM = '203.0.113.5:4924';
export const TO = '198.51.100.7:40000';

/** Consecutive segments of a flow with these payload sizes. */
export function segmentsOf(
  sizes: number[],
  change: Partial<Parameters<typeof tcp4>[0]> = {},
): Given[] {
  let seq = 5000;
  return sizes.map((size, i) => {
    const payload = numbered(size, i);
    const packet = tcp4({ from: TO, to: FROM, flags: ACK, seq, payload, timestamp: 5, ...change });
    seq += size;
    return { packet, verdict: COALESCE };
  });
}
