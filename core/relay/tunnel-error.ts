/**
 * ICMPv6 to the relay.
 *
 *   ICMPv6 error   outer: router → BR      quoted: BR → CE, next header 4, then the IPv4 packet
 *
 * RFC 2473 section 8.3 (RFC 7597 section 8.2): the sender of the IPv4 packet is told by an ICMP error from the relay; of what, and with
 * which MTU, core/translate/tunnel-quote.ts says. Believed is only what quotes a packet that the relay would send: to the CE that owns the
 * port in it.
 */

import { isQuoteSound } from '../translate/icmp-error.ts';
import { errorToTell, isTunnelHeader } from '../translate/tunnel-quote.ts';
import { readI32 } from '../wire/bytes.ts';
import { ICMP_UNREACHABLE } from '../wire/icmp.ts';
import {
  ICMPV6_HEADER_BYTES,
  ICMPV6_INFORMATIONAL_MIN,
  ICMPV6_TYPE,
  isIcmpv6Sound,
} from '../wire/icmpv6.ts';
import { IPV4_DESTINATION } from '../wire/ipv4.ts';
import { IPV6_DESTINATION, IPV6_HEADER_BYTES, ipv6AddressIs } from '../wire/ipv6.ts';
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
  if (quote > end || !isTunnelHeader(bytes, outer, ctx.plan.address)) return false;
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
  const told = errorToTell(bytes, icmpv6, quote);
  if (told < 0) return ctx.drop(RelayDrop.TunnelErrorNotForwarded);
  const { Other } = Answer;
  const length = end - quote;
  const code = told >> 16;
  const mtu = told & 0xffff;
  const said = answerAbout(ctx, descriptor, quote, length, Other, ICMP_UNREACHABLE, code, mtu);
  if (said === ~RelayDrop.AnswerLimited) return said;
  if (said < 0) return ctx.drop(RelayDrop.TunnelErrorNotForwarded);
  ctx.counters[RelayCounter.IcmpErrorsTranslated]++;
  return said;
}
