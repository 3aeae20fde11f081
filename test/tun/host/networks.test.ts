import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { HostAddress, HostFacts, HostRoute } from '../../../tun/host/facts.ts';
import {
  containsAddress,
  containsNetwork,
  formatIpv4,
  formatNetwork,
  parseIpv4,
  parseNetwork,
} from '../../../tun/host/ipv4.ts';
import { lanNetworks, unreachedNetworks } from '../../../tun/host/networks.ts';

const address = (ifname: string, text: string): HostAddress => {
  const [local, prefixlen] = text.split('/');
  return { ifname, family: 'inet', local, prefixlen: Number(prefixlen), scope: '0' };
};

const facts = (addresses: HostAddress[], routes4: HostRoute[]): HostFacts => ({
  links: [],
  addresses,
  routes4,
  routes6: [],
  rules4: [],
  rules6: [],
});

/** Two addresses on one LAN interface, a network behind a router there, and a second LAN. */
const HOUSE = facts(
  [
    address('lan0', '192.168.1.1/24'),
    address('lan0', '10.0.0.1/16'),
    address('lan1', '172.16.5.1/28'),
    address('wan0', '198.51.100.2/24'),
  ],
  [
    { dst: 'default', dev: 'lan0', gateway: '192.168.1.254', metric: 9000 },
    { dst: '192.168.1.0/24', dev: 'lan0', prefsrc: '192.168.1.1', protocol: '2' },
    { dst: '10.0.0.0/16', dev: 'lan0', prefsrc: '10.0.0.1', protocol: '2' },
    { dst: '192.168.7.0/24', dev: 'lan0', gateway: '10.0.3.3' },
    { dst: '192.168.8.0/24', dev: 'lan0', gateway: '10.0.3.3', table: '99' },
    { dst: '172.16.5.0/28', dev: 'lan1', prefsrc: '172.16.5.1', protocol: '2' },
    { dst: '198.51.100.0/24', dev: 'wan0', prefsrc: '198.51.100.2', protocol: '2' },
  ],
);

describe('networks of the LANs', () => {
  it('are derived from addresses and routes of the main table, most specific first', () => {
    const found = lanNetworks(
      [
        { name: 'home', interfaces: ['lan0'] },
        { name: 'guests', interfaces: ['lan1'] },
      ],
      HOUSE,
    );
    assert.deepEqual(
      found.map((entry) => [entry.lan, entry.interface, entry.network, entry.gatewayAddress]),
      [
        ['guests', 'lan1', '172.16.5.0/28', '172.16.5.1'],
        ['home', 'lan0', '192.168.1.0/24', '192.168.1.1'],
        // Behind a router: the address in the network over which that router is reached.
        ['home', 'lan0', '192.168.7.0/24', '10.0.0.1'],
        ['home', 'lan0', '10.0.0.0/16', '10.0.0.1'],
      ],
    );
  });

  it('given by hand get the address of the interface that holds or reaches them', () => {
    const networks = ['10.0.9.1/24', '192.168.7.128/25', '10.0.0.0/8', '203.0.113.0/24'];
    const found = lanNetworks([{ name: 'home', interfaces: ['lan1', 'lan0'], networks }], HOUSE);
    assert.deepEqual(
      Object.fromEntries(found.map((e) => [e.network, `${e.gatewayAddress} ${e.interface}`])),
      {
        '10.0.9.0/24': '10.0.0.1 lan0',
        '192.168.7.128/25': '10.0.0.1 lan0',
        '10.0.0.0/8': '10.0.0.1 lan0',
        '203.0.113.0/24': '172.16.5.1 lan1',
      },
    );
    assert.deepEqual(
      found.map((entry) => Number(entry.network.split('/')[1])),
      [25, 24, 24, 8],
    );
  });

  it('given by hand are told of when nothing leads there', () => {
    const networks = ['192.168.1.0/25', '192.168.7.0/24', '10.0.0.0/8', '203.0.113.0/24'];
    const told = unreachedNetworks([{ name: 'home', interfaces: ['lan0'], networks }], HOUSE);
    assert.equal(told.length, 1);
    assert.match(told[0], /LAN home: no address of lan0 lies in 203\.0\.113\.0\/24, and no route/);
    // A route over another interface, or in another table, does not bring an answer back here.
    const elsewhere = ['198.51.100.0/24', '192.168.8.0/24', '172.16.5.0/28'];
    const lan = { name: 'home', interfaces: ['lan0'], networks: elsewhere };
    assert.equal(unreachedNetworks([lan], HOUSE).length, 3);
    assert.deepEqual(unreachedNetworks([{ name: 'home', interfaces: ['lan0'] }], HOUSE), []);
  });

  it('are refused where the interface has no IPv4 address, or the text is none', () => {
    assert.throws(() => lanNetworks([{ name: 'x', interfaces: ['eth9'] }], HOUSE), {
      code: 'HOST_LAN_NO_ADDRESS',
      exitCode: 1,
      message: /eth9 has no IPv4 address yet/,
    });
    const lan = { name: 'x', interfaces: ['lan0'], networks: ['10.0.0.0/33'] };
    assert.throws(() => lanNetworks([lan], HOUSE), { code: 'HOST_LAN_NETWORK', exitCode: 78 });
  });
});

describe('IPv4 networks as numbers', () => {
  const addresses = fc.nat({ max: 0xffffffff });
  const lengths = fc.nat({ max: 32 });

  it('read what they write, without host bits', () => {
    fc.assert(
      fc.property(addresses, lengths, (value, length) => {
        assert.equal(parseIpv4(formatIpv4(value)), value);
        const network = parseNetwork(`${formatIpv4(value)}/${length}`)!;
        assert.deepEqual(parseNetwork(formatNetwork(network)), network);
        assert.equal(network.base % 2 ** (32 - length), 0);
        assert.ok(containsAddress(network, value));
      }),
    );
  });

  it('contain exactly the addresses from base to base + size - 1', () => {
    fc.assert(
      fc.property(addresses, lengths, addresses, (value, length, other) => {
        const network = parseNetwork(`${formatIpv4(value)}/${length}`)!;
        const inside = other >= network.base && other < network.base + 2 ** (32 - length);
        assert.equal(containsAddress(network, other), inside);
      }),
    );
  });

  it('contain a network only when they are not longer', () => {
    const [wide, narrow] = ['10.0.0.0/8', '10.1.0.0/16'].map((text) => parseNetwork(text)!);
    assert.equal(containsNetwork(wide, narrow), true);
    assert.equal(containsNetwork(narrow, wide), false);
  });

  it('refuse what is no address', () => {
    for (const text of ['', '1.2.3', '1.2.3.256', '1.2.3.4/33', '1.2.3.4/', 'fe80::1', '1.2.3.x'])
      assert.equal(parseNetwork(text), undefined, text);
    assert.deepEqual(parseNetwork('default'), { base: 0, length: 0 });
  });
});
