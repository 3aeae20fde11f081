/** Destinations that no public line leads to. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { DECISION_REASON_SHIFT, DECISION_SILENT } from '../../core/policy.ts';
import { Drop } from '../../core/verdict.ts';
import { formatIpv4, parseIpv4 } from '../../core/wire/ipv4.ts';
import { buildPolicy, presetPolicy } from '../../policies/build.ts';
import { isPrivate } from '../../policies/private-destinations.ts';
import { PRESETS } from '../../policies/settings.ts';
import { firstPacket } from '../support/first-packet.ts';
import { Bench, endpoints } from '../support/gateway.ts';
import { udp4 } from '../support/packets.ts';

const NETWORKS: [network: string, length: number][] = [
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['192.0.0.0', 24],
];
const GLOBAL = ['192.0.0.9', '192.0.0.10'];
/** The mouse driver of a laptop in another house. */
const LAPTOP = '192.168.211.5:59870';

describe('private destinations', () => {
  for (const [network, length] of NETWORKS)
    it(`${network}/${length}: its first and last address, and not their neighbours`, () => {
      const first = parseIpv4(network);
      const last = first + 2 ** (32 - length) - 1;
      assert.deepEqual(
        [first - 1, first, last, last + 1].map((address) => isPrivate(address | 0)),
        [false, true, true, false],
      );
    });

  it('not the documentation and benchmark networks, nor the anycast addresses of PCP and TURN', () => {
    const ordinary = ['192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '192.88.99.1'];
    for (const address of [...ordinary, ...GLOBAL])
      assert.equal(isPrivate(parseIpv4(address)), false, address);
  });

  it('exactly these networks, for any address', () => {
    const inNetwork = (address: number, [network, length]: [string, number]): boolean =>
      (address ^ parseIpv4(network)) >>> (32 - length) === 0;
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (address) => {
        const expected =
          NETWORKS.some((each) => inNetwork(address, each)) &&
          !GLOBAL.includes(formatIpv4(address));
        assert.equal(isPrivate(address), expected, formatIpv4(address));
      }),
      { numRuns: 20_000 },
    );
  });

  it('take no port: the sender is told with ICMP 3/13, and nothing is kept', () => {
    const bench = new Bench({ policy: presetPolicy('home') });
    for (let port = 20_000; port < 20_500; port++) {
      const from = `192.168.1.11:${port}`;
      const out = bench.send(udp4({ from, to: LAPTOP }));
      // The bucket of answers holds 300; who is beyond it is refused all the same.
      if (typeof out === 'string') continue;
      assert.deepEqual([out[20], out[21]], [3, 13]);
      assert.equal(endpoints(out).to.split(':')[0], '192.168.1.11');
    }
    assert.equal(bench.dropCount('PrivateDestination'), 500);
    assert.equal(bench.table.parts.sessions.count, 0);
    assert.equal(bench.table.parts.mappings.count, 0);
  });

  const decides = (externalAddress: string, settings = PRESETS.home): number =>
    buildPolicy({
      profiles: [settings],
      profileOfLan: [],
      externalAddress: parseIpv4(externalAddress),
    }).decide(firstPacket({ to: LAPTOP }));

  it('are ordinary on a line whose own address is private or shared by a carrier', () => {
    for (const address of ['192.168.0.2', '10.7.0.1', '172.31.255.254', '100.64.3.4'])
      assert.ok(decides(address) >= 0, address);
    assert.ok(decides('106.72.18.52') < 0);
  });

  it('are refused or let through as configured, whatever the line', () => {
    assert.ok(decides('192.168.0.2', { ...PRESETS.home, privateDestinations: 'refuse' }) < 0);
    assert.ok(decides('106.72.18.52', { ...PRESETS.home, privateDestinations: 'allow' }) >= 0);
    const modem = { address: parseIpv4('192.168.211.0'), mask: -256 };
    assert.ok(decides('106.72.18.52', { ...PRESETS.home, privateExcept: [modem] }) >= 0);
  });

  it('are refused by their own reason, and the sender is to be told', () => {
    const decision = decides('106.72.18.52');
    assert.equal((decision >>> DECISION_REASON_SHIFT) & 255, Drop.PrivateDestination);
    assert.equal(decision & DECISION_SILENT, 0);
  });
});
