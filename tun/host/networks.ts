/**
 * The networks of each LAN, with the gateway's own address there. Pure: looks only at facts.
 *
 *   derived   every route of the main table over the LAN's interfaces, but no default route
 *   by hand   the prefixes of the configuration; each is given to the interface whose network
 *             holds it, whose route leads to it, or, failing both, to the first of the LAN
 *
 * The gateway's own address is what its ICMP answers carry: the address in that very network if
 * there is one; for a prefix behind another router on the LAN, the address on the way to it.
 */
import { HostError, misfit } from './errors.ts';
import { type HostFacts, type HostRoute, isMainTable } from './facts.ts';
import {
  containsAddress,
  containsNetwork,
  formatNetwork,
  type Ipv4Network,
  parseIpv4,
  parseNetwork,
} from './ipv4.ts';
import type { HostLan, HostResult } from './types.ts';

export type LanNetwork = HostResult['lanNetworks'][number];

interface OwnAddress {
  interface: string;
  text: string;
  network: Ipv4Network;
}

interface KnownRoute {
  network: Ipv4Network;
  interface: string;
  route: HostRoute;
}

/** All LANs' networks, most specific first. Throws when an interface has no IPv4 address. */
export function lanNetworks(lans: HostLan[], facts: HostFacts): LanNetwork[] {
  const found = lans.flatMap((lan) => {
    const own = ownAddresses(lan, facts);
    const routes = knownRoutes(lan, facts);
    return lan.networks === undefined
      ? derived(lan, own, routes)
      : lan.networks.map((text) => byHand(lan, text, own, routes));
  });

  const distinct = new Map(found.map((entry) => [`${entry.interface} ${entry.network}`, entry]));
  const lengthOf = (entry: LanNetwork): number => Number(entry.network.split('/')[1]);
  return [...distinct.values()].sort((a, b) => lengthOf(b) - lengthOf(a));
}

function derived(lan: HostLan, own: OwnAddress[], routes: KnownRoute[]): LanNetwork[] {
  const fromAddresses = own.map((address) => entryOf(lan, address, address.network));
  const fromRoutes = routes
    .filter((known) => !own.some((address) => sameNetwork(address.network, known.network)))
    .map((known) => entryOf(lan, addressTowards(known, own), known.network));
  return [...fromAddresses, ...fromRoutes];
}

function byHand(lan: HostLan, text: string, own: OwnAddress[], routes: KnownRoute[]): LanNetwork {
  const network = parseNetwork(text);
  if (network === undefined)
    throw misfit(
      'HOST_LAN_NETWORK',
      `LAN ${lan.name}: "${text}" is no IPv4 network; write it like 192.168.1.0/24.`,
    );

  const onLink = own.find((address) => containsNetwork(address.network, network));
  if (onLink !== undefined) return entryOf(lan, onLink, network);

  const way = routes
    .filter((known) => containsNetwork(known.network, network))
    .sort((a, b) => b.network.length - a.network.length)[0];
  if (way !== undefined) return entryOf(lan, addressTowards(way, own), network);

  const inside = own.find((address) => containsNetwork(network, address.network));
  return entryOf(lan, inside ?? own[0], network);
}

/**
 * Networks by hand that neither hold an address of their LAN's interfaces nor are reached over
 * them: hosts there may send, but their answers would go elsewhere. Perhaps the route comes later.
 */
export function unreachedNetworks(lans: HostLan[], facts: HostFacts): string[] {
  return lans.flatMap((lan) => {
    const own = ownAddresses(lan, facts);
    const routes = knownRoutes(lan, facts);
    const isReached = (network: Ipv4Network): boolean =>
      [...own, ...routes].some(
        (known) =>
          containsNetwork(known.network, network) || containsNetwork(network, known.network),
      );
    return (lan.networks ?? [])
      .filter((text) => !isReached(parseNetwork(text)!))
      .map(
        (text) =>
          `LAN ${lan.name}: no address of ${lan.interfaces.join(', ')} lies in ${text}, and no route ` +
          'leads there over it, so that nothing comes back to hosts of that network; add a route, or ' +
          'correct `networks`.',
      );
  });
}

/** The gateway's address on the way that a route takes. */
function addressTowards(known: KnownRoute, own: OwnAddress[]): OwnAddress {
  const here = own.filter((address) => address.interface === known.interface);
  const gateway = parseIpv4(known.route.gateway ?? '');
  return (
    here.find((address) => address.text === known.route.prefsrc) ??
    here.find((address) => containsAddress(address.network, gateway)) ??
    here[0]
  );
}

const entryOf = (lan: HostLan, own: OwnAddress, network: Ipv4Network): LanNetwork => ({
  lan: lan.name,
  interface: own.interface,
  network: formatNetwork(network),
  gatewayAddress: own.text,
});

function ownAddresses(lan: HostLan, facts: HostFacts): OwnAddress[] {
  return lan.interfaces.flatMap((name) => {
    const here = facts.addresses
      .filter((address) => address.ifname === name && address.family === 'inet')
      .map((address) => ({
        interface: name,
        text: address.local,
        network: parseNetwork(`${address.local}/${address.prefixlen}`)!,
      }));
    if (here.length === 0)
      // At boot the address may come a moment later: exit code 1, and the service manager tries again.
      throw new HostError(
        'HOST_LAN_NO_ADDRESS',
        `LAN ${lan.name}: ${name} has no IPv4 address yet, so that LAN hosts cannot reach the ` +
          'gateway; wait for whoever configures that interface, or give it one, for instance: ' +
          `ip address add 192.168.1.1/24 dev ${name}.`,
      );
    return here;
  });
}

function knownRoutes(lan: HostLan, facts: HostFacts): KnownRoute[] {
  return facts.routes4.flatMap((route) => {
    const network = parseNetwork(route.dst);
    const usable = isMainTable(route) && lan.interfaces.includes(route.dev ?? '');
    if (!usable || network === undefined || network.length === 0) return [];
    return [{ network, interface: route.dev!, route }];
  });
}

const sameNetwork = (a: Ipv4Network, b: Ipv4Network): boolean =>
  a.base === b.base && a.length === b.length;
