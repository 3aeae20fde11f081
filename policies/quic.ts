/**
 * QUIC: allowed, refused, or refused while things are short.
 *
 * A browser that is told at once (ICMP 3/13) loads the page by HTTP/2 a few milliseconds later: one
 * TCP connection, whose end a NAT sees, in place of a UDP session that stays until its timer runs
 * out. Its first flight is two datagrams; no session is made for either, so that both are answered.
 *
 *   allow       no rule at all
 *   reject      refused, and the sender is told
 *   drop        refused in silence: the browser waits for seconds, unless it tries TCP beside QUIC
 *   pressure    rejected from a pressure level on, or from a fill of the NAT above; where there is none,
 *               and for a session that opens nothing there, the fill is 0, which is never reason enough
 *
 * Sessions that stand are left alone. A server in the LAN is not meant: what it sends from a port
 * below 1024 answers somebody outside.
 */
import { DECISION_SILENT, type FirstPacket, refuseFor } from '../core/policy.ts';
import { Class } from '../core/state.ts';
import { Drop } from '../core/verdict.ts';
import { isExcepted, NO_OBJECTION, type Rule } from './rule.ts';
import type { QuicSettings } from './settings.ts';

const CLIENT_PORT_MIN = 1024;

/** @param settings of another mode than `allow` */
export function quic(settings: QuicSettings): Rule {
  const { mode, fromLevel, fromUpstream256, except } = settings;
  const objection = refuseFor(Drop.QuicRejected) | (mode === 'drop' ? DECISION_SILENT : 0);
  const always = mode !== 'pressure';
  const fromFill256 = Math.max(1, fromUpstream256);
  const isShort = (first: FirstPacket): boolean =>
    first.pressure >= fromLevel || first.upstreamFill256 >= fromFill256;
  return (first, sessionClass) =>
    sessionClass === Class.Quic &&
    (always || isShort(first)) &&
    first.internalPort >= CLIENT_PORT_MIN &&
    !isExcepted(except, first)
      ? objection
      : NO_OBJECTION;
}
