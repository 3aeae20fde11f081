/** What the configuration decides about sessions, in the words of the engine: its LAN networks by number instead of LANs by name. */
import { isDeepStrictEqual } from 'node:util';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import type { PolicyPlan } from '../policies/build.ts';
import { distinctProfiles } from './config/policy.ts';
import type { PortfoldConfig } from './config/types.ts';

/**
 * @param lanNames the LAN of each network, in the engine's order
 * @param externalAddress of the line, as text
 */
export function policyPlan(
  config: PortfoldConfig,
  lanNames: readonly string[],
  externalAddress: string,
): PolicyPlan {
  const { policy, lans, gateway } = config;
  const profiles = distinctProfiles(
    policy,
    lans.map((lan) => lan.policy),
  );
  const profileOf = (name: string): number => {
    const own = lans.find((lan) => lan.name === name)?.policy ?? policy;
    return profiles.findIndex((each) => isDeepStrictEqual(each, own));
  };
  return {
    profiles,
    profileOfLan: lanNames.map(profileOf),
    externalAddress: parseIpv4(externalAddress),
    capacity: gateway.capacity,
  };
}
