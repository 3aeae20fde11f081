/** Findings about what all hosts share: the line, its ports, the tables, the NAT above. */
import type { WhyHost, WhyKind } from '../control/api.ts';
import type { DestinationCount, FillFacts, RefusalFacts, WhyFacts } from './why-facts.ts';
import {
  ALIKE_MAX,
  classesOf,
  counts,
  destinationOf,
  endpoint,
  type Finding,
  finding,
  HIGH_SHARE,
  hostOf,
  isCause,
  iso,
  keyOf,
  NAMED_MAX,
  NOW_MS,
  refusalOf,
  refusedHosts,
  severityOf,
  sinceHigh,
  times,
  UPSTREAM_FULL_SHARE,
  UPSTREAM_HIGH_SHARE,
} from './why-finding.ts';
import { foundNoneToOwn } from './why-owned.ts';

/** A refusal that followed on a full table so closely may have been for that: the fill is looked at every five seconds. */
const UPSTREAM_FULL_MS = 10_000;

export function notForwarding({ degraded }: WhyFacts): Finding[] {
  if (degraded === undefined) return [];
  return [finding('not-forwarding', 'short', { reason: degraded })];
}

export function queueFull(facts: WhyFacts): Finding[] {
  const { lostAtTun } = facts;
  if (lostAtTun === undefined) return [];
  return [
    finding('queue-full', severityOf(lostAtTun, facts), {
      ...times(lostAtTun, facts),
      hosts: facts.hosts
        .toSorted((a, b) => b.createdRecently - a.createdRecently)
        .slice(0, 1)
        .map(hostOf),
      numbers: counts(lostAtTun),
    }),
  ];
}

/** Every port is taken towards one remote endpoint, or nearly. Those that refuse nothing yet are one finding together. */
export function portsTowards(facts: WhyFacts): Finding[] {
  const refusal = refusalOf(facts, 'NoPortLeft');
  const refused = refusedPlaces(facts, refusal).filter(({ place }) => !isSpent(facts, place));
  const findings = refused
    .sort((a, b) => b.lastMs - a.lastMs || b.told - a.told)
    .slice(0, ALIKE_MAX)
    .map((one) => towards(facts, one, refusal, refused.length === 1));

  const isRefused = new Set(refused.map(({ place }) => keyOf(place)));
  const others = facts.remotes.filter((remote) => !isRefused.has(keyOf(remote)));
  let high = others.filter(({ sessions }) => sessions >= HIGH_SHARE * facts.portCount);
  const severity = high.length > 0 ? 'tight' : 'notice';
  if (high.length === 0 && refused.length === 0 && isCause(facts, 'destinations'))
    high = others.slice(0, 1);
  if (high.length === 0) return findings;
  const [first] = high;
  return [
    ...findings,
    finding('ports-towards', severity, {
      hosts: first.hosts.slice(0, NAMED_MAX).map(hostOf),
      destinations: high.map(destinationOf),
      classes: classesOf(first.classes),
      numbers: {
        sessions: first.sessions,
        ports: facts.portCount,
        hosts: first.hostCount,
        destinations: high.length,
      },
    }),
  ];
}

/** Destinations towards which no port was left, by what events told. */
function refusedPlaces(facts: WhyFacts, refusal: RefusalFacts | undefined): Refused[] {
  const places = new Map<string, Refused>();
  for (const host of refusal?.hosts ?? [])
    for (const place of host.destinations) {
      if (foundNoneToOwn(facts, host, place)) continue;
      const known = places.get(keyOf(place)) ?? { place, told: 0, lastMs: 0, hosts: [] };
      known.told += place.told;
      known.lastMs = Math.max(known.lastMs, place.lastMs);
      known.hosts.push({ address: host.address, refused: place.told });
      places.set(keyOf(place), known);
    }
  return [...places.values()];
}

interface Refused {
  place: Omit<DestinationCount, 'sessions'>;
  told: number;
  lastMs: number;
  hosts: WhyHost[];
}

function towards(
  facts: WhyFacts,
  { place, told, lastMs, hosts }: Refused,
  refusal: RefusalFacts | undefined,
  isOnly: boolean,
): Finding {
  const remote = facts.remotes.find((one) => keyOf(one) === keyOf(place));
  const sessions = remote?.sessions ?? 0;
  const isHigh = sessions >= HIGH_SHARE * facts.portCount;
  const isNow = facts.nowMs - lastMs < NOW_MS;
  const severity = isNow ? 'short' : isHigh ? 'tight' : 'notice';
  // Whose sessions are in the way, then who is refused: often not the same.
  const holders = remote?.hosts.slice(0, NAMED_MAX).map(hostOf) ?? [];
  const victims = hosts.filter(({ address }) => !holders.some((one) => one.address === address));
  return finding('ports-towards', severity, {
    since: iso(refusal?.sinceMs ?? lastMs),
    ...(isNow ? {} : { until: iso(lastMs) }),
    hosts: [...holders, ...victims.sort((a, b) => (b.refused ?? 0) - (a.refused ?? 0))],
    destinations: [{ ...endpoint(place), sessions, refused: told }],
    classes: classesOf(remote?.classes ?? []),
    numbers: {
      sessions,
      ports: facts.portCount,
      hosts: remote?.hostCount ?? 0,
      destinations: 1,
      ...(isOnly && refusal !== undefined ? counts(refusal) : { count: told }),
    },
  });
}

/** The remote was refused since all ports have owners, and not since it has so many sessions. */
function isSpent(facts: WhyFacts, place: Refused['place']): boolean {
  const owned = facts.owned.find(({ protocol }) => protocol === place.protocol)?.owned ?? 0;
  const sessions = facts.remotes.find((one) => keyOf(one) === keyOf(place))?.sessions ?? 0;
  return owned >= HIGH_SHARE * facts.portCount && sessions < HIGH_SHARE * facts.portCount;
}

/** Tables that are full, or nearly. */
export function tables(facts: WhyFacts): Finding[] {
  return [
    ...table(
      facts,
      'session-table',
      facts.sessions,
      'SessionTableFull',
      isCause(facts, 'sessions'),
    ),
    ...table(facts, 'remote-table', facts.remotesTable, 'RemoteTableFull', false),
    ...table(facts, 'host-table', facts.hostsTable, undefined, false),
    ...reserve(facts),
  ];
}

function table(
  facts: WhyFacts,
  kind: WhyKind,
  fill: FillFacts,
  reason: string | undefined,
  isPressing: boolean,
): Finding[] {
  const refusal = reason === undefined ? undefined : refusalOf(facts, reason);
  const isHigh = fill.used >= HIGH_SHARE * fill.capacity;
  if (!isHigh && !isPressing && refusal === undefined) return [];
  const otherwise = isHigh ? 'tight' : 'notice';
  return [
    finding(kind, refusal ? severityOf(refusal, facts, otherwise) : otherwise, {
      ...(refusal ? times(refusal, facts) : sinceHigh(fill)),
      ...(reason ? { reason } : {}),
      hosts: facts.hosts.slice(0, NAMED_MAX).map(hostOf),
      destinations: facts.remotes.slice(0, NAMED_MAX).map(destinationOf),
      classes: classesOf(facts.classes),
      numbers: { used: fill.used, capacity: fill.capacity, ...(refusal ? counts(refusal) : {}) },
    }),
  ];
}

/** The last records are kept for hosts that hold few. */
function reserve(facts: WhyFacts): Finding[] {
  const refusal = refusalOf(facts, 'ReservedForOthers');
  if (refusal === undefined) return [];
  return [
    finding('reserve', severityOf(refusal, facts), {
      ...times(refusal, facts),
      reason: refusal.reason,
      hosts: refusedHosts(refusal),
      numbers: { ...counts(refusal), used: facts.sessions.used, capacity: facts.sessions.capacity },
    }),
  ];
}

/** The NAT above fills up: it keeps what we have sent longer than we do, so what counts is what was made, and not what is there. */
export function upstream(facts: WhyFacts): Finding[] {
  const { upstream: above } = facts;
  if (above === undefined) return [];
  const refusal = refusalOf(facts, 'UpstreamFull');
  const isHigh = above.used >= UPSTREAM_HIGH_SHARE * above.capacity;
  if (!isHigh && refusal === undefined && !isCause(facts, 'upstream')) return [];
  const otherwise = isHigh ? 'tight' : 'notice';
  const isShare = refusal !== undefined && metShare(refusal, above);
  // From there on those that met their share are so many that it is the table that is short.
  const isShareOnly = isShare && !isHigh;
  return [
    finding('upstream', refusal ? severityOf(refusal, facts, otherwise) : otherwise, {
      ...(refusal ? times(refusal, facts) : sinceHigh(above)),
      hosts: isShareOnly ? limitedAbove(facts, refusal) : makers(facts, refusal),
      destinations: facts.remotes.slice(0, NAMED_MAX).map(destinationOf),
      classes: facts.createdByClass
        .slice(0, NAMED_MAX)
        .map((one) => ({ class: one.class, count: one.sessions })),
      numbers: {
        used: above.used,
        capacity: above.capacity,
        reused: above.reused,
        ours: facts.sessions.used,
        recentSeconds: facts.recentSeconds,
        quicRejected: facts.quic.rejected,
        quicAllowed: facts.quic.mode === 'never' ? 1 : 0,
        shareMet: isShare ? 1 : 0,
        shareOnly: isShareOnly ? 1 : 0,
        ...(refusal ? counts(refusal) : {}),
      },
    }),
  ];
}

/** Refused were only hosts that held as many entries above as were left: the table was not full at the last refusal. */
const metShare = (refusal: RefusalFacts, above: NonNullable<WhyFacts['upstream']>): boolean =>
  above.used < UPSTREAM_FULL_SHARE * above.capacity &&
  (above.fullMs === undefined || above.fullMs < refusal.lastMs - UPSTREAM_FULL_MS);

/** Hosts that met their share, and the sessions that they hold. */
const limitedAbove = ({ hosts }: WhyFacts, refusal: RefusalFacts): WhyHost[] =>
  refusedHosts(refusal).map((host) => {
    const known = hosts.find(({ address }) => address === host.address);
    return known === undefined ? host : { ...host, sessions: known.sessions };
  });

/** Who has made most lately, then who was refused: often not the same. */
function makers({ hosts }: WhyFacts, refusal: RefusalFacts | undefined): WhyHost[] {
  const most = hosts
    .toSorted((a, b) => b.createdRecently - a.createdRecently)
    .slice(0, NAMED_MAX)
    .map(({ address, createdRecently }) => ({ address, sessions: createdRecently }));
  const refused = refusal === undefined ? [] : refusedHosts(refusal);
  return [
    ...most.map((host) => ({ ...refused.find((one) => one.address === host.address), ...host })),
    ...refused.filter(({ address }) => !most.some((one) => one.address === address)),
  ];
}

export function pressure(facts: WhyFacts): Finding[] {
  const { level, cause, sinceMs } = facts.pressure;
  if (level === 0) return [];
  return [
    finding('pressure', level === 1 ? 'notice' : 'tight', {
      ...(sinceMs === undefined ? {} : { since: iso(sinceMs) }),
      ...(cause === undefined ? {} : { reason: cause }),
      numbers: {
        level,
        endedSooner: facts.endedByPressure?.count ?? 0,
        evicted: facts.evicted?.count ?? 0,
      },
    }),
  ];
}
