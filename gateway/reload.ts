/**
 * What may change while the gateway runs (SIGHUP), and what needs a restart.
 *
 *   [policy], gateway.log-level, [[lan]]           now; sessions go on
 *   [[wan]], capacity, tun, runtime-directory      restart: arena, device or port set would be other ones
 *
 * A configuration is applied whole or not at all, so one key that needs a restart refuses all others with it. Keys that this file does
 * not know need a restart.
 */
import { isDeepStrictEqual } from 'node:util';
import type { LanConfig, PortfoldConfig } from './config/types.ts';
import { GatewayError } from './errors.ts';

/** What a reload changed, in the words of the configuration. */
export type Change = 'policy' | 'gateway.log-level' | 'lan' | 'lan.policy';

/** What differs between two configurations. Throws when something differs that needs a restart. */
export function changesBetween(now: PortfoldConfig, next: PortfoldConfig): Change[] {
  const refused: string[] = [];
  if (!isDeepStrictEqual(now.wans, next.wans)) refused.push('wan');
  refused.push(...differing('gateway', now.gateway, next.gateway, 'logLevel'));
  const known = ['lans', 'wans', 'policy', 'gateway'];
  for (const [key, value] of Object.entries(next))
    if (!known.includes(key) && !isDeepStrictEqual(value, Reflect.get(now, key))) refused.push(key);
  if (refused.length > 0)
    throw new GatewayError(
      'RELOAD_NEEDS_RESTART',
      `${refused.join(', ')} cannot change while the gateway runs; restart it. Sessions survive a restart with --handover ` +
        'if the line, its ports and gateway.capacity stay the same',
      1,
    );

  const changes: Change[] = [];
  if (!isDeepStrictEqual(now.policy, next.policy)) changes.push('policy');
  if (now.gateway.logLevel !== next.gateway.logLevel) changes.push('gateway.log-level');
  if (!isDeepStrictEqual(now.lans.map(withoutPolicy), next.lans.map(withoutPolicy)))
    changes.push('lan');
  if (!isDeepStrictEqual(lanPolicies(now), lanPolicies(next))) changes.push('lan.policy');
  return changes;
}

const withoutPolicy = ({ policy: _, ...lan }: LanConfig) => lan;

const lanPolicies = ({ lans }: PortfoldConfig) =>
  lans.flatMap(({ name, policy }) => (policy === undefined ? [] : [{ name, policy }]));

/** Names of the keys of a table that differ, but for `allowed`, as the configuration spells them. */
function differing(table: string, now: object, next: object, allowed: string): string[] {
  const keys = new Set([...Object.keys(now), ...Object.keys(next)]);
  return [...keys]
    .filter((key) => key !== allowed)
    .filter((key) => !isDeepStrictEqual(Reflect.get(now, key), Reflect.get(next, key)))
    .map((key) => `${table}.${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
}
