/**
 * Sharing ports and endpoint-independent mapping at once: coturn's own client must find both hosts
 * endpoint-independent, whoever came first, while every place of the port set is in use.
 */
import assert from 'node:assert/strict';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { inPortSet } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { natDiscovery, startStun } from '../../lab/services.ts';
import { type Bed, withBed } from './support.ts';

const FLOWS = 24_000;
const LOAD = { flows: FLOWS, addresses: 100, remotes: 100, ratePerSecond: 20_000 };
const LOCAL_PORT = 5000;
const PROGRAMS = ['turnserver'];

async function bothAreEndpointIndependent(bed: Bed): Promise<void> {
  const results = await Promise.all(
    bed.lab.hosts.map((host, i) => natDiscovery(host, `192.168.7.${11 + i}`, LOCAL_PORT)),
  );
  for (const result of results) {
    assert.ok(result.endpointIndependent, result.output);
    const port = Number(result.reflexive.split(':')[1]);
    assert.ok(inPortSet('map-e', port), result.reflexive);
  }
  assert.notEqual(results[0].reflexive, results[1].reflexive);
}

describe('STUN when 24,000 flows came first', () => {
  const bed = withBed({ line: 'map-e', programs: PROGRAMS });

  it('both peers are endpoint-independent, and no flow notices', async () => {
    await startEcho(bed.lab.internet);
    await startStun(bed.lab.internet, bed.lab.folder);
    const flows = udpFlows(bed.lab.load, { ...LOAD, rounds: 2, pauseSeconds: 8 });
    await until(
      'all sessions to stand',
      async () => (await bed.gateway.control.status()).sessions.udp >= FLOWS,
      20_000,
    );
    await bothAreEndpointIndependent(bed);
    const result = await flows;
    assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    const owned = (await bed.gateway.control.status()).ports.udp.owned;
    assert.ok(owned >= 2, `${owned} ports are owned`);
  });
});

describe('STUN when the peers came first', () => {
  const bed = withBed({ line: 'map-e', programs: PROGRAMS });

  it('both peers are endpoint-independent, and 24,000 of 24,000 flows hold', async () => {
    await startEcho(bed.lab.internet);
    await startStun(bed.lab.internet, bed.lab.folder);
    await bothAreEndpointIndependent(bed);
    const result = await udpFlows(bed.lab.load, { ...LOAD, rounds: 2 });
    assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    await bothAreEndpointIndependent(bed);
  });
});
