/** The plan as data: what would be set, in words, without a host. */
import assert from 'node:assert/strict';
import type { HostFacts } from '../../../tun/host/facts.ts';
import { type HostPlan, makePlan, type PlanContext, tunnelName } from '../../../tun/host/plan.ts';
import type { HostRequest, MapELineHost } from '../../../tun/host/types.ts';

const FACTS: HostFacts = {
  links: [
    { ifname: 'lan0', flags: ['UP'], mtu: 1500 },
    { ifname: 'wan0', flags: ['UP'], mtu: 1500 },
    { ifname: 'ppp0', flags: ['POINTOPOINT', 'NOARP', 'UP'], mtu: 1454 },
  ],
  addresses: [
    { ifname: 'lan0', family: 'inet', local: '192.168.1.1', prefixlen: 24, scope: '0' },
    { ifname: 'wan0', family: 'inet', local: '198.51.100.2', prefixlen: 24, scope: '0' },
  ],
  routes4: [{ dst: 'default', dev: 'wan0', gateway: '198.51.100.1' }],
  routes6: [],
  rules4: [],
  rules6: [],
};

const CONTEXT: PlanContext = {
  encapsulation: 'none',
  tunnelSourceBefore: '::',
  hasForceForwarding: true,
  advertised: [],
  acceptRa: '1',
  reservedPorts: '',
  opened: { ipv4: ['wan0', 'lan0'], ipv6: 'line' },
  wayOutWithoutDefault: false,
};

const MAP_E: MapELineHost = {
  type: 'map-e',
  name: 'line',
  interface: 'wan0',
  externalAddress: '192.0.2.18',
  ceAddress: '2001:DB8:0:1::00CE',
  brAddress: '2001:db8:ffff:0::1',
  encapsulation: 'auto',
};

const request = (line: Partial<HostRequest['line']> = {}): HostRequest => ({
  tun: 'portfold0',
  lans: [{ name: 'home', interfaces: ['lan0'] }],
  line: {
    type: 'address',
    name: 'line',
    interface: 'wan0',
    externalAddress: '198.51.100.18',
    ports: [[40000, 59999]],
    ...line,
  } as HostRequest['line'],
  runtimeDirectory: '/nowhere',
});

const plan = (
  line: Partial<HostRequest['line']> = {},
  context: Partial<PlanContext> = {},
  facts: Partial<HostFacts> = {},
): HostPlan => makePlan(request(line), { ...FACTS, ...facts }, { ...CONTEXT, ...context });

const commands = (made: HostPlan): string[] =>
  made.items.flatMap((item) => item.add.map((command) => command.args.join(' ')));

const settings = (made: HostPlan): string[] =>
  made.settings.map(({ path, value }) => `${path}=${value}`);

const seg6 = (context: Partial<PlanContext> = {}): HostPlan =>
  plan(MAP_E, { encapsulation: 'seg6', ...context });

describe('plan of the host settings', () => {
  it('ends every table of ours with a blackhole that stands before its default route', () => {
    for (const made of [plan(), seg6(), plan(MAP_E, { encapsulation: 'ip6tnl' })]) {
      const list = commands(made);
      const tables = new Set(list.map((text) => /table (76\d\d)/.exec(text)?.[1]));
      tables.delete(undefined);
      for (const table of tables) {
        const filled = list.findIndex((t) => t.includes(`table ${table}`) && t.includes('unicast'));
        const blackhole = list.findIndex(
          (text) => /blackhole default .*metric 4294967295/.test(text) && text.includes(table!),
        );
        assert.ok(blackhole >= 0, `table ${table} has no blackhole`);
        assert.ok(filled > blackhole, `table ${table} is open before its blackhole stands`);
      }
    }
  });

  it('makes rules only after the tables they lead to', () => {
    for (const made of [plan(), seg6()]) {
      const list = commands(made);
      for (const [at, text] of list.entries()) {
        const table = /rule add .*table (\d+)/.exec(text)?.[1];
        if (table === undefined) continue;
        const later = list
          .slice(at)
          .filter((t) => t.includes('route') && t.includes(`table ${table}`));
        assert.deepEqual(later, []);
      }
    }
  });

  it('names exactly what it removes', () => {
    for (const item of [...plan().items, ...seg6().items]) {
      if (item.id === 'tunnel source') continue;
      const made = item.add[0].args.filter((word) => !['add', 'replace'].includes(word));
      const removed = item.remove.args.filter((word) => word !== 'del');
      for (const word of removed) assert.ok(made.includes(word), `${item.id}: ${word}`);
    }
  });

  it('asks neighbours to come by proxy only where they may ask', () => {
    const proxies = (made: HostPlan): string[] => commands(made).filter((t) => t.includes('neigh'));
    assert.equal(proxies(plan()).length, 1);
    assert.equal(proxies(plan({ externalAddress: '203.0.113.7' })).length, 0);
    assert.equal(proxies(plan({ interface: 'ppp0' })).length, 0);
    const unnumbered = { addresses: FACTS.addresses.slice(0, 1) };
    assert.equal(proxies(plan({ externalAddress: '203.0.113.7' }, {}, unnumbered)).length, 1);
  });

  it('gives the gateway IPv4 of its own where the design says so', () => {
    const own = (made: HostPlan): string[] =>
      commands(made).filter((text) => text.includes('metric 4096'));
    assert.deepEqual(own(plan()), []);
    assert.deepEqual(own(seg6()), [
      '-4 route replace unicast default dev portfold0 src 192.168.1.1 metric 4096 proto 176',
    ]);

    const closed = plan({}, {}, { routes4: [] });
    assert.deepEqual(own(closed), []);
    assert.match(closed.warnings[0], /no IPv4 default route/);
    assert.equal(own(plan({}, { wayOutWithoutDefault: true }, { routes4: [] })).length, 1);
  });

  it('keeps advertised default routes over the switch of IPv6 forwarding', () => {
    const advertised = [
      { interface: 'lan0', acceptRa: '1' },
      { interface: 'wan0', acceptRa: '1' },
    ];
    const list = settings(seg6({ advertised }));
    const at = (text: string): number => {
      assert.ok(list.includes(text), text);
      return list.indexOf(text);
    };
    const before = at('net/ipv6/conf/wan0/forwarding=1');
    assert.ok(at('net/ipv6/conf/lan0/accept_ra=2') < before);
    assert.ok(at('net/ipv6/conf/wan0/accept_ra=2') < before);
    assert.ok(at('net/ipv6/conf/lan0/accept_ra=1') > before);
    assert.ok(!list.includes('net/ipv6/conf/wan0/accept_ra=1'));
    assert.ok(!list.some((text) => text.startsWith('net/ipv6/conf/all')));
  });

  it('leaves advertisements to a network manager that handles them itself', () => {
    assert.ok(!settings(seg6({ acceptRa: '0' })).some((text) => text.includes('accept_ra')));
  });

  it('forwards IPv6 everywhere on kernels that cannot do so by interface', () => {
    const advertised = [{ interface: 'lan0', acceptRa: '1' }];
    const list = settings(seg6({ hasForceForwarding: false, advertised }));
    assert.ok(list.includes('net/ipv6/conf/all/forwarding=1'));
    // Every interface is a router then, and would no longer listen to advertisements.
    assert.ok(list.includes('net/ipv6/conf/lan0/accept_ra=2'));
    assert.ok(!list.includes('net/ipv6/conf/lan0/accept_ra=1'));
  });

  it('writes IPv6 addresses as the kernel does', () => {
    const list = commands(seg6());
    assert.ok(list.includes('sr tunsrc set 2001:db8:0:1::ce'));
    assert.ok(list.some((text) => text.includes('encap.red segs 2001:db8:ffff::1 dev wan0')));
  });

  it('throws LAN destinations out of the encapsulation, so that hairpins stay inside', () => {
    const thrown = commands(seg6()).filter((text) => /throw .*table 7606/.test(text));
    assert.ok(thrown.some((text) => text.includes('192.168.1.0/24')));
  });

  describe("with an address of the host's own", () => {
    const own = { externalAddress: '198.51.100.2' };
    const rules = (...list: [number, string, string?][]): Partial<HostFacts> => ({
      rules4: list.map(([priority, table, protocol]) => ({ priority, table, protocol })),
    });
    const untouched = rules([0, '255'], [32766, '254']);
    const ruleIds = (made: HostPlan): string[] =>
      made.items.filter((item) => item.id.startsWith('rule')).map((item) => item.id);

    it('leaves the address to the host: no route to it, no proxy', () => {
      const list = commands(plan(own, {}, untouched));
      assert.deepEqual(
        list.filter((text) => text.includes('neigh') || text.includes('route replace 198')),
        [],
      );
      assert.ok(list.some((text) => /rule add pref 100 to 198\.51\.100\.2\/32 fwmark/.test(text)));
    });

    it('moves the rule for local addresses only if it comes before ours', () => {
      const moved = ruleIds(plan(own, {}, untouched)).at(-1);
      assert.match(moved!, /pref 200 table 255/);
      const ours = rules([100, '7600', '176'], [200, '255']);
      assert.equal(ruleIds(plan(own, {}, ours)).at(-1), moved);
      const later = rules([1000, '255']);
      assert.ok(!ruleIds(plan(own, {}, later)).includes(moved!));
      assert.ok(!ruleIds(plan({}, {}, untouched)).includes(moved!));
    });

    it('reserves our ports beside those of others', () => {
      const made = plan(own, { reservedPorts: '22,39999' }, untouched);
      const path = 'net/ipv4/ip_local_reserved_ports';
      assert.deepEqual(
        made.settings.filter((setting) => setting.path === path),
        [{ path, value: '22,39999-59999', adds: '40000-59999' }],
      );
      assert.ok(!settings(plan()).some((text) => text.includes('reserved')));
    });

    it('gives the host no route through our ports, since it has an address', () => {
      const made = plan(own, { wayOutWithoutDefault: true }, { ...untouched, routes4: [] });
      assert.ok(!commands(made).some((text) => text.includes('metric 4096')));
      assert.deepEqual(made.warnings, []);
    });
  });

  it('leaves IPv6 to the engine that encapsulates by itself, and lets no IPv4 pass beside it', () => {
    const made = plan(MAP_E, { encapsulation: 'own' });
    const list = commands(made);
    assert.ok(!list.some((text) => /encap|tunsrc|type ip6tnl|7607/.test(text)));
    assert.deepEqual(
      list.filter((text) => text.startsWith('-6')),
      commands(seg6()).filter((text) => /^-6 (route .* dev portfold0 proto|neigh)/.test(text)),
    );
    assert.deepEqual(
      list.filter((text) => text.includes('default') && text.includes('7606')),
      ['-4 route replace blackhole default table 7606 metric 4294967295 proto 176'],
    );
    assert.deepEqual(settings(made), settings(seg6()));
    assert.match(made.warnings.join(), /slower/);
    const meant = plan({ ...MAP_E, encapsulation: 'own' }, { encapsulation: 'own' });
    assert.deepEqual(meant.warnings, []);
  });

  it('keeps fragments of the tunnel from the table that decapsulates', () => {
    const made = seg6();
    const rules = commands(made).filter((text) => text.startsWith('-6 rule'));
    const priority = (text: string): number => Number(/pref (\d+)/.exec(text)?.[1]);
    const marked = rules.find((text) => text.includes('fwmark'));
    const decapsulating = rules.find((text) => text.includes('7607'));
    assert.ok(marked !== undefined && decapsulating !== undefined);
    assert.match(marked, /fwmark 0x20000000\/0x20000000 table main/);
    assert.ok(priority(marked) < priority(decapsulating));
    assert.match(
      made.firewall.add[0].input ?? '',
      /exthdr frag exists meta mark set meta mark \| 0x20000000/,
    );
  });

  it('uses a tunnel device where there is no seg6', () => {
    const list = commands(plan(MAP_E, { encapsulation: 'ip6tnl' }));
    assert.ok(list.some((t) => /link add name portfold0-6t type ip6tnl .*encaplimit none/.test(t)));
    assert.ok(
      list.includes('-4 route replace unicast default dev portfold0-6t table 7606 proto 176'),
    );
    assert.ok(!list.some((text) => text.includes('seg6')));
    assert.ok(tunnelName('a-name-of-15-ch').length <= 15);
  });

  describe('nftables rules', () => {
    const script = (made: HostPlan): string => made.firewall.add[0].input ?? '';
    const chain = (made: HostPlan, name: string): string[] => {
      const body = script(made).split(`  chain ${name} {\n`)[1]?.split('\n  }')[0];
      assert.ok(body !== undefined, `no chain ${name}`);
      return body.split('\n').map((text) => text.trim());
    };

    /** What the forward chain does with a packet that has nothing to do with the TUN. */
    const past = (made: HostPlan): string[] => chain(made, 'forward').slice(3);
    const opened = (ipv4: string[], ipv6: PlanContext['opened']['ipv6'] = 'none') => ({
      opened: { ipv4, ipv6 },
    });
    const belt = 'iifname { "lan0" } oifname "wan0" meta protocol ip counter drop';
    const fromWan = 'iifname "wan0" meta protocol ip counter drop';
    const fromLan = 'iifname { "lan0" } oifname != { "lan0" } meta protocol ip counter drop';

    it('shut every door that the host had shut before, and no other', () => {
      assert.deepEqual(past(plan()), [belt, fromWan, fromLan]);
      assert.deepEqual(past(plan({}, opened(['wan0']))), [belt, fromWan]);
      assert.deepEqual(past(plan({}, opened(['lan0']))), [belt, fromLan]);
      assert.deepEqual(past(plan({}, opened([]))), [belt]);
    });

    it('leave LAN to LAN to the kernel, and name only LANs from which nothing was forwarded', () => {
      const lans = [
        { name: 'a', interfaces: ['lan0'] },
        { name: 'b', interfaces: ['lan1', 'lan0'] },
      ];
      const lan1 = { ifname: 'lan1', flags: ['UP'], mtu: 1500 };
      const address = { ...FACTS.addresses[0], ifname: 'lan1', local: '192.168.2.1' };
      const facts = {
        ...FACTS,
        links: [...FACTS.links, lan1],
        addresses: [...FACTS.addresses, address],
      };
      const made = makePlan({ ...request(), lans }, facts, { ...CONTEXT, ...opened(['lan1']) });
      assert.deepEqual(past(made), [
        'iifname { "lan0", "lan1" } oifname "wan0" meta protocol ip counter drop',
        'iifname { "lan1" } oifname != { "lan0", "lan1" } meta protocol ip counter drop',
      ]);
    });

    it('shut IPv6 exactly where the plan opens it', () => {
      const ipv6 = (made: HostPlan) => past(made).filter((text) => text.includes('ipv6'));
      const line = ['iifname "wan0" meta nfproto ipv6 counter drop'];
      for (const encapsulation of ['seg6', 'own'] as const) {
        assert.deepEqual(ipv6(plan(MAP_E, { encapsulation })), line);
        assert.deepEqual(ipv6(plan(MAP_E, { encapsulation, ...opened([], 'none') })), []);
        const all = plan(MAP_E, { encapsulation, ...opened([], 'all') });
        assert.deepEqual(ipv6(all), ['meta nfproto ipv6 counter drop']);
      }
      for (const made of [plan(), plan(MAP_E, { encapsulation: 'ip6tnl' })])
        assert.deepEqual(ipv6(made), []);
    });

    it('shut the tunnel device, which forwards to the TUN alone', () => {
      const made = plan(MAP_E, { encapsulation: 'ip6tnl', ...opened([]) });
      assert.deepEqual(past(made), [belt, 'iifname "portfold0-6t" meta protocol ip counter drop']);
    });

    it('let pass what a bridge only hands from port to port', () => {
      const bridge = (ifname: string) => ({
        ...{ ifname, flags: ['UP'], mtu: 1500 },
        linkinfo: { info_kind: 'bridge' },
      });
      const [lan, wan] = FACTS.links;
      const links = [lan, { ...wan, ...bridge('wan0') }, bridge('vm1'), bridge('vm*')];
      const passing = 'iifname . oifname { "wan0" . "wan0" } accept';
      assert.equal(past(plan({}, {}, { links }))[0], passing);
      assert.equal(past(plan({}, opened([]), { links }))[0], belt);
      const all = plan(MAP_E, { encapsulation: 'own', ...opened([], 'all') }, { links });
      const pairs = '{ "vm1" . "vm1", "wan0" . "wan0" }';
      assert.equal(past(all)[0], `iifname . oifname ${pairs} accept`);
    });

    it('let packets of the TUN go first, without a look-up of a route where it cannot be the host', () => {
      for (const made of [plan(), seg6()]) {
        assert.equal(chain(made, 'prerouting')[1], 'iifname "portfold0" goto from_tun');
        assert.deepEqual(chain(made, 'forward').slice(1, 3), [
          'iifname "portfold0" accept',
          'oifname "portfold0" accept',
        ]);
        assert.ok(!chain(made, 'from_tun').some((text) => text.includes('fib')), script(made));
        assert.equal(chain(made, 'from_tun').at(-1), 'notrack');
      }
    });

    it('look up a route for every address that the host may have behind the TUN', () => {
      const looked = (made: HostPlan): string[] =>
        chain(made, 'from_tun')
          .filter((text) => text.endsWith(' goto perhaps_local'))
          .map((text) => text.replace(/^ip daddr (.*) goto .*$/, '$1'));
      const ipv6 = 'meta nfproto ipv6 goto perhaps_local';
      assert.equal(chain(plan(), 'perhaps_local')[0], 'fib daddr type local accept');
      assert.deepEqual(looked(plan()), ['192.168.1.0/24', ipv6]);
      const shared = plan({ externalAddress: '198.51.100.2' });
      assert.deepEqual(looked(shared), ['192.168.1.0/24', '198.51.100.2', ipv6]);

      // Behind another router: the gateway's own address lies in none of its LAN's networks.
      const lans = [{ name: 'far', interfaces: ['lan0'], networks: ['10.64.0.0/16'] }];
      const far = makePlan({ ...request(), lans }, FACTS, CONTEXT);
      assert.deepEqual(looked(far), ['10.64.0.0/16', '192.168.1.1', ipv6]);
    });

    it('compare few networks one by one, and look up many', () => {
      const networks = [1, 2, 3, 4, 5].map((number) => `10.${number}.0.0/16`);
      const rules = (count: number): string[] => {
        const lans = [{ name: 'a', interfaces: ['lan0'], networks: networks.slice(0, count) }];
        const made = makePlan({ ...request(), lans }, FACTS, CONTEXT);
        return chain(made, 'from_lan').filter((text) => /^ip daddr .* accept$/.test(text));
      };
      assert.equal(rules(4).length, 4);
      assert.deepEqual(rules(5), [`ip daddr { ${networks.join(', ')} } accept`]);
    });

    it('name a network once, and none that lies in another', () => {
      const lans = [
        { name: 'a', interfaces: ['lan0'], networks: ['10.0.0.0/8', '10.64.0.0/16'] },
        { name: 'b', interfaces: ['lan0'], networks: ['10.0.0.0/8', '192.168.1.0/24'] },
      ];
      const made = makePlan({ ...request(), lans }, FACTS, CONTEXT);
      const accepted = chain(made, 'from_lan').slice(0, 2);
      assert.deepEqual(accepted, ['ip daddr 192.168.1.0/24 accept', 'ip daddr 10.0.0.0/8 accept']);
      assert.doesNotMatch(script(made), /10\.64/);
    });
  });
});
