/**
 * 240 ports, 100 remotes, 24,000 flows: every place of the table of external 5-tuples is taken, and
 * each flow keeps its port.
 */
import assert from 'node:assert/strict';
import { Capture } from '../../lab/audit.ts';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { portRanges } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { assertClean, withBed } from './support.ts';

const FLOWS = 24_000;
const REMOTES = 100;
const LOAD = { flows: FLOWS, addresses: 100, remotes: REMOTES, ratePerSecond: 20_000 };
const FULL_REMOTE = '198.18.0.1';
const QUIET_REMOTE = '198.18.200.1';
const PORT_RANGES = portRanges('map-e').map(([first, last]) => `${first}-${last}`);
/**
 * "At once": a search that ends in a refusal takes microseconds; the rest is two processors that do
 * everything.
 */
const REFUSAL_MS_MAX = 200;

describe('24,000 flows through 240 ports', () => {
  // Nobody makes room here: a host without a session would be given an idle one of who has several.
  const gateway = { policy: ['pressure.evict = false'] };
  const bed = withBed({ line: 'map-e', programs: ['tcpdump'], gateway });
  let capture: Capture;

  before(async () => {
    await startEcho(bed.lab.internet);
    capture = await Capture.start(bed.lab);
  });

  it('all answered, ten seconds later at the same port; what is too much is refused', async () => {
    const [h1, h2] = bed.lab.hosts;
    const flows = udpFlows(bed.lab.load, { ...LOAD, rounds: 3, pauseSeconds: 10 });
    await until(
      'all sessions to stand',
      async () => (await bed.gateway.control.status()).sessions.udp >= FLOWS,
      20_000,
    );

    // Now one full remote is asked by one host, and another remote by another.
    const [refused, undisturbed] = await Promise.all([
      udpFlows(h1, {
        flows: 20,
        from: '192.168.7.11',
        addresses: 1,
        to: FULL_REMOTE,
        remotes: 1,
        rounds: 1,
        retries: 0,
      }),
      udpFlows(h2, {
        flows: 20,
        from: '192.168.7.12',
        addresses: 1,
        to: QUIET_REMOTE,
        remotes: 1,
        rounds: 2,
      }),
    ]);
    assert.deepEqual(refused.icmp, { '3/13': 20 });
    assert.equal(refused.rounds[0].answered, 0);
    assert.ok(refused.refusalSlowestMs < REFUSAL_MS_MAX, `${refused.refusalSlowestMs} ms`);
    assert.equal(undisturbed.samePort, 20);

    const result = await flows;
    assert.equal(result.rounds[0].answered, FLOWS, JSON.stringify(result));
    assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    assert.equal(result.changedPort, 0);
    assert.deepEqual(result.icmp, {});
    assert.equal(result.foreign, 0);
    assert.deepEqual(result.externalPortRanges, PORT_RANGES);
  });

  it('an event names the host and the destination of what was refused', async () => {
    const { items } = await bed.gateway.control.events();
    const event = items.find((item) => item.kind === 'session-refused');
    assert.ok(event, JSON.stringify(items.slice(-5)));
    assert.match(event.internal ?? '', /^192\.168\.7\.11:/);
    assert.equal(event.remote, `${FULL_REMOTE}:7000`);
    assert.ok(event.text.includes('192.168.7.11') && event.text.includes(FULL_REMOTE), event.text);
    const hosts = await bed.gateway.control.list('hosts', { filter: ['host=192.168.7.11'] });
    assert.equal(hosts.items[0]?.sessionsRefused, 20);
  });

  it('nothing left by a port that is a neighbour’s', async () => {
    const audit = await capture.stop();
    assertClean(audit, 3 * FLOWS);
    assert.equal(audit.missed, 0);
    assert.equal(audit.ports.size, 240);
  });
});

describe('12,000 endpoints with two remotes each through 240 ports', () => {
  const bed = withBed({ line: 'map-e' });

  it('all answered; the share of diverted sessions is told', async () => {
    await startEcho(bed.lab.internet);
    const result = await udpFlows(bed.lab.load, { ...LOAD, remotesPerEndpoint: 2, rounds: 2 });
    assert.equal(result.endpoints, FLOWS / 2);
    assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    const { counters } = await bed.gateway.control.status();
    assert.equal(counters.sessionsRefused, 0);
    // A session is diverted where its endpoint's port is taken towards that remote, so both counts
    // tell the same.
    assert.equal(counters.sessionsDiverted, result.splitEndpoints);
    const share = (100 * counters.sessionsDiverted) / FLOWS;
    console.log(
      `      ${counters.sessionsDiverted} of ${FLOWS} sessions diverted (${share.toFixed(1)} %)`,
    );
    assert.ok(share < 50);
  });
});
