/**
 * How the fuzz run of the addon lays packets out, and what must hold of what comes out.
 *
 *   | room | packet | a5 a5 … | room | packet | a5 a5 … | room | packet |
 *   ^ first byte of the buffer                                last byte ^
 *
 * The room in front of the first packet is as short as a frame allows, and the last packet ends
 * with the buffer, so that one byte too many in either direction is outside. Some descriptors lie:
 * their frame lies outside, wholly or by a byte. Such a frame must be counted as not written.
 */
import { DESCRIPTOR_WORDS, VNET_HEADER_BYTES } from '../../../core/frames.ts';
import { ACK, fixHeader, fixTransport, headerBytes, put16, put32, tcp, udp } from '../build.ts';
import type { Dice } from '../dice.ts';
import { type Input, makePartial, plain } from '../input.ts';

const OUTER_BYTES = 40;
const ROOM_BYTES = OUTER_BYTES + VNET_HEADER_BYTES;
const GUARD_BYTES = 64;
const GUARD = 0xa5;
const ENCAPSULATE = 2;
const PACKET_BYTES_MAX = 65535;
/** VIRTIO_NET_HDR_F_DATA_VALID. */
const DATA_VALID = 2;
const VERDICTS = [0, 1, 2, 2, 2, 3, 3, 3, -1, -40, 4, 0x7fffffff];
const OFFSETS_ODD = [-0x80000000, -1, 0, 1, 11, 12, 51, 52, 53, 0x7ffffff0, 0x7fffffff];
const LENGTHS_ODD = [-0x80000000, -1, 0, 1, 19, 20, 39, 40, 65535, 65536, 0x7fffffff];

export interface Layout {
  bytes: Uint8Array;
  words: Int32Array;
  count: number;
  /** Where each packet was laid, and where it ends; not what its descriptor says. */
  spans: [number, number][];
  /** A descriptor says something else. */
  lies: boolean;
}

/** Lays inputs out; verdicts and descriptors are by chance, unless all are to have one verdict. */
export function layOut(dice: Dice, inputs: readonly Input[], verdict?: number): Layout {
  const spans: [number, number][] = [];
  let at = dice.chance(70) ? ROOM_BYTES : VNET_HEADER_BYTES;
  for (const { bytes } of inputs) {
    spans.push([at, at + bytes.length]);
    at += bytes.length + GUARD_BYTES + ROOM_BYTES;
  }
  const bytes = new Uint8Array(at - GUARD_BYTES - ROOM_BYTES).fill(GUARD);
  const words = new Int32Array(inputs.length * DESCRIPTOR_WORDS);
  const layout: Layout = { bytes, words, count: inputs.length, spans, lies: false };
  inputs.forEach((input, i) => {
    const [start] = spans[i];
    if (start >= ROOM_BYTES) writeOuter(dice, bytes, start - ROOM_BYTES);
    writeVirtio(bytes, start - VNET_HEADER_BYTES, input);
    bytes.set(input.bytes, start);
    const d = i * DESCRIPTOR_WORDS;
    words[d] = start;
    words[d + 1] = input.bytes.length;
    words[d + 2] = (input.gsoSize << 16) | (input.gsoType << 8) | input.flags;
    words[d + 3] = verdict ?? dice.pick(VERDICTS);
    if (verdict === undefined && dice.chance(6)) lie(dice, layout, d);
  });
  return layout;
}

/** Frames to be written that lie outside of `length` bytes, or are longer than a packet can be. */
export function misplaced(words: Int32Array, count: number, length: number): number {
  let outside = 0;
  for (let d = 0; d < count * DESCRIPTOR_WORDS; d += DESCRIPTOR_WORDS) {
    if (words[d + 3] < 0) continue;
    const room = words[d + 3] === ENCAPSULATE ? ROOM_BYTES : VNET_HEADER_BYTES;
    const size = words[d + 1];
    const isSize = size > 0 && size <= PACKET_BYTES_MAX;
    if (!isSize || words[d] < room || words[d] + size > length) outside++;
  }
  return outside;
}

/** Says what is wrong with the bytes around the packets after they were written out. */
export function guardFault({ bytes, spans, lies }: Layout): string | undefined {
  if (lies) return undefined;
  for (let i = 1; i < spans.length; i++) {
    for (let at = spans[i - 1][1]; at < spans[i][0] - ROOM_BYTES; at++)
      if (bytes[at] !== GUARD) return `byte ${at} between two frames was written`;
  }
  return undefined;
}

/** Says what is wrong with `used` bytes of packets, each behind its length. */
export function outputFault(output: Uint8Array, used: number): string | undefined {
  const view = new DataView(output.buffer, output.byteOffset, output.length);
  if (used > output.length) return `${used} bytes used of ${output.length}`;
  let at = 0;
  while (at < used) {
    const length = view.getUint32(at, true);
    if (length <= VNET_HEADER_BYTES || length > VNET_HEADER_BYTES + OUTER_BYTES + PACKET_BYTES_MAX)
      return `a packet of ${length} bytes at ${at}`;
    at += 4 + length;
  }
  return at === used ? undefined : `the last packet ends at ${at}, not at ${used}`;
}

/** What frames that are written as they stand come to, one after the other. */
export function asTheyStand({ bytes, spans }: Layout): Uint8Array {
  const parts = spans.flatMap(([start, end]) => {
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, VNET_HEADER_BYTES + end - start, true);
    return [length, bytes.slice(start - VNET_HEADER_BYTES, end)];
  });
  return Buffer.concat(parts);
}

/** Cuts a packet off within its headers, and says that it is a superpacket. */
export function beheadSuperpacket(dice: Dice, input: Input): void {
  input.bytes = input.bytes.slice(0, dice.between(20, 64));
  input.gsoType = dice.pick([1, 1, 5]);
  input.gsoSize = dice.pick([1, 100, 1420]);
}

/** Segments that follow each other on one flow, more than one superpacket takes now and then. */
export function train(dice: Dice): Input[] {
  const size = dice.pick([1, 100, 536, 900, 1024, 1420]);
  const head = { from: dice.next(), to: dice.next(), ttl: 64, df: dice.chance(70), id: 7 };
  const ends = { ...head, fromPort: dice.below(65536), toPort: 443, flags: ACK, ack: 1 };
  let seq = dice.next();
  // A long one has no flaw, or it would never get as far as a superpacket's last part.
  const isLong = dice.chance(30);
  return Array.from({ length: isLong ? dice.between(60, 70) : dice.between(2, 9) }, (_, i) => {
    const payload = dice.bytes(isLong || dice.chance(95) ? size : dice.below(size + 2));
    const bytes = tcp({ ...ends, seq, id: 7 + i, tcpOptions: new Uint8Array(0) }, payload);
    seq = (seq + payload.length) | 0;
    // One in twenty with other flags, or another window: it ends the superpacket, or begins one.
    if (!isLong && dice.chance(5)) {
      put16(bytes, headerBytes(bytes) + dice.pick([12, 14]), dice.below(65536));
      fixTransport(bytes);
      fixHeader(bytes);
    }
    return plain(bytes);
  });
}

/** Datagrams of one flow, which the kernel vouches for; more than one superpacket takes now and then. */
export function datagramTrain(dice: Dice): Input[] {
  const size = dice.pick([1, 64, 536, 1200, 1420]);
  const head = { from: dice.next(), to: dice.next(), ttl: 64, df: dice.chance(70) };
  const ends = { ...head, fromPort: dice.below(65536), toPort: 443 };
  const isLong = dice.chance(40);
  return Array.from({ length: isLong ? dice.between(60, 75) : dice.between(2, 9) }, (_, i) => {
    const payload = dice.bytes(isLong || dice.chance(90) ? size : dice.below(size + 2));
    const input = plain(udp({ ...ends, id: 7 + i }, payload));
    return dice.chance(50) ? makePartial(input) : { ...input, flags: DATA_VALID };
  });
}

function lie(dice: Dice, layout: Layout, d: number): void {
  const { words, bytes } = layout;
  layout.lies = true;
  if (dice.chance(50)) words[d] = dice.pick([...OFFSETS_ODD, bytes.length, bytes.length - 1]);
  else {
    const rest = bytes.length - words[d];
    words[d + 1] = dice.pick([...LENGTHS_ODD, rest, rest + 1, rest - 1, rest + 64]);
  }
}

function writeOuter(dice: Dice, bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + OUTER_BYTES);
  bytes[at] = 0x60;
  bytes[at + 6] = 4;
  bytes[at + 7] = 64;
  for (const start of [at + 8, at + 24]) {
    put32(bytes, start, 0x20010db8);
    bytes[start + 15] = dice.between(1, 3);
  }
}

function writeVirtio(bytes: Uint8Array, at: number, input: Input): void {
  bytes.fill(0, at, at + VNET_HEADER_BYTES);
  bytes[at] = input.flags;
  bytes[at + 1] = input.gsoType;
  const words = [0, input.gsoSize, input.csumStart, input.csumOffset];
  words.forEach((value, i) => {
    bytes[at + 2 + 2 * i] = value;
    bytes[at + 3 + 2 * i] = value >> 8;
  });
}
