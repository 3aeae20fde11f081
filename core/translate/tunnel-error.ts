/**
 * IPv6 packets that reach the TUN on a MAP-E line. Where the kernel decapsulates, what comes whole from the border relay is not among
 * them; everything else to the CE address is.
 *
 *   from the relay, next header 4    decapsulated (encapsulate.ts)
 *   from the relay, a fragment       made whole first (reassembly.ts)
 *   from a neighbour in a mesh       the same, if its source is honest (mesh.ts)
 *   ICMPv6 error                     here
 *   else                             dropped by name
 *
 *   ICMPv6 error   outer: router → CE      quoted: CE → BR or neighbour, next header 4, then our IPv4 packet
 *
 * RFC 2473 section 8.3 (RFC 7597 section 8.2): the sender of the IPv4 packet is told by an ICMP error from the gateway. Packet Too Big
 * becomes 3/4 with the MTU less 40 if the packet had DF (below 1280 it is ignored, RFC 8201); hop limit, unreachable and parameter
 * problem become 3/1.
 *
 *   | IPv6 40 | ICMPv6 8 | IPv6 40 | IPv4 …              the IPv4 error is built in front of the quoted IPv4 packet
 *                        | IPv4 20 | ICMP 8 | IPv4 …
 */

import { S_INTERNAL_ADDRESS, S_PORTS } from '../table/arena.ts';
import { Counter } from '../table/counters.ts';
import { SESSION_SHIFT } from '../table/sessions.ts';
import { ANSWERED, Drop } from '../verdict.ts';
import { readI32, readU16, writeI32 } from '../wire/bytes.ts';
import { sumBytes } from '../wire/checksum.ts';
import {
  ICMP_CODE,
  ICMP_HEADER_BYTES,
  ICMP_ID,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
  UNREACHABLE_FRAGMENTATION_NEEDED,
  UNREACHABLE_HOST,
} from '../wire/icmp.ts';
import {
  ICMPV6_HEADER_BYTES,
  ICMPV6_INFORMATIONAL_MIN,
  ICMPV6_MTU,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TYPE,
  ICMPV6_UNREACHABLE,
} from '../wire/icmpv6.ts';
import { IPV4_FLAG_DF, IPV4_FRAGMENT, IPV4_SOURCE } from '../wire/ipv4.ts';
import {
  IPV6_ADDRESS_BYTES,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_MTU_MIN,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  ipv6AddressIs,
  NEXT_HEADER_FRAGMENT,
  NEXT_HEADER_ICMPV6,
  NEXT_HEADER_IPV4,
} from '../wire/ipv6.ts';
import { finishAnswer } from './answer.ts';
import type { Context } from './context.ts';
import { decapsulate, FROM_RELAY } from './encapsulate.ts';
import { findQuotedOutbound, isQuoteSound, rewriteQuote } from './icmp-error.ts';
import { reassemble } from './reassembly.ts';

const QUOTE_BYTES_MAX = 548;

/**
 * Deals with one IPv6 packet. @param length bytes of the frame
 * @returns DECAPSULATED when the frame holds an IPv4 packet to be translated, else a verdict
 */
export function tunnelPacket(ctx: Context, descriptor: number, at: number, length: number): number {
  const { bytes } = ctx.frames;
  const { line } = ctx;
  if (length < IPV6_HEADER_BYTES) return ctx.drop(Drop.TruncatedHeader);
  const isOurs =
    line.ceAddress !== undefined && ipv6AddressIs(bytes, at + IPV6_DESTINATION, line.ceAddress);
  // Router solicitations and multicast reports of the TUN itself go to multicast addresses.
  if (!isOurs) return ctx.drop(Drop.KernelChatter);
  const nextHeader = bytes[at + IPV6_NEXT_HEADER];
  if (nextHeader === NEXT_HEADER_IPV4 || nextHeader === NEXT_HEADER_FRAGMENT) {
    const { brAddress } = line;
    const source = at + IPV6_SOURCE;
    const isRelay = brAddress !== undefined && ipv6AddressIs(bytes, source, brAddress);
    if (!isRelay && ctx.mesh === undefined) return ctx.drop(Drop.TunnelPacketNotAccepted);
    const take = nextHeader === NEXT_HEADER_IPV4 ? decapsulate : reassemble;
    return take(ctx, descriptor, at, length, isRelay ? FROM_RELAY : source);
  }
  const end = at + Math.min(length, IPV6_HEADER_BYTES + readU16(bytes, at + IPV6_PAYLOAD_LENGTH));
  const icmpv6 = at + IPV6_HEADER_BYTES;
  const quote = icmpv6 + ICMPV6_HEADER_BYTES + IPV6_HEADER_BYTES;
  if (
    nextHeader !== NEXT_HEADER_ICMPV6 ||
    icmpv6 + ICMPV6_HEADER_BYTES > end ||
    bytes[icmpv6 + ICMPV6_TYPE] >= ICMPV6_INFORMATIONAL_MIN
  )
    return ctx.drop(Drop.TunnelPacketNotAccepted);
  if (!isIcmpv6Sound(bytes, at, icmpv6, end)) return ctx.drop(Drop.IcmpBadChecksum);
  if (!isQuoteSound(bytes, quote, end) || !isOurTunnelQuote(ctx, quote, end))
    return ctx.drop(Drop.IcmpBadQuote);
  return tellSender(ctx, descriptor, icmpv6, quote, end);
}

/** True if the IPv6 header in front of the quoted packet, which is sound, is that of a tunnel packet from us to relay or neighbour. */
function isOurTunnelQuote(ctx: Context, quote: number, end: number): boolean {
  const { bytes } = ctx.frames;
  const { ceAddress, brAddress } = ctx.line;
  const outer = quote - IPV6_HEADER_BYTES;
  if (ceAddress === undefined || brAddress === undefined) return false;
  if (bytes[outer] >>> 4 !== 6 || bytes[outer + IPV6_NEXT_HEADER] !== NEXT_HEADER_IPV4)
    return false;
  if (!ipv6AddressIs(bytes, outer + IPV6_SOURCE, ceAddress)) return false;
  const to = outer + IPV6_DESTINATION;
  return (
    ipv6AddressIs(bytes, to, brAddress) || ctx.mesh?.isDestination(bytes, to, quote, end) === true
  );
}

/** Builds the IPv4 error for the sender of the quoted packet. */
function tellSender(
  ctx: Context,
  descriptor: number,
  icmpv6: number,
  quote: number,
  end: number,
): number {
  const { bytes } = ctx.frames;
  const session = findQuotedOutbound(ctx, quote);
  if (session < 0) return ctx.drop(Drop.TunnelErrorWithoutSession);

  let code = UNREACHABLE_HOST;
  let mtu = 0;
  const type = bytes[icmpv6 + ICMPV6_TYPE];
  if (type === ICMPV6_PACKET_TOO_BIG) {
    const outerMtu = readI32(bytes, icmpv6 + ICMPV6_MTU);
    const hasDf = (readU16(bytes, quote + IPV4_FRAGMENT) & IPV4_FLAG_DF) !== 0;
    if (outerMtu < IPV6_MTU_MIN || outerMtu > 0xffff || !hasDf)
      return ctx.drop(Drop.TunnelPacketNotAccepted);
    code = UNREACHABLE_FRAGMENTATION_NEEDED;
    mtu = outerMtu - IPV6_HEADER_BYTES;
  } else if (type < ICMPV6_UNREACHABLE || type > ICMPV6_PARAMETER_PROBLEM) {
    return ctx.drop(Drop.IcmpTypeNotTranslated);
  }

  const { words } = ctx.parts.sessions;
  const s = session << SESSION_SHIFT;
  const internalAddress = words[s + S_INTERNAL_ADDRESS];
  const lan = ctx.lanOf(internalAddress);
  if (lan < 0) return ctx.drop(Drop.SourceNotInternal);
  if (!ctx.mayAnswer(internalAddress)) return ctx.drop(Drop.AnswerLimited);

  const icmp = quote - ICMP_HEADER_BYTES;
  bytes[icmp + ICMP_TYPE] = ICMP_UNREACHABLE;
  bytes[icmp + ICMP_CODE] = code;
  writeI32(bytes, icmp + ICMP_ID, mtu);
  rewriteQuote(bytes, quote, end, IPV4_SOURCE, internalAddress, words[s + S_PORTS] >>> 16, icmp);
  const quoted = Math.min(end - quote, QUOTE_BYTES_MAX);
  finishAnswer(ctx, descriptor, icmp, quoted, ctx.lans[lan].gatewayAddress, internalAddress);
  ctx.counters[Counter.IcmpErrorsTranslated]++;
  return ANSWERED;
}

/** True if the ICMPv6 checksum over pseudo header and message is right (RFC 4443 section 2.3). */
export function isIcmpv6Sound(bytes: Uint8Array, at: number, icmpv6: number, end: number): boolean {
  const length = end - icmpv6;
  let sum = length + NEXT_HEADER_ICMPV6;
  for (let i = 0; i < IPV6_ADDRESS_BYTES * 2; i += 2) sum += readU16(bytes, at + IPV6_SOURCE + i);
  return sumBytes(bytes, icmpv6, length, sum) === 0xffff;
}

if (IPV6_DESTINATION !== IPV6_SOURCE + IPV6_ADDRESS_BYTES) throw new Error('addresses adjoin');
