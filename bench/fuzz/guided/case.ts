/**
 * A case: the number of a line, and what happens on it, step by step. What the fuzzer keeps, changes and writes to disk.
 *
 *   packet    bytes as they stand, or made from a packet that came out earlier in the same case (`of` counts back from the last):
 *               answer   from its receiver to its sender            error    an ICMP error that quotes it
 *               again    the packet itself, as if it looped         towards  a packet of a LAN host to its source: hairpin
 *             then, in this order: patches, new length, right checksums, a fragment of it, a tunnel header, an outer fragment.
 *   time      so many milliseconds pass, or are set back
 *   restart   a new engine over the same arena
 *
 * A step that refers to what came out follows the external port wherever a change before it has moved that; literal bytes would not.
 */
import {
  cut,
  fixHeader,
  fixTransport,
  headerBytes,
  i32,
  icmp,
  ipv6,
  put16,
  put32,
  tcp,
  u16,
  udp,
} from '../build.ts';
import type { Input } from '../input.ts';
import { BR, CE } from '../world.ts';

export type Base = 'bytes' | 'answer' | 'error' | 'again' | 'towards';
export const BASES: readonly Base[] = ['bytes', 'answer', 'error', 'again', 'towards'];

/** Right checksums: none, of the IPv4 header, of the transport header too. */
export type Fix = 0 | 1 | 2;

export interface PacketStep {
  kind: 'packet';
  base: Base;
  of: number;
  /** Flags of a TCP answer; type << 8 | code and next-hop MTU << 16 of an error. */
  word: number;
  /** The packet, or the payload of what is made. */
  bytes: Uint8Array;
  /** Offset << 8 | value. */
  patches: number[];
  /** -1: as it is. */
  length: number;
  fix: Fix;
  /** flags, gsoType, gsoSize, csumStart, csumOffset */
  virtio: [number, number, number, number, number];
  /** Bytes a fragment, number of the fragment; 0: whole. */
  cut: [number, number];
  /** 0: none, 1: from the relay, 2: from somebody else. */
  tunnel: number;
  /** Bytes an outer fragment, its number, identification. */
  outer: [number, number, number];
  /** Sent so often, each time with the 16-bit word at `vary` one higher. */
  times: number;
  vary: number;
  /** In one batch with the packet before it. */
  together: boolean;
}

export type Step = PacketStep | { kind: 'time'; milliseconds: number } | { kind: 'restart' };

export interface Case {
  variant: number;
  steps: Step[];
}

export const STEPS_MAX = 24;
export const TIMES_MAX = 60;
const BYTES_MAX = 65535;
const STRANGER = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);

export const literal = (bytes: Uint8Array): PacketStep => ({
  kind: 'packet',
  base: 'bytes',
  of: 0,
  word: 0,
  bytes,
  patches: [],
  length: -1,
  fix: 0,
  virtio: [0, 0, 0, 0, 0],
  cut: [0, 0],
  tunnel: 0,
  outer: [0, 0, 0],
  times: 1,
  vary: 0,
  together: false,
});

export const copyStep = (step: Step): Step =>
  step.kind !== 'packet'
    ? { ...step }
    : {
        ...step,
        bytes: step.bytes.slice(),
        patches: step.patches.slice(),
        virtio: [...step.virtio],
        cut: [...step.cut],
        outer: [...step.outer],
      };

export const copyCase = ({ variant, steps }: Case): Case => ({
  variant,
  steps: steps.map(copyStep),
});

export const toJson = (input: Case): string =>
  JSON.stringify(input, (_key, value) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  );

export function fromJson(text: string): Case {
  const input = JSON.parse(text) as Case;
  for (const step of input.steps)
    if (step.kind === 'packet')
      step.bytes = Uint8Array.from(Buffer.from(step.bytes as unknown as string, 'hex'));
  return input;
}

/** The packet of a step, `round` times after the first. @param outputs what came out so far, oldest first */
export function inputOf(step: PacketStep, round: number, outputs: readonly Uint8Array[]): Input {
  let bytes = baseOf(step, outputs);
  const { patches, length, virtio } = step;
  for (const patch of patches) if (patch >>> 8 < bytes.length) bytes[patch >>> 8] = patch;
  if (round > 0 && step.vary + 2 <= bytes.length)
    put16(bytes, step.vary, u16(bytes, step.vary) + round);
  if (length >= 0 && length !== bytes.length) bytes = resized(bytes, Math.min(length, BYTES_MAX));
  if (step.fix > 0 && isFixable(bytes)) {
    if (step.fix === 2 && u16(bytes, 2) <= bytes.length) fixTransport(bytes);
    fixHeader(bytes);
  }
  if (step.cut[0] > 0 && isFixable(bytes)) bytes = fragment(bytes, step.cut[0], step.cut[1]);
  if (step.tunnel > 0) bytes = ipv6(4, step.tunnel === 1 ? BR : STRANGER, CE, bytes);
  if (step.tunnel > 0 && step.outer[0] > 0) bytes = outerFragment(bytes, step.outer);
  const [flags, gsoType, gsoSize, csumStart, csumOffset] = virtio;
  return { bytes, flags, gsoType, gsoSize, csumStart, csumOffset, datagram: 0 };
}

function baseOf(step: PacketStep, outputs: readonly Uint8Array[]): Uint8Array {
  if (step.base === 'bytes' || outputs.length === 0) return step.bytes.slice();
  const output = outputs[outputs.length - 1 - (step.of % outputs.length)];
  if (step.base === 'again') return output.slice();
  const from = i32(output, 16);
  const to = i32(output, 12);
  if (step.base === 'error') {
    const { word } = step;
    return icmp({ from, to }, (word >>> 8) & 255, word & 255, word >>> 16, output.slice(0, 576));
  }
  const l4 = headerBytes(output);
  if (l4 + 20 > output.length) return step.bytes.slice();
  if (step.base === 'towards') return towards(step, output, l4);
  const ends = { from, to, fromPort: u16(output, l4 + 2), toPort: u16(output, l4) };
  if (output[9] === 17) return udp(ends, step.bytes);
  if (output[9] === 1)
    return icmp({ from, to }, output[l4] === 8 ? 0 : 8, 0, i32(output, l4 + 4), step.bytes);
  const seq = i32(output, l4 + 8);
  const consumed = (output[l4 + 13] & 3) > 0 ? 1 : 0;
  const payload = Math.max(0, output.length - l4 - ((output[l4 + 12] >> 4) << 2));
  const ack = (i32(output, l4 + 4) + consumed + payload) | 0;
  return tcp({ ...ends, flags: step.word & 63, seq, ack }, step.bytes);
}

/** From the endpoint that the literal bytes name to where `output` came from. */
function towards(step: PacketStep, output: Uint8Array, l4: number): Uint8Array {
  const bytes = step.bytes.slice();
  if (!isFixable(bytes) || headerBytes(bytes) + 4 > bytes.length) return bytes;
  put32(bytes, 16, i32(output, 12));
  put16(bytes, headerBytes(bytes) + 2, u16(output, l4));
  if (u16(bytes, 2) <= bytes.length) fixTransport(bytes);
  fixHeader(bytes);
  return bytes;
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const copy = new Uint8Array(length);
  copy.set(bytes.subarray(0, length));
  return copy;
}

/** True if it begins like an IPv4 packet, so that checksums have a place in it. */
export const isFixable = (bytes: Uint8Array): boolean =>
  bytes.length >= 20 &&
  bytes[0] >> 4 === 4 &&
  headerBytes(bytes) >= 20 &&
  headerBytes(bytes) <= bytes.length;

function fragment(bytes: Uint8Array, size: number, number: number): Uint8Array {
  const parts = cut(bytes, Math.max(8, size & ~7, (bytes.length >> 9) << 3));
  return parts.length === 0 ? bytes : parts[number % parts.length];
}

/** A part of a tunnel packet, behind a fragment header. */
function outerFragment(whole: Uint8Array, [size, number, id]: readonly number[]): Uint8Array {
  const payload = whole.subarray(40);
  const step = Math.max(8, size & ~7);
  const at = (number % Math.max(1, Math.ceil(payload.length / step))) * step;
  const part = payload.subarray(at, at + step);
  const bytes = new Uint8Array(48 + part.length);
  bytes.set(whole.subarray(0, 40));
  put16(bytes, 4, 8 + part.length);
  bytes[6] = 44;
  bytes[40] = 4;
  put16(bytes, 42, at | (at + part.length < payload.length ? 1 : 0));
  put32(bytes, 44, id);
  bytes.set(part, 48);
  return bytes;
}
