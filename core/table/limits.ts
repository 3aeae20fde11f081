/**
 * Limits of a host, and the reserve: what keeps one host from taking what all need.
 *
 *   new sessions a second    a bucket in the host's record         HostRateLimit
 *   sessions                 the count in its record               HostSessionLimit
 *   owned ports              the allocator: beyond it a peer is a guest; where ports are not shared, HostSessionLimit
 *   the last records         free records of the session table:
 *
 *        | in use … | free for all … | hosts with few sessions | the gateway |       ReservedForOthers
 *                                    ◀─── reserveSessions ──────────────────▶
 *                                                              ◀ reserveOwn ▶
 *
 *   answers of an owner      of the bucket and of the count the half: HostRateLimit, HostSessionLimit
 *
 * An *answer* is a session from an owned port to a remote address that its owner's filter admits: whoever is admitted can make the host send
 * one, from each of his own ports, ten thousand times a second. It takes no more than half of what its host may have, so that nobody outside
 * decides what the host can begin by itself. Only where half is taken it is asked whether a session is an answer.
 *
 * The limits are asked first, before the policy and before any search, so that a host beyond its rate costs two look-ups a packet, an
 * answer beyond the half four. They do not hold for the gateway itself, which asks on behalf of all, nor for hosts that share a record:
 * those cannot be told apart. Such hosts never count as holding few. A sender of packets with many source addresses is many hosts: only
 * the reserve stops it.
 */
import type { Policy } from '../policy.ts';
import { Drop } from '../verdict.ts';
import { HOST_OTHERS, HOST_SESSIONS, HOST_SHIFT, type Hosts } from './hosts.ts';
import type { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';

/** No objection. */
export const NO_REFUSAL = -1;

/** True if limits hold for the sender. */
export const hasLimits = ({ host, profile, isGateway }: Opening): boolean =>
  (profile.newPerSecondMax | profile.sessionsPerHostMax) !== 0 &&
  host !== HOST_OTHERS &&
  !isGateway;

/**
 * The limit that a host for which limits hold has reached, or NO_REFUSAL.
 * @param millisecond of the table's clock, 32 bits
 */
export function hostLimit(hosts: Hosts, { host, profile }: Opening, millisecond: number): number {
  const { newPerSecondMax, newBurst, sessionsPerHostMax } = profile;
  if (newPerSecondMax !== 0 && !hosts.mayBegin(host, newPerSecondMax, newBurst, millisecond))
    return Drop.HostRateLimit;
  const { words } = hosts;
  const isFull = words[(host << HOST_SHIFT) + HOST_SESSIONS] >= sessionsPerHostMax;
  return isFull && sessionsPerHostMax !== 0 ? Drop.HostSessionLimit : NO_REFUSAL;
}

/**
 * The limit of which the host has had the half, where the session is an answer, or NO_REFUSAL. After hostLimit, which had no objection.
 * @param host whose limits hold; the mapping of the endpoint is known
 */
export function answerLimit(parts: TableParts, first: Opening, host: number): number {
  const { hosts, mappings, filter } = parts;
  const { mapping, profile, remoteAddress } = first;
  if (mapping < 0 || !mappings.isOwner(mapping)) return NO_REFUSAL;
  const { newPerSecondMax, newBurst, sessionsPerHostMax } = profile;
  const isFast = newPerSecondMax !== 0 && hosts.isHalfTaken(host, newBurst);
  const held = hosts.words[(host << HOST_SHIFT) + HOST_SESSIONS];
  const isFull = sessionsPerHostMax !== 0 && held * 2 >= sessionsPerHostMax;
  if (!(isFast || isFull) || !filter.admits(mapping, remoteAddress)) return NO_REFUSAL;
  return isFast ? Drop.HostRateLimit : Drop.HostSessionLimit;
}

/** Why the host may take none of the last `free` records, or NO_REFUSAL. */
export function reserveLimit(policy: Policy, first: Opening, free: number): number {
  if (free === 0) return Drop.SessionTableFull;
  if (first.isGateway || free > Math.max(policy.reserveSessions, policy.reserveOwnSessions))
    return NO_REFUSAL;
  const holdsFew = first.host !== HOST_OTHERS && first.hostSessions <= policy.fewSessions;
  return holdsFew && free > policy.reserveOwnSessions ? NO_REFUSAL : Drop.ReservedForOthers;
}
