/** The level of pressure: what raises it, what ends it, what it does and what is written down of it. All in virtual time. */
import assert from 'node:assert/strict';
import type { FirstPacket, Policy } from '../../../core/policy.ts';
import { EVENT_WORDS } from '../../../core/table/arena.ts';
import {
  COUNTER_PRESSURE_CAUSE,
  COUNTER_PRESSURE_FILL,
  COUNTER_PRESSURE_RECORD,
  Counter,
  PRESSURE_RECORD_WORDS,
  PressureRecord,
} from '../../../core/table/counters.ts';
import { Event } from '../../../core/table/events.ts';
import { PressureCause } from '../../../core/table/pressure.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { formatIpv4, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { presetPolicy } from '../../../policies/build.ts';
import {
  Bench,
  type BenchOptions,
  endpoints,
  mapePorts,
  withProfile,
} from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

const LEVELS = [128, 192, 240] as const;
const CAPACITY = 1024;

/** `home` without limits of a host, with levels at a half, three quarters and fifteen sixteenths. */
const policy = (more: Partial<Policy> = {}): Policy => ({
  ...withProfile(presetPolicy('home', { privateDestinations: 'allow' }), {
    sessionsPerHostMax: 0,
    newPerSecondMax: 0,
    unansweredPerRemoteMax: 0,
  }),
  reserveSessions: 0,
  reserveOwnSessions: 0,
  pressure: { levelAt256: LEVELS, evictFrom: 4 },
  ...more,
});

const benchOf = (more: BenchOptions = {}): Bench =>
  new Bench({ capacity: CAPACITY, policy: policy(), ...more });

const levelOf = (bench: Bench): number => bench.table.pressureLevel;
const fillOf = (bench: Bench, cause: number): number =>
  bench.table.parts.counters[COUNTER_PRESSURE_FILL + cause];
const record = (bench: Bench, level: number, kind: number): number =>
  bench.table.parts.counters[COUNTER_PRESSURE_RECORD + level * PRESSURE_RECORD_WORDS + kind];

/** The n-th flow: an endpoint and a remote of its own, answered at once. */
function flow(bench: Bench, n: number): void {
  const to = `${formatIpv4(parseIpv4('198.51.0.0') + 1 + n)}:9000`;
  const out = bench.pass4(udp4({ from: `10.0.${(n >> 8) + 1}.${n & 255 || 255}:5000`, to }));
  bench.pass4(udp4({ from: to, to: endpoints(out).from }));
}

/** Sends again on flows `from` to `to`, so that they do not grow old. */
function keep(bench: Bench, from: number, to: number): void {
  for (let n = from; n < to; n++) {
    const remote = `${formatIpv4(parseIpv4('198.51.0.0') + 1 + n)}:9000`;
    bench.pass4(udp4({ from: `10.0.${(n >> 8) + 1}.${n & 255 || 255}:5000`, to: remote }));
  }
}

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

interface Change {
  level: number;
  cause: number;
}

/** Changes of the level that events tell of, in order. */
function changes(bench: Bench): Change[] {
  const { events } = bench.table.parts.arena;
  const found: [sequence: number, change: Change][] = [];
  for (let at = 0; at < events.length; at += EVENT_WORDS)
    if (events[at] > 0 && events[at + 2] >>> 24 === Event.PressureChanged)
      found.push([events[at], { level: events[at + 7] >> 8, cause: events[at + 7] & 0xff }]);
  return found.sort(([a], [b]) => a - b).map(([, change]) => change);
}

describe('the level of pressure', () => {
  it('begins where the fill of the table reaches a threshold, within a second, and not below', () => {
    const bench = benchOf();
    bench.pass(0.25);
    for (let n = 0; n < 511; n++) flow(bench, n);
    bench.pass(1.25);
    assert.deepEqual([fillOf(bench, PressureCause.Table), levelOf(bench)], [127, 0]);
    flow(bench, 511);
    bench.pass(1.25);
    assert.deepEqual([fillOf(bench, PressureCause.Table), levelOf(bench)], [128, 1]);
    for (let n = 512; n < 768; n++) flow(bench, n);
    bench.pass(1.25);
    assert.equal(levelOf(bench), 2);
    for (let n = 768; n < 960; n++) flow(bench, n);
    bench.pass(1.25);
    assert.equal(levelOf(bench), 3);
    assert.deepEqual(
      changes(bench),
      [1, 2, 3].map((level) => ({ level, cause: PressureCause.Table })),
    );
    const { counters } = bench.table.parts;
    assert.deepEqual([counters[Counter.PressureLevel], counters[Counter.PressureChanges]], [3, 3]);
    assert.equal(counters[COUNTER_PRESSURE_CAUSE], PressureCause.Table);
  });

  it('goes from 0 to 3 at once when the table fills within a second', () => {
    const bench = benchOf();
    bench.pass(1);
    for (let n = 0; n < 1000; n++) flow(bench, n);
    bench.pass(1);
    assert.equal(levelOf(bench), 3);
    assert.deepEqual(changes(bench), [{ level: 3, cause: PressureCause.Table }]);
  });

  it('ends when the fill has been 16/256 below its beginning for five seconds, and no sooner', () => {
    // The timers are long at each level: nothing ends but what the test lets end.
    const timers = presetPolicy('rfc').timers;
    const bench = benchOf({ policy: policy({ timers }) });
    const endTo = (count: number): void => {
      const { sessions } = bench.table.parts;
      for (let session = sessions.capacity - 1; sessions.count > count; session--)
        if ((sessions.words[session * 16 + 4] & 63) !== 0) bench.table.end(session);
    };
    for (let n = 0; n < 512; n++) flow(bench, n);
    bench.pass(1);
    assert.equal(levelOf(bench), 1);
    // 112/256 of 1,024 are 448 sessions: that is not yet 16 below.
    endTo(448);
    bench.pass(20);
    assert.equal(levelOf(bench), 1);
    endTo(447);
    bench.pass(5);
    assert.equal(levelOf(bench), 1, 'four checks have seen it, the fifth is due');
    bench.pass(1);
    assert.equal(levelOf(bench), 0);
    assert.deepEqual(changes(bench), [
      { level: 1, cause: PressureCause.Table },
      { level: 0, cause: PressureCause.Table },
    ]);
  });

  it('begins its five seconds anew when the fill comes back in between', () => {
    const timers = presetPolicy('rfc').timers;
    const bench = benchOf({ policy: policy({ timers }) });
    for (let n = 0; n < 512; n++) flow(bench, n);
    bench.pass(1);
    const { sessions } = bench.table.parts;
    for (let round = 0; round < 5; round++) {
      for (let session = 511; sessions.count > 440; session--)
        if ((sessions.words[session * 16 + 4] & 63) !== 0) bench.table.end(session);
      bench.pass(4);
      assert.equal(levelOf(bench), 1);
      keep(bench, 0, 512);
      bench.pass(1);
    }
    assert.equal(bench.table.parts.counters[Counter.PressureChanges], 1);
  });

  it('falls from 3 to 0 in one step when all is over at once', () => {
    const bench = benchOf();
    for (let n = 0; n < 1000; n++) flow(bench, n);
    bench.pass(1);
    assert.equal(levelOf(bench), 3);
    const { sessions } = bench.table.parts;
    for (let session = 0; session < CAPACITY; session++)
      if ((sessions.words[session * 16 + 4] & 63) !== 0) bench.table.end(session);
    bench.pass(7);
    assert.deepEqual(
      changes(bench).map(({ level }) => level),
      [3, 0],
    );
    assert.equal(bench.table.parts.counters[COUNTER_PRESSURE_CAUSE], 0);
  });

  it('survives a clock that is set back', () => {
    const bench = benchOf();
    for (let n = 0; n < 600; n++) flow(bench, n);
    bench.pass(1);
    assert.equal(levelOf(bench), 1);
    const { sessions } = bench.table.parts;
    for (let session = 0; session < CAPACITY; session++)
      if ((sessions.words[session * 16 + 4] & 63) !== 0) bench.table.end(session);
    bench.pass(2);
    bench.now -= 500_000;
    bench.pass(8);
    assert.equal(levelOf(bench), 0);
  });

  it('never begins where its threshold is beyond full', () => {
    const bench = benchOf({
      policy: policy({ pressure: { levelAt256: [257, 257, 257], evictFrom: 4 } }),
    });
    for (let n = 0; n < CAPACITY; n++) flow(bench, n);
    bench.pass(3);
    assert.deepEqual([fillOf(bench, PressureCause.Table), levelOf(bench)], [256, 0]);
  });

  it('is there for policies to see', () => {
    const seen: number[] = [];
    const base = policy();
    const decide = (first: FirstPacket): number => {
      seen.push(first.pressure);
      return base.decide(first);
    };
    const bench = benchOf({ policy: { ...base, decide } });
    for (let n = 0; n < 800; n++) flow(bench, n);
    bench.pass(1);
    flow(bench, 900);
    assert.deepEqual([seen[0], seen.at(-1)], [0, 2]);
  });

  it('is found again after a restart, and the record goes on', () => {
    const bench = benchOf();
    for (let n = 0; n < 600; n++) flow(bench, n);
    bench.pass(3);
    const seconds = record(bench, 1, PressureRecord.Seconds);
    assert.ok(seconds >= 2);
    const buffer = bench.table.parts.arena.header.buffer as ArrayBuffer;
    const next = benchOf({ arena: buffer.slice(0), now: bench.now, seed: 7 });
    next.table.restore();
    next.pass(1.25);
    assert.equal(levelOf(next), 1);
    assert.equal(record(next, 0, PressureRecord.Refused), record(bench, 0, PressureRecord.Refused));
    next.pass(2);
    assert.ok(record(next, 1, PressureRecord.Seconds) > seconds);
  });
});

describe('owned ports', () => {
  it('are short when peers own most of what they may: a level by 135 of 180', () => {
    const bench = benchOf();
    const own = (host: number, port: number): void => {
      bench.pass4(
        udp4({ from: `10.9.0.${host}:${port}`, to: '203.0.113.10:3478', payload: stun() }),
      );
    };
    for (let n = 0; n < 89; n++) own(1 + Math.floor(n / 8), 6000 + n);
    bench.pass(1.25);
    assert.deepEqual([fillOf(bench, PressureCause.OwnedPorts), levelOf(bench)], [126, 0]);
    own(60, 6000);
    bench.pass(1.25);
    assert.deepEqual([fillOf(bench, PressureCause.OwnedPorts), levelOf(bench)], [128, 1]);
    for (let n = 0; n < 45; n++) own(61 + Math.floor(n / 8), 6000 + n);
    bench.pass(1.25);
    assert.equal(levelOf(bench), 2);
    assert.equal(bench.table.parts.ports.ownedTotal, 135);
    assert.deepEqual(changes(bench).at(-1), { level: 2, cause: PressureCause.OwnedPorts });
  });

  it('are never short where nobody may own any', () => {
    const bench = benchOf({ policy: withProfile(policy(), { ownedShare256: 0 }) });
    bench.pass(2);
    assert.deepEqual([fillOf(bench, PressureCause.OwnedPorts), levelOf(bench)], [0, 0]);
  });
});

describe('destinations', () => {
  const BUSY = '203.0.113.80:443';
  const to = (bench: Bench, n: number, remote = BUSY): boolean =>
    bench.pass4(udp4({ from: `10.7.${n >> 8}.${n & 255 || 255}:7000`, to: remote }))[9] === 17;

  it('raise level 1 where one is half full and asked for, and forget it when nobody asks any more', () => {
    const bench = benchOf();
    bench.pass(0.25);
    for (let n = 0; n < 119; n++) to(bench, n);
    bench.pass(1);
    assert.deepEqual([fillOf(bench, PressureCause.Destinations), levelOf(bench)], [126, 0]);
    to(bench, 119);
    bench.pass(1);
    assert.deepEqual([fillOf(bench, PressureCause.Destinations), levelOf(bench)], [128, 1]);
    bench.pass(8);
    assert.equal(levelOf(bench), 0, 'though its sessions are still there');
    assert.equal(bench.table.parts.sessions.count, 120);
  });

  it('are the affair of those who talk to them: one alone, however full, is worth level 1', () => {
    const bench = benchOf();
    for (let n = 0; n < 240; n++) assert.ok(to(bench, n));
    for (let n = 0; n < 50; n++) assert.ok(!to(bench, 300 + n));
    bench.pass(1);
    assert.equal(levelOf(bench), 1);
    assert.equal(bench.table.parts.counters[COUNTER_PRESSURE_FILL], 256, 'the busiest is full');
    assert.deepEqual(changes(bench), [{ level: 1, cause: PressureCause.Destinations }]);
  });

  it('raise level 2 where 4 refuse somebody in a second, level 3 where 16 do', () => {
    const ports = mapePorts().slice(0, 24);
    const refusing = (count: number): Bench => {
      const bench = benchOf({ ports });
      for (let remote = 0; remote < count; remote++)
        for (let n = 0; n < 26; n++) to(bench, n, `203.0.113.${remote + 10}:443`);
      bench.pass(1);
      return bench;
    };
    assert.equal(levelOf(refusing(3)), 1);
    assert.equal(levelOf(refusing(4)), 2);
    assert.equal(levelOf(refusing(15)), 2);
    const bench = refusing(16);
    assert.equal(levelOf(bench), 3);
    assert.deepEqual(changes(bench), [{ level: 3, cause: PressureCause.Destinations }]);
    bench.pass(8);
    assert.equal(levelOf(bench), 0);
  });

  /** The highest level, and what was refused, while so many hosts together begin 1,920 sessions a second to 16 destinations. */
  const floodBy = (hosts: number): { level: number; refused: number } => {
    const bench = new Bench({ policy: presetPolicy('home'), capacity: 16_384 });
    let level = 0;
    for (let quarter = 0, n = 0; quarter < 20; quarter++) {
      for (const end = n + 480; n < end; n++) {
        const from = `192.168.1.${66 + ((n >> 4) % hosts)}:${1024 + n}`;
        bench.send(udp4({ from, to: `198.51.100.${1 + (n & 15)}:9000` }));
      }
      bench.pass(0.25);
      level = Math.max(level, levelOf(bench));
    }
    assert.equal(bench.dropCount('HostRateLimit'), 0);
    return { level, refused: bench.dropCount('NoPortLeft') };
  };

  it('count for levels 2 and 3 where different hosts are refused, so that one alone cannot raise them', () => {
    const one = floodBy(1);
    assert.ok(one.refused > 1_000, `${one.refused} refused`);
    assert.equal(one.level, 1);
    assert.equal(floodBy(2).level, 3);
  });

  it('are seen although one host is refused at a thousand others meanwhile', () => {
    const ports = mapePorts().slice(0, 8);
    const bench = benchOf({ ports, capacity: 16_384 });
    bench.pass(1);
    for (let n = 0; n < 1_000; n++)
      for (let i = 0; i < 9; i++)
        bench.send(
          udp4({ from: `192.168.1.66:${2_000 + i}`, to: `198.18.${n >> 8}.${n & 255}:9000` }),
        );
    assert.ok(bench.dropCount('NoPortLeft') >= 1_000);
    for (let remote = 0; remote < 4; remote++)
      for (let n = 0; n < 10; n++) to(bench, n, `203.0.113.${remote + 10}:443`);
    bench.pass(1);
    assert.equal(levelOf(bench), 2);
  });
});

describe('what a level does, and its record', () => {
  it('shortens the timers of all, and counts what ended sooner for it', () => {
    const bench = benchOf();
    // Answered UDP of no class lives 120 s, 90 at level 1.
    for (let n = 0; n < 100; n++) flow(bench, n);
    bench.pass(80);
    for (let n = 400; n < 820; n++) flow(bench, n);
    bench.pass(2);
    assert.equal(levelOf(bench), 1);
    assert.equal(bench.table.parts.sessions.count, 520);
    bench.pass(10);
    assert.equal(bench.table.parts.sessions.count, 420);
    assert.equal(bench.table.parts.counters[Counter.EndedByPressure], 100);
    bench.pass(1);
    assert.equal(record(bench, 1, PressureRecord.EndedSooner), 100);
    assert.equal(record(bench, 0, PressureRecord.EndedSooner), 0);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('does not count what level 0 would have ended as well', () => {
    const bench = benchOf();
    for (let n = 0; n < 100; n++) flow(bench, n);
    bench.pass(60);
    for (let n = 400; n < 1000; n++) flow(bench, n);
    bench.pass(1);
    assert.equal(levelOf(bench), 1);
    // A gateway that was stopped for 100 s: by then level 0 would have ended the first hundred too, after 120 s, and not the others.
    bench.now += 100_000;
    bench.engine.advance(bench.now);
    assert.equal(bench.table.parts.sessions.count, 0);
    assert.equal(bench.table.parts.counters[Counter.EndedByPressure], 600);
  });

  it('tells refusals and evictions apart by the level at which they happened', () => {
    const evicting = policy({ pressure: { levelAt256: LEVELS, evictFrom: 3 } });
    const bench = benchOf({ policy: evicting });
    bench.pass(1);
    // One host takes everything, and grows old enough to be asked for room.
    for (let n = 0; n < CAPACITY; n++)
      bench.pass4(
        udp4({
          from: `10.0.0.2:${2000 + n}`,
          to: `${formatIpv4(parseIpv4('198.51.0.0') + 1 + n)}:9000`,
        }),
      );
    assert.equal(bench.pass4(udp4({ from: '10.0.0.2:1', to: '203.0.113.1:9000' }))[9], 1);
    bench.pass(4);
    assert.equal(levelOf(bench), 3);
    assert.equal(record(bench, 0, PressureRecord.Refused), 1);
    for (let n = 0; n < 10; n++) flow(bench, 2000 + n);
    bench.pass(1);
    assert.equal(record(bench, 3, PressureRecord.Evicted), 10);
    assert.equal(record(bench, 0, PressureRecord.Evicted), 0);
    assert.ok(record(bench, 3, PressureRecord.Seconds) >= 3);
  });
});

describe('a LAN that does not share its ports', () => {
  it('is short of ports to own, and no destination is full for that', () => {
    const levelPlan = policy();
    const [home] = levelPlan.profiles;
    const owning = { ...home, sharing: false, ownedShare256: 64, ownedPerHostMax: 0 };
    const bench = benchOf({ policy: { ...levelPlan, profiles: [owning] } });
    for (let n = 0; n < 60; n++)
      bench.send(udp4({ from: `192.168.1.11:${4000 + n}`, to: '198.51.100.1:999' }));
    bench.pass(1.25);
    // Two hosts each, so that it would count.
    for (let n = 0; n < 20; n++)
      for (const host of [12, 13])
        bench.send(udp4({ from: `192.168.1.${host}:${4000 + n}`, to: `198.51.100.${50 + n}:999` }));
    assert.equal(bench.dropCount('NoPortLeft'), 40);
    bench.pass(1.25);
    assert.equal(fillOf(bench, PressureCause.Destinations), 0);
    assert.equal(fillOf(bench, PressureCause.OwnedPorts), 256);
  });
});
