/**
 * The host's network settings, between namespaces: what is set works, and what is undone was never there.
 *
 *   pfh-lan 192.168.1.11 ── lan0  pfh-gw  wan0 ── pfh-wan: the line's router, the relay (socat), the internet
 *                                  │ ▲
 *                                  ▼ │ test/tun/host/swap.ts
 *
 * Each verb runs in a process of its own inside pfh-gw. "As before" compares texts byte for byte; only the seconds
 * that an advertised route has left are cut out.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostRequest, HostResult, UndoReport } from '../../tun/host/index.ts';

const NAMESPACES = ['pfh-lan', 'pfh-gw', 'pfh-wan'];
const [LAN, GATEWAY, WAN] = NAMESPACES;
const TUN = 'pfh-tun0';
const SERVER = '203.0.113.10';
const REFUSED = '203.0.113.99';
const CE = '2001:db8:1::ce';
const BR = '2001:db8:ffff::1';
const COMMAND = fileURLToPath(new URL('../tun/host/command.ts', import.meta.url));
const SWAP = fileURLToPath(new URL('../tun/host/swap.ts', import.meta.url));

/** All that must be as before. */
const STATE = `
  cd /proc/sys
  grep -rs . net/ipv4/conf net/ipv6/conf net/ipv4/neigh net/ipv6/neigh net/ipv4/ip_forward | sort
  for c in "ip rule" "ip -6 rule" "ip route show table all" "ip -6 route show table all" "ip neigh show proxy" \
    "ip -6 neigh show proxy" "ip sr tunsrc show" "nft list ruleset" "ip link" "ip address"
  do echo "== $c"; $c | sed 's/ expires [0-9]*sec//; s/valid_lft [0-9]*sec preferred_lft [0-9]*sec//'; done`;

/** A host with settings of its own, all of which Portfold touches or passes by. */
const BUSY_HOST = `
  sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.wan0.rp_filter=1 net.ipv4.conf.lan0.rp_filter=1
  sysctl -qw net.ipv4.conf.lan0.log_martians=1 net.ipv6.conf.lan0.accept_ra=2
  nft 'table ip mine { chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }; }'
  nft 'table inet mine { chain in { type filter hook input priority filter; ct state established accept; }; }'
  ip rule add pref 500 from 10.9.0.0/16 lookup 99
  ip route add 10.9.0.0/16 via 192.168.1.254 table 99
  ip -6 route add default via fe80::1 dev lan0 proto ra metric 2048 expires 1700`;

const ADDRESS_LINE: HostRequest['line'] = {
  type: 'address',
  name: 'line',
  interface: 'wan0',
  externalAddress: '198.51.100.18',
};
const MAP_E_LINE: HostRequest['line'] = {
  type: 'map-e',
  name: 'line',
  interface: 'wan0',
  externalAddress: '192.0.2.18',
  ceAddress: '2001:db8:1:0:0:0:0:CE',
  brAddress: BR,
  encapsulation: 'auto',
};

interface Failure {
  error: { code: string; exitCode: number; message: string };
}

let scratch = '';
let runtimeDirectory = '';
let children: ChildProcess[] = [];

function inside(namespace: string, ...command: string[]): string {
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

const shell = (namespace: string, script: string): string => inside(namespace, 'sh', '-ec', script);

const state = (): string => shell(GATEWAY, STATE);

/** Compares with the state now, and shows only the lines that differ. */
function assertState(expected: string): void {
  const [wanted, found] = [expected, state()].map((text) => text.split('\n'));
  const missing = wanted.filter((text) => !found.includes(text)).map((text) => `- ${text}`);
  const extra = found.filter((text) => !wanted.includes(text)).map((text) => `+ ${text}`);
  assert.deepEqual([...missing, ...extra], []);
  assert.ok(expected === found.join('\n'), 'the same lines in another order');
}

const request = (line: HostRequest['line'], more: Partial<HostRequest> = {}): HostRequest => ({
  tun: TUN,
  lans: [{ name: 'home', interfaces: ['lan0'] }],
  line,
  runtimeDirectory,
  ...more,
});

/** Runs a verb in a fresh process; `path` stands in front of the PATH, `wrapper` in front of node. */
function verb<T>(
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

const apply = (wanted: HostRequest): HostResult => {
  const result = verb<HostResult & Partial<Failure>>('apply', JSON.stringify(wanted));
  assert.equal(result.error, undefined, result.error?.message);
  return result;
};

const undo = (): UndoReport => {
  const report = verb<UndoReport>('undo', runtimeDirectory);
  assert.deepEqual(report.problems, []);
  assert.equal(existsSync(join(runtimeDirectory, 'host-snapshot.json')), false);
  return report;
};

/** A program named `ip` that stands in front of the real one and does `what` where the arguments fit `pattern`. */
function fakeIp(pattern: string, what: string): string {
  const directory = mkdtempSync(join(scratch, 'path-'));
  const real = execFileSync('sh', ['-c', 'command -v ip'], { encoding: 'utf8' }).trim();
  const script = `#!/bin/sh\ncase "$*" in ${pattern}) ${what};; esac\nexec ${real} "$@"\n`;
  writeFileSync(join(directory, 'ip'), script);
  chmodSync(join(directory, 'ip'), 0o755);
  return directory;
}

function build(): void {
  const make = `
    ip link add pfhl0 type veth peer name pfhl1
    ip link add pfhw0 type veth peer name pfhw1
    ip link set pfhl0 netns ${LAN} name eth0
    ip link set pfhl1 netns ${GATEWAY} name lan0
    ip link set pfhw0 netns ${GATEWAY} name wan0
    ip link set pfhw1 netns ${WAN} name eth0`;
  for (const name of NAMESPACES) {
    execFileSync('ip', ['netns', 'add', name]);
    shell(name, 'ip link set lo up; sysctl -qw net.ipv6.conf.default.accept_dad=0');
  }
  execFileSync('sh', ['-ec', make]);

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
  // The kernel's own additions to a new interface (multicast, link-local) come a moment after it is up.
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
function advertise(namespace: string, prefix: string, preference: 'high' | 'low'): void {
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

const defaultRoutes6 = (): string =>
  [...shell(GATEWAY, 'ip -6 route show default').matchAll(/dev (\S+)/g)]
    .map((match) => match[1])
    .sort()
    .join(' ');

async function start(namespace: string, ...command: string[]): Promise<ChildProcess> {
  const child = spawn('ip', ['netns', 'exec', namespace, ...command], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  return child;
}

/** The gateway of the test; returns what it has read so far. */
async function startSwap(external: string): Promise<() => string[]> {
  const words = [TUN, '192.168.1.11', external, '192.168.1.1', REFUSED];
  const child = await start(GATEWAY, process.execPath, '--import', 'tsx', SWAP, ...words);
  let text = '';
  child.stdout!.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  while (!text.startsWith('ready')) await once(child.stdout!, 'data');
  return () => text.split('\n').slice(1, -1);
}

async function startRelay(external: string): Promise<void> {
  const tunnel = 'TUN:10.9.9.1/30,iff-no-pi,iff-up,tun-name=pfhrelay';
  await start(WAN, 'socat', tunnel, `IP6-DATAGRAM:[${CE}]:4,bind=[${BR}]`);
  const deadline = Date.now() + 10_000;
  while (spawnSync('ip', ['-n', WAN, 'route', 'add', external, 'dev', 'pfhrelay']).status !== 0)
    assert.ok(Date.now() < deadline, 'the relay did not come up');
}

/** Hops that an echo and its answer have left where they arrive. */
async function pingHops(external: string): Promise<{ outbound: number; inbound: number }> {
  const capture = await start(
    WAN,
    ...['tcpdump', '-lnvi', 'any', '-c', '1', `icmp[icmptype] == icmp-echo and src ${external}`],
  );
  // A relay hands the inner packet over by its TUN, where the capture sees it without the outer header.
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
async function listening(): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (shell(WAN, 'cat /proc/net/packet').trim().split('\n').length < 2)
    assert.ok(Date.now() < deadline, 'the capture did not start');
}

async function stopChildren(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

function destroy(): void {
  for (const name of NAMESPACES) spawnSync('ip', ['netns', 'del', name]);
}

describe('host settings in a namespace', function () {
  this.timeout(60_000);

  beforeEach(() => {
    destroy();
    scratch = mkdtempSync(join(tmpdir(), 'pfh-'));
    runtimeDirectory = join(scratch, 'run');
    build();
  });

  afterEach(async () => {
    await stopChildren();
    destroy();
    rmSync(scratch, { recursive: true, force: true });
    children = [];
  });

  for (const line of [ADDRESS_LINE, MAP_E_LINE])
    for (const [host, preparation] of Object.entries({ untouched: 'true', busy: BUSY_HOST })) {
      it(`${line.type}, ${host} host: applied, adopted without a change, undone without a trace`, () => {
        shell(GATEWAY, preparation);
        const before = state();

        const result = apply(request(line));
        const applied = state();
        assert.notEqual(applied, before);
        assert.deepEqual(result.lanNetworks, [
          {
            lan: 'home',
            interface: 'lan0',
            network: '192.168.1.0/24',
            gatewayAddress: '192.168.1.1',
          },
        ]);
        assert.equal(result.interfaceMtu, 1500);

        assert.deepEqual(apply(request(line)), result);
        assertState(applied);

        assert.equal(undo().found, true);
        assertState(before);
        assert.equal(undo().found, false);
      });
    }

  it('map-e: default routes by router advertisement survive on every interface', () => {
    shell(GATEWAY, 'ip -6 route del default; ip address flush dev wan0 scope global');
    const advertiseBoth = (): void => {
      advertise(WAN, '2001:db8:1::', 'high');
      advertise(LAN, '2001:db8:7::', 'low');
      assert.equal(defaultRoutes6(), 'lan0 wan0');
    };

    // The control: without care the kernel forgets them all, on the other interface too.
    advertiseBoth();
    shell(GATEWAY, 'sysctl -qw net.ipv6.conf.wan0.forwarding=1');
    assert.equal(defaultRoutes6(), '');
    shell(GATEWAY, 'sysctl -qw net.ipv6.conf.wan0.forwarding=0');

    advertiseBoth();
    const before = state();

    apply(request(MAP_E_LINE));
    assert.equal(defaultRoutes6(), 'lan0 wan0');
    assert.equal(shell(GATEWAY, 'sysctl -n net.ipv6.conf.lan0.accept_ra').trim(), '1');
    undo();
    assertState(before);
  });

  for (const rpFilter of ['0', '1']) {
    it(`address, rp_filter ${rpFilter}: traffic passes, hops are as told, answers reach the LAN`, async () => {
      shell(GATEWAY, `sysctl -qw net.ipv4.conf.all.rp_filter=${rpFilter}`);
      const result = apply(request(ADDRESS_LINE));
      const packets = await startSwap(ADDRESS_LINE.externalAddress);

      // swap.ts gives no hop back: what is missing beyond one is what the engine must restore.
      const hops = await pingHops(ADDRESS_LINE.externalAddress);
      assert.equal(63 - hops.outbound, result.restoreHopsOutbound);
      assert.equal(63 - hops.inbound, result.restoreHopsInbound);
      assert.ok(packets().includes(`192.168.1.11 ${SERVER} 63`), packets().join('\n'));
      assertAnswered();
    });

    it(`map-e, rp_filter ${rpFilter}: traffic passes the relay, hops are as told`, async () => {
      shell(GATEWAY, `sysctl -qw net.ipv4.conf.all.rp_filter=${rpFilter}`);
      shell(GATEWAY, 'ip address del 198.51.100.2/24 dev wan0');
      const result = apply(request(MAP_E_LINE));
      assert.equal(result.encapsulation, 'seg6');
      await startSwap(MAP_E_LINE.externalAddress);
      await startRelay(MAP_E_LINE.externalAddress);

      const hops = await pingHops(MAP_E_LINE.externalAddress);
      assert.equal(63 - hops.outbound, result.restoreHopsOutbound);
      assert.equal(63 - hops.inbound, result.restoreHopsInbound);
      assertAnswered();
    });
  }

  it('keeps flows out of conntrack, and LAN packets off the line when the TUN is gone', async () => {
    shell(GATEWAY, BUSY_HOST);
    apply(request(ADDRESS_LINE));
    await startSwap(ADDRESS_LINE.externalAddress);
    assert.equal((await pingHops(ADDRESS_LINE.externalAddress)).outbound, 62);
    assert.equal(inside(GATEWAY, 'conntrack', '-L', '-p', 'icmp'), '');

    await stopChildren();
    const capture = await start(WAN, 'tcpdump', '-lni', 'any', 'icmp');
    let seen = '';
    capture.stdout!.setEncoding('utf8').on('data', (chunk) => {
      seen += chunk;
    });
    await listening();
    for (const damage of ['true', `ip link del ${TUN}`, 'ip rule del pref 300']) {
      shell(GATEWAY, damage);
      assert.notEqual(
        spawnSync('ip', ['netns', 'exec', LAN, 'ping', '-c1', '-W1', SERVER]).status,
        0,
      );
    }
    // The capture works: a ping from the gateway itself is seen, and it is the first that is.
    inside(GATEWAY, 'ping', '-c1', '-W1', '198.51.100.1');
    while (seen === '') await once(capture.stdout!, 'data');
    assert.match(seen.split('\n')[0], /IP 198\.51\.100\.2 > 198\.51\.100\.1: ICMP echo request/);
  });

  it('adopts for another configuration, replaces what differs, and undoes to the first state', () => {
    const before = state();
    apply(request(ADDRESS_LINE));
    apply(request({ ...ADDRESS_LINE, externalAddress: '198.51.100.19' }, { tun: 'pfh-tun1' }));
    const second = state();
    assert.doesNotMatch(second, /198\.51\.100\.18|pfh-tun0/);
    assert.match(second, /198\.51\.100\.19 dev pfh-tun1/);

    apply(request(MAP_E_LINE));
    const third = state();
    assert.doesNotMatch(third, /198\.51\.100\.19|pfh-tun1/);
    apply(request(ADDRESS_LINE, { tun: 'pfh-tun1' }));
    undo();
    assertState(before);
  });

  it('undoes what it did when a step fails', () => {
    const before = state();
    const path = fakeIp(
      '*neigh*replace*',
      'echo "RTNETLINK answers: Invalid argument" >&2; exit 2',
    );
    const result = verb<Failure>('apply', JSON.stringify(request(MAP_E_LINE)), { path });
    assert.equal(result.error.code, 'HOST_COMMAND_FAILED', result.error.message);
    assert.match(result.error.message, /ip -6 neigh replace proxy .* "RTNETLINK answers: Invalid/);
    assertState(before);
    assert.equal(existsSync(join(runtimeDirectory, 'host-snapshot.json')), false);
  });

  it('keeps what ran before when adopting another configuration fails', () => {
    const before = state();
    apply(request(ADDRESS_LINE));
    const applied = state();
    const path = fakeIp(
      '*replace*seg6local*',
      'echo "RTNETLINK answers: Invalid argument" >&2; exit 2',
    );
    const result = verb<Failure>('apply', JSON.stringify(request(MAP_E_LINE)), { path });
    assert.equal(result.error.code, 'HOST_COMMAND_FAILED', result.error.message);
    assertState(applied);
    undo();
    assertState(before);
  });

  for (const moment of ['*tuntap*', '*rule*add*', '*neigh*replace*'])
    it(`undoes from a fresh process after the first was killed at ${moment}`, () => {
      const before = state();
      const path = fakeIp(moment, 'kill -9 $PPID; exit 1');
      assert.equal(verb('apply', JSON.stringify(request(MAP_E_LINE)), { path }), undefined);
      assert.equal(undo().found, true);
      assertState(before);
    });

  it('leaves alone what the administrator changed while the gateway ran', () => {
    apply(request(MAP_E_LINE));
    shell(GATEWAY, 'sysctl -qw net.ipv4.conf.lan0.log_martians=1 net.ipv4.conf.lan0.forwarding=0');
    apply(request(MAP_E_LINE));
    shell(GATEWAY, 'sysctl -qw net.ipv6.conf.wan0.accept_ra=0');
    undo();
    const read = (key: string): string => inside(GATEWAY, 'sysctl', '-n', key).trim();
    assert.equal(read('net.ipv4.conf.lan0.log_martians'), '1');
    assert.equal(read('net.ipv6.conf.wan0.accept_ra'), '0');
    assert.equal(read('net.ipv6.conf.wan0.forwarding'), '0');
    assert.equal(read('net.ipv4.conf.lan0.forwarding'), '0');
  });

  it('finds its own routes, rules and device again when the snapshot was lost', () => {
    apply(request(MAP_E_LINE));
    rmSync(runtimeDirectory, { recursive: true });
    apply(request(ADDRESS_LINE));
    undo();
    const pattern = new RegExp(`proto 176|${TUN}|portfold|lookup 76|tunsrc addr 2`);
    assert.deepEqual(
      state()
        .split('\n')
        .filter((text) => pattern.test(text)),
      [],
    );
  });

  it('refuses to take over from a gateway that lives', async () => {
    apply(request(ADDRESS_LINE));
    await startSwap(ADDRESS_LINE.externalAddress);
    const other = request(ADDRESS_LINE, { runtimeDirectory: join(scratch, 'other') });
    const before = state();
    const { error } = verb<Failure>('apply', JSON.stringify(other));
    assert.equal(error.code, 'HOST_GATEWAY_RUNNING');
    assertState(before);
  });

  it('says in one sentence what does not fit, and changes nothing', () => {
    const cases: [string, HostRequest, string, number, RegExp][] = [
      [
        'true',
        request({ ...ADDRESS_LINE, interface: 'wan7' }),
        'HOST_INTERFACE_MISSING',
        78,
        /no interface "wan7"; it has: .*(lan0, wan0|wan0, lan0)/,
      ],
      [
        'true',
        request(ADDRESS_LINE, { lans: [{ name: 'x', interfaces: ['wan0'] }] }),
        'HOST_INTERFACE_TWICE',
        78,
        /both as LAN x and as line/,
      ],
      [
        'ip address add 198.51.100.18/24 dev wan0',
        request(ADDRESS_LINE),
        'HOST_ADDRESS_OWNED',
        78,
        /ip address del 198\.51\.100\.18\/24 dev wan0/,
      ],
      [
        'ip address del 198.51.100.18/24 dev wan0; ip rule add pref 300 from all lookup 42',
        request(ADDRESS_LINE),
        'HOST_RULE_TAKEN',
        78,
        /priority 300 \(table 42\)/,
      ],
      [
        'ip rule del pref 300; ip route add 10.7.0.0/16 dev lan0 table 7600',
        request(ADDRESS_LINE),
        'HOST_TABLE_TAKEN',
        78,
        /table 7600 holds .*10\.7\.0\.0\/16/,
      ],
      [
        'ip route flush table 7600; ip route add 198.51.100.18 dev lan0',
        request(ADDRESS_LINE),
        'HOST_ROUTE_TAKEN',
        78,
        /route to 198\.51\.100\.18 over lan0/,
      ],
      [
        `ip route del 198.51.100.18; ip tuntap add dev ${TUN} mode tun`,
        request(ADDRESS_LINE),
        'HOST_TUN_TAKEN',
        78,
        /Portfold did not make it/,
      ],
      [
        `ip link del ${TUN}; ip sr tunsrc set 2001:db8::77`,
        request(MAP_E_LINE),
        'HOST_TUNNEL_SOURCE_TAKEN',
        78,
        /2001:db8::77/,
      ],
      [
        'ip sr tunsrc set ::; ip -6 route del default',
        request(MAP_E_LINE),
        'HOST_NO_IPV6',
        1,
        /no IPv6 over wan0 to the relay 2001:db8:ffff::1/,
      ],
      [
        'sysctl -qw net.ipv6.conf.wan0.disable_ipv6=1',
        request(MAP_E_LINE),
        'HOST_IPV6_OFF',
        78,
        /IPv6 is switched off on wan0/,
      ],
      [
        'ip address flush dev lan0 scope global',
        request(ADDRESS_LINE),
        'HOST_LAN_NO_ADDRESS',
        78,
        /lan0 has no IPv4 address/,
      ],
    ];

    for (const [preparation, wanted, code, exitCode, message] of cases) {
      shell(GATEWAY, preparation);
      const before = state();
      const { error } = verb<Failure>('apply', JSON.stringify(wanted));
      assert.equal(error.code, code, error.message);
      assert.equal(error.exitCode, exitCode);
      assert.match(error.message, message);
      assertState(before);
    }

    const wrapper = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];
    const denied = verb<Failure>('inspect', JSON.stringify(request(ADDRESS_LINE)), { wrapper });
    assert.deepEqual([denied.error.code, denied.error.exitCode], ['HOST_NO_NET_ADMIN', 4]);
  });

  /** A host of the LAN gets an ICMP error that carries the gateway's own LAN address. */
  function assertAnswered(): void {
    const ping = spawnSync('ip', ['netns', 'exec', LAN, 'ping', '-n', '-c1', '-W2', REFUSED]);
    assert.match(ping.stdout.toString(), /From 192\.168\.1\.1 icmp_seq=1 Packet filtered/);
  }
});
