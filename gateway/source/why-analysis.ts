/**
 * What is short, and who takes it: facts in, findings out. A pure function; the words are made elsewhere (why-words.ts).
 *
 *   facts ──▶ one finder for each kind of trouble ──▶ findings, worst first
 *
 * A finding is `short` while packets are refused for it (in the last minute), `tight` while nine tenths are used up, else a `notice`:
 * what does no harm now and is worth knowing. What has been refused within five minutes and is over says until when it went on.
 *
 * What is not seen: packets that never reach the gateway (but for its queue), and what is slow rather than short.
 */
import type { WhyKind } from '../control/api.ts';
import type { WhyFacts } from './why-facts.ts';
import { type Finding, SEVERITIES } from './why-finding.ts';
import {
  deadDestinations,
  halfOpen,
  hostLimits,
  peersWithoutPort,
  privateDestinations,
  refusedByPolicy,
} from './why-hosts.ts';
import { notForwarding, portsTowards, pressure, queueFull, tables, upstream } from './why-line.ts';
import { ownedPorts } from './why-owned.ts';

type Finder = (facts: WhyFacts) => Finding[];

/** In the order in which findings of equal weight are told. */
const FINDERS: readonly Finder[] = [
  notForwarding,
  queueFull,
  portsTowards,
  ownedPorts,
  tables,
  upstream,
  deadDestinations,
  privateDestinations,
  hostLimits,
  peersWithoutPort,
  halfOpen,
  refusedByPolicy,
  pressure,
];

/** All that is to be said, worst first. */
export function analyse(facts: WhyFacts): Finding[] {
  const findings = FINDERS.flatMap((find) => find(facts));
  return SEVERITIES.flatMap((severity) => findings.filter((one) => one.severity === severity));
}

/** The findings that a host has to do with: it takes part, or it meets the shortage as everybody does. */
export function concerning(findings: readonly Finding[], host: string): Finding[] {
  const everybodys: readonly WhyKind[] = [
    'not-forwarding',
    'queue-full',
    'session-table',
    'remote-table',
    'upstream',
    'owned-ports',
    'pressure',
  ];
  return findings.filter(
    (one) =>
      one.hosts.some(({ address }) => address === host) ||
      (everybodys.includes(one.kind) && one.severity !== 'notice' && one.numbers.shareOnly !== 1),
  );
}
