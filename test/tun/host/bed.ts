/**
 * Three namespaces around the host settings, and the programs of the tests in them.
 *
 *   pfh-lan 192.168.1.11 ── lan0  pfh-gw  wan0 ── pfh-wan: the line's router, the relay (socat), the internet
 *                                  │ ▲
 *                                  ▼ │ swap.ts
 *
 * Each verb runs in a process of its own inside pfh-gw. "As before" compares texts byte for byte;
 * only the seconds that an advertised route has left are cut out.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostRequest, HostResult, UndoReport } from '../../../tun/host/index.ts';

/** With the process in their names: the same tests may run twice at the same time. */
const NAMESPACES = ['lan', 'gw', 'wan'].map((name) => `pfh-${process.pid}-${name}`);
export const [LAN, GATEWAY, WAN] = NAMESPACES;
export const TUN = 'pfh-tun0';
export const SERVER = '203.0.113.10';
export const REFUSED = '203.0.113.99';
const CE = '2001:db8:1::ce';
const BR = '2001:db8:ffff::1';
const COMMAND = fileURLToPath(new URL('./command.ts', import.meta.url));
const PORTFOLD = fileURLToPath(new URL('../../../bin/main.ts', import.meta.url));
const SWAP = fileURLToPath(new URL('./swap.ts', import.meta.url));

/** All that must be as before. */
export const STATE = `
  cd /proc/sys
  grep -rs . net/ipv4/conf net/ipv6/conf net/ipv4/neigh net/ipv6/neigh net/ipv4/ip_forward net/ipv4/ip_local_reserved_ports | sort
  for c in "ip rule" "ip -6 rule" "ip route show table all" "ip -6 route show table all" "ip neigh show proxy" \
    "ip -6 neigh show proxy" "ip sr tunsrc show" "nft list ruleset" "ip link" "ip address"
  do echo "== $c"; $c | sed 's/ expires [0-9]*sec//; s/valid_lft [0-9]*sec preferred_lft [0-9]*sec//'; done`;

/** A host with settings of its own, all of which Portfold touches or passes by. */
export const BUSY_HOST = `
  sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.wan0.rp_filter=1 net.ipv4.conf.lan0.rp_filter=1
  sysctl -qw net.ipv4.conf.lan0.log_martians=1 net.ipv6.conf.lan0.accept_ra=2
  nft 'table ip mine { chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }'
  nft 'table inet mine { chain in { type filter hook input priority filter; ct state established accept; }; }'
  ip rule add pref 500 from 10.9.0.0/16 lookup 99
  ip route add 10.9.0.0/16 via 192.168.1.254 table 99
  ip -6 route add default via fe80::1 dev lan0 proto ra metric 2048 expires 1700`;

export const ADDRESS_LINE: HostRequest['line'] = {
  type: 'address',
  name: 'line',
  interface: 'wan0',
  externalAddress: '198.51.100.18',
  ports: [[4096, 65534]],
};
/** The address of the host itself, of which the gateway gets some ports. */
export const SHARED_LINE: HostRequest['line'] = {
  type: 'address',
  name: 'line',
  interface: 'wan0',
  externalAddress: '198.51.100.2',
  ports: [
    [1234, 1234],
    [40000, 59999],
  ],
};
export const MAP_E_LINE: HostRequest['line'] = {
  type: 'map-e',
  name: 'line',
  interface: 'wan0',
  externalAddress: '192.0.2.18',
  ceAddress: '2001:db8:1:0:0:0:0:CE',
  brAddress: BR,
  encapsulation: 'auto',
};

export const CONFIG = `
[[lan]]
name = "home"
interfaces = ["lan0"]

[[wan]]
name = "only"
interface = "wan0"
type = "address"
address = "ADDRESS"
ports = "4096-65534"
`;

export interface Failure {
  error: { code: string; exitCode: number; message: string };
}

export let scratch = '';
export let runtimeDirectory = '';
const children: ChildProcess[] = [];

export function inside(namespace: string, ...command: string[]): string {
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

export const shell = (namespace: string, script: string): string =>
  inside(namespace, 'sh', '-ec', script);

export const state = (): string => shell(GATEWAY, STATE);

/** Compares with the state now, and shows only the lines that differ. */
export function assertState(expected: string): void {
  const [wanted, found] = [expected, state()].map((text) => text.split('\n'));
  const missing = wanted.filter((text) => !found.includes(text)).map((text) => `- ${text}`);
  const extra = found.filter((text) => !wanted.includes(text)).map((text) => `+ ${text}`);
  assert.deepEqual([...missing, ...extra], []);
  assert.ok(expected === found.join('\n'), 'the same lines in another order');
}

export const request = (
  line: HostRequest['line'],
  more: Partial<HostRequest> = {},
): HostRequest => ({
  tun: TUN,
  lans: [{ name: 'home', interfaces: ['lan0'] }],
  line,
  runtimeDirectory,
  ...more,
});

/**
 * Runs a verb in a fresh process; `path` stands in front of the PATH, `wrapper` in front of node.
 */
export function verb<T>(
  name: string,
  argument: string,
  options: { path?: string; wrapper?: string[] } = {},
): T {
  const node = [process.execPath, '--import', 'tsx', COMMAND, name, argument];
  const child = spawnSync('ip', ['netns', 'exec', GATEWAY, ...(options.wrapper ?? []), ...node], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${options.path ?? ''}:${process.env.PATH}` },
  });
  assert.equal(child.stderr, '', child.stderr);
  return (child.stdout === '' ? undefined : JSON.parse(child.stdout)) as T;
}

export const apply = (wanted: HostRequest): HostResult => {
  const result = verb<HostResult & Partial<Failure>>('apply', JSON.stringify(wanted));
  assert.equal(result.error, undefined, result.error?.message);
  return result;
};

export const undo = (): UndoReport => {
  const report = verb<UndoReport>('undo', runtimeDirectory);
  assert.deepEqual(report.problems, []);
  assert.equal(existsSync(join(runtimeDirectory, 'host-snapshot.json')), false);
  return report;
};

/** What `portfold doctor` says inside the gateway, by the names of its checks. */
export function doctor(...words: string[]): {
  status: number | null;
  found: Record<string, { level: string; text: string; advice: string }>;
} {
  const node = [process.execPath, '--import', 'tsx', PORTFOLD, 'doctor', '-o', 'json', ...words];
  const given = ['--runtime-directory', runtimeDirectory];
  const child = spawnSync('ip', ['netns', 'exec', GATEWAY, ...node, ...given], {
    encoding: 'utf8',
  });
  assert.equal(child.stderr, '', child.stderr);
  const { items } = JSON.parse(child.stdout) as {
    items: { check: string; level: string; text: string; advice: string }[];
  };
  return {
    status: child.status,
    found: Object.fromEntries(items.map((item) => [item.check, item])),
  };
}

/**
 * A program named `ip` that stands in front of the real one, $REAL, and does `what` where the
 * arguments fit `pattern`.
 */
export function fakeIp(pattern: string, what: string): string {
  const directory = mkdtempSync(join(scratch, 'path-'));
  const real = execFileSync('sh', ['-c', 'command -v ip'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh\nREAL=${real}\ncase "$*" in ${pattern}) ${what};; esac\nexec $REAL "$@"\n`;
  writeFileSync(join(directory, 'ip'), script);
  chmodSync(join(directory, 'ip'), 0o755);
  return directory;
}

function build(): void {
  for (const name of NAMESPACES) {
    execFileSync('ip', ['netns', 'add', name]);
    shell(name, 'ip link set lo up; sysctl -qw net.ipv6.conf.default.accept_dad=0');
  }
  // Made where they belong: the root namespace never sees them.
  for (const [near, far, name] of [
    [LAN, GATEWAY, 'lan0'],
    [WAN, GATEWAY, 'wan0'],
  ]) {
    const peer = ['peer', 'name', name, 'netns', far];
    execFileSync('ip', ['link', 'add', 'eth0', 'netns', near, 'type', 'veth', ...peer]);
  }

  shell(
    LAN,
    `ip address add 192.168.1.11/24 dev eth0; ip link set eth0 up
     ip route add default via 192.168.1.1`,
  );
  shell(
    GATEWAY,
    `ip address add 192.168.1.1/24 dev lan0; ip link set lan0 up
     ip address add 198.51.100.2/24 dev wan0; ip link set wan0 up
     ip address add 2001:db8:1::2/64 dev wan0
     ip route add default via 198.51.100.1
     ip route add default via 2001:db8:1::1
     ethtool -K wan0 tx off`,
  );
  shell(
    WAN,
    `ip address add 198.51.100.1/24 dev eth0; ip link set eth0 up
     ip address add 2001:db8:1::1/64 dev eth0
     ip address add ${SERVER}/32 dev lo; ip address add ${BR}/128 dev lo
     sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
     ethtool -K eth0 tx off`,
  );
  // The kernel's own additions to a new interface (multicast, link-local) come a moment after it is
  // up.
  for (const name of NAMESPACES) settle(name);
}

function settle(name: string): void {
  const deadline = Date.now() + 10_000;
  for (let last = ''; ; ) {
    const now = shell(name, 'ip address; ip -6 route show table all');
    const ready = !/tentative|state DOWN|NO-CARRIER/.test(now.replace(/tunl|sit/g, ''));
    if (ready && now === last) return;
    assert.ok(Date.now() < deadline, `the interfaces of ${name} did not come up: ${now}`);
    last = now;
  }
}

/** Sends a router advertisement from a namespace to the gateway, and waits until it has come in. */
export function advertise(namespace: string, prefix: string, preference: 'high' | 'low'): void {
  const code = `
from scapy.all import *
sendp(Ether(dst='33:33:00:00:00:01') / IPv6(dst='ff02::1', src='fe80::1', hlim=255)
  / ICMPv6ND_RA(routerlifetime=1800, prf=${preference === 'high' ? 1 : 3})
  / ICMPv6NDOptPrefixInfo(prefix='${prefix}', prefixlen=64), iface='eth0', verbose=0)`;
  inside(namespace, '/usr/bin/python3', '-c', code);
  const deadline = Date.now() + 10_000;
  const device = namespace === WAN ? 'wan0' : 'lan0';
  const ready = /inet6 [0-9a-f:]+\/64 scope global dynamic/;
  for (;;) {
    const addresses = shell(GATEWAY, `ip -6 address show dev ${device}`);
    const routed = defaultRoutes6().includes(device);
    if (routed && ready.test(addresses) && !addresses.includes('tentative')) return;
    assert.ok(
      Date.now() < deadline,
      `the advertisement of ${prefix} did not come in: ${addresses}`,
    );
  }
}

export const defaultRoutes6 = (): string =>
  [...shell(GATEWAY, 'ip -6 route show default').matchAll(/dev (\S+)/g)]
    .map((match) => match[1])
    .sort()
    .join(' ');

export async function start(namespace: string, ...command: string[]): Promise<ChildProcess> {
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  children.push(child);
  return child;
}

/** The gateway of the test; returns what it has read so far. */
export async function startSwap(external: string): Promise<() => string[]> {
  const words = [TUN, '192.168.1.11', external, '192.168.1.1', REFUSED];
  const child = await start(GATEWAY, process.execPath, '--import', 'tsx', SWAP, ...words);
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  while (!text.startsWith('ready')) await once(child.stdout!, 'data');
  return () => text.split('\n').slice(1, -1);
}

export async function startRelay(external: string): Promise<void> {
  const tunnel = 'TUN:10.9.9.1/30,iff-no-pi,iff-up,tun-name=pfhrelay';
  await start(WAN, 'socat', tunnel, `IP6-DATAGRAM:[${CE}]:4,bind=[${BR}]`);
  const deadline = Date.now() + 10_000;
  while (spawnSync('ip', ['-n', WAN, 'route', 'add', external, 'dev', 'pfhrelay']).status !== 0)
    assert.ok(Date.now() < deadline, 'the relay did not come up');
}

/** Hops that an echo and its answer have left where they arrive. */
export async function pingHops(external: string): Promise<{ outbound: number; inbound: number }> {
  const capture = await start(
    WAN,
    ...['tcpdump', '-lnvi', 'any', '-c', '1', `icmp[icmptype] == icmp-echo and src ${external}`],
  );
  // A relay hands the inner packet over by its TUN, where the capture sees it without the outer
  // header.
  let seen = '';
  capture.stdout!.setEncoding('utf8').on('data', (chunk) => {
    seen += chunk;
  });
  await listening();
  const answer = inside(LAN, 'ping', '-n', '-c', '3', '-i', '0.2', '-W', '2', SERVER);
  if (capture.exitCode === null) await once(capture, 'close');
  return {
    outbound: Number(/ttl (\d+)/.exec(seen)?.[1]),
    inbound: Number(/ttl=(\d+)/.exec(answer)?.[1]),
  };
}

/** Waits until a packet socket is open in the WAN namespace. */
export async function listening(): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (shell(WAN, 'cat /proc/net/packet').trim().split('\n').length < 2)
    assert.ok(Date.now() < deadline, 'the capture did not start');
}

export async function stopChildren(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

function destroy(): void {
  for (const name of NAMESPACES) spawnSync('ip', ['netns', 'del', name]);
}

export function setUp(): void {
  destroy();
  scratch = mkdtempSync(join(tmpdir(), 'pfh-'));
  runtimeDirectory = join(scratch, 'run');
  build();
}

export async function tearDown(): Promise<void> {
  await stopChildren();
  destroy();
  rmSync(scratch, { recursive: true, force: true });
}
