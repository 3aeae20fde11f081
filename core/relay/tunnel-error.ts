/**
 * ICMPv6 to the relay.
 *
 *   ICMPv6 error   outer: router → BR      quoted: BR → CE, next header 4, then the IPv4 packet
 *
 * RFC 2473 section 8.3 (RFC 7597 section 8.2): the sender of the IPv4 packet is told by an ICMP error from the relay. Packet Too Big becomes
 * 3/4 with the MTU less 40 if the packet had DF (below 1280 it is ignored, RFC 8201); hop limit, unreachable and parameter problem become
 * 3/1. Believed is only what quotes a packet that the relay would send: to the CE that owns the port in it.
 */

import { isQuoteSound } from '../translate/icmp-error.ts';
import { isIcmpv6Sound } from '../translate/tunnel-error.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import {
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
import { IPV4_DESTINATION, IPV4_FLAG_DF, IPV4_FRAGMENT } from '../wire/ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_MTU_MIN,
  IPV6_NEXT_HEADER,
  IPV6_SOURCE,
  ipv6AddressIs,
  NEXT_HEADER_IPV4,
} from '../wire/ipv6.ts';
import { portOfDestination } from '../wire/ports.ts';
import { answerAbout, answerEcho6 } from './answer.ts';
import { Answer, type RelayContext, RelayCounter } from './context.ts';
import { RelayDrop } from './drops.ts';

const ECHO_REQUEST = 128;

/** The verdict on an ICMPv6 message to the relay. @param payload bytes behind the IPv6 header */
export function icmpv6Packet(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  payload: number,
): number {
  const { bytes } = ctx.frames;
  const icmpv6 = at + IPV6_HEADER_BYTES;
  const end = icmpv6 + payload;
  if (payload < ICMPV6_HEADER_BYTES) return ctx.drop(RelayDrop.TruncatedHeader);
  const type = bytes[icmpv6 + ICMPV6_TYPE];
  if (type === ECHO_REQUEST) return answerEcho6(ctx, descriptor, at, payload);
  if (type >= ICMPV6_INFORMATIONAL_MIN) return ctx.drop(RelayDrop.TunnelPacketNotAccepted);
  if (!isIcmpv6Sound(bytes, at, icmpv6, end)) return ctx.drop(RelayDrop.IcmpBadChecksum);
  const outer = icmpv6 + ICMPV6_HEADER_BYTES;
  const quote = outer + IPV6_HEADER_BYTES;
  if (!isOurs(ctx, outer, quote, end)) return ctx.drop(RelayDrop.IcmpBadQuote);
  return tellSender(ctx, descriptor, icmpv6, quote, end);
}

/** True if the quoted headers are those of a packet that the relay sends to a CE. */
function isOurs(ctx: RelayContext, outer: number, quote: number, end: number): boolean {
  const { bytes } = ctx.frames;
  if (quote > end || bytes[outer] >>> 4 !== 6) return false;
  if (bytes[outer + IPV6_NEXT_HEADER] !== NEXT_HEADER_IPV4) return false;
  if (!ipv6AddressIs(bytes, outer + IPV6_SOURCE, ctx.plan.address)) return false;
  if (!isQuoteSound(bytes, quote, end)) return false;
  const destination = readI32(bytes, quote + IPV4_DESTINATION);
  const rule = ctx.ruleOf(destination);
  if (rule < 0) return false;
  const port = ctx.isShared(rule) ? portOfDestination(bytes, quote, end) : 0;
  if (port < 0 || !ctx.findOwner(rule, destination, port)) return false;
  return ipv6AddressIs(bytes, outer + IPV6_DESTINATION, ctx.owner);
}

function tellSender(
  ctx: RelayContext,
  descriptor: number,
  icmpv6: number,
  quote: number,
  end: number,
): number {
  const { bytes } = ctx.frames;
  const type = bytes[icmpv6 + ICMPV6_TYPE];
  let code = UNREACHABLE_HOST;
  let mtu = 0;
  if (type === ICMPV6_PACKET_TOO_BIG) {
    const outerMtu = readI32(bytes, icmpv6 + ICMPV6_MTU);
    const hasDf = (readU16(bytes, quote + IPV4_FRAGMENT) & IPV4_FLAG_DF) !== 0;
    if (outerMtu < IPV6_MTU_MIN || outerMtu > 0xffff || !hasDf)
      return ctx.drop(RelayDrop.TunnelErrorNotForwarded);
    code = UNREACHABLE_FRAGMENTATION_NEEDED;
    mtu = outerMtu - IPV6_HEADER_BYTES;
  } else if (type < ICMPV6_UNREACHABLE || type > ICMPV6_PARAMETER_PROBLEM) {
    return ctx.drop(RelayDrop.TunnelErrorNotForwarded);
  }
  const { Other } = Answer;
  const length = end - quote;
  const said = answerAbout(ctx, descriptor, quote, length, Other, ICMP_UNREACHABLE, code, mtu);
  if (said === ~RelayDrop.AnswerLimited) return said;
  if (said < 0) return ctx.drop(RelayDrop.TunnelErrorNotForwarded);
  ctx.counters[RelayCounter.IcmpErrorsTranslated]++;
  return said;
}
