/**
 * `portfold why` beside real packets: a program that sends to a private address of another house, then to a public one where nobody
 * answers, is named within a minute; a name server that asks for more ports than there are, too.
 */
import assert from 'node:assert/strict';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { DRIVER_PORTS, startDriver } from '../../lab/incidents/driver.ts';
import { until } from '../../lab/netns.ts';
import { withBed } from './support.ts';

const PRIVATE = '192.168.1.211';
const DEAD = '20.7.7.7';
const DRIVER = '192.168.7.12';
const SECONDS = 4;
const NAMED_SECONDS_MAX = 60;
const KINDS = ['dead-destination', 'private-destination'] as const;
const FULL_REMOTE = '198.18.0.1';

describe('portfold why', () => {
  // Else whoever holds most would make room, and nobody be refused.
  const bed = withBed({ line: 'map-e', gateway: { policy: ['pressure = { evict = false }'] } });

  it('says that nothing is short', async () => {
    const { code, stdout } = await bed.gateway.portfold('why');
    assert.equal(code, 0);
    assert.match(stdout, /^Nothing is short: none of 240 ports is in use/);
  });

  it('names a private and a dead destination, who seeks them, and what that takes', async () => {
    const { lab, gateway } = bed;
    // Swallowed, as far away: a router that refuses them would be an answer.
    for (const one of [lab.provider, lab.relay, lab.internet])
      await one.ip(['route add blackhole 20.0.0.0/8', 'route add blackhole 192.168.0.0/16']);
    const host = lab.hosts[1];
    const began = performance.now();
    const drivers = await Promise.all(
      [PRIVATE, DEAD].map((to) => startDriver(host, DRIVER, to, SECONDS)),
    );
    const [dead, refused] = await until(
      'both destinations to be named',
      async () => {
        const why = await gateway.control.why();
        const found = KINDS.map((kind) => why.findings.find((one) => one.kind === kind));
        return found.every((one) => one !== undefined) ? found : undefined;
      },
      NAMED_SECONDS_MAX * 1_000,
    );
    const seconds = (performance.now() - began) / 1_000;
    await Promise.all(drivers.map(({ ended }) => ended));
    console.log(`      named ${seconds.toFixed(1)} s after the first packet`);

    for (const { hosts } of [dead, refused]) assert.equal(hosts[0].address, DRIVER);
    for (const { port } of dead.destinations) assert.ok(DRIVER_PORTS.some((one) => one === port));
    assert.deepEqual([...new Set(refused.destinations.map(({ address }) => address))], [PRIVATE]);

    const { stdout } = await gateway.portfold('why', '--host', DRIVER);
    assert.match(stdout, new RegExp(`${DRIVER} sends UDP to ${DEAD} port 59\\d{3}`));
    assert.match(stdout.replace(/\s+/g, ' '), /nothing there has answered since \d\d:\d\d/);
    const status = await gateway.control.status();
    const drops = await gateway.control.list('drops', { filter: ['reason=PrivateDestination'] });
    assert.equal(drops.items[0].packets, drivers[0].packets);
    const after = (await gateway.control.why()).findings.find((one) => one.kind === refused.kind);
    assert.equal(after?.numbers.count, drivers[0].packets);
    assert.ok(status.pressure !== undefined && status.classes !== undefined);
  });

  it('names the destination that has no port left, and who is refused', async () => {
    const { lab, gateway } = bed;
    await startEcho(lab.internet);
    const load = { flows: 240, addresses: 4, remotes: 1, ratePerSecond: 2_000, retries: 3 };
    const held = await udpFlows(lab.load, load);
    assert.equal(held.samePort, 240, JSON.stringify(held));
    const refused = await udpFlows(lab.hosts[0], {
      ...load,
      from: '192.168.7.11',
      addresses: 1,
      flows: 10,
      retries: 0,
      timeoutMs: 500,
    });
    const answer = await gateway.control.why('192.168.7.11');
    const short = answer.findings.find(({ kind }) => kind === 'ports-towards');
    assert.ok(short?.severity === 'short', JSON.stringify(answer.findings));
    assert.equal(short.destinations[0].address, FULL_REMOTE);
    assert.ok((refused.icmp['3/13'] ?? 0) > 0, JSON.stringify(refused));
    assert.equal(answer.host?.sessionsRefused, refused.icmp['3/13']);
  });

  it('exits with 3 when the gateway has ended', async () => {
    await bed.gateway.stop();
    assert.equal((await bed.gateway.portfold('why')).code, 3);
  });
});
