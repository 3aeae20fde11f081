/**
 * Findings about ports that have an owner: nearly as many as may have one, or refusals for want of one.
 *
 *   a LAN shares ports           a peer that finds none goes on as a guest
 *   a LAN does not share them    whoever finds none is refused: NoPortLeft, although ports are left towards that destination
 */
import type { WhyClass, WhyHost, WhySeverity } from '../control/api.ts';
import type { DestinationCount, OwnedFacts, RefusalFacts, WhyFacts } from './why-facts.ts';
import {
  counts,
  type Finding,
  finding,
  HIGH_SHARE,
  isCause,
  keyOf,
  NAMED_MAX,
  refusalOf,
  severityOf,
  times,
  worst,
} from './why-finding.ts';

/** Ports that have an owner are gone for everybody else. */
export function ownedPorts(facts: WhyFacts): Finding[] {
  return facts.owned.flatMap((owned) => {
    const refused = refusedOwners(facts, owned);
    return refused === undefined ? ownedHigh(facts, owned) : [ownedUnshared(facts, owned, refused)];
  });
}

/** Where ports are not shared, whoever finds none is refused. */
function ownedUnshared(facts: WhyFacts, owned: OwnedFacts, refused: RefusedOwners): Finding {
  const owners = ownersOf(owned);
  const isHigh = owned.owned >= HIGH_SHARE * refused.most;
  return finding('owned-ports', worst([refused.severity, isHigh ? 'tight' : 'notice']), {
    ...refused.times,
    hosts: [
      ...owners.map((host) => ({
        ...refused.hosts.find(({ address }) => address === host.address),
        ...host,
      })),
      ...refused.hosts.filter(({ address }) => !owners.some((one) => one.address === address)),
    ],
    classes: ownedClasses(owned),
    numbers: {
      owned: owned.owned,
      most: refused.most,
      ports: facts.portCount,
      unshared: 1,
      ...refused.numbers,
    },
    reason: owned.protocol,
  });
}

function ownedHigh(facts: WhyFacts, owned: OwnedFacts): Finding[] {
  // Under pressure for them those that are owned most are told, however few that are.
  const fullest = isCause(facts, 'owned-ports')
    ? Math.max(...facts.owned.map((one) => one.owned))
    : Number.POSITIVE_INFINITY;
  const isHigh = owned.owned >= HIGH_SHARE * owned.most;
  if (owned.owned === 0 || (!isHigh && owned.owned < fullest)) return [];
  const isSpent = owned.owned >= HIGH_SHARE * facts.portCount;
  const refusal = isSpent ? refusalOf(facts, 'NoPortLeft') : undefined;
  const trouble = isHigh ? (facts.peersWithoutPort ?? refusal) : undefined;
  const otherwise = isHigh ? 'tight' : 'notice';
  return [
    finding('owned-ports', trouble ? severityOf(trouble, facts, otherwise) : otherwise, {
      ...(trouble ? times(trouble, facts) : {}),
      hosts: ownersOf(owned),
      classes: ownedClasses(owned),
      numbers: {
        owned: owned.owned,
        most: owned.most,
        ports: facts.portCount,
        ...(trouble ? counts(trouble) : {}),
      },
      reason: owned.protocol,
    }),
  ];
}

const ownedClasses = ({ classes }: OwnedFacts): WhyClass[] =>
  classes.slice(0, NAMED_MAX).map((one) => ({ class: one.class, count: one.owned }));

const ownersOf = ({ hosts }: OwnedFacts): WhyHost[] =>
  hosts.slice(0, NAMED_MAX).map(({ address, owned }) => ({ address, ports: owned }));

/**
 * In a LAN that does not share ports the host was refused since it found none that it might own, and not since so many sessions go
 * to the remote.
 */
export function foundNoneToOwn(
  facts: WhyFacts,
  { ownedMost }: RefusalFacts['hosts'][number],
  place: Omit<DestinationCount, 'sessions'>,
): boolean {
  if (ownedMost === undefined) return false;
  const owned = facts.owned.find(({ protocol }) => protocol === place.protocol)?.owned ?? 0;
  const sessions = facts.remotes.find((one) => keyOf(one) === keyOf(place))?.sessions ?? 0;
  return owned >= HIGH_SHARE * ownedMost || sessions < HIGH_SHARE * facts.portCount;
}

/** Refusals of that kind for ports of this protocol; undefined if there were none. */
function refusedOwners(facts: WhyFacts, { protocol }: OwnedFacts): RefusedOwners | undefined {
  const refusal = refusalOf(facts, 'NoPortLeft');
  if (refusal === undefined) return undefined;
  const hosts = refusal.hosts.flatMap((host) => {
    const places = host.destinations.filter(
      (place) => place.protocol === protocol && foundNoneToOwn(facts, host, place),
    );
    return places.length === 0 ? [] : [{ host, places }];
  });
  if (hosts.length === 0) return undefined;
  const told = hosts.flatMap(({ places }) => places.map((place) => place.told));
  const lastMs = Math.max(...hosts.flatMap(({ places }) => places.map((place) => place.lastMs)));
  // The counter is exact where it counts nothing else.
  const isAll = hosts.every(({ host, places }) => places.length === host.destinations.length);
  const isOnly = isAll && hosts.length === refusal.hosts.length;
  return {
    times: times({ ...refusal, lastMs }, facts),
    severity: severityOf({ ...refusal, lastMs }, facts),
    numbers: isOnly ? counts(refusal) : { count: told.reduce((sum, one) => sum + one, 0) },
    most: Math.min(...hosts.map(({ host }) => host.ownedMost ?? facts.portCount)),
    hosts: hosts.slice(0, NAMED_MAX).map(({ host, places }) => ({
      address: host.address,
      refused: places.reduce((sum, place) => sum + place.told, 0),
    })),
  };
}

interface RefusedOwners {
  times: { since: string; until?: string };
  severity: WhySeverity;
  numbers: Record<string, number>;
  most: number;
  hosts: WhyHost[];
}
