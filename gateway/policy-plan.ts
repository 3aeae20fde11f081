/**
 * What the configuration decides about sessions, in the words of the engine: its LAN networks by number instead of LANs by name.
 *
 * A session keeps the number of its profile for life, so a reload must not give that number to another LAN: each LAN keeps the one that
 * it had. Numbers that nobody has now mean the line's policy, which is what holds for the LANs that had them.
 */
import { isDeepStrictEqual } from 'node:util';
import { PROFILES_MAX } from '../core/policy.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import type { PolicyPlan } from '../policies/build.ts';
import type { PolicySettings } from '../policies/settings.ts';
import type { PortfoldConfig } from './config/types.ts';

/** Number of the profile by name of the LAN; 0, the line's, for those that are not named. */
export type ProfileNumbers = ReadonlyMap<string, number>;

/**
 * Numbers for the LANs that have a policy of their own; equal policies share one.
 * @param before the numbers until now
 */
export function profileNumbers(config: PortfoldConfig, before: ProfileNumbers): ProfileNumbers {
  const numbers = new Map<string, number>();
  const settingsOf = new Map<number, PolicySettings>();
  const isFree = (number: number): boolean => number > 0 && !settingsOf.has(number);
  // Who had a number chooses first.
  const own = config.lans
    .filter(({ policy }) => policy !== undefined && !isDeepStrictEqual(policy, config.policy))
    .sort((a, b) => Number(before.has(b.name)) - Number(before.has(a.name)));
  for (const { name, policy } of own) {
    if (policy === undefined) continue;
    const equal = [...settingsOf].find(([, each]) => isDeepStrictEqual(each, policy));
    const had = before.get(name) ?? 0;
    const number = equal?.[0] ?? (isFree(had) ? had : [1, 2, 3].find(isFree));
    if (number === undefined) throw new Error(`more than ${PROFILES_MAX} different policies`);
    settingsOf.set(number, policy);
    numbers.set(name, number);
  }
  return numbers;
}

/**
 * @param lanNames the LAN of each network, in the engine's order
 * @param externalAddress of the line, as text
 */
export function policyPlan(
  config: PortfoldConfig,
  numbers: ProfileNumbers,
  lanNames: readonly string[],
  externalAddress: string,
): PolicyPlan {
  const { policy, lans, gateway } = config;
  const profiles = Array.from({ length: Math.max(0, ...numbers.values()) + 1 }, () => policy);
  for (const lan of lans) {
    const number = numbers.get(lan.name);
    if (number !== undefined && lan.policy !== undefined) profiles[number] = lan.policy;
  }
  return {
    profiles,
    profileOfLan: lanNames.map((name) => numbers.get(name) ?? 0),
    externalAddress: parseIpv4(externalAddress),
    capacity: gateway.capacity,
  };
}
