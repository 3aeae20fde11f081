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
 * RFC 2473 section 8.3 (RFC 7597 section 8.2): the sender of the IPv4 packet is told by an ICMP error from the gateway; of what, and with
 * which MTU, tunnel-quote.ts says.
 *
 *   | IPv6 40 | ICMPv6 8 | IPv6 40 | IPv4 …              the IPv4 error is built in front of the quoted IPv4 packet
 *                        | IPv4 20 | ICMP 8 | IPv4 …
 */

import { S_INTERNAL_ADDRESS, S_PORTS } from '../table/arena.ts';
import { Counter } from '../table/counters.ts';
import { SESSION_SHIFT } from '../table/sessions.ts';
import { ANSWERED, Drop } from '../verdict.ts';
import { readU16, writeI32 } from '../wire/bytes.ts';
import {
  ICMP_CODE,
  ICMP_HEADER_BYTES,
  ICMP_ID,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
} from '../wire/icmp.ts';
import {
  ICMPV6_HEADER_BYTES,
  ICMPV6_INFORMATIONAL_MIN,
  ICMPV6_TYPE,
  isIcmpv6Sound,
} from '../wire/icmpv6.ts';
import { IPV4_SOURCE } from '../wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
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
import { errorToTell, isTunnelHeader, SIZE_NOT_TOLD, TYPE_NOT_TOLD } from './tunnel-quote.ts';

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
  if (!isTunnelHeader(bytes, outer, ceAddress)) return false;
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

  const told = errorToTell(bytes, icmpv6, quote);
  if (told === SIZE_NOT_TOLD) return ctx.drop(Drop.TunnelPacketNotAccepted);
  if (told === TYPE_NOT_TOLD) return ctx.drop(Drop.IcmpTypeNotTranslated);

  const { words } = ctx.parts.sessions;
  const s = session << SESSION_SHIFT;
  const internalAddress = words[s + S_INTERNAL_ADDRESS];
  const lan = ctx.lanOf(internalAddress);
  if (lan < 0) return ctx.drop(Drop.SourceNotInternal);
  if (!ctx.mayAnswer(internalAddress)) return ctx.drop(Drop.AnswerLimited);

  const icmp = quote - ICMP_HEADER_BYTES;
  bytes[icmp + ICMP_TYPE] = ICMP_UNREACHABLE;
  bytes[icmp + ICMP_CODE] = told >> 16;
  writeI32(bytes, icmp + ICMP_ID, told & 0xffff);
  rewriteQuote(bytes, quote, end, IPV4_SOURCE, internalAddress, words[s + S_PORTS] >>> 16, icmp);
  const quoted = Math.min(end - quote, QUOTE_BYTES_MAX);
  finishAnswer(ctx, descriptor, icmp, quoted, ctx.lans[lan].gatewayAddress, internalAddress);
  ctx.counters[Counter.IcmpErrorsTranslated]++;
  return ANSWERED;
}
