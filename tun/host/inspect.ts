/**
 * Does the configuration fit this host? Each check ends in an error of one sentence plus what to
 * do.
 *
 * Exit codes: 78 the configuration does not fit, 4 no rights, 1 what may be different a moment
 * later (no IPv6 yet, a missing command).
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { chooseEncapsulation } from './encapsulation.ts';
import { forbidden, HostError, messageOf, misfit } from './errors.ts';
import { type HostFacts, type HostRoute, isMainTable, readFacts } from './facts.ts';
import { containsAddress, parseIpv4, parseNetwork } from './ipv4.ts';
import { lanNetworks } from './networks.ts';
import {
  METRIC_OWN_TRAFFIC,
  PRIORITIES,
  PRIORITY_LOCAL,
  PRIORITY_SHARED,
  PROTOCOL,
  TABLES,
  TUN_ALIAS,
} from './numbers.ts';
import { canonicalIpv6 } from './plan.ts';
import { checkSharedPorts } from './ports.ts';
import { ip, ipJson, run } from './run.ts';
import { isLocalRule, localBeforeOurs, sharedLine } from './shared-address.ts';
import { readSnapshot } from './snapshot.ts';
import { hadSegmentRouting, usedTun } from './strays.ts';
import { hasSetting, readSetting } from './sysctl.ts';
import type { HostRequest, HostResult } from './types.ts';

export interface HostInspection {
  facts: HostFacts;
  encapsulation: HostResult['encapsulation'];
}

const CAP_NET_ADMIN = 12n;
const TUN_DEVICE = '/dev/net/tun';

/** Throws a HostError for the first thing that does not fit; changes nothing. */
export async function inspectHost(request: HostRequest): Promise<HostInspection> {
  checkRights();
  checkTunDevice();
  await checkCommands();
  for (const name of namesOf(request)) checkName(name);

  const facts = await readFacts();
  checkInterfaces(request, facts);
  checkOtherGateway(request, facts);
  checkTunName(request, facts);
  checkExternalAddress(request, facts);
  checkNumbers(request, facts);
  checkRoutes(request, facts);
  lanNetworks(request.lans, facts);
  checkNetworksByHand(request);
  return { facts, encapsulation: await checkLine(request, facts) };
}

export function hasNetAdmin(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return ((BigInt(`0x${effective ?? '0'}`) >> CAP_NET_ADMIN) & 1n) === 1n;
}

function checkRights(): void {
  if (hasNetAdmin()) return;
  throw forbidden(
    'HOST_NO_NET_ADMIN',
    'Portfold may not change the network settings of this host: it lacks CAP_NET_ADMIN; run it as ' +
      'root, or give its service AmbientCapabilities=CAP_NET_ADMIN.',
  );
}

function checkTunDevice(): void {
  if (!existsSync(TUN_DEVICE))
    throw new HostError(
      'HOST_NO_TUN',
      `${TUN_DEVICE} does not exist; load the module (modprobe tun), or pass the device into ` +
        'the container (--device /dev/net/tun).',
    );
  try {
    accessSync(TUN_DEVICE, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw forbidden(
      'HOST_TUN_DENIED',
      `${TUN_DEVICE} may not be opened (${messageOf(error)}); run as root or allow the device.`,
    );
  }
}

/** Both answer in an empty table; a missing one says which package to install. */
async function checkCommands(): Promise<void> {
  await Promise.all([run(ip('-V')), run({ program: 'nft', args: ['--version'] })]);
}

const namesOf = (request: HostRequest): string[] => [
  ...request.lans.flatMap((lan) => lan.interfaces),
  request.line.interface,
  request.tun,
];

/** What nft would read as a pattern, `ip` as an option, or a path as another directory. */
function checkName(name: string): void {
  if (/^[A-Za-z0-9_.][A-Za-z0-9_.:@+-]{0,14}$/.test(name) && name !== '.' && name !== '..') return;
  throw misfit(
    'HOST_INTERFACE_NAME',
    `"${name}" cannot be used as the name of an interface; rename it to at most 15 letters, ` +
      'digits and the characters _ . - (ip link set … name …).',
  );
}

function checkInterfaces(request: HostRequest, facts: HostFacts): void {
  const wan = request.line.interface;
  const known = facts.links.map((link) => link.ifname);
  const need = (name: string, user: string): void => needInterface(name, user, known, request.tun);

  need(wan, `Line ${request.line.name}`);
  for (const lan of request.lans)
    for (const name of lan.interfaces) {
      need(name, `LAN ${lan.name}`);
      if (name === wan)
        throw misfit(
          'HOST_INTERFACE_TWICE',
          `Interface "${name}" is named both as LAN ${lan.name} and as line ${request.line.name}; ` +
            'use two interfaces (a VLAN is enough).',
        );
      if (name === request.tun)
        throw misfit('HOST_INTERFACE_TWICE', `LAN ${lan.name}: "${name}" is Portfold's own TUN.`);
    }
}

/** Throws unless `name` is among the `known` interfaces; `tun` is ours and not worth telling. */
export function needInterface(name: string, user: string, known: string[], tun?: string): void {
  if (known.includes(name)) return;
  const others = known.filter((each) => each !== 'lo' && each !== tun).join(', ');
  throw misfit(
    'HOST_INTERFACE_MISSING',
    `${user}: this host has no interface "${name}"; it has: ${others || 'none but lo'}.`,
  );
}

/** A TUN of ours that a process has open, but not with our runtime directory: another gateway. */
function checkOtherGateway(request: HostRequest, facts: HostFacts): void {
  if (readSnapshot(request.runtimeDirectory) !== undefined) return;
  const used = usedTun(facts);
  if (used === undefined) return;
  throw new HostError(
    'HOST_GATEWAY_RUNNING',
    `Another Portfold gateway runs in this network namespace (its TUN is ${used}) with another ` +
      `runtime directory than ${request.runtimeDirectory}; stop that one first.`,
  );
}

/** A device of that name must be ours: known by the snapshot, or by the alias that we gave it. */
function checkTunName(request: HostRequest, facts: HostFacts): void {
  const link = facts.links.find((entry) => entry.ifname === request.tun);
  if (link === undefined || link.ifalias === TUN_ALIAS) return;
  if (readSnapshot(request.runtimeDirectory)?.tun === request.tun) return;
  throw misfit(
    'HOST_TUN_TAKEN',
    `An interface "${request.tun}" exists, and Portfold did not make it; choose another name for ` +
      `the TUN, or remove that one (ip link del ${request.tun}).`,
  );
}

function checkExternalAddress(request: HostRequest, facts: HostFacts): void {
  const { externalAddress, name } = request.line;
  if (Number.isNaN(parseIpv4(externalAddress)))
    throw misfit('HOST_ADDRESS', `Line ${name}: "${externalAddress}" is no IPv4 address.`);

  const shared = sharedLine(request, facts);
  const owner = facts.addresses.find((address) => address.local === externalAddress);
  const inside = [...request.lans.flatMap((lan) => lan.interfaces), request.tun];
  if (owner !== undefined && (shared === undefined || inside.includes(owner.ifname)))
    throw misfit(
      'HOST_ADDRESS_OWNED',
      `Line ${name}: the host itself owns ${externalAddress} (on ${owner.ifname}), so that packets to ` +
        `it end there; remove it (ip address del ${externalAddress}/${owner.prefixlen} dev ` +
        `${owner.ifname}): Portfold answers for it.`,
    );
  if (shared !== undefined) checkSharedPorts(shared);
}

/**
 * Tables and priorities are fixed numbers; somebody else's entries there would be mixed with ours.
 */
function checkNumbers(request: HostRequest, facts: HostFacts): void {
  const route = [...facts.routes4, ...facts.routes6].find(
    (entry) => TABLES.includes(entry.table ?? '') && entry.protocol !== PROTOCOL,
  );
  if (route !== undefined)
    throw misfit(
      'HOST_TABLE_TAKEN',
      `Routing table ${route.table} holds a route that is not Portfold's (to ${route.dst}); Portfold ` +
        `uses the tables ${TABLES.join(', ')}: move the others to another table.`,
    );

  const rule = [...facts.rules4, ...facts.rules6].find(
    (entry) =>
      entry.protocol !== PROTOCOL &&
      (PRIORITIES.includes(String(entry.priority)) || TABLES.includes(entry.table ?? '')),
  );
  if (sharedLine(request, facts) !== undefined) checkSharedNumbers(facts);
  if (rule !== undefined)
    throw misfit(
      'HOST_RULE_TAKEN',
      `A routing rule that is not Portfold's has the priority ${rule.priority} (table ${rule.table}); ` +
        `Portfold uses ${PRIORITIES.join(' and ')} with the tables ${TABLES.join(', ')}: give the ` +
        'other rule another priority.',
    );
}

/** The rules that an address needs which the host uses too. */
function checkSharedNumbers(facts: HostFacts): void {
  const taken = [PRIORITY_SHARED, PRIORITY_LOCAL];
  const rule =
    localBeforeOurs(facts) ??
    facts.rules4.find(
      (entry) =>
        entry.protocol !== PROTOCOL &&
        taken.includes(String(entry.priority)) &&
        !isLocalRule(entry),
    );
  if (rule !== undefined)
    throw misfit(
      'HOST_RULE_TAKEN',
      `A routing rule that is not Portfold's has the priority ${rule.priority} (table ${rule.table}); on ` +
        `an address that the host uses too, Portfold needs ${taken.join(' and ')}, and \`local\` behind the ` +
        'first: give the other rule another priority.',
    );
}

/** Routes of the main table that ours would replace. */
function checkRoutes(request: HostRequest, facts: HostFacts): void {
  const foreign = (routes: HostRoute[], test: (route: HostRoute) => boolean) =>
    routes.find((route) => isMainTable(route) && route.protocol !== PROTOCOL && test(route));
  const { line } = request;

  const own = foreign(facts.routes4, (route) => route.dst === line.externalAddress);
  const ce = line.type === 'map-e' ? canonicalIpv6(line.ceAddress) : '';
  const found =
    own ??
    foreign(facts.routes6, (route) => route.dst === ce) ??
    foreign(
      facts.routes4,
      (route) => route.dst === 'default' && String(route.metric) === METRIC_OWN_TRAFFIC,
    );
  if (found !== undefined)
    throw misfit(
      'HOST_ROUTE_TAKEN',
      `The main table has a route to ${found.dst}` +
        `${found.metric ? ` with metric ${found.metric}` : ''} over ${found.dev ?? 'nothing'} that Portfold ` +
        'needs for itself; remove it, or give it another metric.',
    );
}

/**
 * The configuration knows the external address only where the prefix is written; here it is known
 * in any case.
 */
function checkNetworksByHand(request: HostRequest): void {
  const { externalAddress, name } = request.line;
  for (const lan of request.lans)
    for (const text of lan.networks ?? [])
      if (containsAddress(parseNetwork(text)!, parseIpv4(externalAddress)))
        throw misfit(
          'HOST_LAN_NETWORK',
          `LAN ${lan.name}: the network ${text} holds ${externalAddress}, the external address of line ` +
            `${name}; leave that address out of \`networks\`.`,
        );
}

async function checkLine(
  request: HostRequest,
  facts: HostFacts,
): Promise<HostResult['encapsulation']> {
  const { line } = request;
  if (line.type === 'address') return 'none';

  const { interface: wan, name } = line;
  const disabled = readSetting(`net/ipv6/conf/${wan}/disable_ipv6`);
  if (!hasSetting('net/ipv6/conf') || disabled !== '0')
    throw misfit(
      'HOST_IPV6_OFF',
      `Line ${name}: IPv6 is switched off on ${wan}, and MAP-E runs over IPv6; switch it on ` +
        `(sysctl net.ipv6.conf.${wan}.disable_ipv6=0, and no ipv6.disable=1 at boot).`,
    );

  const ce = canonicalIpv6(line.ceAddress);
  const encapsulation = await chooseEncapsulation(line.encapsulation, line.mesh);
  const owner = facts.addresses.find((address) => address.local === ce);
  const snapshot = readSnapshot(request.runtimeDirectory);
  const ours = snapshot?.items.some((item) => item.id === `address ${ce} dev ${owner?.ifname}`);
  if (owner !== undefined && !ours)
    throw misfit(
      'HOST_ADDRESS_OWNED',
      `Line ${name}: the host itself owns the CE address ${ce} (on ${owner.ifname}), so that packets of ` +
        `the relay end there; remove it (ip address del ${ce}/${owner.prefixlen} dev ` +
        `${owner.ifname}): Portfold answers for it.`,
    );

  await checkWayToRelay(wan, name, canonicalIpv6(line.brAddress));
  if (encapsulation === 'seg6' && !hadSegmentRouting(facts)) await checkTunnelSource(request, ce);
  return encapsulation;
}

async function checkWayToRelay(wan: string, name: string, br: string): Promise<void> {
  const way = await wayToRelay(br);
  if (way === wan) return;
  const found = way === undefined ? 'there is no route' : `the route leads over ${way}`;
  throw new HostError(
    'HOST_NO_IPV6',
    `Line ${name}: no IPv6 over ${wan} to the relay ${br} (${found}); wait for the line's router ` +
      `advertisement, or look at \`ip -6 address show dev ${wan}\` and \`ip -6 route\`.`,
  );
}

/** The interface over which IPv6 leads to the relay. */
export async function wayToRelay(br: string): Promise<string | undefined> {
  const routes = await ipJson<HostRoute>('-6', 'route', 'get', br).catch(() => []);
  return routes[0]?.dev;
}

/** There is one source address of SRv6 encapsulation for the whole host. */
async function checkTunnelSource(request: HostRequest, ce: string): Promise<void> {
  const current = await readTunnelSource();
  if (current === '::' || current === ce) return;
  if (readSnapshot(request.runtimeDirectory) !== undefined) return;
  throw misfit(
    'HOST_TUNNEL_SOURCE_TAKEN',
    `The source address of SRv6 encapsulation is in use by somebody else (ip sr tunsrc show: ` +
      `${current}); set it free (ip sr tunsrc set ::), or choose encapsulation = "ip6tnl".`,
  );
}

/** What `ip sr tunsrc show` says; "::" where the kernel knows no SRv6. */
export async function readTunnelSource(): Promise<string> {
  const stdout = await run(ip('sr', 'tunsrc', 'show')).catch(() => '');
  return /tunsrc addr (\S+)/.exec(stdout)?.[1] ?? '::';
}
