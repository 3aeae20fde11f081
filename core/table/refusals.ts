/**
 * Refusals: what is counted and told of a session that is not made.
 *
 * A refusal is a number: the reason (a number of Drop), with REFUSED_SILENTLY where the sender is not to be told. It costs as little as
 * possible, since a host may ask a hundred thousand times a second.
 */
import { DECISION_REASON_SHIFT, DECISION_SILENT } from '../policy.ts';
import { DROP_COUNT, Drop } from '../verdict.ts';
import { Counter } from './counters.ts';
import { Event } from './events.ts';
import { HOST_REFUSED, HOST_SHIFT } from './hosts.ts';
import type { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';

/** Beside the reason: the sender is not told. */
export const REFUSED_SILENTLY = 1 << 8;

/** Counts a refusal, tells of it, and returns ~refusal. @param refusal the reason, perhaps with REFUSED_SILENTLY */
export function refuse(parts: TableParts, first: Opening, refusal: number, tick: number): number {
  const reason = refusal & ~REFUSED_SILENTLY;
  parts.hosts.words[(first.host << HOST_SHIFT) + HOST_REFUSED]++;
  parts.counters[Counter.SessionsRefused]++;
  // A browser whose QUIC is refused goes on by TCP: nobody needs to hear of it, and the events that matter would drown.
  if (reason !== Drop.QuicRejected)
    parts.events.add(
      eventOf(reason),
      tick,
      first.internalAddress,
      first.remoteAddress,
      first.ports,
      first.protocol,
      reason,
    );
  return ~refusal;
}

/** The refusal in a policy's decision. A reason that does not exist would be counted as something else. */
export function refusalOf(decision: number): number {
  const named = (decision >>> DECISION_REASON_SHIFT) & 0xff;
  const reason = named > 0 && named < DROP_COUNT ? named : Drop.RefusedByPolicy;
  return (decision & DECISION_SILENT) !== 0 ? reason | REFUSED_SILENTLY : reason;
}

/** The event that tells of a refusal. */
function eventOf(reason: number): number {
  switch (reason) {
    case Drop.NoPortLeft:
      return Event.SessionRefused;
    case Drop.SessionTableFull:
    case Drop.RemoteTableFull:
    case Drop.UpstreamFull:
      return Event.TableFull;
    case Drop.HostSessionLimit:
    case Drop.HostRateLimit:
    case Drop.ReservedForOthers:
      return Event.HostLimited;
    default:
      return Event.PolicyRefused;
  }
}
