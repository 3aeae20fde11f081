/**
 * The host's network settings, between namespaces: what is set works, and what is undone was never
 * there. The bed is in test/tun/host/bed.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HostRequest, HostResult } from '../../tun/host/index.ts';
import {
  ADDRESS_LINE,
  advertise,
  apply,
  assertState,
  BUSY_HOST,
  CONFIG,
  defaultRoutes6,
  doctor,
  type Failure,
  fakeIp,
  GATEWAY,
  inside,
  LAN,
  listening,
  MAP_E_LINE,
  pingHops,
  REFUSED,
  request,
  runtimeDirectory,
  SERVER,
  SHARED_LINE,
  scratch,
  setUp,
  shell,
  start,
  startRelay,
  startSwap,
  state,
  stopChildren,
  TUN,
  tearDown,
  undo,
  verb,
  WAN,
} from '../tun/host/bed.ts';

const LINES: [string, HostRequest['line']][] = [
  ['address', ADDRESS_LINE],
  ['map-e', MAP_E_LINE],
  ["the host's own address", SHARED_LINE],
];

describe('host settings in a namespace', function () {
  this.timeout(60_000);

  beforeEach(setUp);
  afterEach(tearDown);

  for (const [name, line] of LINES)
    for (const [host, preparation] of Object.entries({ untouched: 'true', busy: BUSY_HOST })) {
      it(`${name}, ${host} host: applied, adopted without a change, undone without a trace`, () => {
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

        assert.deepEqual(apply(request(line)), { ...result, adopted: true });
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

  describe('with a third interface, and LAN hosts outside of `networks`', () => {
    const GUEST = `${GATEWAY}-guest`;
    const NARROW = [{ name: 'home', interfaces: ['lan0'], networks: ['192.168.1.0/24'] }];
    // What is thrown out of our table goes on to the main one, and there leads to the guest.
    const WIDE = [{ ...NARROW[0], networks: ['192.168.0.0/16', '172.30.0.0/24'] }];
    const WAYS: [string, from: string, to: string, address: string][] = [
      ['line to LAN', WAN, LAN, '192.168.1.11'],
      ['line to LAN outside', WAN, LAN, '192.168.7.11'],
      ['line to guest', WAN, GUEST, '172.30.0.2'],
      ['LAN to guest', LAN, GUEST, '172.30.0.2'],
      ['line to LAN, IPv6', WAN, LAN, '2001:db8:7::11'],
      ['line to guest, IPv6', WAN, GUEST, '2001:db8:8::2'],
      ['LAN to guest, IPv6', LAN, GUEST, '2001:db8:8::2'],
      ['guest to LAN', GUEST, LAN, '192.168.7.11'],
      ['guest to line', GUEST, WAN, '198.51.100.1'],
    ];
    const ALL = WAYS.map(([name]) => name);

    beforeEach(() => {
      execFileSync('ip', ['netns', 'add', GUEST]);
      const peer = ['peer', 'name', 'eth0', 'netns', GUEST];
      execFileSync('ip', ['link', 'add', 'guest0', 'netns', GATEWAY, 'type', 'veth', ...peer]);
      shell(
        GATEWAY,
        `ip address add 172.30.0.1/24 dev guest0; ip address add 2001:db8:8::1/64 dev guest0 nodad
         ip address add 192.168.7.1/24 dev lan0; ip address add 2001:db8:7::1/64 dev lan0 nodad
         ip link set guest0 up
         sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0`,
      );
      shell(
        GUEST,
        `ip address add 172.30.0.2/24 dev eth0; ip address add 2001:db8:8::2/64 dev eth0 nodad
         ip link set eth0 up; ip route add default via 172.30.0.1`,
      );
      shell(
        LAN,
        `ip address add 192.168.7.11/24 dev eth0; ip address add 2001:db8:7::11/64 dev eth0 nodad
         ip -6 route add default via 2001:db8:7::1`,
      );
      shell(
        WAN,
        `ip route add 192.168.0.0/16 via 198.51.100.2; ip route add 172.30.0.0/24 via 198.51.100.2
         ip route add 2001:db8:7::/64 via 2001:db8:1::2; ip route add 2001:db8:8::/64 via 2001:db8:1::2`,
      );
      for (const name of [LAN, WAN, GUEST])
        shell(
          name,
          `nft 'table inet heard {
             set ports { type inet_service; flags dynamic; size 64; }
             chain note { type filter hook prerouting priority -300; add @ports { udp dport }; }; }'`,
        );
    });

    afterEach(() => {
      spawnSync('ip', ['netns', 'del', GUEST]);
    });

    /** Ways on which a datagram arrives. Each is followed by one of the gateway itself, which must. */
    function open(): string[] {
      const send = (from: string, address: string, port: number): string =>
        inside(from, 'bash', '-c', `echo hello > /dev/udp/${address}/${port}`);
      const heard = (at: string, port: number): boolean =>
        new RegExp(`\\b${port}\\b`).test(
          inside(at, 'nft', 'list', 'set', 'inet', 'heard', 'ports'),
        );
      for (const at of [LAN, WAN, GUEST])
        inside(at, 'nft', 'flush', 'set', 'inet', 'heard', 'ports');

      return WAYS.filter(([name, from, to, address], index) => {
        const [first, probe, last] = [1, 2, 3].map((step) => 7000 + 10 * index + step);
        const deadline = Date.now() + 10_000;
        const arrives = (port: number): void => {
          send(GATEWAY, address, port);
          while (!heard(to, port)) assert.ok(Date.now() < deadline, `${name}: no control packet`);
        };
        arrives(first);
        const gateway = address.includes(':') ? '2001:db8:1::2' : '198.51.100.2';
        if (from === WAN) inside(from, 'ping', '-c1', '-W5', gateway);
        send(from, address, probe);
        arrives(last);
        return heard(to, probe);
      }).map(([name]) => name);
    }

    const drops = (): string[] =>
      inside(GATEWAY, 'nft', 'list', 'chain', 'inet', 'portfold', 'forward')
        .split('\n')
        .filter((text) => /counter packets [1-9]\d* .*drop/.test(text))
        .map((text) => text.trim().replace(/ counter .*/, ''));

    it('opens nothing that the host had shut: before, while it runs, after', () => {
      const before = state();
      assert.deepEqual(open(), []);
      apply(request(ADDRESS_LINE, { lans: WIDE }));
      assert.deepEqual(open(), []);
      const lan = 'iifname "lan0" oifname != "lan0" meta protocol ip';
      assert.deepEqual(drops(), ['iifname "wan0" meta protocol ip', lan]);
      // Fewer networks, another line: adopted, and still known.
      apply(request(ADDRESS_LINE, { lans: NARROW }));
      assert.deepEqual(open(), []);
      for (const encapsulation of ['seg6', 'own'] as const) {
        const line = { ...MAP_E_LINE, encapsulation } as HostRequest['line'];
        apply(request(line, { lans: NARROW }));
        assert.deepEqual(open(), []);
        const ipv6 = 'iifname "wan0" meta nfproto ipv6';
        assert.deepEqual(drops(), ['iifname "wan0" meta protocol ip', ipv6]);
      }
      undo();
      assertState(before);
      assert.deepEqual(open(), []);
    });

    it('shuts nothing that the host had open', () => {
      shell(GATEWAY, 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
      const before = state();
      assert.deepEqual(open(), ALL);
      for (const line of [ADDRESS_LINE, MAP_E_LINE]) {
        apply(request(line, { lans: WIDE }));
        assert.deepEqual(open(), ALL);
      }
      undo();
      assertState(before);
      assert.deepEqual(open(), ALL);
    });

    it('opens the doors when the host becomes a router while it runs', () => {
      apply(request(MAP_E_LINE, { lans: WIDE }));
      shell(GATEWAY, 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1');
      apply(request(MAP_E_LINE, { lans: WIDE }));
      assert.deepEqual(open(), ALL);
    });
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
    apply(request(SHARED_LINE));
    const fourth = state();
    assert.doesNotMatch(fourth, /192\.0\.2\.18/);
    assert.match(fourth, /200:\s+from all lookup local/);
    apply(request(ADDRESS_LINE, { tun: 'pfh-tun1' }));
    assert.doesNotMatch(state(), /200:\s+from all lookup local|40000-59999/);
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

  for (const [moment, line] of [
    ['*tuntap*', MAP_E_LINE],
    ['*rule*add*', MAP_E_LINE],
    ['*neigh*replace*', MAP_E_LINE],
    ['*rule*add*pref*200*', SHARED_LINE],
    ['*rule*del*pref*0*', SHARED_LINE],
  ] as const)
    it(`undoes from a fresh process after the first was killed at ${moment}`, () => {
      const before = state();
      const path = fakeIp(moment, 'kill -9 $PPID; exit 1');
      assert.equal(verb('apply', JSON.stringify(request(line)), { path }), undefined);
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
    apply(request(SHARED_LINE));
    rmSync(runtimeDirectory, { recursive: true });
    apply(request(SHARED_LINE));
    rmSync(runtimeDirectory, { recursive: true });
    apply(request(ADDRESS_LINE));
    undo();
    assert.match(inside(GATEWAY, 'ip', '-4', 'rule'), /^0:\s+from all lookup local\n32766/);
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

  it('doctor names what a dead gateway left, refuses while one lives, and cleans up', async () => {
    const before = state();
    assert.equal(doctor().status, 0);
    apply(request(ADDRESS_LINE));
    const dead = doctor();
    assert.equal(dead.status, 1);
    assert.equal(dead.found.leftovers.level, 'problem');
    assert.match(dead.found.leftovers.advice, /doctor --clean/);

    // A gateway holds the lock of its runtime directory for as long as it lives.
    const holder = await start(GATEWAY, 'flock', join(runtimeDirectory, 'gateway.lock'), 'cat');
    holder.stdin!.write('held\n');
    await once(holder.stdout!, 'data');
    const refused = doctor('--clean');
    assert.equal(refused.status, 1);
    assert.match(refused.found.clean.text, /runs: nothing was undone/);
    assert.equal(refused.found.leftovers.level, 'ok');
    await stopChildren();

    const cleaned = doctor('--clean');
    assert.equal(cleaned.status, 0);
    assert.match(cleaned.found.clean.text, /^undone: /);
    assertState(before);

    // The same without a snapshot: settings of the kernel are lost, objects are not.
    apply(request(MAP_E_LINE));
    rmSync(runtimeDirectory, { recursive: true });
    await startSwap(MAP_E_LINE.externalAddress);
    assert.match(doctor('--clean').found.clean.text, /another runtime directory runs/);
    await stopChildren();
    assert.equal(doctor('--clean').status, 0);
    assert.doesNotMatch(state(), /proto 176|alias portfold|table inet portfold/);
  });

  it('doctor tells of rules of others and of a line that does not fit', () => {
    shell(GATEWAY, BUSY_HOST);
    shell(
      GATEWAY,
      `nft 'table ip shut { chain f { type filter hook forward priority 0; policy drop; }; }'`,
    );
    const file = join(scratch, 'portfold.toml');
    writeFileSync(file, CONFIG.replace('ADDRESS', '198.51.100.18'));
    const busy = doctor('-c', file);
    assert.equal(busy.status, 0);
    assert.match(busy.found.translation.text, /table ip mine, chain post .*masquerade/);
    assert.match(busy.found.firewall.text, /table ip shut, chain f drops/);
    assert.match(busy.found['rp-filter'].text, /strict/);
    assert.match(busy.found['line only'].text, /198\.51\.100\.18 on wan0 fits this host/);

    writeFileSync(file, CONFIG.replace('ADDRESS', '198.51.100.2'));
    const owned = doctor('-c', file);
    assert.equal(owned.status, 1);
    assert.match(owned.found['line only'].text, /host uses 198\.51\.100\.2 too and would keep 0/);

    writeFileSync(
      file,
      CONFIG.replace('ADDRESS', '198.51.100.2').replace('4096-65534', '40000-59999'),
    );
    const shared = doctor('-c', file);
    assert.equal(shared.status, 0);
    assert.match(shared.found['line only'].text, /198\.51\.100\.2 on wan0 fits this host/);
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
        'ip address add 198.51.100.18/32 dev lan0',
        request(ADDRESS_LINE),
        'HOST_ADDRESS_OWNED',
        78,
        /ip address del 198\.51\.100\.18\/32 dev lan0/,
      ],
      [
        'ip address del 198.51.100.18/32 dev lan0; ip rule add pref 100 from all lookup 42',
        request(SHARED_LINE),
        'HOST_RULE_TAKEN',
        78,
        /priority 100 \(table 42\)/,
      ],
      [
        'ip rule del pref 100; ip rule add pref 300 from all lookup 42',
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
        'true',
        request(ADDRESS_LINE, {
          lans: [{ name: 'home', interfaces: ['lan0'], networks: ['198.51.100.0/24'] }],
        }),
        'HOST_LAN_NETWORK',
        78,
        /198\.51\.100\.0\/24 holds 198\.51\.100\.18/,
      ],
      [
        'ip address flush dev lan0 scope global',
        request(ADDRESS_LINE),
        'HOST_LAN_NO_ADDRESS',
        1,
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

  it('sets up MAP-E over seg6 with CAP_NET_ADMIN alone, and names the right that a trial needs', () => {
    const before = state();
    const wrapper = ['setpriv', '--bounding-set=-all,+net_admin', '--inh-caps=-all'];
    const set = verb<HostResult>('apply', JSON.stringify(request(MAP_E_LINE)), { wrapper });
    assert.equal(set.encapsulation, 'seg6', JSON.stringify(set));
    assert.match(shell(GATEWAY, 'ip route show table 7606'), /encap seg6/);
    assert.equal(
      shell(GATEWAY, 'ip route show table all; ip -6 route show table all').includes('7609'),
      false,
    );
    verb('undo', runtimeDirectory, { wrapper });
    assertState(before);

    const tunnel = request({ ...MAP_E_LINE, encapsulation: 'ip6tnl' } as HostRequest['line']);
    const { error } = verb<Failure>('apply', JSON.stringify(tunnel), { wrapper });
    assert.deepEqual([error.code, error.exitCode], ['HOST_NO_SYS_ADMIN', 4], error.message);
    assert.match(error.message, /CAP_SYS_ADMIN/);
    assertState(before);
  });

  /** A host of the LAN gets an ICMP error that carries the gateway's own LAN address. */
  function assertAnswered(): void {
    const ping = spawnSync('ip', ['netns', 'exec', LAN, 'ping', '-n', '-c1', '-W2', REFUSED]);
    assert.match(ping.stdout.toString(), /From 192\.168\.1\.1 icmp_seq=1 Packet filtered/);
  }
});
