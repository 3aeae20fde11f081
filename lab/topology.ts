/**
 * The lab: a house, a gateway, a provider, a relay and an internet, each in a namespace of its own.
 *
 *   h1 192.168.7.11 ─┐
 *   h2 192.168.7.12 ─┤ lan0 (bridge)    wan0     gw0     up0  down0     inet0  eth0
 *   load .20 ────────┴──────────────  gw  ──────────  p  ─────────  br  ──────────  inet
 *   10.64.0.0/16 behind load     192.168.7.1      provider    relay or router   203.0.113.0/24
 *                                                                               198.18.0.0/15
 *
 *   map-e     p speaks IPv6 only, routes the delegated /56 to the gateway; br is the border relay
 *   address   p routes 198.51.100.1 to the gateway; br is a router, perhaps with a smaller MTU
 *   shared    the same, but the address is that of the gateway's wan0, in p's network 198.51.100.0/24
 *
 * Every address of inet's two networks answers, and so does every address of 10.64.0.0/16 (`ip
 * route add local`): tens of thousands of endpoints without an address each.
 *
 * The relay comes in three kinds. `seg6` is two routes: reduced SRv6 encapsulation with one segment
 * is plain IPv4-in-IPv6 and keeps superpackets, so it is fast. `socat` shares no code with what it
 * checks (a TUN and a raw socket), so it is the independent one; a raw socket reads partial
 * checksums as they stand, hence checksum offload is off on the provider's veths then. `portfold` is
 * `portfold br` (relay.ts).
 *
 * Names are pfl-PID-N-…, so that labs run side by side; a lab removes exactly its own, also on
 * SIGINT and after a failure. Interfaces are born inside their namespaces; the root namespace is
 * never changed.
 */
import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HostState, hostState } from './host-state.ts';
import { ADDRESS, type LineType, MAP_E } from './lines.ts';
import { type Background, Namespace } from './netns.ts';
import { PortfoldRelay } from './relay.ts';

export const LAN_PREFIX = '192.168.7.';
export const GATEWAY_LAN_ADDRESS = '192.168.7.1';
export const LOAD_ADDRESS = '192.168.7.20';
/** First of 65,536 internal addresses behind the load host. */
export const LOAD_NETWORK_FIRST = '10.64.0.0';
/** The provider's router, where the external address lies in a network with it. */
export const PROVIDER_SHARED = '198.51.100.254';
/** Servers, and two addresses for a STUN server. */
export const SERVER = '203.0.113.10';
export const SERVER_SECOND = '203.0.113.11';
export const NAME_SERVER = '203.0.113.53';
/** First of 131,072 remote addresses. */
export const REMOTES_FIRST = '198.18.0.1';

export type RelayKind = 'seg6' | 'socat' | 'portfold';

export interface LabOptions {
  line: LineType;
  /** How the border relay is made (map-e). */
  relay?: RelayKind;
  /**
   * How the delegated prefix reaches the gateway: routed to its address, or its first /64 on the
   * link (neighbour discovery).
   */
  delegation?: 'routed' | 'on-link';
  /** MTU of the link behind the provider (address line). */
  farMtu?: number;
  /** The external address is the gateway host's own (address line). */
  shared?: boolean;
  /** LAN hosts h1, h2, … */
  hosts?: number;
  /** Lets the internet reach the LAN untranslated, for the null forwarder (address line). */
  routedLan?: boolean;
}

export interface Lab {
  readonly name: string;
  readonly line: LineType;
  readonly shared: boolean;
  /** A folder on tmpfs, removed with the lab. */
  readonly folder: string;
  readonly hosts: Namespace[];
  readonly load: Namespace;
  readonly gateway: Namespace;
  readonly provider: Namespace;
  readonly relay: Namespace;
  /** The relay of kind `portfold`, and its host as it was before. */
  border?: PortfoldRelay;
  hostOfRelay?: HostState;
  readonly internet: Namespace;
  /** Ends the processes inside and removes the namespaces. Safe to call twice. */
  remove(): void;
}

/**
 * statfs(2) of tmpfs, where the gateway's arena must lie; /dev/shm is one on nearly every Linux,
 * /run on most.
 */
const TMPFS_MAGIC = 0x01021994;
const TMPFS =
  ['/dev/shm', '/run'].find((path) => existsSync(path) && statfsSync(path).type === TMPFS_MAGIC) ??
  tmpdir();

const labs = new Set<Lab>();
let labNumber = 0;

export async function buildLab(options: LabOptions): Promise<Lab> {
  const hostCount = options.hosts ?? 2;
  const name = `pfl-${process.pid}-${++labNumber}`;
  const namespace = (role: string): Namespace => new Namespace(`${name}-${role}`);
  const hosts = Array.from({ length: hostCount }, (_, i) => namespace(`h${i + 1}`));
  const roles = {
    load: namespace('load'),
    gateway: namespace('gw'),
    provider: namespace('p'),
    relay: namespace('br'),
    internet: namespace('inet'),
  };
  const all = [...hosts, ...Object.values(roles)];
  const lab: Lab = {
    name,
    line: options.line,
    shared: options.shared ?? false,
    folder: mkdtempSync(join(TMPFS, `${name}-`)),
    hosts,
    ...roles,
    remove: () => {
      for (const one of all) one.remove();
      rmSync(lab.folder, { recursive: true, force: true });
      labs.delete(lab);
    },
  };
  labs.add(lab);
  removeAtExit();
  try {
    await Promise.all(all.map((one) => one.create()));
    await Promise.all(all.map(prepare));
    await addLinks(lab);
    await Promise.all([
      ...hosts.map((host, i) => configureHost(host, `${LAN_PREFIX}${11 + i}`)),
      configureLoad(lab.load),
      configureInternet(lab.internet),
      options.line === 'map-e' ? configureMapE(lab, options) : configureAddress(lab, options),
    ]);
    if (options.line === 'map-e') await startRelay(lab, options.relay ?? 'seg6');
    return lab;
  } catch (error) {
    lab.remove();
    throw error;
  }
}

/**
 * Quick and quiet: no duplicate address detection, no router solicitation, no limit on ICMP errors.
 */
export async function prepare(one: Namespace): Promise<void> {
  await one.sysctl({
    'net.ipv6.conf.all.accept_dad': 0,
    'net.ipv6.conf.default.accept_dad': 0,
    'net.ipv6.conf.all.accept_ra': 0,
    'net.ipv6.conf.default.accept_ra': 0,
    'net.ipv4.icmp_ratelimit': 0,
    'net.ipv4.icmp_msgs_per_sec': 100000,
    'net.ipv4.icmp_msgs_burst': 10000,
    'net.ipv4.conf.all.rp_filter': 0,
    'net.ipv4.conf.default.rp_filter': 0,
    'net.ipv4.conf.all.accept_redirects': 0,
    'net.ipv4.conf.all.send_redirects': 0,
    'net.ipv4.conf.default.send_redirects': 0,
  });
  await one.ip(['link set lo up']);
}

async function addLinks(lab: Lab): Promise<void> {
  const { gateway, provider, relay, internet } = lab;
  const lan = [...lab.hosts, lab.load];
  await gateway.ip([
    'link add lan0 type bridge',
    ...lan.map((host) => {
      const port = host.name.split('-').at(-1);
      return `link add ${port} type veth peer name eth0 netns ${host.name}`;
    }),
    ...lan.map((host) => `link set ${host.name.split('-').at(-1)} master lan0 up`),
    'link set lan0 up',
    `address add ${GATEWAY_LAN_ADDRESS}/24 dev lan0`,
    `route add 10.64.0.0/16 via ${LOAD_ADDRESS}`,
    `link add wan0 type veth peer name gw0 netns ${provider.name}`,
    'link set wan0 up',
  ]);
  await provider.ip([
    'link set gw0 up',
    `link add up0 type veth peer name down0 netns ${relay.name}`,
    'link set up0 up',
  ]);
  await relay.ip([
    'link set down0 up',
    `link add inet0 type veth peer name eth0 netns ${internet.name}`,
    'link set inet0 up',
  ]);
}

export async function configureHost(host: Namespace, address: string): Promise<void> {
  await host.ip([
    'link set eth0 up',
    `address add ${address}/24 dev eth0`,
    `route add default via ${GATEWAY_LAN_ADDRESS}`,
  ]);
}

async function configureLoad(load: Namespace): Promise<void> {
  await configureHost(load, LOAD_ADDRESS);
  await load.ip(['route add local 10.64.0.0/16 dev lo']);
  await load.sysctl({ 'net.ipv4.ip_local_port_range': '10000 65000' });
}

async function configureInternet(internet: Namespace): Promise<void> {
  await internet.ip([
    'link set eth0 up',
    'address add 192.0.2.10/30 dev eth0',
    'route add default via 192.0.2.9',
    // Whole networks are local below; servers that bind to one address like to see it on an
    // interface as well.
    ...[SERVER, SERVER_SECOND, NAME_SERVER].map((address) => `address add ${address}/32 dev lo`),
    'route add local 203.0.113.0/24 dev lo',
    'route add local 198.18.0.0/15 dev lo',
  ]);
  await internet.sysctl({
    'net.core.somaxconn': 8192,
    'net.ipv4.tcp_max_syn_backlog': 8192,
    'net.ipv4.tcp_syncookies': 0,
  });
}

const RELAY_TO_INTERNET = [
  'address add 192.0.2.9/30 dev inet0',
  'route add 203.0.113.0/24 via 192.0.2.10',
  'route add 198.18.0.0/15 via 192.0.2.10',
];

async function configureMapE(lab: Lab, options: LabOptions): Promise<void> {
  const onLink = options.delegation === 'on-link';
  const delegated = MAP_E.prefix;
  const firstSubnet = delegated.replace('/56', '/64');
  await Promise.all([
    lab.provider.sysctl({ 'net.ipv6.conf.all.forwarding': 1 }),
    lab.relay.sysctl({ 'net.ipv6.conf.all.forwarding': 1, 'net.ipv4.ip_forward': 1 }),
  ]);
  await Promise.all([
    lab.gateway.ip([
      'address add fe80::2/64 dev wan0 nodad',
      onLink
        ? 'address add 240b:10:1234:5600::2/64 dev wan0 nodad'
        : 'address add 2001:db8:feed::2/64 dev wan0 nodad',
      'route add default via fe80::1 dev wan0',
    ]),
    lab.provider.ip([
      'address add fe80::1/64 dev gw0 nodad',
      'address add 2001:db8:feed::1/64 dev gw0 nodad',
      'address add 2001:db8:beef::1/64 dev up0 nodad',
      onLink
        ? `route add ${firstSubnet} dev gw0`
        : `route add ${delegated} via 2001:db8:feed::2 dev gw0`,
      `route add ${MAP_E.brAddress}/128 via 2001:db8:beef::2`,
    ]),
    lab.relay.ip([
      'address add 2001:db8:beef::2/64 dev down0 nodad',
      'route add default via 2001:db8:beef::1',
      ...RELAY_TO_INTERNET,
    ]),
  ]);
}

async function configureAddress(lab: Lab, options: LabOptions): Promise<void> {
  const mtu = options.farMtu ?? 1500;
  await Promise.all([
    lab.provider.sysctl({ 'net.ipv4.ip_forward': 1 }),
    lab.relay.sysctl({ 'net.ipv4.ip_forward': 1 }),
  ]);
  await Promise.all([
    lab.gateway.ip(
      options.shared
        ? [
            `address add ${ADDRESS.externalAddress}/24 dev wan0`,
            `route add default via ${PROVIDER_SHARED}`,
          ]
        : ['address add 192.0.2.2/30 dev wan0', 'route add default via 192.0.2.1'],
    ),
    lab.provider.ip([
      ...(options.shared
        ? [`address add ${PROVIDER_SHARED}/24 dev gw0`]
        : [
            'address add 192.0.2.1/30 dev gw0',
            `route add ${ADDRESS.externalAddress}/32 via 192.0.2.2`,
          ]),
      'address add 192.0.2.5/30 dev up0',
      'route add default via 192.0.2.6',
      ...(options.routedLan ? ['route add 192.168.7.0/24 via 192.0.2.2'] : []),
    ]),
    lab.relay.ip([
      'address add 192.0.2.6/30 dev down0',
      `link set inet0 mtu ${mtu}`,
      `route add ${ADDRESS.externalAddress}/32 via 192.0.2.5`,
      `route add ${options.shared ? '198.51.100.0/24' : '192.0.2.0/30'} via 192.0.2.5`,
      ...(options.routedLan ? ['route add 192.168.7.0/24 via 192.0.2.5'] : []),
      ...RELAY_TO_INTERNET,
    ]),
    lab.internet.ip([`link set eth0 mtu ${mtu}`]),
  ]);
}

async function startRelay(lab: Lab, kind: RelayKind): Promise<void> {
  if (kind === 'portfold') {
    lab.border = new PortfoldRelay(lab.relay, lab.folder);
    lab.hostOfRelay = await hostState(lab.relay);
    await lab.border.start();
    return;
  }
  const { ceAddress, brAddress, externalAddress, ipv4Mtu } = MAP_E;
  if (kind === 'seg6') {
    // nh4 is an address behind inet's router and not the router itself: a next hop on the link
    // would make the kernel ask for the neighbour of each destination, and the neighbour table ends
    // at 1,024.
    await lab.relay.ip([
      `sr tunsrc set ${brAddress}`,
      `route add ${externalAddress}/32 encap seg6 mode encap.red segs ${ceAddress} dev down0`,
      `route add ${brAddress}/128 encap seg6local action End.DX4 nh4 ${SERVER} dev inet0`,
    ]);
    return;
  }
  await Promise.all([
    lab.gateway.run('ethtool', ['-K', 'wan0', 'tx', 'off']),
    lab.provider.run('ethtool', ['-K', 'up0', 'tx', 'off']),
    lab.relay.run('ethtool', ['-K', 'down0', 'tx', 'off']),
    // The relay's TUN writes what it reads to a raw socket, so inet's checksums must be complete as
    // well.
    lab.internet.run('ethtool', ['-K', 'eth0', 'tx', 'off']),
    lab.relay.ip([`address add ${brAddress}/128 dev lo nodad`]),
  ]);
  const socat = lab.relay.start('socat', [
    '-b',
    '65536',
    'TUN:192.0.2.13/30,iff-no-pi,iff-up,tun-name=relay0',
    `IP6-DATAGRAM:[${ceAddress}]:4,bind=[${brAddress}]`,
  ]);
  await relayReady(lab, socat);
  await lab.relay.ip([
    // A burst that waits for socat's turn must not be lost here.
    `link set relay0 mtu ${ipv4Mtu} txqueuelen 10000`,
    `route add ${externalAddress}/32 dev relay0`,
  ]);
}

async function relayReady(lab: Lab, socat: Background): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const link = await lab.relay.run('ip', ['link', 'show', 'relay0', 'up'], { check: false });
    if (link.code === 0 && link.stdout.includes('relay0')) return;
    if (socat.over) break;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the relay did not start: ${socat.stderr.trim() || 'socat said nothing'}`);
}

let removing = false;

/** Labs that still stand when the process ends, or is told to, are removed. Once per process. */
function removeAtExit(): void {
  if (removing) return;
  removing = true;
  const removeAll = (): void => {
    for (const lab of [...labs]) lab.remove();
  };
  process.on('exit', removeAll);
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.prependListener(signal, () => {
      removeAll();
      process.exit(code);
    });
  }
}
