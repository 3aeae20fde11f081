/** Everything that people do, through 240 ports of a shared address and IPv4-in-IPv6. */
import assert from 'node:assert/strict';
import { MAP_E } from '../../lab/lines.ts';
import { download, ping, startWebServer, upload } from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { defineForwarding, FORWARDING_PROGRAMS } from './forwarding.ts';
import { withBed } from './support.ts';

describe('forwarding on a MAP-E line, relay by the kernel', () => {
  const bed = withBed({ line: 'map-e', relay: 'seg6', programs: FORWARDING_PROGRAMS });

  it('comes up with the address, ports and tunnel of the rule', async () => {
    const [line] = (await bed.gateway.control.status()).lines;
    assert.equal(line.externalAddress, MAP_E.externalAddress);
    assert.equal(line.portCount, 240);
    assert.equal(line.psid, MAP_E.psid);
    assert.equal(line.ceAddress, MAP_E.ceAddress);
    assert.equal(line.brAddress, MAP_E.brAddress);
    assert.equal(line.mtu, MAP_E.ipv4Mtu);
  });

  defineForwarding(bed, 'map-e', ['192.168.7.1', '192.0.2.9', SERVER]);

  it('gives the gateway itself IPv4 through its own ports', async () => {
    const result = await ping(bed.lab.gateway, SERVER);
    assert.equal(result.received, result.sent, result.output);
  });
});

describe('forwarding on a MAP-E line, independent relay, prefix on the link', () => {
  // This relay shares no code with the gateway or the kernel's tunnel; the CE address is found by
  // neighbour discovery.
  const bed = withBed({
    line: 'map-e',
    relay: 'socat',
    delegation: 'on-link',
    programs: [...FORWARDING_PROGRAMS, 'socat', 'ethtool'],
  });
  defineForwarding(bed, 'map-e', ['192.168.7.1', '192.0.2.13', SERVER]);
});

describe('two gateways on one machine', () => {
  const first = withBed({ line: 'map-e', programs: ['nginx', 'curl'] });
  const second = withBed({ line: 'map-e', programs: ['nginx', 'curl'] });

  it('do not know of each other', async () => {
    const beds = [first, second];
    const sums = await Promise.all(
      beds.map((bed) => startWebServer(bed.lab.internet, bed.lab.folder, 10_000_000)),
    );
    const got = await Promise.all(beds.map((bed) => download(bed.lab.hosts[0])));
    const put = await Promise.all(
      beds.map((bed) => upload(bed.lab.hosts[1], bed.lab.folder, 'copy')),
    );
    beds.forEach((_, i) => {
      assert.equal(got[i].sha256, sums[i].sha256);
      assert.equal(put[i].sha256, sums[i].sha256);
    });
  });
});
