/**
 * From the policy tables of a file to settings that are whole.
 *
 *   [policy] ──▶ the line's ◀── [wan.policy] changes it
 *                    │
 *                    └─ [lan.policy] changes it for one LAN
 *
 * A table changes single keys of what it stands on; one that names a preset begins anew with that preset. What concerns the whole line
 * (reserve, pressure, upstream) cannot differ between LANs. LANs with equal settings share a profile; the engine knows four.
 */
import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { PROFILES_MAX } from '../../core/policy.ts';
import type { UpstreamSettings } from '../../core/table/upstream.ts';
import type { Exceptions, Network } from '../../policies/rule.ts';
import {
  type PolicySettings,
  PRESETS,
  TIMER_NAMES,
  type TimerSeconds,
  type Timers,
} from '../../policies/settings.ts';
import { UPSTREAM_MODELS, UPSTREAM_SECONDS_UNKNOWN } from '../../policies/upstream-models.ts';
import { parseIpv4Prefix } from './addresses.ts';
import { LINE_WIDE_KEYS, policyTable, upstreamTable } from './policy-schema.ts';
import type { Finding, KeyPath } from './problems.ts';
import { readTable } from './schema.ts';

type PolicyTable = z.output<typeof policyTable>;

/** What one table makes of the settings that it stands on; undefined where something in it is wrong. */
export function readPolicy(
  value: unknown,
  path: KeyPath,
  base: PolicySettings,
  findings: Finding[],
): PolicySettings | undefined {
  const before = findings.length;
  const table = readTable(policyTable, value, path, findings);
  const upstreamPath = [...path, 'upstream'];
  const upstream = readUpstream(
    (value as { upstream?: unknown } | null)?.upstream,
    upstreamPath,
    findings,
  );
  if (table === undefined || findings.length > before) return undefined;
  const stood = table.preset === undefined ? base : PRESETS[table.preset];
  const settings = changed(stood, table, upstream);
  checkTogether(settings, path, findings);
  return findings.length > before ? undefined : settings;
}

/** The same for a LAN, where `line` holds for what concerns the line as a whole. */
export function readLanPolicy(
  value: unknown,
  path: KeyPath,
  line: PolicySettings,
  findings: Finding[],
): PolicySettings | undefined {
  for (const key of LINE_WIDE_KEYS) {
    if ((value as Record<string, unknown> | null)?.[key] === undefined) continue;
    findings.push({
      code: 'CONFIG_CONFLICT',
      path: [...path, key],
      atKey: true,
      what: 'holds for the line as a whole, not for one LAN',
      hint: 'write it into [policy] or [wan.policy]',
    });
  }
  const settings = readPolicy(value, path, line, findings);
  if (settings === undefined) return undefined;
  const { upstream: _, ...own } = settings;
  const { reserve, pressure, upstream } = line;
  return { ...own, reserve, pressure, ...(upstream === undefined ? {} : { upstream }) };
}

/** The different settings among these, the line's first. */
export function distinctProfiles(
  line: PolicySettings,
  lans: readonly (PolicySettings | undefined)[],
): PolicySettings[] {
  const profiles = [line];
  for (const settings of lans)
    if (settings !== undefined && !profiles.some((each) => isDeepStrictEqual(each, settings)))
      profiles.push(settings);
  return profiles;
}

/** The engine keeps the profile of a session in two bits. */
export function checkProfiles(
  line: PolicySettings,
  lans: readonly (PolicySettings | undefined)[],
  findings: Finding[],
): void {
  lans.forEach((settings, n) => {
    if (settings === undefined) return;
    const before = distinctProfiles(line, lans.slice(0, n));
    const now = distinctProfiles(line, lans.slice(0, n + 1));
    if (before.length < PROFILES_MAX || now.length === before.length) return;
    findings.push({
      code: 'CONFIG_TOO_MANY',
      path: ['lan', n, 'policy'],
      atKey: true,
      what: `is another policy than the ${PROFILES_MAX} before it`,
      hint: `a gateway has up to ${PROFILES_MAX} different policies, that of the line among them: let some LANs share one`,
    });
  });
}

function changed(
  base: PolicySettings,
  table: PolicyTable,
  upstream: UpstreamSettings | 'none' | undefined,
): PolicySettings {
  const { limits, reserve, pressure } = table;
  const { upstream: before, ...rest } = base;
  const above = upstream === 'none' ? undefined : (upstream ?? before);
  return {
    ...rest,
    sharing: table.sharing ?? base.sharing,
    filtering: table.filtering ?? base.filtering,
    peers: table.peers ?? base.peers,
    ownedPercent: table['owned-percent'] ?? base.ownedPercent,
    timers: changedTimers(base.timers, table.timers ?? {}),
    evictUnanswered: table['evict-unanswered'] ?? base.evictUnanswered,
    unansweredPerRemote: table['unanswered-per-remote'] ?? base.unansweredPerRemote,
    limits: {
      sessions: limits?.sessions ?? base.limits.sessions,
      ownedPorts: limits?.['owned-ports'] ?? base.limits.ownedPorts,
      newPerSecond: limits?.['new-per-second'] ?? base.limits.newPerSecond,
      newAtOnce: limits?.['new-at-once'] ?? base.limits.newAtOnce,
    },
    reserve: {
      percent: reserve?.percent ?? base.reserve.percent,
      fewSessions: reserve?.['few-sessions'] ?? base.reserve.fewSessions,
    },
    pressure: {
      levelsPercent: pressure?.levels ?? base.pressure.levelsPercent,
      evict: pressure?.evict ?? base.pressure.evict,
    },
    ...(above === undefined ? {} : { upstream: above }),
    quic: {
      mode: table.quic ?? base.quic.mode,
      fromLevel: table['quic-from']?.level ?? base.quic.fromLevel,
      fromUpstream256:
        table['quic-from']?.upstream === undefined
          ? base.quic.fromUpstream256
          : Math.round((table['quic-from'].upstream * 256) / 100),
      except: exceptions(table['quic-except']) ?? base.quic.except,
    },
    udp: {
      mode: table.udp ?? base.udp.mode,
      except: changedUdpExcept(base.udp.except, table['udp-except']),
    },
    privateDestinations: table['private-destinations'] ?? base.privateDestinations,
    privateExcept: table['private-except']?.map(networkOf) ?? base.privateExcept,
    mail: {
      mode: table.mail ?? base.mail.mode,
      except: exceptions(table['mail-except']) ?? base.mail.except,
    },
  };
}

/**
 * One number is for the time without pressure; the levels shorten it in the proportion in which the preset does. Four numbers stand as
 * they are.
 */
function changedTimers(base: Timers, table: NonNullable<PolicyTable['timers']>): Timers {
  const timers = TIMER_NAMES.map((name): [string, TimerSeconds] => {
    const value = table[name];
    if (value === undefined) return [name, base[name]];
    if (typeof value !== 'number') return [name, value as unknown as TimerSeconds];
    const [relaxed] = base[name];
    const shortened = base[name].map((each) => Math.max(1, Math.round((value * each) / relaxed)));
    return [name, shortened as unknown as TimerSeconds];
  });
  return Object.fromEntries(timers) as unknown as Timers;
}

function changedUdpExcept(
  base: PolicySettings['udp']['except'],
  table: PolicyTable['udp-except'],
): PolicySettings['udp']['except'] {
  if (table === undefined) return base;
  return { ...(exceptions(table) ?? base), classes: table.classes ?? base.classes };
}

function exceptions(table: { from?: string[]; to?: string[] } | undefined): Exceptions | undefined {
  if (table === undefined) return undefined;
  return { from: (table.from ?? []).map(networkOf), to: (table.to ?? []).map(networkOf) };
}

/** The form was checked by the schema. */
function networkOf(text: string): Network {
  const { address, length } = parseIpv4Prefix(text)!;
  return { address, mask: length === 0 ? 0 : (-1 << (32 - length)) | 0 };
}

function readUpstream(
  value: unknown,
  path: KeyPath,
  findings: Finding[],
): UpstreamSettings | 'none' | undefined {
  if (value === undefined || value === 'none') return value;
  // A word that is no model is told by the schema of the whole table.
  if (typeof value !== 'object') return UPSTREAM_MODELS[String(value)];
  if (value === null || Array.isArray(value)) return undefined;
  const table = readTable(upstreamTable, value, path, findings);
  if (table === undefined) return undefined;
  const { udp, tcp, icmp, dns, 'tcp-closed': tcpClosed } = table.timers ?? {};
  return {
    entries: table.entries,
    udpSeconds: udp ?? UPSTREAM_SECONDS_UNKNOWN,
    tcpSeconds: tcp ?? UPSTREAM_SECONDS_UNKNOWN,
    icmpSeconds: icmp ?? UPSTREAM_SECONDS_UNKNOWN,
    ...(dns === undefined ? {} : { dnsSeconds: dns }),
    ...(tcpClosed === undefined ? {} : { tcpClosedSeconds: tcpClosed }),
  };
}

/** What two keys contradict each other in. */
function checkTogether(
  { limits, sharing, ownedPercent }: PolicySettings,
  path: KeyPath,
  findings: Finding[],
): void {
  if (!sharing && ownedPercent === 0)
    findings.push({
      code: 'CONFIG_CONFLICT',
      path: [...path, 'owned-percent'],
      atKey: true,
      what: 'lets no session begin while sharing is false: no port may be owned, and none shared',
      hint: 'write owned-percent = 100, or sharing = true',
    });
  if (limits.newPerSecond === 0 || limits.newAtOnce > 0) return;
  findings.push({
    code: 'CONFIG_CONFLICT',
    path: [...path, 'limits'],
    atKey: true,
    what: `new-per-second = ${limits.newPerSecond} lets no session begin while new-at-once is 0`,
    hint: 'add new-at-once, for instance ten times new-per-second',
  });
}
