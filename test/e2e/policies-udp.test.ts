/**
 * What a UDP session is for decides what it gets: each policy once, with real packets and programs, on one gateway whose policy
 * changes while it runs.
 */
import assert from 'node:assert/strict';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { DRIVER_PORTS, type Driver, startDriver } from '../../lab/incidents/driver.ts';
import { until } from '../../lab/netns.ts';
import {
  natDiscovery,
  pageAt,
  resolve,
  startNameServer,
  startStun,
  startWebServer,
  WEB_GREETING,
} from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { askUdp, dropped, IS_FULL, quicInitial, setPolicy } from './policies.ts';
import { withBed } from './support.ts';

const HOST = '192.168.7.11';
const DRIVER_HOST = '192.168.7.12';
const ECHO_PORT = 7000;
const QUIC_PORT = 443;
const PRIVATE_DESTINATION = '192.168.1.211';
const DEAD_DESTINATION = '20.7.7.7';
const HANDFUL = 8;
const SMALL = new Uint8Array(32);
/**
 * The policy ends a session two seconds after its answers, and the sweep comes by once a second; a busy machine is later. The
 * timer of the class is ten seconds.
 */
const DNS_ENDS_MS = [1900, 6000];
/** A refusal is told at once, also on a busy machine; a browser waits for four seconds without one. */
const AT_ONCE_MS = 1000;

describe('policies for UDP', () => {
  const bed = withBed({
    line: 'map-e',
    programs: ['dnsmasq', 'dig', 'nginx', 'curl', 'turnserver', 'python3'],
  });

  let driver: Driver;
  let nameEnded: Promise<number>;

  before(async () => {
    const { internet, relay, folder, hosts } = bed.lab;
    for (const one of [relay, internet]) await one.ip(['route add blackhole 20.0.0.0/8']);
    await startEcho(internet);
    await startEcho(internet, { port: QUIC_PORT });
    await startNameServer(internet);
    await startWebServer(internet, folder, 0);
    await startStun(internet, folder);
    // Beside the tests that follow, since both take their time.
    const patience = IS_FULL ? 20 : 1;
    driver = await startDriver(hosts[1], DRIVER_HOST, DEAD_DESTINATION, patience);
    nameEnded = endOfName();
  });

  const sessionsOf = async (...filter: string[]) =>
    (await bed.gateway.control.list('sessions', { filter: ['proto=udp', ...filter] })).items;

  /** Milliseconds from a name's answer to the end of its session. */
  async function endOfName(): Promise<number> {
    assert.equal(await resolve(bed.lab.hosts[0]), SERVER);
    const answered = performance.now();
    const [session] = await sessionsOf(`host=${HOST}`, 'class=dns');
    assert.ok(session, 'no session of class dns');
    assert.equal(session.packetsIn, 1);
    await until('the session to end', async () =>
      (await sessionsOf(`host=${HOST}`, 'class=dns')).every(
        ({ internal }) => internal !== session.internal,
      ),
    );
    return performance.now() - answered;
  }

  it('a private destination takes no port, the sender is told, and each packet is counted', async () => {
    const [host] = bed.lab.hosts;
    for (const [i, port] of DRIVER_PORTS.entries()) {
      const asked = await askUdp(host, PRIVATE_DESTINATION, port, SMALL);
      assert.equal(asked.outcome, '3/13');
      assert.ok(asked.milliseconds < AT_ONCE_MS, `${asked.milliseconds} ms`);
      assert.equal(await dropped(bed, 'PrivateDestination'), i + 1);
    }
    assert.deepEqual(await sessionsOf(`remote=${PRIVATE_DESTINATION}`), []);
  });

  it('QUIC: answered, then rejected at once by ICMP 3/13, then dropped in silence', async () => {
    const [host] = bed.lab.hosts;
    const flight = { count: 2, waitMs: 300 };
    const ask = () => askUdp(host, SERVER, QUIC_PORT, quicInitial(), flight);
    assert.equal((await ask()).outcome, 'answered');
    await setPolicy(bed, ['preset = "home"', 'quic = "reject"']);
    const rejected = await ask();
    assert.equal(rejected.outcome, '3/13');
    assert.ok(rejected.milliseconds < AT_ONCE_MS, `${rejected.milliseconds} ms`);
    assert.equal(await dropped(bed, 'QuicRejected'), flight.count);
    // The same port without QUIC in it is an ordinary one.
    assert.equal((await askUdp(host, SERVER, QUIC_PORT, SMALL)).outcome, 'answered');
    const except = [`quic-except = { from = ["${HOST}/32"] }`];
    await setPolicy(bed, ['preset = "home"', 'quic = "drop"', ...except]);
    assert.equal((await ask()).outcome, 'answered');
    const other = await askUdp(bed.lab.hosts[1], SERVER, QUIC_PORT, quicInitial(), flight);
    assert.equal(other.outcome, 'silence');
    assert.equal(await dropped(bed, 'QuicRejected'), 2 * flight.count);
  });

  it('UDP without names and one network is refused; names and pages come', async () => {
    const [host] = bed.lab.hosts;
    const except = 'udp-except = { classes = ["dns"], to = ["198.18.7.0/24"] }';
    await setPolicy(bed, ['preset = "home"', 'udp = "reject"', except]);
    assert.equal((await askUdp(host, SERVER, ECHO_PORT, SMALL)).outcome, '3/13');
    assert.equal(await dropped(bed, 'UdpBlocked'), 1);
    assert.equal((await askUdp(host, '198.18.7.1', ECHO_PORT, SMALL)).outcome, 'answered');
    assert.equal(await resolve(host), SERVER);
    assert.equal(await pageAt(host, SERVER), WEB_GREETING);
  });

  it('a name’s session ended two seconds after its answer', async () => {
    const took = await nameEnded;
    const [soonest, latest] = DNS_ENDS_MS;
    assert.ok(took > soonest && took < latest, `${took.toFixed(0)} ms`);
  });

  it('a dead destination holds a handful of ports, however many it is asked from', async () => {
    await driver.ended;
    // What is younger than three seconds is no dead destination yet.
    const sessions = await until('what is old to give way', async () => {
      const found = await sessionsOf(`remote=${DEAD_DESTINATION}`);
      return found.length <= HANDFUL ? found : undefined;
    });
    assert.ok(sessions.length > 0, 'the last ones may still be answered');
    const { pressure } = await bed.gateway.control.status();
    assert.equal(pressure?.unansweredGaveWay, driver.packets - sessions.length);
    // Each of the others was refused by the policy that it is about, and nobody for want of a port.
    assert.equal(await dropped(bed, 'NoPortLeft'), 0);
  });

  it('below another NAT its table is spared: no tuple too many, names all the same, and ended tuples again', async () => {
    const [host] = bed.lab.hosts;
    const timers = 'timers = { other = 1, unanswered = 1 }';
    await setPolicy(bed, ['preset = "home"', 'upstream = { entries = 256 }', timers]);
    const above = async () => (await bed.gateway.control.status()).upstream;
    const flows = (to: string, sourcePort: number) =>
      udpFlows(host, {
        ...{ flows: 300, from: HOST, addresses: 1, to, remotes: 100, rounds: 1, sourcePort },
        ...{ retries: 0, timeoutMs: 500 },
      });
    const first = await flows('198.18.2.1', 20_000);
    // One host gets half of 119 of 128 parts of the table, less what the tests before have left there.
    const { answeredEveryRound } = first;
    assert.ok(answeredEveryRound > 60 && answeredEveryRound <= 119, `${answeredEveryRound} flows`);
    assert.ok((await dropped(bed, 'UpstreamFull')) > 0);
    assert.equal(await resolve(host), SERVER);
    await until('the sessions to end', async () => (await sessionsOf(`host=${HOST}`)).length < 5);

    const other = await flows('198.18.3.1', 30_000);
    assert.equal(other.answeredEveryRound, 0);
    const again = await flows('198.18.2.1', 40_000);
    assert.equal(again.answeredEveryRound, answeredEveryRound);
    const { used, reused } = (await above()) ?? { used: 0, reused: 0 };
    assert.ok(used >= 119 && used <= 180, `${used} entries`);
    assert.equal(reused, again.answeredEveryRound);
  });

  it('game: everybody may come in where a port is owned, and the port stays', async () => {
    const [host, second] = bed.lab.hosts;
    await setPolicy(bed, ['preset = "game"']);
    const found = await natDiscovery(host, HOST, 5000);
    assert.ok(found.endpointIndependent, found.output);
    const words = ['-f', '-L', DRIVER_HOST, '-l', '5001', SERVER];
    const { stdout, stderr } = await second.run('turnutils_natdiscovery', words);
    assert.match(stdout + stderr, /NAT with Endpoint Independent Filtering!/);
    // What is no name, no time and no QUIC is a game, and owns its port as well.
    const game = await askUdp(host, SERVER, ECHO_PORT, SMALL);
    const filter = [`host=${HOST}`, 'proto=udp'];
    const { items } = await bed.gateway.control.list('mappings', { filter });
    const mapping = items.find(({ internal }) => internal === `${HOST}:${game.port}`);
    assert.equal(mapping?.role, 'owner');
    // Then its port is the same towards everybody.
    const all = { flows: 3, from: HOST, addresses: 1, to: '198.18.0.1', remotes: 3, rounds: 1 };
    const flows = await udpFlows(host, { ...all, remotesPerEndpoint: 3, sourcePort: 6000 });
    assert.equal(flows.answeredEveryRound, 3);
    assert.equal(flows.splitEndpoints, 0);
  });
});
