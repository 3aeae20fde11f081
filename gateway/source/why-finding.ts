/** What every finder of why-line.ts and why-hosts.ts is written with: findings, their weight, their times, and what they name. */
import type {
  WhyClass,
  WhyDestination,
  WhyFinding,
  WhyHost,
  WhyKind,
  WhySeverity,
} from '../control/api.ts';
import type {
  ClassCount,
  DestinationCount,
  FillFacts,
  PressureCause,
  RefusalFacts,
  Streak,
  WhyFacts,
} from './why-facts.ts';

/** A finding without its words. */
export type Finding = Omit<WhyFinding, 'title' | 'text' | 'advice'>;

/** What happened longer ago is not going on. */
export const NOW_MS = 60_000;
/** From this share on something is called nearly used up. */
export const HIGH_SHARE = 0.9;
/** How full the table of the NAT above is can only be estimated, so that is told sooner. */
export const UPSTREAM_HIGH_SHARE = 0.75;
/**
 * Below this share the table of the NAT above refuses nobody but a host that has met its own share of it (core/table/upstream.ts: from
 * 93 % on it refuses everybody).
 */
export const UPSTREAM_FULL_SHARE = 0.9;
/** Findings of one kind: more would hide the others. */
export const ALIKE_MAX = 5;
/** Hosts, destinations and classes that a finding names. */
export const NAMED_MAX = 5;

export const SEVERITIES: readonly WhySeverity[] = ['short', 'tight', 'notice'];

export const worst = (severities: readonly WhySeverity[]): WhySeverity =>
  SEVERITIES.find((severity) => severities.includes(severity)) ?? 'notice';

export function finding(
  kind: WhyKind,
  severity: WhySeverity,
  rest: Partial<Omit<Finding, 'kind' | 'severity'>>,
): Finding {
  return { kind, severity, hosts: [], destinations: [], classes: [], numbers: {}, ...rest };
}

export const iso = (ms: number): string => new Date(ms).toISOString();

export const refusalOf = (facts: WhyFacts, reason: string): RefusalFacts | undefined =>
  facts.refusals.find((one) => one.reason === reason);

/** Short while it goes on. */
export const severityOf = (
  { lastMs }: Streak,
  { nowMs }: WhyFacts,
  otherwise: WhySeverity = 'notice',
  now: WhySeverity = 'short',
): WhySeverity => (nowMs - lastMs < NOW_MS ? now : otherwise);

export const times = ({ sinceMs, lastMs }: Streak, { nowMs }: WhyFacts) => ({
  since: iso(sinceMs),
  ...(nowMs - lastMs < NOW_MS ? {} : { until: iso(lastMs) }),
});

export const sinceHigh = ({ highSinceMs }: FillFacts): { since?: string } =>
  highSinceMs === undefined ? {} : { since: iso(highSinceMs) };

export const counts = ({ count, lastMinute }: Streak): Record<string, number> => ({
  count,
  lastMinute,
});

export const hostOf = ({ address, sessions }: { address: string; sessions: number }): WhyHost => ({
  address,
  sessions,
});

export const endpoint = ({ protocol, address, port }: Omit<DestinationCount, 'sessions'>) => ({
  protocol,
  address,
  port,
});

export const destinationOf = (one: DestinationCount): WhyDestination => ({
  ...endpoint(one),
  sessions: one.sessions,
});

export const classesOf = (classes: readonly ClassCount[]): WhyClass[] =>
  classes
    .slice(0, NAMED_MAX)
    .map((one) => ({ class: one.class, state: one.state, count: one.sessions }));

export const refusedHosts = (refusal: RefusalFacts): WhyHost[] =>
  refusal.hosts.slice(0, NAMED_MAX).map(({ address, told }) => ({ address, refused: told }));

export const keyOf = ({ protocol, address, port }: Omit<DestinationCount, 'sessions'>): string =>
  `${protocol} ${address}:${port}`;

/** Pressure comes from there, so it is told who takes it although it is not nearly used up. */
export const isCause = ({ pressure: { level, cause } }: WhyFacts, what: PressureCause): boolean =>
  level > 0 && cause === what;
