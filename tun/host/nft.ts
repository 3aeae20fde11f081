/**
 * Our own nftables table, `inet portfold`. Others' tables are never touched.
 *
 *   prerouting   TUN ─► from_tun    WAN ─► from_wan    LAN ─► from_lan    (others' interfaces: nothing)
 *   forward      from or to the TUN: passes    the rest: the belt
 *
 * - notrack: conntrack would hold two entries for each flow (before and after translation) and
 *   fill. Flows of the gateway itself stay tracked, since a stateful input chain of the host must
 *   know their answers. What is not tracked is also safe from a second translation by others.
 * - The belt: an IPv4 packet never goes from a LAN to the line past the TUN, whatever the routes
 *   say.
 * - Where the host uses the external address too, only what concerns our ports is ours: the chains of
 *   shared-address.ts mark it.
 * - Fragments of the tunnel are marked: the kernel would decapsulate the first one, and lose the others.
 * - The doors: an interface from which the host forwarded nothing before forwards to the TUN alone, and
 *   a LAN to other LANs. A host that forwarded before goes on as it did.
 *
 * Every packet pays for these rules twice, before and after the TUN, and a packet from the TUN in the
 * datapath's own thread: write() runs the kernel's forwarding. So each is told by its interface first,
 * the TUN before all others, and then meets only the rules of its own way. To compare a name is
 * dear (the kernel copies it for each comparison), to look up a route is dearer (`fib`).
 */
import type { HostLink } from './facts.ts';
import type { OpenedDoors } from './forwarding.ts';
import { containsNetwork, parseNetwork } from './ipv4.ts';
import type { LanNetwork } from './networks.ts';
import { MARK } from './numbers.ts';
import type { HostItem } from './plan.ts';
import type { HostCommand } from './run.ts';
import { markingChains, markingRules } from './shared-address.ts';
import type { AddressLineHost, HostRequest } from './types.ts';

export const NFT_TABLE = 'portfold';
export const FIREWALL_ID = 'nftables table';

/** So many comparisons one by one cost less than one look-up in a set of networks, a tree. */
const NETWORKS_COMPARED_MAX = 4;

/** What the rules must know of the host. */
export interface NftContext {
  links: HostLink[];
  networks: LanNetwork[];
  opened: OpenedDoors;
  /** Absent if the address is not the host's own as well. */
  shared?: AddressLineHost;
  /** The device of our own that decapsulates, if there is one. */
  tunnel?: string;
}

export function nftRules(request: HostRequest, context: NftContext): HostItem {
  const { networks, shared } = context;
  const { line } = request;
  const [tun, wan] = [request.tun, line.interface].map(quote);
  const lans = lanInterfaces(request).map(quote);
  const inside = widest(networks.map((entry) => entry.network));
  const mark = shared === undefined ? [] : markingRules(line.externalAddress);
  const ways = [`${wan} : goto from_wan`, ...lans.map((name) => `${name} : goto from_lan`)];

  // `add` and `delete` first make the replacement one transaction, whether or not the table exists.
  const script = [
    `add table inet ${NFT_TABLE}`,
    `delete table inet ${NFT_TABLE}`,
    `table inet ${NFT_TABLE} {`,
    ...(shared === undefined ? [] : markingChains(shared.ports)),
    ...chain('perhaps_local', perhapsLocal),
    ...chain('from_tun', fromTun(line, networks, shared !== undefined)),
    ...(line.type === 'map-e' ? chain('to_ce', fromRelay) : []),
    ...chain('from_wan', [
      ...(line.type === 'map-e' ? [`ip6 daddr ${line.ceAddress} goto to_ce`] : []),
      ...(shared === undefined ? [`ip daddr ${line.externalAddress} notrack`] : mark),
    ]),
    ...chain('from_lan', [
      ...mark,
      ...towards(inside).map((match) => `${match} accept`),
      'fib daddr type { local, broadcast, multicast } accept',
      'meta protocol ip notrack',
    ]),
    ...chain('prerouting', [
      'type filter hook prerouting priority raw; policy accept;',
      `iifname ${tun} goto from_tun`,
      `iifname vmap { ${ways.join(', ')} }`,
    ]),
    ...chain('forward', [
      'type filter hook forward priority filter; policy accept;',
      `iifname ${tun} accept`,
      `oifname ${tun} accept`,
      ...bridged(request, context),
      `iifname ${setOf(lans)} oifname ${wan} meta protocol ip counter drop`,
      ...doors(request, context),
    ]),
    '}',
    '',
  ].join('\n');

  return {
    id: FIREWALL_ID,
    add: [nft(script)],
    remove: nft(`delete table inet ${NFT_TABLE}\n`),
  };
}

/** What came to or from the TUN has left the chain before. */
function doors(request: HostRequest, { opened, tunnel }: NftContext): string[] {
  const wan = request.line.interface;
  const lans = lanInterfaces(request);
  const openedLans = lans.filter((name) => opened.ipv4.includes(name)).map(quote);
  const lines = [...(opened.ipv4.includes(wan) ? [wan] : []), ...(tunnel ? [tunnel] : [])];
  const from = { none: [], line: [`iifname ${quote(wan)} `], all: [''] }[opened.ipv6];
  return [
    ...lines.map((name) => `iifname ${quote(name)} meta protocol ip counter drop`),
    ...(openedLans.length > 0
      ? [
          `iifname ${setOf(openedLans)} oifname != ${setOf(lans.map(quote))} meta protocol ip counter drop`,
        ]
      : []),
    ...from.map((match) => `${match}meta nfproto ipv6 counter drop`),
  ];
}

/**
 * With bridge-nf-call-iptables the kernel shows the forward chain what a bridge hands from port to port:
 * it seems to leave where it came from, was not forwarded by us, and passes.
 */
function bridged(request: HostRequest, { links, opened }: NftContext): string[] {
  const { interface: wan } = request.line;
  const isClosed = (name: string): boolean =>
    opened.ipv6 === 'all' ||
    (name === wan && (opened.ipv4.includes(wan) || opened.ipv6 === 'line'));
  const pairs = links
    .filter((link) => link.linkinfo?.info_kind === 'bridge' && isClosed(link.ifname))
    .map((link) => link.ifname)
    // Others' interfaces may have names that nft cannot hold.
    .filter((name) => !/["*]/.test(name))
    .sort()
    .map((name) => `${quote(name)} . ${quote(name)}`);
  return pairs.length > 0 ? [`iifname . oifname ${setOf(pairs)} accept`] : [];
}

/**
 * What the engine sends to the gateway itself goes to its addresses in LAN networks, to the external one
 * where the host has it too, or is IPv6: anything else is not local, and needs no look-up to tell.
 */
function fromTun(line: HostRequest['line'], networks: LanNetwork[], isShared: boolean): string[] {
  const perhapsLocal = widest([
    ...networks.flatMap(({ network, gatewayAddress }) => [network, gatewayAddress]),
    ...(isShared ? [line.externalAddress] : []),
  ]);
  return [
    ...towards(perhapsLocal).map((match) => `${match} goto perhaps_local`),
    ...(line.type === 'map-e' ? [`ip6 daddr ${line.brAddress} notrack accept`] : []),
    'meta nfproto ipv6 goto perhaps_local',
    'notrack',
  ];
}

const perhapsLocal = ['fib daddr type local accept', 'notrack'];

/**
 * For the kernel's rules a fragment of an IPv4 packet is IPv4 as well, but it cannot be decapsulated: only
 * the mark tells them apart.
 */
const fromRelay = ['notrack', `exthdr frag exists meta mark set meta mark | ${MARK}`];

const towards = (networks: string[]): string[] =>
  networks.length <= NETWORKS_COMPARED_MAX
    ? networks.map((network) => `ip daddr ${network}`)
    : [`ip daddr { ${networks.join(', ')} }`];

/** Without those that lie in others. */
function widest(networks: string[]): string[] {
  const distinct = [...new Set(networks)];
  return distinct.filter(
    (text) =>
      !distinct.some(
        (other) => other !== text && containsNetwork(parseNetwork(other)!, parseNetwork(text)!),
      ),
  );
}

const lanInterfaces = (request: HostRequest): string[] => [
  ...new Set(request.lans.flatMap((lan) => lan.interfaces)),
];

const setOf = (elements: string[]): string => `{ ${elements.join(', ')} }`;

const nft = (script: string): HostCommand => ({
  program: 'nft',
  args: ['-f', '-'],
  input: script,
});

/**
 * Names with a quote or an asterisk, which nft would read as a pattern, are refused by inspectHost.
 */
const quote = (name: string): string => `"${name}"`;

const chain = (name: string, rules: string[]): string[] => [
  `  chain ${name} {`,
  ...rules.map((rule) => `    ${rule}`),
  '  }',
];
