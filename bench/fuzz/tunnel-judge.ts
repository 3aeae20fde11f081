/**
 * What must hold for packets of a line with a tunnel, judged from the bytes alone:
 *
 *   - what leaves has its outer header where the line encapsulates here, or goes to a neighbour, and nowhere else;
 *   - that header leads to the relay, or to the neighbour who owns the destination;
 *   - what comes out of the tunnel was sent by the relay, or by the neighbour who owns its source.
 */
import { VNET_HEADER_BYTES } from '../../core/frames.ts';
import type { Line } from '../../core/translate/context.ts';
import { COALESCE, ENCAPSULATE } from '../../core/verdict.ts';
import { IPV6_HEADER_BYTES } from '../../core/wire/ipv6.ts';
import { i32, put32, u16 } from './build.ts';
import { type Input, plain } from './input.ts';
import type { Facts } from './judge.ts';
import { neighbourOf } from './mesh.ts';
import { BR, CE, EXTERNAL, isInternal } from './world.ts';

/** Facts of a packet of which nothing is known: it came together from fragments that were mutated. It may even be a neighbour's. */
export const NOTHING_KNOWN: Facts = {
  isSound: false,
  isWhole: false,
  isRight: false,
  hasUdpSum: false,
};
/** A frame that was appended belongs to some packet of the batch; it is judged as a sound fragment. */
export const SOUND_FRAGMENT: Facts = { ...NOTHING_KNOWN, isSound: true };
export const UNKNOWN: Input = plain(new Uint8Array(20));
put32(UNKNOWN.bytes, 12, EXTERNAL);

/**
 * The IPv4 packet that an input means: itself, or what it brings out of the tunnel.
 * @param spoiled tunnel packets of which a fragment was mutated
 */
export function effective(input: Input, spoiled: ReadonlySet<number>): Input {
  const { bytes, flags } = input;
  if (bytes.length < IPV6_HEADER_BYTES || bytes[0] >> 4 !== 6) return input;
  const end = Math.min(bytes.length, IPV6_HEADER_BYTES + u16(bytes, 4));
  if (bytes[6] === 4)
    return { ...input, bytes: bytes.subarray(IPV6_HEADER_BYTES, end), flags: flags & 1 };
  if (bytes[6] !== 44 || end < 48) return input;
  const isAtomic = (u16(bytes, 42) & 0xfff9) === 0;
  if (isAtomic) return { ...input, bytes: bytes.subarray(48, end), flags: 0 };
  const { inner, outerDatagram } = input;
  const isKnown = inner !== undefined && !spoiled.has(outerDatagram ?? 0);
  return isKnown ? { ...input, bytes: inner, flags: 0 } : UNKNOWN;
}

/** What is wrong with the way out of a frame, or undefined. @param start of the packet that comes out, in `bytes` */
export function outwardFault(
  { encapsulatesHere, mesh }: Line,
  verdict: number,
  bytes: Uint8Array,
  start: number,
  output: Uint8Array,
): string | undefined {
  const leaves = i32(output, 12) === EXTERNAL && !isInternal(i32(output, 16));
  let to: Uint8Array | undefined = encapsulatesHere ? BR : undefined;
  if (mesh !== undefined && leaves && (u16(output, 6) & 0x3fff) === 0) {
    const neighbour = neighbourOf(output, 1);
    if (neighbour !== undefined && Buffer.compare(neighbour, CE) !== 0) to = neighbour;
  }
  const isOuter = verdict === ENCAPSULATE;
  if (isOuter !== (leaves && to !== undefined))
    return `the verdict ${verdict} for what ${leaves ? 'leaves' : 'comes in'}`;
  if (!isOuter || to === undefined) return undefined;
  const outer = start - VNET_HEADER_BYTES - IPV6_HEADER_BYTES;
  let isRight = bytes[outer] >> 4 === 6 && bytes[outer + 6] === 4 && bytes[outer + 7] > 1;
  if (((u16(bytes, outer) >> 4) & 0xff) !== output[1]) isRight = false;
  for (let k = 0; k < 16; k++)
    if (bytes[outer + 8 + k] !== CE[k] || bytes[outer + 24 + k] !== to[k]) isRight = false;
  return isRight ? undefined : 'a wrong outer header';
}

/** What is wrong with the way in, or undefined. @param sent the packet as it came; @param inner what was in it, where that is known */
export function inwardFault(
  { ceAddress, mesh }: Line,
  verdict: number,
  sent: Uint8Array | undefined,
  inner: Uint8Array | undefined,
): string | undefined {
  if (verdict !== COALESCE) return undefined;
  if (ceAddress === undefined || sent === undefined) return 'there is no tunnel to come out of';
  const from = sent.subarray(8, 24);
  if (Buffer.compare(from, BR) === 0) return undefined;
  if (inner === undefined || (u16(inner, 6) & 0x1fff) !== 0) return undefined;
  const neighbour = neighbourOf(inner, 0);
  if (mesh === undefined || neighbour === undefined)
    return 'it came out of the tunnel, and nobody may have sent it';
  return Buffer.compare(from, neighbour) === 0
    ? undefined
    : 'it came out of the tunnel, and somebody else owns its source';
}
