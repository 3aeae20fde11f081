/** Findings about what a single host does, or meets. */
import type { WhySeverity } from '../control/api.ts';
import type { HostFacts, SilentFacts, WhyFacts } from './why-facts.ts';
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
  iso,
  NAMED_MAX,
  NOW_MS,
  refusalOf,
  refusedHosts,
  severityOf,
  times,
  worst,
} from './why-finding.ts';

/** Sessions without an answer towards one address that make it worth telling, and while others gave way to them. */
const SILENT_SESSIONS_MIN = 3;
const SILENT_SESSIONS_MIN_CAPPED = 2;
/** So many hosts that ask one address, or addresses that one host asks, are told together. */
const ALIKE_TOGETHER = 3;
/** A host that holds so many half-open connections, and mostly such, does not open them to use them. */
const HALF_OPEN_MIN = 256;
const HALF_OPEN_SHARE = 0.5;

/**
 * A host sends to an address from which nothing comes back, and takes a port with each attempt. Several hosts that ask the same address
 * are one finding, and so are several addresses that one host asks.
 */
export function deadDestinations(facts: WhyFacts): Finding[] {
  const { gaveWay } = facts;
  const isCapped = gaveWay !== undefined && facts.nowMs - gaveWay.lastMs < NOW_MS;
  const least = isCapped ? SILENT_SESSIONS_MIN_CAPPED : SILENT_SESSIONS_MIN;
  const found = facts.silent.filter(({ sessions }) => sessions >= least);
  const groups: SilentFacts[][] = [];
  let rest = found;
  for (const key of ['remote', 'host'] as const)
    for (const group of groupBy(rest, (one) => one[key])) {
      if (group.length < ALIKE_TOGETHER) continue;
      groups.push(group);
      rest = rest.filter((one) => !group.includes(one));
    }
  groups.push(...rest.map((one) => [one]));
  return groups
    .sort((a, b) => total(b, 'sessions') - total(a, 'sessions'))
    .slice(0, ALIKE_MAX)
    .map((group) => deadDestination(facts, group, groups.length));
}

function deadDestination(facts: WhyFacts, group: SilentFacts[], groups: number): Finding {
  const { gaveWay } = facts;
  const [first] = group;
  const severities = group.map((one) => silentSeverity(facts, one));
  const addresses = groupBy(group, ({ remote }) => remote);
  const hosts = groupBy(group, ({ host }) => host);
  return finding('dead-destination', worst(severities), {
    since: iso(Math.min(...group.map(({ sinceMs }) => sinceMs))),
    hosts: hosts.slice(0, NAMED_MAX).map((same) => ({
      address: same[0].host,
      sessions: total(same, 'sessions'),
      ports: total(same, 'externalPorts'),
    })),
    // All ports of the one address, or the most used port of each.
    destinations: addresses
      .flatMap(([one]) =>
        one.ports
          .slice(0, addresses.length > 1 ? 1 : NAMED_MAX)
          .map((port) => ({ protocol: 'udp' as const, address: one.remote, port })),
      )
      .slice(0, NAMED_MAX),
    classes: [{ class: first.class, state: 'unanswered', count: total(group, 'sessions') }],
    numbers: {
      sessions: total(group, 'sessions'),
      externalPorts: total(group, 'externalPorts'),
      sourcePorts: total(group, 'sourcePorts'),
      remotePorts: Math.max(...group.map(({ portCount }) => portCount)),
      packets: total(group, 'packets'),
      answered: 0,
      ports: facts.portCount,
      hosts: hosts.length,
      addresses: addresses.length,
      deadDestinations: groups,
      ...(gaveWay ? { gaveWay: gaveWay.count, gaveWayLastMinute: gaveWay.lastMinute } : {}),
    },
  });
}

const total = (
  group: readonly SilentFacts[],
  what: 'sessions' | 'externalPorts' | 'sourcePorts' | 'packets',
): number => group.reduce((sum, one) => sum + one[what], 0);

/** The cause of a shortage is short itself; a host that holds a quarter of the ports for nothing is on the way there. */
function silentSeverity(
  facts: WhyFacts,
  { host, remote, externalPorts }: SilentFacts,
): WhySeverity {
  const isInTheWay = refusalOf(facts, 'NoPortLeft')?.hosts.some(({ destinations }) =>
    destinations.some(
      (one) =>
        one.address === remote && facts.nowMs - one.lastMs < NOW_MS && one.protocol === 'udp',
    ),
  );
  const udp = facts.owned.find(({ protocol }) => protocol === 'udp');
  const isOwner =
    udp !== undefined &&
    udp.owned >= HIGH_SHARE * udp.most &&
    udp.hosts[0]?.address === host &&
    externalPorts >= udp.most / 4;
  if (isInTheWay || isOwner) return 'short';
  return externalPorts >= facts.portCount / 4 ? 'tight' : 'notice';
}

/** A host sends to a private address that no network of ours holds: no line leads there. */
export function privateDestinations(facts: WhyFacts): Finding[] {
  const refusal = refusalOf(facts, 'PrivateDestination');
  if (refusal === undefined) return [];
  const told = refusal.hosts.flatMap((host) => {
    const addresses = groupBy(host.destinations, ({ address }) => address);
    const groups = addresses.length < ALIKE_TOGETHER ? addresses : [host.destinations];
    return groups.map((places) => ({ host, places }));
  });
  if (told.length === 0)
    return [
      finding('private-destination', 'notice', {
        ...times(refusal, facts),
        reason: refusal.reason,
        numbers: counts(refusal),
      }),
    ];
  return told
    .sort((a, b) => sum(b.places) - sum(a.places))
    .slice(0, ALIKE_MAX)
    .map(({ host, places }) =>
      finding('private-destination', 'notice', {
        ...times({ ...refusal, sinceMs: host.sinceMs, lastMs: host.lastMs }, facts),
        reason: refusal.reason,
        hosts: [{ address: host.address, refused: sum(places) }],
        destinations: places
          .slice(0, NAMED_MAX)
          .map((one) => ({ ...endpoint(one), refused: one.told })),
        numbers: {
          // Of one host the counter tells exactly; else events tell whose how many were, as far as they were told.
          ...(told.length === 1 ? counts(refusal) : { count: sum(places) }),
          addresses: new Set(places.map(({ address }) => address)).size,
        },
      }),
    );
}

const LIMIT_REASONS = ['HostRateLimit', 'HostSessionLimit'];

/** A host has reached what a single host may have. */
export function hostLimits(facts: WhyFacts): Finding[] {
  return LIMIT_REASONS.flatMap((reason) => {
    const refusal = refusalOf(facts, reason);
    if (refusal === undefined) return [];
    const limited = refusal.hosts.slice(0, ALIKE_MAX);
    if (limited.length === 0)
      return [
        finding('host-limit', severityOf(refusal, facts), {
          ...times(refusal, facts),
          reason,
          numbers: counts(refusal),
        }),
      ];
    const { limitsSinceMs = 0 } = facts;
    return limited.map((host) => {
      const known = facts.hosts.find(({ address }) => address === host.address);
      const streak = { ...refusal, sinceMs: host.sinceMs, lastMs: host.lastMs };
      return finding('host-limit', severityOf(streak, facts), {
        ...times(streak, facts),
        reason,
        hosts: [
          {
            address: host.address,
            refused: host.told,
            ...(known ? { sessions: known.sessions } : {}),
          },
        ],
        destinations: host.destinations
          .slice(0, NAMED_MAX)
          .map((one) => ({ ...endpoint(one), refused: one.told })),
        classes: classesOf(known?.classes ?? []),
        numbers: {
          ...(limited.length === 1 ? counts(refusal) : { count: host.told }),
          ...(known ? limitNumbers(known) : {}),
          // What it met was another limit than it has now.
          limitsChanged: host.lastMs < limitsSinceMs ? 1 : 0,
        },
      });
    });
  });
}

const limitNumbers = ({ limits, sessions, peak, owned }: HostFacts): Record<string, number> => ({
  sessions,
  owned,
  sessionsPeak: peak,
  sessionsMax: limits.sessions,
  newPerSecondMax: limits.newPerSecond,
  ownedMax: limits.owned,
});

/** Peers that share a port although there are some left: a host owns as many as it may. */
export function peersWithoutPort(facts: WhyFacts): Finding[] {
  const { peersWithoutPort: peers } = facts;
  if (peers === undefined) return [];
  if (facts.owned.some(({ owned, most }) => most > 0 && owned >= HIGH_SHARE * most)) return [];
  const hosts = peers.hosts.slice(0, NAMED_MAX);
  const known = facts.hosts.find(({ address }) => address === hosts[0]);
  return [
    finding('peers-without-port', severityOf(peers, facts, 'notice', 'tight'), {
      ...times(peers, facts),
      hosts: hosts.map((address) => {
        const host = facts.hosts.find((one) => one.address === address);
        return { address, ...(host ? { ports: host.owned } : {}) };
      }),
      numbers: { ...counts(peers), ...(known ? { ownedMax: known.limits.owned } : {}) },
    }),
  ];
}

/** Connections that are begun and never used: a scan, or a flood. */
export function halfOpen(facts: WhyFacts): Finding[] {
  return facts.hosts.flatMap((host) => {
    const open = host.classes
      .filter(({ state }) => state === 'half-open')
      .reduce((total, { sessions }) => total + sessions, 0);
    if (open < HALF_OPEN_MIN || open < HALF_OPEN_SHARE * host.sessions) return [];
    const isMuch = open >= facts.sessions.capacity / 4;
    return [
      finding('half-open', isMuch ? 'tight' : 'notice', {
        hosts: [hostOf(host)],
        destinations: host.destinations.slice(0, NAMED_MAX).map(destinationOf),
        classes: [{ class: 'tcp', state: 'half-open', count: open }],
        numbers: { halfOpen: open, sessions: host.sessions, capacity: facts.sessions.capacity },
      }),
    ];
  });
}

const POLICY_REASONS = ['QuicRejected', 'UdpBlocked', 'RefusedByPolicy'];

/** What a policy refuses is meant so; that it does is worth knowing. */
export function refusedByPolicy(facts: WhyFacts): Finding[] {
  return POLICY_REASONS.flatMap((reason) => {
    const refusal = refusalOf(facts, reason);
    if (refusal === undefined) return [];
    const destinations = refusal.hosts.flatMap((host) => host.destinations);
    return [
      finding('refused-by-policy', 'notice', {
        ...times(refusal, facts),
        reason,
        hosts: refusedHosts(refusal),
        destinations: destinations
          .sort((a, b) => b.told - a.told)
          .slice(0, NAMED_MAX)
          .map((one) => ({ ...endpoint(one), refused: one.told })),
        numbers: counts(refusal),
      }),
    ];
  });
}

const sum = (places: readonly { told: number }[]): number =>
  places.reduce((total, { told }) => total + told, 0);

/** In the order in which the keys come up. */
function groupBy<One>(all: readonly One[], keyOf: (one: One) => string): One[][] {
  const groups = new Map<string, One[]>();
  for (const one of all) {
    const group = groups.get(keyOf(one));
    if (group === undefined) groups.set(keyOf(one), [one]);
    else group.push(one);
  }
  return [...groups.values()];
}
