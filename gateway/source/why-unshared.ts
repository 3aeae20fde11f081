/**
 * Refusals in a LAN whose endpoints do not share ports: each needs a port of its own, and a share of the set at most may be owned
 * (`owned-percent`). Such a refusal is counted as NoPortLeft, but says nothing about the destination.
 */
import type { Profile } from '../../core/policy.ts';
import { type Arena, P_OWNER, PORT_WORDS } from '../../core/table/arena.ts';
import { PROTOCOL_NAMES, protocolIndexOf } from '../../core/table/protocols.ts';
import { HIGH_SHARE } from './why-finding.ts';

/** Ports of a protocol that endpoints under this profile may own at most, together with all others. */
export const ownedMost = ({ ownedShare256 }: Profile, portCount: number): number =>
  (portCount * ownedShare256) >> 8;

/** Why an endpoint that must own a port got none; undefined where it may share one. */
export function refusedOwner(
  arena: Arena,
  portCount: number,
  profile: Profile,
  protocol: number,
): string | undefined {
  if (profile.sharing) return undefined;
  const most = ownedMost(profile, portCount);
  if (most === 0) return 'its LAN shares no ports, and none may be owned (owned-percent)';
  const name = PROTOCOL_NAMES[protocolIndexOf(protocol)];
  // Some may have been given back since the event was written.
  return ownedNow(arena, portCount, protocol) >= HIGH_SHARE * most
    ? `all ${most} ${name} ports that endpoints may own (owned-percent) have an owner, and its LAN shares none`
    : 'there was no port that it could own, and its LAN shares none';
}

/** Ports of the protocol that have an owner. */
function ownedNow({ ports }: Arena, portCount: number, protocol: number): number {
  const first = protocolIndexOf(protocol) * portCount;
  let owned = 0;
  for (let number = 0; number < portCount; number++)
    if (ports[(first + number) * PORT_WORDS + P_OWNER] !== 0) owned++;
  return owned;
}
