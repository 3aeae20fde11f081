/**
 * The policies that a fuzz run chooses from: presets as they are, two of them at once, limits so small that they are felt, a small table
 * of a NAT above. And what must hold of hosts under such limits, judged from their records.
 */
import { type Policy, refuseFor } from '../../core/policy.ts';
import { TICKS_PER_SECOND } from '../../core/state.ts';
import { HOST_WORDS } from '../../core/table/arena.ts';
import {
  HOST_ADDRESS,
  HOST_CREATED,
  HOST_CREATED_SESSIONS,
  HOST_IN_USE,
  HOST_OTHERS,
  HOST_SESSIONS_PEAK,
} from '../../core/table/hosts.ts';
import type { NatTable } from '../../core/table/nat-table.ts';
import { Drop } from '../../core/verdict.ts';
import { formatIpv4 } from '../../core/wire/ipv4.ts';
import { buildPolicy } from '../../policies/build.ts';
import { type PolicySettings, PRESETS, type PresetName } from '../../policies/settings.ts';
import type { Dice } from './dice.ts';

export interface PolicyChoice {
  preset: PresetName;
  /** Preset of the second LAN. */
  second?: PresetName;
  /** Limits of hosts, the reserve, pressure and caps: none, those of the presets, or tight ones. */
  limits?: 'none' | 'preset' | 'tight';
  /** Entries of the table of a NAT above. */
  upstreamEntries?: number;
  /** The policy refuses what goes to port 123. */
  refuses?: boolean;
}

const TIGHT = { sessions: 40, ownedPorts: 3, newPerSecond: 1, newAtOnce: 8 };
const UNLIMITED = { sessions: 0, newPerSecond: 0, newAtOnce: 0 };

/** The preset `home` for all, and nothing that keeps a flood from the tables. */
export const PLAIN_HOME = {
  preset: 'home',
  second: undefined,
  limits: 'none',
  upstreamEntries: undefined,
  refuses: false,
} as const satisfies PolicyChoice;

export const choosePreset = (dice: Dice): PresetName =>
  dice.pick(['home', 'home', 'home', 'rfc', 'event', 'game'] as const);

export function choosePolicy(dice: Dice): PolicyChoice {
  return {
    preset: choosePreset(dice),
    ...(dice.chance(40) ? { second: choosePreset(dice) } : {}),
    limits: dice.pick(['none', 'none', 'preset', 'tight'] as const),
    ...(dice.chance(20) ? { upstreamEntries: dice.pick([100, 2000]) } : {}),
    refuses: dice.chance(20),
  };
}

export function policyOf(choice: PolicyChoice, capacity: number): Policy {
  const { preset, second, refuses } = choice;
  const names = second === undefined ? [preset] : [preset, second];
  const profiles = names.map((name) => settingsOf(name, choice));
  const policy = buildPolicy({ profiles, profileOfLan: names.map((_, index) => index), capacity });
  if (!refuses) return policy;
  const decide: Policy['decide'] = (first) =>
    first.remotePort === 123 ? refuseFor(Drop.RefusedByPolicy) : policy.decide(first);
  return { ...policy, decide };
}

/** The traffic's servers have addresses of documentation networks, so what is private is let through. */
function settingsOf(name: PresetName, { limits, upstreamEntries }: PolicyChoice): PolicySettings {
  const settings: PolicySettings = { ...PRESETS[name], privateDestinations: 'allow' };
  const upstream =
    upstreamEntries === undefined
      ? {}
      : { upstream: { entries: upstreamEntries, udpSeconds: 30, tcpSeconds: 60, icmpSeconds: 5 } };
  if (limits === 'preset') return { ...settings, ...upstream };
  if (limits === 'tight')
    return {
      ...settings,
      ...upstream,
      limits: TIGHT,
      unansweredPerRemote: 2,
      reserve: { percent: 20, fewSessions: 10 },
      pressure: { levelsPercent: [20, 40, 60], evict: name !== 'rfc' },
    };
  return {
    ...settings,
    ...upstream,
    limits: { ...settings.limits, ...UNLIMITED },
    unansweredPerRemote: 0,
    reserve: { percent: 0, fewSessions: 0 },
    pressure: { levelsPercent: [100, 100, 100], evict: false },
  };
}

/** Holds hosts to tight limits: from one look to the next a bucket gives its burst and what the time between fills in. */
export class LimitJudge {
  /** Sessions begun at the last look, by host record; and when its host came. */
  private readonly begun = new Map<number, readonly [created: number, count: number]>();
  private lookedAt = 0;

  /**
   * Which host has got more than it may, or undefined.
   * @param isExempt addresses for which limits do not hold; @param clockIsSteady it was never set back, so that the rate can be judged
   */
  fault(
    { parts, tick }: NatTable,
    isExempt: (address: number) => boolean,
    clockIsSteady: boolean,
  ): string | undefined {
    const { words, capacity } = parts.hosts;
    const seconds = (tick - this.lookedAt) / TICKS_PER_SECOND;
    const allowed = TIGHT.newAtOnce + Math.ceil(seconds * TIGHT.newPerSecond);
    this.lookedAt = tick;
    for (let host = HOST_OTHERS + 1; host < capacity; host++) {
      const at = host * HOST_WORDS;
      if (words[at + HOST_IN_USE] !== 1 || isExempt(words[at + HOST_ADDRESS])) continue;
      const name = formatIpv4(words[at + HOST_ADDRESS]);
      const peak = words[at + HOST_SESSIONS_PEAK];
      if (peak > TIGHT.sessions) return `${name} had ${peak} sessions of ${TIGHT.sessions}`;
      const [created, before] = this.begun.get(host) ?? [0, 0];
      const now = words[at + HOST_CREATED_SESSIONS];
      const begun = created === words[at + HOST_CREATED] ? now - before : now;
      if (clockIsSteady && begun > allowed)
        return `${name} began ${begun} sessions of ${allowed} in ${seconds} s`;
      this.begun.set(host, [words[at + HOST_CREATED], now]);
    }
    return undefined;
  }
}
