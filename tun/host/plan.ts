/**
 * What is to be set on the host for one line, as plain data. Pure: from request and facts to a list
 * of commands, each with the command that takes it back. Applying, adopting and undoing only walk
 * the list.
 *
 *             rule 300 iif LAN            rule 310 iif TUN from EXTERNAL
 *   LAN ────────────────────────► 7600 ──► TUN ──────────────────────────► main ──► WAN     address
 *             (throw: LAN prefixes,        │ ▲                      7606 ─► seg6 ──► WAN     map-e
 *              multicast, broadcast)       │ │ EXTERNAL/32 (main)
 *                                          ▼ └──────────── WAN   (map-e: rule 310, 7607, End.DX4)
 *                                    main ──► LAN
 *
 * Invariants
 * - Every table of ours ends with a blackhole, so that nothing leaves untranslated when the TUN is
 *   gone.
 * - Each `add` may be run on a host that has it already; each `remove` names exactly what it
 *   removes.
 * - The order is the order of making; taking back runs from the end.
 */
import { Address6 } from 'ip-address';
import type { HostFacts, HostRoute } from './facts.ts';
import { isMainTable } from './facts.ts';
import type { OpenedDoors } from './forwarding.ts';
import { containsAddress, parseIpv4, parseNetwork } from './ipv4.ts';
import { type LanNetwork, lanNetworks, unreachedNetworks } from './networks.ts';
import { nftRules } from './nft.ts';
import {
  MARK,
  METRIC_LAST,
  METRIC_OWN_TRAFFIC,
  PRIORITY_FRAGMENTS,
  PRIORITY_LAN,
  PRIORITY_MAP_E,
  PROTOCOL,
  TABLE_DECAPSULATE,
  TABLE_ENCAPSULATE,
  TABLE_LAN,
  TUN_ALIAS,
  TUN_DUMMY_ADDRESS,
} from './numbers.ts';
import { RESERVED_PORTS, withPorts } from './ports.ts';
import { type HostCommand, ip } from './run.ts';
import { sharedAddressItems, sharedLine } from './shared-address.ts';
import type { HostSetting } from './sysctl.ts';
import type { AddressLineHost, HostRequest, HostResult, MapELineHost } from './types.ts';

export interface HostItem {
  /** Two plans mean the same thing on the host exactly if the ids are equal. */
  id: string;
  add: HostCommand[];
  remove: HostCommand;
  /** An older one of its kind must go before this one can be made. */
  exclusive?: boolean;
  /** What it takes the place of: goes once it stands, and is back before it goes. */
  replaces?: { remove: HostCommand; restore: HostCommand };
}

export interface HostPlan {
  tun: string;
  /** Made before the TUN exists: the belt is closed before anything can leak. */
  firewall: HostItem;
  items: HostItem[];
  settings: HostSetting[];
  encapsulation: HostResult['encapsulation'];
  lanNetworks: LanNetwork[];
  warnings: string[];
}

/** What the plan must know beyond the facts. */
export interface PlanContext {
  encapsulation: HostResult['encapsulation'];
  /** Source address of SRv6 encapsulation before Portfold, for the way back. */
  tunnelSourceBefore: string;
  /** Kernel 6.17 and later: IPv6 forwarding by interface. */
  hasForceForwarding: boolean;
  /** Interfaces with a default route by router advertisement, and what accept_ra is there. */
  advertised: { interface: string; acceptRa: string }[];
  /** accept_ra of the line's interface. */
  acceptRa: string;
  /** Ports that others have reserved (ip_local_reserved_ports). */
  reservedPorts: string;
  /** From where the host forwarded nothing before Portfold came. */
  opened: OpenedDoors;
  /**
   * Address line: a packet from our address leaves although the main table has no default route.
   */
  wayOutWithoutDefault: boolean;
}

export function makePlan(request: HostRequest, facts: HostFacts, context: PlanContext): HostPlan {
  const networks = lanNetworks(request.lans, facts);
  const shared = sharedLine(request, facts);
  const forwardsIpv6 = context.encapsulation === 'seg6' || context.encapsulation === 'own';
  const plan: HostPlan = {
    tun: request.tun,
    firewall: nftRules(request, {
      links: facts.links,
      networks,
      opened: { ...context.opened, ipv6: forwardsIpv6 ? context.opened.ipv6 : 'none' },
      shared,
      tunnel: context.encapsulation === 'ip6tnl' ? tunnelName(request.tun) : undefined,
    }),
    items: [],
    settings: [],
    encapsulation: context.encapsulation,
    lanNetworks: networks,
    warnings: unreachedNetworks(request.lans, facts),
  };

  planTun(plan, request);
  planLan(plan, request, networks);
  if (request.line.type === 'map-e') planMapE(plan, request, request.line, context);
  else if (shared === undefined) planAddress(plan, request, facts);
  else planSharedAddress(plan, shared, facts, context);
  planOwnTraffic(plan, request, facts, context);
  return plan;
}

/** IPv6 text in the form in which the kernel prints it. */
export const canonicalIpv6 = (text: string): string => new Address6(text).correctForm();

/** Default routes of the main table that are not ours. */
export const otherDefaultRoutes = (routes: HostRoute[]): HostRoute[] =>
  routes.filter(
    (route) => route.dst === 'default' && isMainTable(route) && route.protocol !== PROTOCOL,
  );

function planTun(plan: HostPlan, request: HostRequest): void {
  const { tun } = request;
  const address = [TUN_DUMMY_ADDRESS, 'dev', tun];
  plan.items.push({
    id: `address ${address.join(' ')}`,
    add: [ip('-4', 'address', 'replace', ...address, 'scope', 'host', 'noprefixroute')],
    remove: ip('-4', 'address', 'del', ...address),
  });

  const set = (key: string, value: string): void => {
    plan.settings.push({ path: `net/ipv4/conf/${tun}/${key}`, value });
  };
  // Answers of the engine carry the gateway's LAN address, which is local.
  set('accept_local', '1');
  // The larger of this and conf.all counts: 2 makes the TUN loose where the host is strict.
  set('rp_filter', '2');
  set('forwarding', '1');
}

function planLan(plan: HostPlan, request: HostRequest, networks: LanNetwork[]): void {
  for (const destination of keptDestinations(networks))
    plan.items.push(route4('throw', [destination, 'table', TABLE_LAN]));
  plan.items.push(
    route4('blackhole', ['default', 'table', TABLE_LAN, 'metric', METRIC_LAST]),
    route4('unicast', ['default', 'dev', request.tun, 'table', TABLE_LAN]),
  );

  for (const name of lanInterfaces(request)) {
    const rule = ['pref', PRIORITY_LAN, 'iif', name, 'table', TABLE_LAN];
    plan.items.push(ruleItem('-4', rule));
    plan.settings.push({ path: `net/ipv4/conf/${name}/forwarding`, value: '1' });
  }
}

function planAddress(plan: HostPlan, request: HostRequest, facts: HostFacts): void {
  const { interface: wan, externalAddress } = request.line;
  plan.items.push(route4('unicast', [`${externalAddress}/32`, 'dev', request.tun]));
  plan.settings.push({ path: `net/ipv4/conf/${wan}/forwarding`, value: '1' });

  if (!speaksArp(facts, wan) || !mayBeAskedFor(facts, wan, externalAddress)) return;
  plan.items.push(neighbourProxy('-4', externalAddress, wan));
  plan.settings.push({ path: `net/ipv4/neigh/${wan}/proxy_delay`, value: '0' });
}

function planSharedAddress(
  plan: HostPlan,
  line: AddressLineHost,
  facts: HostFacts,
  context: PlanContext,
): void {
  plan.items.push(...sharedAddressItems(line, facts));
  plan.settings.push(
    { path: `net/ipv4/conf/${line.interface}/forwarding`, value: '1' },
    {
      path: RESERVED_PORTS,
      value: withPorts(context.reservedPorts, line.ports),
      adds: withPorts('', line.ports),
    },
  );
}

function planMapE(
  plan: HostPlan,
  request: HostRequest,
  line: MapELineHost,
  context: PlanContext,
): void {
  const { externalAddress, interface: wan } = line;
  plan.items.push(route4('unicast', [`${externalAddress}/32`, 'dev', request.tun]));
  plan.settings.push({ path: `net/ipv4/conf/${wan}/forwarding`, value: '1' });

  for (const destination of keptDestinations(plan.lanNetworks))
    plan.items.push(route4('throw', [destination, 'table', TABLE_ENCAPSULATE]));
  plan.items.push(
    route4('blackhole', ['default', 'table', TABLE_ENCAPSULATE, 'metric', METRIC_LAST]),
  );

  if (context.encapsulation === 'ip6tnl') planTunnelDevice(plan, request, line);
  else if (context.encapsulation === 'own') planOwnEncapsulation(plan, request, line, context);
  else planSegmentRouting(plan, request, line, context);

  if (context.encapsulation === 'own' && line.encapsulation === 'auto')
    plan.warnings.push(
      `Line ${line.name}: the kernel cannot encapsulate IPv4 in IPv6 (\`portfold doctor\` says why), so that ` +
        'Portfold does it itself, which is slower; encapsulation = "own" would say that this is meant.',
    );

  const rule = ['pref', PRIORITY_MAP_E, 'iif', request.tun, 'from', `${externalAddress}/32`];
  plan.items.push(ruleItem('-4', [...rule, 'table', TABLE_ENCAPSULATE]));
}

/** IPv4 into a reduced SRv6 header with one segment, which is plain IPv4-in-IPv6, and back. */
function planSegmentRouting(
  plan: HostPlan,
  request: HostRequest,
  line: MapELineHost,
  context: PlanContext,
): void {
  const { tun } = request;
  const { externalAddress, interface: wan } = line;
  const ce = canonicalIpv6(line.ceAddress);
  const br = canonicalIpv6(line.brAddress);

  plan.items.push({
    id: 'tunnel source',
    add: [ip('sr', 'tunsrc', 'set', ce)],
    remove: ip('sr', 'tunsrc', 'set', context.tunnelSourceBefore),
  });

  // No next hop is named: the encapsulated packet is routed anew, as IPv6, to the relay.
  const out = ['default', 'encap', 'seg6', 'mode', 'encap.red', 'segs', br, 'dev', wan];
  plan.items.push(route4('unicast', [...out, 'table', TABLE_ENCAPSULATE]));

  const local = ['encap', 'seg6local', 'action', 'End.DX4', 'nh4', externalAddress];
  plan.items.push(
    route6('blackhole', ['default', 'table', TABLE_DECAPSULATE, 'metric', METRIC_LAST]),
    route6('unicast', [`${ce}/128`, ...local, 'dev', tun, 'table', TABLE_DECAPSULATE]),
  );
  // What is not IPv4 from the relay (ICMPv6, fragments, others' packets) is Portfold's to judge.
  planOwnEncapsulation(plan, request, line, context);
  const marked = ['iif', wan, 'to', `${ce}/128`, 'fwmark', `${MARK}/${MARK}`, 'table', 'main'];
  plan.items.push(ruleItem('-6', ['pref', PRIORITY_FRAGMENTS, ...marked]));
  const from = ['iif', wan, 'from', `${br}/128`, 'to', `${ce}/128`, 'ipproto', '4'];
  plan.items.push(ruleItem('-6', ['pref', PRIORITY_MAP_E, ...from, 'table', TABLE_DECAPSULATE]));
}

/**
 * All IPv6 for the CE address goes into the TUN, and what comes out of it to the line: by itself this is
 * all that the engine needs to encapsulate, and IPv4 from the TUN to the line meets the blackhole.
 */
function planOwnEncapsulation(
  plan: HostPlan,
  request: HostRequest,
  line: MapELineHost,
  context: PlanContext,
): void {
  const { tun } = request;
  const { interface: wan } = line;
  const ce = canonicalIpv6(line.ceAddress);
  plan.items.push(route6('unicast', [`${ce}/128`, 'dev', tun]), neighbourProxy('-6', ce, wan));
  plan.settings.push(...forwardingSettings6(tun, wan, context));
  plan.settings.push(
    { path: `net/ipv6/conf/${wan}/proxy_ndp`, value: '1' },
    { path: `net/ipv6/neigh/${wan}/proxy_delay`, value: '0' },
  );
}

/** The tunnel device: the host itself must own the CE address, and answers for it. */
function planTunnelDevice(plan: HostPlan, request: HostRequest, line: MapELineHost): void {
  const { interface: wan } = line;
  const ce = canonicalIpv6(line.ceAddress);
  const br = canonicalIpv6(line.brAddress);
  const name = tunnelName(request.tun);

  plan.items.push(
    {
      id: `address ${ce} dev ${wan}`,
      // A second on the wire for duplicate detection would be a second without IPv4; and a
      // preferred lifetime of 0 keeps the host from using the address for its own connections.
      add: [ip('-6', 'address', 'replace', `${ce}/128`, 'dev', wan, 'nodad', 'preferred_lft', '0')],
      remove: ip('-6', 'address', 'del', `${ce}/128`, 'dev', wan),
    },
    {
      id: `link ${name} from ${ce} to ${br} over ${wan}`,
      exclusive: true,
      add: [
        ip(
          ...['link', 'add', 'name', name, 'type', 'ip6tnl', 'mode', 'ipip6'],
          ...['local', ce, 'remote', br, 'dev', wan, 'encaplimit', 'none', 'hoplimit', '64'],
        ),
        ip('link', 'set', 'dev', name, 'alias', TUN_ALIAS, 'addrgenmode', 'none', 'up'),
      ],
      remove: ip('link', 'del', 'dev', name),
    },
    route4('unicast', ['default', 'dev', name, 'table', TABLE_ENCAPSULATE]),
  );
  plan.settings.push(
    { path: `net/ipv4/conf/${name}/forwarding`, value: '1' },
    { path: `net/ipv4/conf/${name}/rp_filter`, value: '2' },
  );
}

/** Interface names hold 15 characters. */
export const tunnelName = (tun: string): string => `${tun.slice(0, 12)}-6t`;

/**
 * IPv6 forwarding between TUN and WAN. To become a router makes the kernel forget default routes
 * that it learned by advertisement on every interface where accept_ra is not 2, hence the order.
 */
export function forwardingSettings6(
  tun: string,
  wan: string,
  context: Pick<PlanContext, 'advertised' | 'acceptRa' | 'hasForceForwarding'>,
): HostSetting[] {
  const acceptRa = (name: string, value: string): HostSetting => ({
    path: `net/ipv6/conf/${name}/accept_ra`,
    value,
  });
  const first = context.advertised.map((entry) => acceptRa(entry.interface, '2'));
  // Where a network manager handles advertisements itself (0), the kernel must not begin to.
  if (context.acceptRa !== '0') first.push(acceptRa(wan, '2'));

  if (!context.hasForceForwarding)
    return [...first, { path: 'net/ipv6/conf/all/forwarding', value: '1' }];

  // The other interfaces stay hosts, and get back what they had.
  const after = context.advertised
    .filter((entry) => entry.interface !== wan || context.acceptRa === '0')
    .map((entry) => acceptRa(entry.interface, entry.acceptRa));
  return [
    ...first,
    { path: `net/ipv6/conf/${wan}/forwarding`, value: '1' },
    { path: `net/ipv6/conf/${wan}/force_forwarding`, value: '1' },
    { path: `net/ipv6/conf/${tun}/force_forwarding`, value: '1' },
    ...after,
  ];
}

/** IPv4 for the gateway itself, through its own ports. */
function planOwnTraffic(
  plan: HostPlan,
  request: HostRequest,
  facts: HostFacts,
  context: PlanContext,
): void {
  if (request.line.type === 'address') {
    if (otherDefaultRoutes(facts.routes4).length > 0) return;
    // The host has an address of its own on this line: it needs none of ours.
    const shared = sharedLine(request, facts) !== undefined;
    if (shared && context.wayOutWithoutDefault) return;
    if (!context.wayOutWithoutDefault) {
      // A default route into the TUN would send translated packets into the TUN again.
      plan.warnings.push(
        `Line ${request.line.name}: the host has no IPv4 default route, so that only networks on ` +
          `${request.line.interface} itself are reachable; add one (ip route add default via …).`,
      );
      return;
    }
  }

  const own = plan.lanNetworks[0].gatewayAddress;
  const rest = ['dev', request.tun, 'src', own, 'metric', METRIC_OWN_TRAFFIC];
  plan.items.push(route4('unicast', ['default', ...rest]));
}

/** What stays the kernel's: the LANs themselves, multicast and broadcast. */
const keptDestinations = (networks: LanNetwork[]): string[] => [
  ...new Set([...networks.map((entry) => entry.network), '224.0.0.0/4', '255.255.255.255/32']),
];

const lanInterfaces = (request: HostRequest): string[] => [
  ...new Set(request.lans.flatMap((lan) => lan.interfaces)),
];

const route4 = (type: string, words: string[]): HostItem => routeItem('-4', type, words);
const route6 = (type: string, words: string[]): HostItem => routeItem('-6', type, words);

function routeItem(family: string, type: string, words: string[]): HostItem {
  const all = [type, ...words, 'proto', PROTOCOL];
  return {
    id: `route ${family} ${all.join(' ')}`,
    add: [ip(family, 'route', 'replace', ...all)],
    remove: ip(family, 'route', 'del', ...all),
  };
}

function ruleItem(family: string, words: string[]): HostItem {
  const all = [...words, 'protocol', PROTOCOL];
  return {
    id: `rule ${family} ${all.join(' ')}`,
    add: [ip(family, 'rule', 'add', ...all)],
    remove: ip(family, 'rule', 'del', ...all),
  };
}

function neighbourProxy(family: string, address: string, name: string): HostItem {
  const words = ['proxy', address, 'dev', name];
  return {
    id: `neighbour ${family} ${words.join(' ')}`,
    add: [ip(family, 'neigh', 'replace', ...words, 'protocol', PROTOCOL)],
    remove: ip(family, 'neigh', 'del', ...words),
  };
}

const speaksArp = (facts: HostFacts, name: string): boolean =>
  !facts.links.find((link) => link.ifname === name)?.flags.includes('NOARP');

/** Neighbours ask for our address by ARP if they take it to be on the link. */
function mayBeAskedFor(facts: HostFacts, wan: string, external: string): boolean {
  const here = facts.addresses.filter((a) => a.ifname === wan && a.family === 'inet');
  const address = parseIpv4(external);
  return (
    // An unnumbered line: what the other side takes to be on the link is unknown.
    here.length === 0 ||
    here.some((a) => containsAddress(parseNetwork(`${a.local}/${a.prefixlen}`)!, address))
  );
}
