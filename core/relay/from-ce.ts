/**
 * IPv6 to the relay.
 *
 *   next header 4    the IPv4 packet of a CE, uncovered if it is honest
 *   a fragment       of such a packet: made whole first (core/translate/reassembly.ts)
 *   ICMPv6           an error about what we sent (tunnel-error.ts), or a ping
 *
 * Honest (RFC 7597 section 8.1): the rule for the inner source address, and the port that belongs to it, lead to exactly the outer source
 * address. The port is the source port; of an ICMP query its identifier; of an ICMP error the destination port of the quoted packet. A later
 * fragment has no port: the outer address names a PSID, and with that all of it must fit, so that fragments pass in any order and nothing
 * is kept for them.
 *
 * The kernel forwards what is uncovered and takes the one hop; to another CE it does not come by there, and the hop is taken here.
 */
import {
  FRAME_LENGTH,
  FRAME_OFFLOAD,
  FRAME_OFFSET,
  GSO_NONE,
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
} from '../frames.ts';
import { checkSourceOfLaterFragment, SourceCheck } from '../mape/forward.ts';
import { combineEcn, moveOffload } from '../translate/encapsulate.ts';
import { placePartialChecksum } from '../translate/partial.ts';
import { HELD, REFUSED } from '../translate/reassembly.ts';
import { COALESCE } from '../verdict.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import { ICMP_TIME_EXCEEDED } from '../wire/icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_BITS,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  ipv4HeaderBytes,
  isUnroutable,
  setTtl,
} from '../wire/ipv4.ts';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID,
  FRAGMENT_MORE,
  FRAGMENT_OFFSET,
  FRAGMENT_OFFSET_BITS,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  ipv6AddressIs,
  ipv6Ecn,
  NEXT_HEADER_FRAGMENT,
  NEXT_HEADER_ICMPV6,
  NEXT_HEADER_IPV4,
} from '../wire/ipv6.ts';
import { portOfSource } from '../wire/ports.ts';
import { answer, answerSpoofed } from './answer.ts';
import { Answer, type RelayContext, RelayCounter } from './context.ts';
import { RelayDrop } from './drops.ts';
import { toCe } from './to-ce.ts';
import { icmpv6Packet } from './tunnel-error.ts';

/** Not a reason: the packet inside is honest. */
const HONEST = -1;

/** The verdict on one IPv6 packet. @param length bytes of the frame */
export function fromTunnel(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  length: number,
): number {
  const { bytes } = ctx.frames;
  if (length < IPV6_HEADER_BYTES) return ctx.drop(RelayDrop.TruncatedHeader);
  if (!ipv6AddressIs(bytes, at + IPV6_DESTINATION, ctx.plan.address))
    return ctx.drop(RelayDrop.KernelChatter);
  if (ipv6AddressIs(bytes, at + IPV6_SOURCE, ctx.plan.address))
    return ctx.drop(RelayDrop.LoopedOwnSource);
  const payload = readU16(bytes, at + IPV6_PAYLOAD_LENGTH);
  if (IPV6_HEADER_BYTES + payload > length) return ctx.drop(RelayDrop.TruncatedHeader);
  switch (bytes[at + IPV6_NEXT_HEADER]) {
    case NEXT_HEADER_IPV4:
      return decapsulate(ctx, descriptor, at, payload);
    case NEXT_HEADER_FRAGMENT:
      return reassemble(ctx, descriptor, at, payload);
    case NEXT_HEADER_ICMPV6:
      return icmpv6Packet(ctx, descriptor, at, payload);
    default:
      return ctx.drop(RelayDrop.TunnelPacketNotAccepted);
  }
}

function decapsulate(ctx: RelayContext, descriptor: number, at: number, payload: number): number {
  const { bytes, descriptors } = ctx.frames;
  const offload = descriptors[descriptor + FRAME_OFFLOAD];
  if (((offload >>> 8) & 0x7f) !== GSO_NONE) return ctx.drop(RelayDrop.TunnelPacketNotAccepted);
  const inner = at + IPV6_HEADER_BYTES;
  const reason = judge(ctx, inner, payload, at + IPV6_SOURCE);
  if (reason === RelayDrop.SourceSpoofed || reason === RelayDrop.SourceOutsideRules)
    return answerSpoofed(ctx, descriptor, at, IPV6_HEADER_BYTES + payload, reason);
  if (reason !== HONEST) return ctx.drop(reason);

  const ecn = ipv6Ecn(bytes, at);
  moveOffload(bytes, at - VNET_HEADER_BYTES);
  descriptors[descriptor + FRAME_OFFLOAD] = offload & VNET_NEEDS_CSUM;
  return forward(ctx, descriptor, inner, ecn);
}

function reassemble(ctx: RelayContext, descriptor: number, at: number, payload: number): number {
  const { frames, reassembly } = ctx;
  const { bytes, descriptors } = frames;
  const size = payload - FRAGMENT_HEADER_BYTES;
  const header = at + IPV6_HEADER_BYTES;
  if (size < 0) return ctx.drop(RelayDrop.TruncatedHeader);
  if (bytes[header] !== NEXT_HEADER_IPV4) return ctx.drop(RelayDrop.TunnelPacketNotAccepted);
  const word = readU16(bytes, header + FRAGMENT_OFFSET);
  const offset = word & FRAGMENT_OFFSET_BITS;
  const isLast = (word & FRAGMENT_MORE) === 0;
  const part = header + FRAGMENT_HEADER_BYTES;
  const source = at + IPV6_SOURCE;
  let ecn = ipv6Ecn(bytes, at);
  let inner = part;
  let whole = size;
  // An atomic fragment (RFC 6946) needs no slot.
  if (offset !== 0 || !isLast) {
    const id = readI32(bytes, header + FRAGMENT_ID);
    const slot = reassembly.add(bytes, source, part, size, id, offset, isLast, ecn, ctx.tick);
    if (slot === REFUSED) return ctx.drop(RelayDrop.TunnelReassembly);
    // Not counted now: it is when the rest does not come.
    if (slot === HELD) return ~RelayDrop.TunnelReassembly;
    whole = reassembly.wholeLength(slot);
    ecn = reassembly.ecn(slot);
    inner = frames.reserve(whole);
    if (inner >= 0) reassembly.copy(slot, bytes, inner);
    reassembly.free(slot);
    if (inner < 0) return ctx.drop(RelayDrop.TunnelReassembly);
  }
  // Of what came in pieces there is nothing to quote: it is dropped without an answer.
  const reason = judge(ctx, inner, whole, source);
  if (reason !== HONEST) return ctx.drop(reason);
  for (let i = inner - VNET_HEADER_BYTES; i < inner; i++) bytes[i] = 0;
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  return forward(ctx, descriptor, inner, ecn);
}

/**
 * HONEST, or the reason why the packet inside is not forwarded.
 * @param inner its offset; @param length bytes that are there; @param outer where the outer source address stands
 */
function judge(ctx: RelayContext, inner: number, length: number, outer: number): number {
  const { bytes } = ctx.frames;
  const { rules, iidFormat } = ctx.plan;
  if (length < IPV4_HEADER_BYTES) return RelayDrop.TruncatedHeader;
  if (bytes[inner] >>> 4 !== 4) return RelayDrop.NotIp;
  const header = ipv4HeaderBytes(bytes, inner);
  const total = readU16(bytes, inner + IPV4_TOTAL_LENGTH);
  if (header < IPV4_HEADER_BYTES || header > total || total > length)
    return RelayDrop.TruncatedHeader;

  const source = readI32(bytes, inner + IPV4_SOURCE);
  const rule = ctx.ruleOf(source);
  if (rule < 0) return RelayDrop.SourceOutsideRules;
  if ((readU16(bytes, inner + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0) {
    const check = checkSourceOfLaterFragment(rules[rule], iidFormat, bytes, outer, source);
    if (check !== SourceCheck.Fits) return RelayDrop.SourceSpoofed;
  } else {
    const port = ctx.isShared(rule) ? portOfSource(bytes, inner, inner + total) : 0;
    if (port < 0) return RelayDrop.SourceWithoutPort;
    if (!ctx.findOwner(rule, source, port) || !ipv6AddressIs(bytes, outer, ctx.owner))
      return RelayDrop.SourceSpoofed;
  }
  const destination = readI32(bytes, inner + IPV4_DESTINATION);
  return isUnroutable(destination) ? RelayDrop.UnroutableDestination : HONEST;
}

/** Sends the honest packet on, which begins at `at` now. @param ecn that of the outer header */
function forward(ctx: RelayContext, descriptor: number, at: number, ecn: number): number {
  const { frames, counters, plan } = ctx;
  const { bytes, descriptors } = frames;
  const length = readU16(bytes, at + IPV4_TOTAL_LENGTH);
  descriptors[descriptor + FRAME_OFFSET] = at;
  descriptors[descriptor + FRAME_LENGTH] = length;
  placePartialChecksum(frames, descriptor, at);
  if (!combineEcn(bytes, at, ecn)) return ctx.drop(RelayDrop.TunnelCongestion);

  const destination = readI32(bytes, at + IPV4_DESTINATION);
  const ttl = bytes[at + IPV4_TTL];
  if (ttl <= 1 && destination !== plan.ipv4Address)
    return answer(ctx, descriptor, RelayDrop.TtlExpired, Answer.Tunnel, ICMP_TIME_EXCEEDED, 0, 0);
  counters[RelayCounter.PacketsOutbound]++;
  counters[RelayCounter.BytesOutbound] += length;
  if (ctx.ruleOf(destination) < 0) return COALESCE;
  setTtl(bytes, at, ttl - 1);
  counters[RelayCounter.PacketsBetweenCes]++;
  return toCe(ctx, descriptor, at);
}
