/**
 * Nobody takes all: limits for each host, what is kept for others, pressure, and two LANs with policies of their own; with real
 * packets on a gateway with a small table.
 *
 *   h1, load   192.168.7.0/24, 10.64.0.0/16   LAN "home"
 *   h2         192.168.8.12                   LAN "lab", behind an interface of its own
 */
import assert from 'node:assert/strict';
import type { FlowsResult } from '../../lab/flows.ts';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { configuration } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { RawFlood, rawSend } from '../../lab/raw.ts';
import { SERVER } from '../../lab/topology.ts';
import { bareUdp } from './hostile.ts';
import { askUdp, dropped, IS_FULL, STUN_REQUEST, setPolicy } from './policies.ts';
import { withBed } from './support.ts';

const CAPACITY = 1024;
const HOST = '192.168.7.11';
const OTHER_LAN_HOST = '192.168.8.12';
const BURST_PER_SECOND = 10_000;
const LOAD_FIRST = '10.64.1.0';
/** And one that is for one test alone. */
const BESIEGED = '198.18.0.201';
const MAIL_PORT = 25;
/** RFC 6409: where programs hand mail in. */
const HAND_IN_PORT = 587;
/** A remote that no other test here talks to. */
const CROWDED = '198.18.0.200';

const LAN_POLICY = ['', '[[lan]]', 'name = "lab"', 'interfaces = ["h2"]', '[lan.policy]'];

describe('policies for hosts', () => {
  const bed = withBed({
    line: 'map-e',
    start: false,
    gateway: {
      config: configuration('map-e', { runtimeDirectory: 'DIR', capacity: CAPACITY }).replace(
        '\n[[wan]]',
        [...LAN_POLICY, 'preset = "rfc"', '', '[[wan]]'].join('\n'),
      ),
    },
    programs: ['python3', 'curl', 'socat'],
  });
  let sourcePort = 30_000;

  before(async () => {
    const { lab, gateway } = bed;
    await lab.gateway.ip(['link set h2 nomaster', 'address add 192.168.8.1/24 dev h2']);
    await lab.hosts[1].ip([
      'address flush dev eth0',
      `address add ${OTHER_LAN_HOST}/24 dev eth0`,
      'route add default via 192.168.8.1',
    ]);
    await startEcho(lab.internet);
    await gateway.start();
  });

  /** New flows of one host at once, each from a port of its own. */
  async function burst(flows: number, from = HOST): Promise<FlowsResult> {
    sourcePort += 1000;
    return udpFlows(from === HOST ? bed.lab.hosts[0] : bed.lab.load, {
      flows,
      from,
      addresses: 1,
      remotes: 10,
      rounds: 1,
      retries: 0,
      timeoutMs: 2000,
      sourcePort,
      ratePerSecond: BURST_PER_SECOND,
    });
  }

  const used = async (): Promise<number> => (await bed.gateway.control.status()).sessions.used;

  it('two LANs, two presets: one’s endpoints share ports, the other’s own them', async () => {
    const { hosts } = bed.lab;
    const [home, lab] = await Promise.all(
      hosts.map((host) => askUdp(host, SERVER, 7000, new Uint8Array(32))),
    );
    assert.deepEqual([home.outcome, lab.outcome], ['answered', 'answered']);
    const { items: mappings } = await bed.gateway.control.list('mappings', {});
    const { items: sessions } = await bed.gateway.control.list('sessions', {});
    const of = (address: string, { port }: { port: number }) => ({
      role: mappings.find(({ internal }) => internal === `${address}:${port}`)?.role,
      left:
        sessions.find(({ internal }) => internal === `${address}:${port}`)?.timeLeftSeconds ?? 0,
    });
    const [shared, owned] = [of(HOST, home), of(OTHER_LAN_HOST, lab)];
    assert.equal(shared.role, 'guest');
    assert.equal(owned.role, 'owner');
    assert.ok(shared.left > 60 && shared.left <= 120, `${shared.left} s`);
    assert.ok(owned.left > 240 && owned.left <= 300, `${owned.left} s`);
  });

  it('a host’s rate, its sessions and its owned ports end at its limits; a neighbour has its own', async () => {
    const limits =
      'limits = { sessions = 100, owned-ports = 1, new-per-second = 20, new-at-once = 80 }';
    await setPolicy(bed, ['preset = "home"', limits]);
    const first = await burst(120);
    const [{ answered, refused }] = first.rounds;
    assert.deepEqual(first.icmp, { '3/13': refused });
    assert.equal(answered + refused, 120);
    // 80 at once, and what 20 a second give in the meantime.
    assert.ok(answered >= 79 && answered <= 90, `${answered} answered`);
    assert.equal(await dropped(bed, 'HostRateLimit'), refused);
    assert.equal((await burst(40, LOAD_FIRST)).rounds[0].answered, 40);

    await setPolicy(bed, ['preset = "home"', limits.replace('at-once = 80', 'at-once = 1000')]);
    const held = (await bed.gateway.control.list('hosts', { filter: [`host=${HOST}`] })).items[0];
    await until('a rate that is no obstacle', async () => {
      const before = await dropped(bed, 'HostSessionLimit');
      await burst(60);
      return (await dropped(bed, 'HostSessionLimit')) > before;
    });
    const now = (await bed.gateway.control.list('hosts', { filter: [`host=${HOST}`] })).items[0];
    assert.equal(now.sessions, 100, `${held.sessions} before`);

    const peers = [6001, 6002].map((port) =>
      bareUdp(['10.64.2.1', port], [SERVER, 3478], STUN_REQUEST),
    );
    await rawSend(bed.lab.load, peers);
    const owners = await until('two sessions', async () => {
      const { items } = await bed.gateway.control.list('mappings', { filter: ['host=10.64.2.1'] });
      return items.length === 2 ? items : undefined;
    });
    assert.deepEqual(owners.map(({ role }) => role).sort(), ['guest', 'owner']);
  });

  it('what is kept for hosts with few sessions is refused to whoever has many', async () => {
    const reserve = 'reserve = { percent = 25, few-sessions = 10 }';
    const atOnce = 'limits = { new-at-once = 1000 }';
    await setPolicy(bed, ['preset = "home"', reserve, atOnce, 'pressure = { evict = false }']);
    const wanted = CAPACITY * 0.75;
    const many = await burst(wanted, '10.64.3.1');
    const [{ answered, refused }] = many.rounds;
    assert.ok(refused > 0 && answered + refused === wanted, JSON.stringify(many.rounds));
    assert.equal(await dropped(bed, 'ReservedForOthers'), refused);
    assert.equal(await used(), wanted);
    const few = await burst(10, '10.64.4.1');
    assert.equal(few.rounds[0].answered, 10);
    assert.equal((await burst(10, '10.64.3.1')).rounds[0].refused, 10);
  });

  it('pressure shortens the timers, and falls by itself', async () => {
    const timers = 'timers = { other = [120, 1, 1, 1] }';
    await setPolicy(bed, ['preset = "home"', timers, 'pressure = { levels = [50, 95, 99] }']);
    const level = async (): Promise<number> =>
      (await bed.gateway.control.status()).pressure?.level ?? Number.NaN;
    await until('the level to rise', async () => (await level()) === 1);
    await until('idle sessions to end', async () => (await used()) < CAPACITY / 4);
    const { items } = await bed.gateway.control.events();
    assert.ok(items.some(({ kind }) => kind === 'pressure-changed'));
    if (IS_FULL) await until('the level to fall', async () => (await level()) === 0, 15_000);
  });

  it('a destination whose ports one host has taken makes room for a neighbour, not for him', async () => {
    await setPolicy(bed, ['preset = "home"']);
    const ports = 240;
    const take = (flows: number, from: string): Promise<FlowsResult> =>
      udpFlows(bed.lab.load, {
        flows,
        from,
        addresses: 1,
        to: CROWDED,
        remotes: 1,
        rounds: 1,
        retries: 0,
        timeoutMs: 2000,
        sourcePort: 20_000 + flows,
      });
    assert.equal((await take(ports, '10.64.5.1')).rounds[0].answered, ports);
    const [more] = (await take(10, '10.64.5.1')).rounds;
    assert.deepEqual([more.answered, more.refused], [0, 10]);
    // What is younger than three seconds is nobody's to take; then 240 are more than four times what the neighbour has.
    const [host] = bed.lab.hosts;
    await until('room for a neighbour', async () => {
      const { outcome } = await askUdp(host, CROWDED, 7000, new Uint8Array(32));
      assert.ok(outcome === 'answered' || outcome === '3/13', outcome);
      return outcome === 'answered' || undefined;
    });
    const { pressure } = await bed.gateway.control.status();
    assert.equal(pressure?.evictedFromHeaviest, 1);
    const { items } = await bed.gateway.control.list('hosts', { filter: ['host=10.64.5.1'] });
    assert.equal(items[0].sessions, ports - 1);
  });

  it('a host that opens ever new sessions to one server leaves his neighbour ports there', async () => {
    await setPolicy(bed, ['preset = "home"', 'quic = "allow"']);
    const packet = bareUdp([HOST, 1024], [BESIEGED, 7000], new Uint8Array(20));
    const flood = await RawFlood.start(bed.lab.hosts[0], [packet], {
      ratePerSecond: BURST_PER_SECOND / 5,
      sourcePorts: 60_000,
      processor: -1,
    });
    const standing = async (): Promise<number> => {
      const filter = [`host=${HOST}`, `remote=${BESIEGED}:7000`];
      return (await bed.gateway.control.list('sessions', { filter })).items.length;
    };
    await until('all ports to be his', async () => (await standing()) === 240);
    const all = { addresses: 1, to: BESIEGED, remotes: 1, rounds: 1, retries: 0, timeoutMs: 2000 };
    const neighbour = { ...all, flows: 30, from: '10.64.6.1', sourcePort: 25_000 };
    const [{ answered }] = (await udpFlows(bed.lab.load, neighbour)).rounds;
    await flood.stop();
    assert.equal(answered, 30);
    assert.ok((await standing()) > 200);
  });

  it('mail to port 25 is refused, but from the mail server; everything else of both passes', async () => {
    const { internet, hosts, load } = bed.lab;
    for (const port of [MAIL_PORT, HAND_IN_PORT])
      internet.start('socat', [`TCP-LISTEN:${port},fork,reuseaddr`, 'SYSTEM:echo 220 mail']);
    // What a server says first; or curl's word for the ICMP error.
    const greeting = async (from: string, port: number): Promise<string> => {
      const words = ['-sS', '-m', '5', '--interface', from, `telnet://${SERVER}:${port}`];
      const inside = from === HOST ? hosts[0] : load;
      const { stdout, stderr } = await inside.run('curl', words, { check: false, input: '' });
      return stdout.trim() || stderr.trim();
    };
    await until('both servers', async () =>
      (await Promise.all([MAIL_PORT, HAND_IN_PORT].map((port) => greeting(HOST, port)))).every(
        (said) => said === '220 mail',
      ),
    );
    const before = await dropped(bed, 'RefusedByPolicy');
    await setPolicy(bed, ['mail = "reject"', `mail-except = { from = ["${LOAD_FIRST}/24"] }`]);
    assert.match(await greeting(HOST, MAIL_PORT), /curl: \(7\)/);
    assert.equal(await greeting(HOST, HAND_IN_PORT), '220 mail');
    assert.equal(await greeting('10.64.1.1', MAIL_PORT), '220 mail');
    assert.equal((await dropped(bed, 'RefusedByPolicy')) - before, 1);
  });
});
