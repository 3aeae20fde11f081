/** Why, over the tables of a real engine in virtual time: what it names, since when, and that nothing hides it. */
import assert from 'node:assert/strict';
import type { Policy } from '../../../core/policy.ts';
import { COUNTER_DROPS } from '../../../core/table/counters.ts';
import { Drop } from '../../../core/verdict.ts';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import type { WhyAnswer, WhyFinding, WhyKind } from '../../../gateway/control/api.ts';
import { ArenaSource } from '../../../gateway/source/arena-source.ts';
import { EventLog } from '../../../gateway/source/event-log.ts';
import { Why } from '../../../gateway/source/why.ts';
import { STREAK_QUIET_MS } from '../../../gateway/source/why-history.ts';
import { RefusalTally } from '../../../gateway/source/why-refusals.ts';
import { presetPolicy } from '../../../policies/build.ts';
import { PRESETS } from '../../../policies/settings.ts';
import { Bench, EXTERNAL, mapePorts } from '../../support/gateway.ts';
import { tcp4, udp4 } from '../../support/packets.ts';

const LANS = [
  { address: parseIpv4('192.168.1.0'), mask: 0xffffff00 | 0, gatewayAddress: 0 },
  { address: parseIpv4('10.0.0.0'), mask: 0xff000000 | 0, gatewayAddress: 0 },
];
const EPOCH = Date.parse('2026-11-22T10:00:00Z');

/** Nobody's session is ended for another one's. */
const noEviction = (): Policy =>
  presetPolicy('home', { pressure: { ...PRESETS.home.pressure, evict: false } });

/** A host may begin as many sessions at once as it likes. */
const noRateLimit = (): Policy =>
  presetPolicy('home', { limits: { ...PRESETS.home.limits, newPerSecond: 0 } });

interface HouseOptions {
  policy?: Policy;
  ports?: number;
  capacity?: number;
}

/** A gateway without threads: its clock goes when the test says so. */
class House {
  readonly bench: Bench;
  source: ArenaSource;
  readonly why: Why;
  private readonly log: EventLog;
  private readonly began: number;
  lost = 0;

  constructor({ policy = presetPolicy('home'), ports = 240, capacity }: HouseOptions = {}) {
    this.bench = new Bench({ policy, ports: mapePorts().slice(0, ports), capacity });
    this.began = this.bench.now;
    const { arena } = this.bench.table.parts;
    this.source = this.sourceOf(policy);
    this.why = new Why({
      arena,
      portCount: ports,
      view: () => ({ source: this.source, degraded: undefined }),
      lostAtTun: () => this.lost,
      clock: () => this.wall,
    });
    this.log = new EventLog(arena, ports, EPOCH);
    this.log.onEvent = (event) => this.why.hear(event);
  }

  private sourceOf(policy: Policy): ArenaSource {
    const { arena, ports } = this.bench.table.parts;
    return new ArenaSource(arena, ports.set, policy, parseIpv4(EXTERNAL), LANS, ['home', 'lab']);
  }

  /** Puts another policy in force, as a reload does. */
  reload(policy: Policy): void {
    this.bench.table.setPolicy(policy);
    this.source = this.sourceOf(policy);
  }

  /** What events say that are new. */
  told(): string[] {
    return this.log.poll().map(({ text }) => text);
  }

  get wall(): number {
    return EPOCH + this.bench.now - this.began;
  }

  /** Lets time pass as the gateway would see it; `each` is done at the beginning of every second. */
  async pass(seconds: number, each: (second: number) => void = () => {}): Promise<void> {
    for (let second = 0; second < seconds; second++) {
      each(second);
      this.bench.pass(1);
      this.log.poll();
      if (second % 5 === 4) await this.why.sample();
    }
  }

  send(from: string, to: string, payload?: Uint8Array): Uint8Array | keyof typeof Drop {
    return this.bench.send(udp4({ from, to, payload }));
  }

  /** Sends, and has it answered. */
  talk(from: string, to: string): void {
    const out = this.send(from, to);
    assert.ok(typeof out !== 'string', `${from} to ${to}: ${out}`);
    const external = (out[20] << 8) | out[21];
    this.bench.pass4(udp4({ from: to, to: `${EXTERNAL}:${external}` }));
  }
}

/** An Initial of version 1, as far as it can be read without keys. */
function quicInitial(): Uint8Array {
  const bytes = new Uint8Array(1_200);
  bytes.set([0xc3, 0, 0, 0, 1, 8]);
  bytes.set([0x40 | (1_182 >> 8), 1_182 & 255], 16);
  return bytes;
}

const find = (answer: WhyAnswer, kind: WhyKind): WhyFinding => {
  const found = answer.findings.find((one) => one.kind === kind);
  assert.ok(found, `no ${kind} in ${JSON.stringify(answer.findings.map((one) => one.kind))}`);
  return found;
};

const kindsOf = (answer: WhyAnswer): WhyKind[] => answer.findings.map(({ kind }) => kind);

describe('why', () => {
  it('says that nothing is short, and who holds most', async () => {
    const house = new House();
    for (let i = 0; i < 30; i++)
      house.talk(`192.168.1.${11 + (i % 4)}:${4000 + i}`, '198.51.100.7:443');
    await house.pass(5);
    const answer = await house.why.answer();
    assert.deepEqual(answer.findings, []);
    assert.match(
      answer.summary,
      /^Nothing is short: 30 of 240 ports taken towards .*198\.51\.100\.7:443/,
    );
    assert.deepEqual(
      answer.users.map(({ address, sessions }) => [address, sessions]),
      [
        ['192.168.1.11', 8],
        ['192.168.1.12', 8],
        ['192.168.1.13', 7],
      ],
    );
  });

  it('names a dead destination within a minute, and still knows since when an hour later', async () => {
    const house = new House({ capacity: 1_024 });
    house.talk('192.168.1.20:5000', '198.51.100.7:443');
    const began = house.wall;
    let port = 10_000;
    const drive = (second: number): void => {
      if (second % 3 === 0)
        for (let i = 0; i < 3; i++) house.send(`192.168.1.30:${port++}`, '192.0.2.7:59870');
    };
    await house.pass(55, drive);
    for (const minutes of [1, 60]) {
      const answer = await house.why.answer();
      const one = find(answer, 'dead-destination');
      assert.deepEqual(kindsOf(answer), ['dead-destination']);
      assert.equal(one.hosts[0].address, '192.168.1.30');
      assert.deepEqual(one.destinations, [{ protocol: 'udp', address: '192.0.2.7', port: 59870 }]);
      assert.ok(
        (one.hosts[0].ports ?? 99) <= 8,
        `${one.hosts[0].ports} ports after ${minutes} min`,
      );
      assert.ok(Math.abs(Date.parse(one.since ?? '') - began) <= 1_000, one.since);
      assert.ok(one.numbers.gaveWay > 0);
      port = 10_000;
      if (minutes === 1) await house.pass(59 * 60, drive);
    }
    // Nobody drives any more: its sessions end, and so does what is said of them.
    await house.pass(STREAK_QUIET_MS / 1_000 + 60);
    assert.deepEqual(kindsOf(await house.why.answer()), []);
  });

  it('is silent about an address that has answered anything, and about what is too young', async () => {
    const house = new House();
    for (let i = 0; i < 10; i++) house.send(`192.168.1.30:${6000 + i}`, '192.0.2.7:53');
    await house.pass(2);
    assert.deepEqual(kindsOf(await house.why.answer()), []);
    await house.pass(2);
    assert.deepEqual(kindsOf(await house.why.answer()), ['dead-destination']);
    house.talk('192.168.1.30:7000', '192.0.2.7:123');
    assert.deepEqual(kindsOf(await house.why.answer()), []);
  });

  it('names who sends to a private address although another host floods with refusals', async () => {
    const house = new House({ ports: 1 });
    house.talk('192.168.1.10:1', '198.51.100.1:53');
    let sent = 0;
    await house.pass(60, (second) => {
      for (let i = 0; i < 500; i++) house.send(`192.168.1.66:${1000 + i}`, '198.51.100.1:53');
      if (second % 6 !== 0) return;
      sent++;
      house.send(`192.168.1.30:${9000 + second}`, '192.168.7.211:59870');
    });
    const one = find(await house.why.answer(), 'private-destination');
    assert.deepEqual(one.hosts[0].address, '192.168.1.30');
    assert.deepEqual(one.destinations[0].address, '192.168.7.211');
    assert.equal(one.numbers.count, sent);
    assert.equal(house.bench.dropCount('PrivateDestination'), sent);
  });

  it('tells ports that are used up: who holds them, who is refused, how often in the last minute', async () => {
    const house = new House({ ports: 16, policy: noEviction() });
    const hold = (): void => {
      for (let i = 0; i < 16; i++)
        house.talk(`192.168.1.${i < 12 ? 20 : 21}:${4000 + i}`, '198.51.100.1:53');
    };
    await house.pass(180, (second) => {
      if (second % 20 === 0) hold();
      for (let i = 0; i < 2; i++) house.send(`10.0.0.9:${5000 + i}`, '198.51.100.1:53');
    });
    const answer = await house.why.answer();
    const one = find(answer, 'ports-towards');
    assert.equal(one.severity, 'short');
    assert.deepEqual(one.hosts, [
      { address: '192.168.1.20', sessions: 12 },
      { address: '192.168.1.21', sessions: 4 },
      { address: '10.0.0.9', refused: one.hosts[2].refused },
    ]);
    assert.deepEqual(one.numbers.count, 360);
    assert.ok(
      one.numbers.lastMinute >= 110 && one.numbers.lastMinute <= 130,
      `${one.numbers.lastMinute}`,
    );
    assert.equal(one.since, new Date(EPOCH).toISOString());
    assert.equal(
      answer.minutes.reduce((sum, { sessionsRefused }) => sum + sessionsRefused, 0),
      360,
    );
  });

  it('tells of one host what it holds and meets, and what it may have', async () => {
    const house = new House({ ports: 16, policy: noEviction() });
    for (let i = 0; i < 16; i++) house.talk(`192.168.1.20:${4000 + i}`, '198.51.100.1:53');
    house.bench.pass4(tcp4({ from: '10.0.0.9:80', to: '198.51.100.2:443', flags: 2 }));
    await house.pass(5, () => house.send('10.0.0.9:5000', '198.51.100.1:53'));
    const { host, findings } = await house.why.answer(parseIpv4('10.0.0.9'));
    assert.ok(host);
    assert.deepEqual(
      [host.address, host.lan, host.sessions, host.sessionsRefused],
      ['10.0.0.9', 'lab', 1, 5],
    );
    assert.deepEqual(host.classes, [{ class: 'tcp', state: 'half-open', count: 1 }]);
    assert.equal(host.refusals[0].reason, 'NoPortLeft');
    assert.deepEqual(host.refusals[0].destinations, [
      { protocol: 'udp', address: '198.51.100.1', port: 53, refused: 5 },
    ]);
    assert.equal(host.limits.ownedPorts, presetPolicy('home').profiles[0].ownedPerHostMax);
    assert.deepEqual(
      findings.map(({ kind }) => kind),
      ['ports-towards'],
    );
    const stranger = await house.why.answer(parseIpv4('10.9.9.9'));
    assert.equal(stranger.host, undefined);
  });

  it('names pressure with its cause and its beginning', async () => {
    const house = new House({ capacity: 1_024 });
    const began = house.wall;
    for (let i = 0; i < 960; i++)
      house.talk(`192.168.1.${20 + (i % 4)}:${2000 + i}`, `198.51.${i % 200}.1:443`);
    await house.pass(5);
    const answer = await house.why.answer();
    const one = find(answer, 'pressure');
    assert.equal(one.reason, 'sessions');
    assert.ok(answer.pressure.level > 0);
    assert.equal(answer.pressure.cause, 'sessions');
    assert.ok(Math.abs(Date.parse(one.since ?? '') - began) <= 2_000, one.since);
    const table = find(answer, 'session-table');
    assert.equal(table.severity, 'tight');
    assert.equal(table.hosts[0].sessions, 240);
  });

  for (const mode of ['allow', 'pressure'] as const)
    it(`names what fills the table of the NAT above, QUIC: ${mode}`, async () => {
      const upstream = { entries: 1_000, udpSeconds: 900, tcpSeconds: 900, icmpSeconds: 60 };
      const quic = { ...PRESETS.event.quic, mode };
      const house = new House({
        policy: presetPolicy('event', { upstream, quic }),
        capacity: 4_096,
      });
      const payload = quicInitial();
      let port = 2_000;
      await house.pass(60, (second) => {
        // A visitor opens a page each second: twenty sessions by QUIC, answered, and a name.
        const visitor = `192.168.1.${20 + (second % 10)}`;
        for (let i = 0; i < 20; i++) {
          const to = `198.51.${port % 40}.${1 + (port % 199)}:443`;
          const from = `${visitor}:${port++}`;
          const out = house.send(from, to, payload);
          if (typeof out === 'string' || out[9] === 1) continue;
          const external = (out[20] << 8) | out[21];
          house.bench.pass4(udp4({ from: to, to: `${EXTERNAL}:${external}` }));
        }
      });
      const answer = await house.why.answer();
      const one = find(answer, 'upstream');
      assert.ok(one.numbers.used >= 450, `${one.numbers.used}`);
      assert.equal(one.classes[0].class, 'quic');
      assert.ok(
        one.hosts.length >= 3 && one.hosts.every(({ address }) => address.startsWith('192.')),
      );
      if (mode === 'allow') {
        assert.equal(one.severity, 'short');
        assert.equal(one.numbers.count, house.bench.dropCount('UpstreamFull'));
        assert.match(one.advice, /Much of it is QUIC/);
      } else {
        assert.notEqual(one.severity, 'short');
        assert.equal(house.bench.dropCount('UpstreamFull'), 0);
        const rejected = find(answer, 'refused-by-policy');
        assert.equal(rejected.numbers.count, house.bench.dropCount('QuicRejected'));
        assert.match(one.advice, /^QUIC is rejected for it/);
        assert.equal(find(answer, 'pressure').reason, 'upstream');
      }
    });

  describe('where one host holds its share of the table of the NAT above', () => {
    const policyWith = (mode: 'reject' | 'pressure'): Policy =>
      presetPolicy('home', {
        upstream: { entries: 256, udpSeconds: 900, tcpSeconds: 900, icmpSeconds: 60 },
        quic: { ...PRESETS.home.quic, mode },
      });
    const greedy = (house: House): number => {
      for (let i = 0; i < 300; i++)
        house.send(`192.168.1.30:${3_000 + i}`, `198.51.100.${i % 200}:5000`);
      return 300 - house.bench.dropCount('UpstreamFull');
    };

    it('names it, how much it holds, and that the others go on', async () => {
      const house = new House({ policy: policyWith('pressure') });
      const made = greedy(house);
      house.talk('192.168.1.20:2000', '198.51.100.7:443');
      await house.pass(5);
      const answer = await house.why.answer();
      const one = find(answer, 'upstream');
      assert.equal(one.title, 'the share of 192.168.1.30 in the table of the NAT above');
      assert.equal(one.severity, 'short');
      assert.deepEqual(
        one.hosts.map(({ address, sessions }) => [address, sessions]),
        [['192.168.1.30', made]],
      );
      assert.match(
        one.text,
        new RegExp(
          `\\(47 %\\) must be in use by what was sent\\. 192\\.168\\.1\\.30 holds ${made} of them, no fewer than are left for ` +
            `all, and such a host opens no new ones: ${300 - made} new sessions were refused.*Other hosts are not affected\\.$`,
        ),
      );
      assert.doesNotMatch(one.text, /linger/);
      assert.match(one.advice, /^`portfold why --host 192\.168\.1\.30`/);

      const other = await house.why.answer(parseIpv4('192.168.1.20'));
      assert.ok(!kindsOf(other).includes('upstream'), 'it has nothing to do with that');
      const itself = await house.why.answer(parseIpv4('192.168.1.30'));
      assert.ok(kindsOf(itself).includes('upstream'));
    });

    it('is the table again where it was full when that host was refused', async () => {
      const house = new House({ policy: policyWith('pressure') });
      for (let i = 0; i < 250; i++) house.send(`10.0.1.${i}:3000`, `198.51.100.${i % 200}:5000`);
      await house.pass(5);
      assert.equal(find(await house.why.answer(), 'upstream').title, 'the table of the NAT above');
    });
  });

  it('lays QUIC to the NAT above only since the policy refuses it for that', async () => {
    const upstream = { entries: 256, udpSeconds: 900, tcpSeconds: 900, icmpSeconds: 60 };
    const policyWith = (mode: 'reject' | 'pressure'): Policy =>
      presetPolicy('home', { upstream, quic: { ...PRESETS.home.quic, mode } });
    const house = new House({ policy: policyWith('reject') });
    const quic = (port: number) =>
      house.send(`192.168.1.30:${port}`, '198.51.100.7:443', quicInitial());
    for (let i = 0; i < 2; i++) quic(2_000 + i);
    assert.equal(house.bench.dropCount('QuicRejected'), 2);
    for (let i = 0; i < 250; i++) house.send(`10.0.1.${i}:3000`, `198.51.100.${i % 200}:5000`);
    await house.pass(5);
    const before = find(await house.why.answer(), 'upstream');
    assert.match(before.advice, /^Fewer new sessions/);

    house.reload(policyWith('pressure'));
    await house.pass(5);
    const after = find(await house.why.answer(), 'upstream');
    assert.match(after.advice, /^Fewer new sessions/);
    assert.equal(after.numbers.quicRejected, 0);
    quic(2_002);
    const answer = await house.why.answer();
    assert.match(find(answer, 'upstream').advice, /^QUIC is rejected for it \(1 packet lately\)/);
  });

  it('tells a limit that was met before a reload by what it is now', async () => {
    const withLimits = (newPerSecond: number): Policy =>
      presetPolicy('home', { limits: { ...PRESETS.home.limits, newPerSecond, newAtOnce: 1 } });
    const house = new House({ policy: withLimits(1) });
    const flood = (): void => {
      for (let i = 0; i < 10; i++) house.send(`192.168.1.30:${2_000 + i}`, '198.51.100.7:5000');
    };
    flood();
    await house.pass(5);
    const limit = async (): Promise<string> => find(await house.why.answer(), 'host-limit').text;
    assert.match(
      await limit(),
      /^192\.168\.1\.30 begins more new sessions than the 1 a second that/,
    );

    house.reload(withLimits(2_000));
    assert.match(
      await limit(),
      /^192\.168\.1\.30 began more new sessions than a host might then \(now 2,000 a second\): 9 packets/,
    );
    house.reload(withLimits(0));
    assert.match(await limit(), /than a host might then \(now as many as it likes\): 9 packets/);
    house.reload(withLimits(2));
    await house.pass(5);
    flood();
    await house.pass(1);
    assert.match(await limit(), /begins more new sessions than the 2 a second that a host may/);
    // Another policy with the same limits changes nothing of that.
    house.reload(withLimits(2));
    assert.match(await limit(), /begins more new sessions than the 2 a second that a host may/);
  });

  it('tells ports that may be owned from ports towards a destination, where none are shared', async () => {
    const policy = presetPolicy('home', { sharing: false, ownedPercent: 25 });
    const house = new House({ policy });
    for (let i = 0; i < 70; i++) house.send(`192.168.1.${20 + i}:4000`, '198.51.100.1:53');
    assert.equal(house.bench.dropCount('NoPortLeft'), 10);
    const [first] = house.told();
    assert.equal(
      first,
      'udp 192.168.1.80:4000 to 198.51.100.1:53 was refused: all 60 udp ports that endpoints may own (owned-percent) have an ' +
        'owner, and its LAN shares none',
    );
    await house.pass(1);
    const answer = await house.why.answer();
    assert.ok(!kindsOf(answer).includes('ports-towards'), answer.summary);
    const one = find(answer, 'owned-ports');
    assert.equal(one.severity, 'short');
    assert.deepEqual([one.numbers.owned, one.numbers.most, one.numbers.count], [60, 60, 10]);
    assert.ok(
      one.hosts.some(({ address, refused }) => address === '192.168.1.80' && refused === 1),
    );
    assert.match(
      one.text,
      /^60 of the 60 udp ports that may have an owner have one.*whoever finds none is refused: 10 new sessions were refused/,
    );
    assert.match(one.advice, /a higher `owned-percent` lets more have one/);
  });

  it('counts as a naive look at all sessions does', async () => {
    const house = new House({ capacity: 8_192, policy: noRateLimit() });
    let state = 7;
    const dice = (sides: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % sides;
    };
    for (let i = 0; i < 3_000; i++) {
      const from = `192.168.1.${20 + Math.min(dice(12), dice(12))}:${1024 + dice(3_000)}`;
      const to = `198.51.100.${Math.min(dice(40), dice(40))}:${[53, 443, 5_000][dice(3)]}`;
      if (dice(4) === 0) house.bench.send(tcp4({ from, to, flags: 2 }));
      else if (dice(2) === 0) house.send(from, to);
      else house.talk(from, to);
    }
    await house.pass(1);
    const answer = await house.why.answer(parseIpv4('192.168.1.20'));

    const byHost = new Map<string, number>();
    const classes = new Map<string, number>();
    const places = new Map<string, number>();
    const add = (counts: Map<string, number>, key: string): void => {
      counts.set(key, (counts.get(key) ?? 0) + 1);
    };
    const twenty = parseIpv4('192.168.1.20');
    for (const row of house.source.sessions()) {
      add(byHost, String(row.internalAddress));
      if (row.internalAddress !== twenty) continue;
      add(classes, `${row.class} ${row.state}`);
      add(places, `${row.protocol} ${row.remoteAddress}:${row.remotePort}`);
    }
    const most = [...byHost.values()].sort((a, b) => b - a).slice(0, 3);
    assert.deepEqual(
      answer.users.map(({ sessions }) => sessions),
      most,
    );
    assert.ok(answer.host);
    for (const one of answer.host.classes)
      assert.equal(one.count, classes.get(`${one.class} ${one.state}`), one.class);
    assert.equal(answer.host.classes.length, classes.size);
    const best = [...places.values()]
      .sort((a, b) => b - a)
      .slice(0, answer.host.destinations.length);
    assert.deepEqual(
      answer.host.destinations.map(({ sessions }) => sessions),
      best,
    );
    for (const to of answer.host.destinations)
      assert.equal(to.sessions, places.get(`${to.protocol} ${parseIpv4(to.address)}:${to.port}`));
  });

  it('answers two who ask at once by one look', async () => {
    const house = new House();
    const [one, two] = await Promise.all([house.why.answer(), house.why.answer()]);
    assert.equal(one, two);
    assert.notEqual(await house.why.answer(), one);
  });

  it('tells what was lost before the gateway, and forgets it after five quiet minutes', async () => {
    const house = new House({ capacity: 1_024 });
    await house.pass(10);
    house.lost = 500;
    await house.pass(10);
    assert.equal(find(await house.why.answer(), 'queue-full').numbers.count, 500);
    await house.pass(STREAK_QUIET_MS / 1_000);
    assert.deepEqual(kindsOf(await house.why.answer()), []);
    assert.equal((await house.why.answer()).minutes.length, 6);
    await house.pass(4_000);
    assert.equal((await house.why.answer()).minutes.length, 61);
  });

  it('begins at what a predecessor counted', async () => {
    const house = new House();
    house.bench.table.parts.counters[COUNTER_DROPS + Drop.PrivateDestination] = 4_711;
    const { arena } = house.bench.table.parts;
    const later = new Why({
      arena,
      portCount: 240,
      view: () => ({ source: house.source, degraded: undefined }),
      lostAtTun: () => 0,
      clock: () => house.wall,
    });
    assert.deepEqual(kindsOf(await later.answer()), []);
  });
});

describe('refusals by host', () => {
  const destination = parseIpv4('192.0.2.7');

  it('keep the host that sends all day among a thousand that send once', () => {
    const tally = new RefusalTally();
    const steady = parseIpv4('192.168.1.30');
    for (let i = 0; i < 5; i++) tally.note(32, EPOCH + i, steady, destination, 59870, 17);
    for (let i = 0; i < 1_000; i++)
      tally.note(32, EPOCH + 10 + i, parseIpv4('10.0.0.1') + i, destination + i, i, 17);
    const hosts = tally.hosts(32, EPOCH + 2_000);
    assert.equal(hosts[0].address, '192.168.1.30');
    assert.equal(hosts[0].told, 5);
    assert.equal(hosts.length, 128);
    assert.ok(tally.addresses(EPOCH + 2_000).has(steady));
  });

  it('keep the destination that occurs most among many, and begin anew after a pause', () => {
    const tally = new RefusalTally();
    const host = parseIpv4('192.168.1.30');
    for (let i = 0; i < 200; i++) {
      tally.note(10, EPOCH + i, host, destination, 53, 17);
      tally.note(10, EPOCH + i, host, destination + 1 + i, 80, 6);
    }
    const [found] = tally.hosts(10, EPOCH + 1_000);
    assert.deepEqual(
      [found.destinations[0].address, found.destinations[0].port, found.destinations[0].told],
      ['192.0.2.7', 53, 200],
    );
    assert.equal(found.destinations.length, 16);

    const later = EPOCH + 1_000 + STREAK_QUIET_MS + 1_000;
    assert.deepEqual(tally.hosts(10, later), []);
    tally.note(10, later, host, destination, 53, 17);
    const [again] = tally.hosts(10, later);
    assert.deepEqual([again.told, again.sinceMs], [1, later]);
  });
});
