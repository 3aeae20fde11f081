/**
 * The host of a relay: its TUN, the routes into it, and forwarding.
 *
 *   CEs ── interface ──▶ BR/128 dev TUN ──▶ ┌─────┐ ──▶ main ──▶ Internet
 *   CEs ◀── interface ◀── main ◀─────────── └─────┘ ◀── each rule's IPv4 prefix dev TUN ◀── Internet
 *
 * All of it stands in a snapshot (tun/host/snapshot.ts) before the first change, so that the end, `portfold br --clean` or
 * `portfold doctor --clean --runtime-directory …` takes it back after a process that was killed. Until then the persistent TUN swallows what is
 * for the CEs: nothing of it goes astray by a default route. The next start adopts it for the same reason: TUN and routes stay, what differs
 * is replaced, and what is no longer wanted goes when the rest stands. The values of before are then those that the first start found.
 *
 * One relay runs in a network namespace: table, proxy entry and the routes of the prefixes are there once. A live one is known by the
 * carrier of its TUN.
 *
 * Protocol number and alias are the relay's own, so that a gateway on the same host does not take its settings for lost ones of its own.
 */
import { HostError, messageOf, misfit } from '../../tun/host/errors.ts';
import { type HostFacts, type HostLink, isMainTable, readFacts } from '../../tun/host/facts.ts';
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
import { removeItem, undoHost } from '../../tun/host/undo.ts';
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

/** Makes the host a relay's, or adopts what a predecessor left. A misfit changes nothing; after a later failure everything is undone. */
export async function applyRelayHost(config: RelayConfig): Promise<RelayHost> {
  const facts = await readFacts();
  const old = readSnapshot(config.runtimeDirectory);
  const host = inspect(config, facts, old?.tun);
  try {
    await adoptOrMake(config, facts, old);
  } catch (error) {
    throw await rolledBack(config.runtimeDirectory, error);
  }
  return host;
}

async function adoptOrMake(
  config: RelayConfig,
  facts: HostFacts,
  old: HostSnapshot | undefined,
): Promise<void> {
  const items = planItems(config);
  const settings = planSettings(config, facts, old);
  const stale = staleItems(config, items, old);
  const written = new Set(settings.map(({ path }) => path));
  const staleSettings = (old?.settings ?? []).filter(({ path }) => !written.has(path));
  const start = readAllSettings([...written, ...staleSettings.map(({ path }) => path)]);
  const values = Object.fromEntries(settings.map(({ path, value }) => [path, value]));

  // From here on a process that is killed leaves a snapshot that names all it may have made.
  const during: HostSnapshot = {
    ...(old ?? newSnapshot(config.tun, start, '')),
    tun: config.tun,
    before: { ...start, ...old?.before },
    changed: old?.changed ? { ...old.changed, ...values } : null,
    items: [...stale, ...items],
    settings: [...staleSettings, ...settings],
  };
  writeSnapshot(config.runtimeDirectory, during);
  await makeTun(config.tun, facts);
  for (const { path, value } of settings) writeUnlessSo(path, value);
  for (const item of items)
    for (const command of item.add) await runUnless(command, isAlreadyThere);

  for (const item of stale.toReversed()) await removeItem(item);
  for (const { path } of staleSettings.toReversed()) {
    const value = during.before[path];
    if (value !== undefined && hasSetting(path)) writeUnlessSo(path, value);
  }
  const changed = changesOf(during.before, start, written, old?.changed ?? {});
  writeSnapshot(config.runtimeDirectory, { ...during, changed, items, settings });
}

/** What a predecessor made and this relay does not, in the order of making. */
function staleItems(
  config: RelayConfig,
  items: HostItem[],
  old: HostSnapshot | undefined,
): HostItem[] {
  if (old === undefined) return [];
  const wanted = new Set(items.map(({ id }) => id));
  const stale = old.items.filter(({ id }) => !wanted.has(id));
  if (old.tun === config.tun) return stale;
  const remove = ip('link', 'del', 'dev', old.tun);
  return [{ id: `TUN ${old.tun}`, add: [], remove }, ...stale];
}

/** A forwarding switch that is written moves others, even if it stays what it was. */
function writeUnlessSo(path: string, value: string): void {
  if (readSetting(path) !== value) writeSetting(path, value);
}

/** Values that differ from before because of us: what we wrote, what moved while we wrote, and what a predecessor changed. */
function changesOf(
  before: Record<string, string>,
  start: Record<string, string>,
  written: Set<string>,
  byPredecessor: Record<string, string>,
): Record<string, string> {
  const now = Object.entries(readAllSettings(Object.keys(before)));
  return Object.fromEntries(
    now.filter(
      ([path, value]) =>
        before[path] !== undefined &&
        before[path] !== value &&
        (written.has(path) || start[path] !== value || byPredecessor[path] === value),
    ),
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

/** Throws while a relay lives in this network namespace. For who holds the lock of the runtime directory: it is another one. */
export function refuseOtherRelay(runtimeDirectory: string, facts: HostFacts): void {
  const used = facts.links.find(
    (link) => link.ifalias === RELAY_ALIAS && isTun(link) && link.flags.includes('LOWER_UP'),
  );
  if (used === undefined) return;
  throw new HostError(
    'HOST_RELAY_RUNNING',
    `Another Portfold relay runs in this network namespace (its TUN is ${used.ifname}) with another ` +
      `runtime directory than ${runtimeDirectory}; stop that one first, or give it all rules.`,
  );
}

/**
 * Throws for the first thing that does not fit; changes nothing.
 * @param ownTun of a predecessor, as its snapshot names it: killed early, it left one without the alias
 */
export function inspect(config: RelayConfig, facts: HostFacts, ownTun?: string): RelayHost {
  refuseOtherRelay(config.runtimeDirectory, facts);
  const link = facts.links.find((one) => one.ifname === config.interface);
  if (link === undefined) {
    const names = facts.links.map((one) => one.ifname).join(', ');
    throw misfit(
      'HOST_INTERFACE_MISSING',
      `There is no interface "${config.interface}" here; there are ${names}.`,
    );
  }
  const tun = facts.links.find((one) => one.ifname === config.tun);
  if (tun !== undefined && tun.ifalias !== RELAY_ALIAS && tun.ifname !== ownTun)
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

function planSettings(config: RelayConfig, facts: HostFacts, old?: HostSnapshot): HostSetting[] {
  const { tun, interface: towardsCes } = config;
  const acceptRa = (name: string): string => {
    const path = `net/ipv6/conf/${name}/accept_ra`;
    return old?.before[path] ?? readSetting(path) ?? '0';
  };
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

/** A persistent TUN: it outlives the process, and with it the routes that lead nowhere else. */
async function makeTun(name: string, facts: HostFacts): Promise<void> {
  const link = facts.links.find((one) => one.ifname === name);
  const isUsable = link !== undefined && isTun(link);
  if (link !== undefined && !isUsable) await run(ip('link', 'del', 'dev', name));
  if (!isUsable) await run(ip('tuntap', 'add', 'dev', name, 'mode', 'tun', 'vnet_hdr'));
  const set = ['link', 'set', 'dev', name];
  await run(ip(...set, 'alias', RELAY_ALIAS, 'mtu', TUN_MTU, 'txqueuelen', TUN_QUEUE_LENGTH));
  await run(ip(...set, 'addrgenmode', 'none'));
  await run(ip(...set, 'up'));
}

/** True for a TUN that a relay can use. */
const isTun = ({ linkinfo }: HostLink): boolean =>
  linkinfo?.info_kind === 'tun' &&
  linkinfo.info_data?.type === 'tun' &&
  linkinfo.info_data.multi_queue !== true;
