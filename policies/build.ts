/**
 * The policy that the engine asks, made of settings.
 *
 *   first packet ──▶ profile of its LAN ──▶ class by its bytes ──▶ rules in order ──▶ class | profile | peer
 *                                                                      └─ the first objection ──▶ refused, with its reason
 *
 * Rules with nothing to say under the settings are left out, so that a policy that refuses nothing costs no more than the class.
 */
import {
  DECISION_PEER,
  type FirstPacket,
  type Policy,
  PROFILE_SHIFT,
  PROFILES_MAX,
  type Profile,
} from '../core/policy.ts';
import { classify } from './classify.ts';
import { outboundMail } from './outbound-mail.ts';
import { isPrivate, privateDestinations } from './private-destinations.ts';
import { quic } from './quic.ts';
import { classBits, NO_OBJECTION, type Rule } from './rule.ts';
import { type PolicySettings, PRESETS, type PresetName } from './settings.ts';
import { timerTables } from './timers.ts';
import { udpBlock } from './udp-block.ts';

/** A share of the reserve that only the gateway itself may take. */
const OWN_RESERVE_SHARE = 16;
const OWN_RESERVE_MOST = 64;

/** Pressure levels of PressurePlan: what is full is at level 3 by itself. */
const FULL = 3;
const NEVER = 4;

export interface PolicyPlan {
  /** One to four. What holds for the whole line (reserve, pressure, upstream) is that of the first. */
  profiles: PolicySettings[];
  /** Number of the profile by LAN network, in the engine's order. */
  profileOfLan: number[];
  /** The line's own address; absent: a public one. */
  externalAddress?: number;
  /** Sessions that the table holds; absent: not known, and nothing is reserved. */
  capacity?: number;
}

/** Makes the policy of a plan. */
export function buildPolicy(plan: PolicyPlan): Policy {
  const { profiles, profileOfLan, capacity = 0 } = plan;
  if (profiles.length < 1 || profiles.length > PROFILES_MAX)
    throw new RangeError(`a policy has 1 to ${PROFILES_MAX} profiles, not ${profiles.length}`);
  const [line] = profiles;
  const reserveSessions = Math.floor((capacity * line.reserve.percent) / 100);
  return {
    timers: timerTables(profiles),
    profiles: profiles.map(profileOf),
    profileOfLan,
    reserveSessions,
    reserveOwnSessions: Math.min(OWN_RESERVE_MOST, Math.floor(reserveSessions / OWN_RESERVE_SHARE)),
    fewSessions: line.reserve.fewSessions,
    pressure: {
      levelAt256: [
        in256(line.pressure.levelsPercent[0]),
        in256(line.pressure.levelsPercent[1]),
        in256(line.pressure.levelsPercent[2]),
      ],
      evictFrom: line.pressure.evict ? FULL : NEVER,
    },
    ...(line.upstream === undefined ? {} : { upstream: line.upstream }),
    decide: decider(plan),
  };
}

/** The policy of a preset for every LAN; `more` are settings that differ from it. */
export const presetPolicy = (preset: PresetName, more: Partial<PolicySettings> = {}): Policy =>
  buildPolicy({ profiles: [{ ...PRESETS[preset], ...more }], profileOfLan: [] });

function decider({ profiles, profileOfLan, externalAddress }: PolicyPlan): Policy['decide'] {
  const lineIsPrivate = externalAddress !== undefined && isPrivate(externalAddress);
  const rulesOf = profiles.map((settings) => rulesFor(settings, lineIsPrivate));
  const peersOf = profiles.map(({ peers }) => classBits(peers));
  return (first: FirstPacket): number => {
    const profile = profileOfLan[first.lan] ?? 0;
    const sessionClass = classify(first);
    const kind = (profile << PROFILE_SHIFT) | sessionClass;
    const rules = rulesOf[profile];
    for (let i = 0; i < rules.length; i++) {
      const objection = rules[i](first, sessionClass);
      if (objection !== NO_OBJECTION) return objection | kind;
    }
    return ((peersOf[profile] >>> sessionClass) & 1) === 1 ? kind | DECISION_PEER : kind;
  };
}

/** The rules that can object under these settings, in the order in which they are asked. */
const rulesFor = (settings: PolicySettings, lineIsPrivate: boolean): Rule[] =>
  [
    privateDestinations(settings.privateDestinations, settings.privateExcept, lineIsPrivate),
    outboundMail(settings.mail),
    settings.udp.mode === 'allow' ? undefined : udpBlock(settings.udp),
    settings.quic.mode === 'allow' ? undefined : quic(settings.quic),
  ].filter((rule) => rule !== undefined);

function profileOf(settings: PolicySettings): Profile {
  const { limits } = settings;
  return {
    sharing: settings.sharing,
    evictUnanswered: settings.evictUnanswered,
    ownedShare256: in256(settings.ownedPercent),
    ownedPerHostMax: limits.ownedPorts,
    openFilter: settings.filtering === 'open',
    sessionsPerHostMax: limits.sessions,
    newPerSecondMax: limits.newPerSecond,
    newBurst: limits.newPerSecond === 0 ? 0 : limits.newAtOnce,
    unansweredPerRemoteMax: settings.unansweredPerRemote,
  };
}

const in256 = (percent: number): number => Math.round((percent * 256) / 100);
