/**
 * On an address that the host uses too: what the gateway cannot place goes back to the host.
 *
 *   WAN ─► TUN ─► no session ─► TUN ─► local      unchanged, its destination is the host's own address
 *
 * Only ICMP: an echo identifier is no port that could be reserved, so the answer to a ping of the host
 * may carry one of ours; and an ICMP error may quote a packet of the host. TCP and UDP on our ports are
 * ours alone, and the host would answer them with "refused" in the name of a LAN host.
 */
import { COUNTER_DROPS } from '../table/counters.ts';
import { Drop, FORWARDED } from '../verdict.ts';
import { IPV4_PROTOCOL, PROTOCOL_ICMP } from '../wire/ipv4.ts';
import type { Context } from './context.ts';

/** The verdict on an inbound packet, given what translation said: forwarded as it is if it may be the host's. */
export function orTheHosts(ctx: Context, at: number, verdict: number): number {
  if (!ctx.line.sharedWithHost || ctx.frames.bytes[at + IPV4_PROTOCOL] !== PROTOCOL_ICMP)
    return verdict;
  switch (~verdict) {
    case Drop.NotInPortSet:
    case Drop.NoSession:
    case Drop.IcmpErrorWithoutSession:
      // It was counted when it found no session, but it is not lost.
      ctx.counters[COUNTER_DROPS + ~verdict]--;
      return FORWARDED;
    default:
      return verdict;
  }
}
