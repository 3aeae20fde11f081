/**
 * Whose packets were refused, whereto, and why: added up from events, by reason and by host.
 *
 *   event ──▶ reason ──▶ host ──▶ places: the destinations that occur most
 *
 * Events come from a ring that a flood fills, but each host is told of once a second and reason at least (core/table/events.ts); here a
 * flood of one host fills the places of that host only. The number of hosts is bounded as well: the one with the least is forgotten,
 * so that a thousand forged sources with a packet each do not push out the one that sends all day.
 *
 * Numbers are those of events that were told, hence at most the truth; the counters of the drop reasons have all.
 */
import { PROTOCOL_NAMES, protocolIndexOf } from '../../core/table/protocols.ts';
import { formatAddress } from '../control/text.ts';
import type { RefusalFacts } from './why-facts.ts';
import { STREAK_QUIET_MS } from './why-history.ts';

const HOSTS_MAX = 128;
const PLACES_MAX = 16;

interface Place {
  remoteAddress: number;
  remotePort: number;
  protocol: number;
  told: number;
  sinceMs: number;
  lastMs: number;
}

interface Host {
  address: number;
  told: number;
  sinceMs: number;
  lastMs: number;
  places: Place[];
}

export class RefusalTally {
  private readonly reasons = new Map<number, Host[]>();

  /** @param reason a number of Drop, or any other number that the caller keeps apart */
  note(
    reason: number,
    atMs: number,
    address: number,
    remoteAddress: number,
    remotePort: number,
    protocol: number,
  ): void {
    let hosts = this.reasons.get(reason);
    if (hosts === undefined) {
      hosts = [];
      this.reasons.set(reason, hosts);
    }
    let host = hosts.find((one) => one.address === address);
    if (host === undefined) {
      host = { address, told: 0, sinceMs: atMs, lastMs: atMs, places: [] };
      put(hosts, host, HOSTS_MAX);
    }
    count(host, atMs);

    let place = host.places.find(
      (one) =>
        one.remoteAddress === remoteAddress &&
        one.remotePort === remotePort &&
        one.protocol === protocol,
    );
    if (place === undefined) {
      place = { remoteAddress, remotePort, protocol, told: 0, sinceMs: atMs, lastMs: atMs };
      put(host.places, place, PLACES_MAX);
    }
    count(place, atMs);
  }

  /** Hosts that met this lately, those with most first. */
  hosts(reason: number, nowMs: number): RefusalFacts['hosts'] {
    const isRecent = ({ lastMs }: { lastMs: number }): boolean => nowMs - lastMs < STREAK_QUIET_MS;
    return (this.reasons.get(reason) ?? [])
      .filter(isRecent)
      .sort((a, b) => b.told - a.told)
      .map(({ address, told, sinceMs, lastMs, places }) => ({
        address: formatAddress(address),
        told,
        sinceMs,
        lastMs,
        destinations: places
          .filter(isRecent)
          .sort((a, b) => b.told - a.told)
          .map((place) => ({
            protocol: PROTOCOL_NAMES[protocolIndexOf(place.protocol)],
            address: formatAddress(place.remoteAddress),
            port: place.remotePort,
            told: place.told,
            lastMs: place.lastMs,
          })),
      }));
  }

  /** Internal addresses that met anything lately. */
  addresses(nowMs: number): Set<number> {
    const found = new Set<number>();
    for (const hosts of this.reasons.values())
      for (const { address, lastMs } of hosts)
        if (nowMs - lastMs < STREAK_QUIET_MS) found.add(address);
    return found;
  }
}

interface Counted {
  told: number;
  sinceMs: number;
  lastMs: number;
}

/** After a pause it counts anew. */
function count(one: Counted, atMs: number): void {
  if (atMs - one.lastMs > STREAK_QUIET_MS) {
    one.told = 0;
    one.sinceMs = atMs;
  }
  one.told++;
  one.lastMs = atMs;
}

/** Adds one that is new; where there are too many, in the place of the one with the least. What is over counts as nothing. */
function put<One extends Counted>(all: One[], one: One, most: number): void {
  if (all.length < most) {
    all.push(one);
    return;
  }
  const weight = ({ told, lastMs }: One): number =>
    one.lastMs - lastMs > STREAK_QUIET_MS ? 0 : told;
  let least = 0;
  for (let i = 1; i < all.length; i++) {
    const more = weight(all[i]) - weight(all[least]);
    if (more < 0 || (more === 0 && all[i].lastMs < all[least].lastMs)) least = i;
  }
  all[least] = one;
}
