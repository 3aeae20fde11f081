/**
 * The host of a relay: its TUN, the routes into it, and forwarding.
 *
 *   CEs ── interface ──▶ BR/128 dev TUN ──▶ ┌─────┐ ──▶ main ──▶ Internet
 *   CEs ◀── interface ◀── main ◀─────────── └─────┘ ◀── each rule's IPv4 prefix dev TUN ◀── Internet
 *
 * All of it stands in a snapshot (tun/host/snapshot.ts) before the first change, so that the end, the next start, `portfold br --clean` or
 * `portfold doctor --clean --runtime-directory …` takes it back after a process that was killed. Until then the persistent TUN swallows what is
 * for the CEs: nothing of it goes astray by a default route.
 *
 * Protocol number and alias are the relay's own, so that a gateway on the same host does not take its settings for lost ones of its own.
 */
import { HostError, messageOf, misfit } from '../../tun/host/errors.ts';
import { type HostFacts, isMainTable, readFacts } from '../../tun/host/facts.ts';
import { TUN_DUMMY_ADDRESS, TUN_MTU, TUN_QUEUE_LENGTH } from '../../tun/host/numbers.ts';
import { canonicalIpv6, forwardingSettings6, type HostItem } from '../../tun/host/plan.ts';
import { ip, isAlreadyThere, run, runUnless } from '../../tun/host/run.ts';
import {
  type HostSnapshot,
  newSnapshot,
  readSnapshot,
  writeSnapshot,
} from '../../tun/host/snapshot.ts';
import {
  type HostSetting,
  hasSetting,
  readAllSettings,
  readSetting,
  writeSetting,
} from '../../tun/host/sysctl.ts';
import { undoHost, undoHostOrThrow } from '../../tun/host/undo.ts';
import { networkOf, type RelayConfig } from './config.ts';

export const RELAY_PROTOCOL = '177';
export const RELAY_ALIAS = 'portfold relay';
const RELAY_NFT_TABLE = 'portfold_br';
/** Scope of an address that others may know, as `ip` and `ip -N` print it. */
const GLOBAL = new Set(['global', '0']);

/** What the host tells the packet path. */
export interface RelayHost {
  interfaceMtu: number;
  ipv4Address: string;
}

/** Makes the host a relay's, after undoing what a predecessor left. Throws after undoing its own changes. */
export async function applyRelayHost(config: RelayConfig): Promise<RelayHost> {
  if (readSnapshot(config.runtimeDirectory) !== undefined)
    await undoHostOrThrow(config.runtimeDirectory);
  const facts = await readFacts();
  const host = inspect(config, facts);
  const items = planItems(config);
  const settings = planSettings(config, facts);
  const before = readAllSettings(settings.map(({ path }) => path));
  const snapshot: HostSnapshot = { ...newSnapshot(config.tun, before, ''), items, settings };
  writeSnapshot(config.runtimeDirectory, snapshot);
  try {
    await makeTun(config.tun, facts);
    for (const { path, value } of settings) writeSetting(path, value);
    for (const item of items)
      for (const command of item.add) await runUnless(command, isAlreadyThere);
    writeSnapshot(config.runtimeDirectory, { ...snapshot, changed: changedSince(before) });
  } catch (error) {
    throw await rolledBack(config.runtimeDirectory, error);
  }
  return host;
}

/** Values that are not what they were: what we wrote, and what moved while we wrote. */
function changedSince(before: Record<string, string>): Record<string, string> {
  const now = Object.entries(readAllSettings(Object.keys(before)));
  return Object.fromEntries(
    now.filter(([path, value]) => before[path] !== undefined && before[path] !== value),
  );
}

async function rolledBack(runtimeDirectory: string, error: unknown): Promise<unknown> {
  const { problems } = await undoHost(runtimeDirectory);
  if (problems.length === 0) return error;
  return new HostError(
    'HOST_ROLLBACK_INCOMPLETE',
    `${messageOf(error)} Not all changes could be taken back: ${problems.join('; ')}. ` +
      'Run `portfold br --clean`.',
  );
}

/** Throws for the first thing that does not fit; changes nothing. */
export function inspect(config: RelayConfig, facts: HostFacts): RelayHost {
  const link = facts.links.find((one) => one.ifname === config.interface);
  if (link === undefined) {
    const names = facts.links.map((one) => one.ifname).join(', ');
    throw misfit(
      'HOST_INTERFACE_MISSING',
      `There is no interface "${config.interface}" here; there are ${names}.`,
    );
  }
  const tun = facts.links.find((one) => one.ifname === config.tun);
  if (tun !== undefined && tun.ifalias !== RELAY_ALIAS)
    throw misfit(
      'HOST_TUN_TAKEN',
      `The interface "${config.tun}" is another program's; choose another name with tun = "…".`,
    );
  const address = canonicalIpv6(config.address);
  const owner = facts.addresses.find(
    (one) => one.family === 'inet6' && canonicalIpv6(one.local) === address,
  );
  if (owner !== undefined)
    throw misfit(
      'HOST_ADDRESS_TAKEN',
      `${config.address} is an address of ${owner.ifname}, so that the kernel itself would take its packets; ` +
        'remove it there, the relay needs it routed to this host only.',
    );
  return { interfaceMtu: link.mtu, ipv4Address: config.ipv4Address ?? ownIpv4(facts) };
}

/** The address by which the host is known: on the interface of its default route, else the first one. */
function ownIpv4(facts: HostFacts): string {
  const all = facts.addresses.filter((one) => one.family === 'inet' && GLOBAL.has(one.scope));
  const way = facts.routes4.find((route) => route.dst === 'default' && isMainTable(route));
  const onWay = all.find((one) => one.ifname === way?.dev);
  const found = way?.prefsrc ?? (onWay ?? all[0])?.local;
  if (found !== undefined) return found;
  throw misfit(
    'HOST_NO_IPV4',
    'This host has no IPv4 address from which ICMP messages could come; add one, or write ipv4-address = "…".',
  );
}

function planItems(config: RelayConfig): HostItem[] {
  const { tun } = config;
  const address = ['-4', 'address'];
  const dummy = [TUN_DUMMY_ADDRESS, 'dev', tun];
  const networks = config.rules.map(networkOf);
  const proxy = ['proxy', config.address, 'dev', config.interface];
  return [
    notrack(config, networks),
    {
      id: `address ${dummy.join(' ')}`,
      add: [ip(...address, 'replace', ...dummy, 'scope', 'host', 'noprefixroute')],
      remove: ip(...address, 'del', ...dummy),
    },
    ...networks.map((network) => route('-4', network, tun)),
    route('-6', `${config.address}/128`, tun),
    {
      id: `neighbour -6 ${proxy.join(' ')}`,
      add: [ip('-6', 'neigh', 'replace', ...proxy, 'protocol', RELAY_PROTOCOL)],
      remove: ip('-6', 'neigh', 'del', ...proxy),
    },
  ];
}

function route(family: string, destination: string, tun: string): HostItem {
  const words = ['unicast', destination, 'dev', tun, 'proto', RELAY_PROTOCOL];
  return {
    id: `route ${family} ${words.join(' ')}`,
    add: [ip(family, 'route', 'replace', ...words)],
    remove: ip(family, 'route', 'del', ...words),
  };
}

/** A relay keeps no state, and the kernel's connection tracking shall keep none of its packets; it would also join fragments. */
function notrack(config: RelayConfig, networks: string[]): HostItem {
  const script = [
    `add table inet ${RELAY_NFT_TABLE}`,
    `delete table inet ${RELAY_NFT_TABLE}`,
    `table inet ${RELAY_NFT_TABLE} {`,
    '  chain prerouting {',
    '    type filter hook prerouting priority -450; policy accept;',
    `    iifname "${config.tun}" notrack`,
    `    ip6 daddr ${config.address} notrack`,
    ...networks.map((network) => `    ip daddr ${network} notrack`),
    '  }',
    '}',
    '',
  ].join('\n');
  const nft = (input: string) => ({ program: 'nft', args: ['-f', '-'], input });
  return {
    id: `nftables table ${RELAY_NFT_TABLE}`,
    add: [nft(script)],
    remove: nft(`delete table inet ${RELAY_NFT_TABLE}\n`),
  };
}

function planSettings(config: RelayConfig, facts: HostFacts): HostSetting[] {
  const { tun, interface: towardsCes } = config;
  const acceptRa = (name: string): string => readSetting(`net/ipv6/conf/${name}/accept_ra`) ?? '0';
  const names = facts.routes6
    .filter((one) => one.dst === 'default' && one.protocol === '9')
    .map((one) => one.dev ?? '');
  const context = {
    hasForceForwarding: hasSetting(`net/ipv6/conf/${towardsCes}/force_forwarding`),
    advertised: [...new Set(names)].map((name) => ({ interface: name, acceptRa: acceptRa(name) })),
    acceptRa: acceptRa(towardsCes),
  };
  const ofTun = (key: string, value: string): HostSetting => ({
    path: `net/ipv4/conf/${tun}/${key}`,
    value,
  });
  return [
    // First: this switch changes others.
    { path: 'net/ipv4/ip_forward', value: '1' },
    // Answers of the relay carry an address of the host.
    ofTun('accept_local', '1'),
    ofTun('rp_filter', '2'),
    ...forwardingSettings6(tun, towardsCes, context),
    { path: `net/ipv6/conf/${towardsCes}/proxy_ndp`, value: '1' },
    { path: `net/ipv6/neigh/${towardsCes}/proxy_delay`, value: '0' },
  ];
}

async function makeTun(name: string, facts: HostFacts): Promise<void> {
  // One of ours that nobody remembers: its runtime directory is gone.
  if (facts.links.some((one) => one.ifname === name)) await run(ip('link', 'del', 'dev', name));
  await run(ip('tuntap', 'add', 'dev', name, 'mode', 'tun', 'vnet_hdr'));
  const set = ['link', 'set', 'dev', name];
  await run(ip(...set, 'alias', RELAY_ALIAS, 'mtu', TUN_MTU, 'txqueuelen', TUN_QUEUE_LENGTH));
  await run(ip(...set, 'addrgenmode', 'none'));
  await run(ip(...set, 'up'));
}
