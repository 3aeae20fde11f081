/**
 * IPv4 in IPv6 without the kernel's help (RFC 2473, RFC 7597 section 8): for kernels that cannot, and for what the kernel leaves over.
 *
 *   out   | outer IPv6 40 | virtio 12 | IPv4 … |    the header is prepared in the room in front of the frame; its verdict ENCAPSULATE
 *                                     ^ offset      makes the device put it on, segment superpackets and complete checksums
 *   in    | virtio 12 | outer IPv6 40 | IPv4 … |    the frame begins 40 bytes later and goes through the translation like any other
 *                     ^ before        ^ after
 *
 * Out, once per batch: every IPv4 packet that leaves from the external address for somebody who is not in a LAN. That is what the kernel's
 * own encapsulation takes by its rule, so answers, fragments and errors need nothing of their own.
 *
 * In a mesh, before that, and also where the kernel encapsulates: every whole packet to a neighbour, to his CE address (mesh.ts).
 *
 * In: from the border relay, or from the neighbour who owns the inner source, and to the external address only (RFC 7597 section 8.1);
 * nothing in it may claim to be of a LAN.
 *
 * DSCP is copied outward and left alone inward. ECN (RFC 6040): copied outward; inward the two marks are combined,
 *
 *   inner \ outer   Not-ECT   ECT(0)    ECT(1)    CE
 *   Not-ECT         Not-ECT   Not-ECT   Not-ECT   dropped: the sender would never hear of it
 *   ECT(0)          ECT(0)    ECT(0)    ECT(1)    CE
 *   ECT(1)          ECT(1)    ECT(1)    ECT(1)    CE
 *   CE              CE        CE        CE        CE
 *
 * Hops: the IPv4 packet loses one hop in all. The kernel takes it between LAN and TUN; it takes one of the outer header between TUN and
 * line.
 */
import {
  DESCRIPTOR_WORDS,
  FRAME_LENGTH,
  FRAME_OFFLOAD,
  FRAME_OFFSET,
  FRAME_VERDICT,
  GSO_NONE,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_HDR_LEN,
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
} from '../frames.ts';
import { ANSWERED, Drop, ENCAPSULATE, FORWARDED } from '../verdict.ts';
import { readI32, readU16, readU16le, writeU16le } from '../wire/bytes.ts';
import { replaceWord } from '../wire/checksum.ts';
import {
  ICMP_CODE,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_ID,
  ICMP_TIME_EXCEEDED,
  ICMP_TYPE,
} from '../wire/icmp.ts';
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_BITS,
  IPV4_HEADER_BYTES,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  ipv4HeaderBytes,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setTtl,
} from '../wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  ipv6Ecn,
  NEXT_HEADER_IPV4,
} from '../wire/ipv6.ts';
import { finishAnswer, mayBeAnswered } from './answer.ts';
import type { Context } from './context.ts';
import type { Mesh } from './mesh.ts';

/** Not a verdict of a frame: its IPv4 packet is uncovered, and the engine goes on with that. */
export const DECAPSULATED = 16;

/** 64 on the wire (RFC 2473 section 6.3): the kernel takes one when it forwards from the TUN to the line. */
const OUTER_HOP_LIMIT = 65;

/** Instead of the place of a neighbour's address: the packet came from the border relay. */
export const FROM_RELAY = -1;

const ECN_BITS = 3;
const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CONGESTION = 3;
const QUOTE_BYTES_MAX = 548;

/** The outer header of everything that goes to the relay; traffic class and payload length are written per packet. */
export function makeOuterHeader(ceAddress: Uint8Array, brAddress: Uint8Array): Uint8Array {
  const header = new Uint8Array(new ArrayBuffer(IPV6_HEADER_BYTES));
  header[0] = 0x60;
  header[IPV6_NEXT_HEADER] = NEXT_HEADER_IPV4;
  header[IPV6_HOP_LIMIT] = OUTER_HOP_LIMIT;
  header.set(ceAddress, IPV6_SOURCE);
  header.set(brAddress, IPV6_DESTINATION);
  return header;
}

/** Prepares the outer header of every frame of the batch that leaves for the relay. */
export function encapsulateBatch(ctx: Context, outerHeader: Uint8Array): void {
  const { frames, line } = ctx;
  const { bytes, descriptors, count } = frames;
  for (let i = 0; i < count; i++) {
    const descriptor = i * DESCRIPTOR_WORDS;
    const verdict = descriptors[descriptor + FRAME_VERDICT];
    if (verdict !== FORWARDED && verdict !== ANSWERED) continue;
    const at = descriptors[descriptor + FRAME_OFFSET];
    if (readI32(bytes, at + IPV4_SOURCE) !== line.externalAddress) continue;
    if (ctx.lanOf(readI32(bytes, at + IPV4_DESTINATION)) >= 0) continue;

    putOuterHeader(bytes, at, outerHeader);
    descriptors[descriptor + FRAME_VERDICT] = ENCAPSULATE;
  }
}

/** Prepares the outer header of every frame of the batch that leaves for a neighbour; the others stay as they are. @param outerHeader to nobody yet */
export function encapsulateForNeighbours(ctx: Context, mesh: Mesh, outerHeader: Uint8Array): void {
  const { frames, line } = ctx;
  const { bytes, descriptors, count } = frames;
  for (let i = 0; i < count; i++) {
    const descriptor = i * DESCRIPTOR_WORDS;
    const verdict = descriptors[descriptor + FRAME_VERDICT];
    if (verdict !== FORWARDED && verdict !== ANSWERED) continue;
    const at = descriptors[descriptor + FRAME_OFFSET];
    if (readI32(bytes, at + IPV4_SOURCE) !== line.externalAddress) continue;
    const destination = readI32(bytes, at + IPV4_DESTINATION);
    if (mesh.ruleOf(destination) < 0 || ctx.lanOf(destination) >= 0) continue;
    if ((readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS) !== 0) continue;

    // In the free room in front of the frame nothing is lost where it turns out to be nobody's.
    putOuterHeader(bytes, at, outerHeader);
    const to = outerHeaderOf(at) + IPV6_DESTINATION;
    const end = at + descriptors[descriptor + FRAME_LENGTH];
    if (!mesh.writeDestination(bytes, to, bytes, at, end)) continue;
    descriptors[descriptor + FRAME_VERDICT] = ENCAPSULATE;
  }
}

const outerHeaderOf = (at: number): number => at - VNET_HEADER_BYTES - IPV6_HEADER_BYTES;

/** Writes the outer header in front of the virtio header of the packet at `at`, with the packet's DSCP and ECN (RFC 6040). */
export function putOuterHeader(bytes: Uint8Array, at: number, outerHeader: Uint8Array): void {
  const outer = outerHeaderOf(at);
  for (let k = 0; k < IPV6_HEADER_BYTES; k++) bytes[outer + k] = outerHeader[k];
  const tos = bytes[at + IPV4_TOS];
  bytes[outer] = 0x60 | (tos >> 4);
  bytes[outer + 1] = (tos & 15) << 4;
}

/**
 * Takes the outer header off a frame to us.
 * @param at offset of the outer header, which is whole; @param length bytes of the frame
 * @param neighbour where the outer source stands if that is not the relay, else FROM_RELAY
 * @returns DECAPSULATED when the frame holds an IPv4 packet to be translated, else a verdict
 */
export function decapsulate(
  ctx: Context,
  descriptor: number,
  at: number,
  length: number,
  neighbour: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const offload = descriptors[descriptor + FRAME_OFFLOAD];
  if (((offload >>> 8) & 0x7f) !== GSO_NONE) return ctx.drop(Drop.TunnelPacketNotAccepted);
  const payload = readU16(bytes, at + IPV6_PAYLOAD_LENGTH);
  if (IPV6_HEADER_BYTES + payload > length) return ctx.drop(Drop.TruncatedHeader);

  const ecn = ipv6Ecn(bytes, at);
  moveOffload(bytes, at - VNET_HEADER_BYTES);
  descriptors[descriptor + FRAME_OFFSET] = at + IPV6_HEADER_BYTES;
  descriptors[descriptor + FRAME_LENGTH] = payload;
  descriptors[descriptor + FRAME_OFFLOAD] = offload & VNET_NEEDS_CSUM;
  return acceptInner(ctx, descriptor, ecn, neighbour);
}

/**
 * Judges the IPv4 packet that came out of the tunnel, which is the frame now, and combines the marks of congestion.
 * @param ecn that of the outer header; @param neighbour as of `decapsulate`
 */
export function acceptInner(
  ctx: Context,
  descriptor: number,
  ecn: number,
  neighbour: number,
): number {
  const { line, mesh } = ctx;
  const { bytes, descriptors } = ctx.frames;
  const at = descriptors[descriptor + FRAME_OFFSET];
  const length = descriptors[descriptor + FRAME_LENGTH];
  if (length < IPV4_HEADER_BYTES) return ctx.drop(Drop.TruncatedHeader);
  if (bytes[at] >>> 4 !== 4) return ctx.drop(Drop.NotIp);
  const total = readU16(bytes, at + IPV4_TOTAL_LENGTH);
  const header = ipv4HeaderBytes(bytes, at);
  if (header < IPV4_HEADER_BYTES || header > total || total > length)
    return ctx.drop(Drop.TruncatedHeader);
  if (readI32(bytes, at + IPV4_DESTINATION) !== line.externalAddress)
    return ctx.drop(Drop.TunnelPacketNotAccepted);
  if (ctx.lanOf(readI32(bytes, at + IPV4_SOURCE)) >= 0) return ctx.drop(Drop.SourceIsInternal);
  if (neighbour !== FROM_RELAY && mesh?.isSource(bytes, neighbour, at, at + total) !== true)
    return ctx.drop(Drop.TunnelSourceSpoofed);
  if (!combineEcn(bytes, at, ecn)) return ctx.drop(Drop.TunnelCongestion);

  const ttl = bytes[at + IPV4_TTL];
  if (ttl <= 1 && !isPing(bytes, at, total)) return expired(ctx, descriptor, at, total);
  // Where the kernel decapsulates it takes these hops, and they are given back; here it took none.
  const hops = line.restoreHopsInbound;
  if (hops !== 0) setTtl(bytes, at, Math.max(0, ttl - hops));
  return DECAPSULATED;
}

/** The virtio header follows the packet that it describes; a checksum of the outer header does not exist. */
export function moveOffload(bytes: Uint8Array, from: number): void {
  const to = from + IPV6_HEADER_BYTES;
  const flags = bytes[from + VNET_FLAGS] & VNET_NEEDS_CSUM;
  for (let i = 0; i < VNET_HEADER_BYTES; i++) bytes[to + i] = flags === 0 ? 0 : bytes[from + i];
  if (flags === 0) return;
  bytes[to + VNET_FLAGS] = flags;
  lower(bytes, to + VNET_CSUM_START);
  lower(bytes, to + VNET_HDR_LEN);
}

function lower(bytes: Uint8Array, at: number): void {
  writeU16le(bytes, at, Math.max(0, readU16le(bytes, at) - IPV6_HEADER_BYTES));
}

/** RFC 6040 figure 4, for the IPv4 packet at `at`; false where it is to be dropped. @param outer ECN of the outer header */
export function combineEcn(bytes: Uint8Array, at: number, outer: number): boolean {
  const tos = bytes[at + IPV4_TOS];
  const inner = tos & ECN_BITS;
  let combined = inner;
  if (outer === CONGESTION) {
    if (inner === NOT_ECT) return false;
    combined = CONGESTION;
  } else if (outer === ECT_1 && inner === ECT_0) combined = ECT_1;
  if (combined !== inner) {
    const word = (bytes[at] << 8) | (tos & ~ECN_BITS) | combined;
    replaceWord(bytes, at, word, at + IPV4_CHECKSUM, at);
  }
  return true;
}

/** True for an echo request, which ends here whatever its TTL is. */
function isPing(bytes: Uint8Array, at: number, total: number): boolean {
  const header = ipv4HeaderBytes(bytes, at);
  return (
    bytes[at + IPV4_PROTOCOL] === PROTOCOL_ICMP &&
    header + ICMP_HEADER_BYTES <= total &&
    bytes[at + header] === ICMP_ECHO_REQUEST
  );
}

/**
 * The hop count ran out between tunnel and LAN. The sender is told from the external address if the packet was to a port of ours; else a
 * neighbour's secret would be that there is nobody.
 */
function expired(ctx: Context, descriptor: number, at: number, total: number): number {
  const { bytes } = ctx.frames;
  const dropped = ctx.drop(Drop.TtlExpired);
  const sender = readI32(bytes, at + IPV4_SOURCE);
  const protocol = bytes[at + IPV4_PROTOCOL];
  const l4 = ipv4HeaderBytes(bytes, at);
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return dropped;
  if (l4 + 4 > total || !mayBeAnswered(bytes, at)) return dropped;
  if (ctx.parts.ports.set.numberOf(readU16(bytes, at + l4 + 2)) < 0) return dropped;
  if (sender === ctx.line.externalAddress || !ctx.mayAnswer(sender)) return dropped;

  const icmp = at - ICMP_HEADER_BYTES;
  bytes[icmp + ICMP_TYPE] = ICMP_TIME_EXCEEDED;
  bytes[icmp + ICMP_CODE] = 0;
  for (let i = 0; i < 4; i++) bytes[icmp + ICMP_ID + i] = 0;
  const quoted = Math.min(total, QUOTE_BYTES_MAX);
  finishAnswer(ctx, descriptor, icmp, quoted, ctx.line.externalAddress, sender);
  return ANSWERED;
}
