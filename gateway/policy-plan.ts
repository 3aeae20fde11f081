/**
 * What the configuration decides about sessions, in the words of the engine: its LAN networks by number instead of LANs by name.
 *
 * A session keeps the number of its profile for life, so a reload must not give that number to another LAN: each LAN keeps the one that
 * it had, also while it has no policy of its own. Then its number means the line's policy. Only where a fourth LAN needs one does it get
 * the number of such a LAN, and with it those of that LAN's sessions that still live.
 */
import { isDeepStrictEqual } from 'node:util';
import { PROFILES_MAX } from '../core/policy.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import type { PolicyPlan } from '../policies/build.ts';
import type { PolicySettings } from '../policies/settings.ts';
import type { PortfoldConfig } from './config/types.ts';

/** Number of the profile by name of the LAN, past ones too; 0, the line's, for those that are not named. */
export type ProfileNumbers = ReadonlyMap<string, number>;

/**
 * Numbers for the LANs that have a policy of their own, or had one; equal policies share one.
 * @param before the numbers until now
 */
export function profileNumbers(config: PortfoldConfig, before: ProfileNumbers): ProfileNumbers {
  const numbers = new Map<string, number>();
  const settingsOf = new Map<number, PolicySettings>();
  const isFree = (number: number): boolean => number > 0 && !settingsOf.has(number);
  const known = [...before.values()];
  const isFresh = (number: number): boolean => isFree(number) && !known.includes(number);
  // Who had a number chooses first.
  const own = config.lans
    .filter(({ policy }) => policy !== undefined && !isDeepStrictEqual(policy, config.policy))
    .sort((a, b) => Number(before.has(b.name)) - Number(before.has(a.name)));
  for (const { name, policy } of own) {
    if (policy === undefined) continue;
    const equal = [...settingsOf].find(([, each]) => isDeepStrictEqual(each, policy));
    const had = before.get(name) ?? 0;
    const number =
      equal?.[0] ?? (isFree(had) ? had : ([1, 2, 3].find(isFresh) ?? [1, 2, 3].find(isFree)));
    if (number === undefined) throw new Error(`more than ${PROFILES_MAX} different policies`);
    settingsOf.set(number, policy);
    numbers.set(name, number);
  }
  for (const [name, number] of before)
    if (!numbers.has(name) && isFree(number)) numbers.set(name, number);
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
  const own = new Set<string>();
  for (const lan of lans) {
    const number = numbers.get(lan.name);
    if (number === undefined || lan.policy === undefined) continue;
    profiles[number] = lan.policy;
    own.add(lan.name);
  }
  return {
    profiles,
    profileOfLan: lanNames.map((name) => (own.has(name) ? (numbers.get(name) ?? 0) : 0)),
    externalAddress: parseIpv4(externalAddress),
    capacity: gateway.capacity,
  };
}
