/** Dead destinations, in virtual time: who is counted, when, and who gives way. */
import assert from 'node:assert/strict';
import type { Policy } from '../../../core/policy.ts';
import { State } from '../../../core/state.ts';
import { S_COMMIT, S_PACKETS_IN } from '../../../core/table/arena.ts';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { SESSION_SHIFT } from '../../../core/table/sessions.ts';
import { PROTOCOL_UDP, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { buildPolicy, presetPolicy } from '../../../policies/build.ts';
import { PRESETS } from '../../../policies/settings.ts';
import {
  Bench,
  type BenchOptions,
  endpoints,
  mapePorts,
  withProfile,
} from '../../support/gateway.ts';
import { echo4, udp4 } from '../../support/packets.ts';

const PC = '192.168.1.11';
const DEAD = '198.51.100.211';
const MOST = 4;

const benchOf = (more: BenchOptions = {}): Bench =>
  new Bench({ policy: presetPolicy('home'), ...more });

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

/** The session of an endpoint with a remote endpoint, or -1. */
function sessionOf(bench: Bench, host: string, port: number, to: string): number {
  const [address, remotePort] = to.split(':');
  const ports = (port << 16) | Number(remotePort);
  const { sessions } = bench.table.parts;
  return sessions.findInternal(parseIpv4(host), parseIpv4(address), ports, PROTOCOL_UDP);
}

const isThere = (bench: Bench, port: number, to: string, host = PC): boolean =>
  sessionOf(bench, host, port, to) >= 0;

const listed = (bench: Bench, host: string, remote: string): number => {
  const { hosts, unanswered } = bench.table.parts;
  return unanswered.count(hosts.find(parseIpv4(host)), parseIpv4(remote));
};

const gaveWay = (bench: Bench): number => bench.table.parts.counters[Counter.UnansweredGaveWay];

const send = (bench: Bench, port: number, to: string, host = PC): Uint8Array =>
  bench.pass4(udp4({ from: `${host}:${port}`, to }));

const answer = (bench: Bench, out: Uint8Array): void => {
  const { from, to } = endpoints(out);
  bench.pass4(udp4({ from: to, to: from }));
};

const assertSound = (bench: Bench): void => assert.deepEqual(selfCheck(bench.table.parts), []);

describe('sessions to a dead destination', () => {
  it('are left alone until they are older than three seconds, then all but four give way, oldest first', () => {
    const bench = benchOf();
    for (let n = 0; n < 8; n++) {
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
      if (n % 2 === 1) bench.pass(0.25);
    }
    // The first two are 3.0 s old now, and the last two 2.25 s.
    bench.pass(2);
    assert.equal(gaveWay(bench), 0);
    assert.equal(bench.table.parts.sessions.count, 8);
    bench.pass(2);
    assert.equal(gaveWay(bench), 4);
    for (let n = 0; n < 8; n++)
      assert.equal(isThere(bench, 5000 + n, `${DEAD}:${9000 + n}`), n >= 4, `session ${n}`);
    assertSound(bench);
  });

  it('lose nothing in an honest burst: what is answered within three seconds is never counted', () => {
    const bench = benchOf();
    const sent: Uint8Array[] = [];
    for (let n = 0; n < 200; n++) sent.push(send(bench, 5000 + n, `${DEAD}:${9000 + n}`));
    bench.pass(2.75);
    for (const out of sent) answer(bench, out);
    bench.pass(10);
    assert.deepEqual([gaveWay(bench), bench.table.parts.sessions.count], [0, 200]);
    assert.equal(bench.table.parts.unanswered.pairs, 0);
  });

  it('are counted by host and by address, whatever the port', () => {
    const bench = benchOf();
    for (let n = 0; n < 6; n++) {
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`, '192.168.1.12');
      send(bench, 6000 + n, `198.51.100.${20 + n}:9000`);
    }
    bench.pass(5);
    assert.equal(listed(bench, PC, DEAD), MOST);
    assert.equal(listed(bench, '192.168.1.12', DEAD), MOST);
    for (let n = 0; n < 6; n++) assert.equal(listed(bench, PC, `198.51.100.${20 + n}`), 1);
    assert.equal(gaveWay(bench), 4);
    assertSound(bench);
  });

  it('leave the list with the first answer, wherever they stand in it, and count as answered', () => {
    for (const answered of [0, 1, 2, 3]) {
      const bench = benchOf();
      const sent: Uint8Array[] = [];
      for (let n = 0; n < MOST; n++) {
        sent.push(send(bench, 5000 + n, `${DEAD}:9000`));
        bench.pass(0.25);
      }
      bench.pass(4);
      assert.equal(listed(bench, PC, DEAD), MOST);
      answer(bench, sent[answered]);
      assert.equal(listed(bench, PC, DEAD), MOST - 1);
      assertSound(bench);
      const { words } = bench.table.parts.sessions;
      const at = sessionOf(bench, PC, 5000 + answered, `${DEAD}:9000`) << SESSION_SHIFT;
      assert.deepEqual([words[at + S_COMMIT] & 63, words[at + S_PACKETS_IN]], [State.Answered, 1]);
      // Its place is free for a younger one.
      send(bench, 6000, `${DEAD}:9000`);
      bench.pass(5);
      assert.deepEqual([listed(bench, PC, DEAD), gaveWay(bench)], [MOST, 0]);
      assertSound(bench);
    }
  });

  it('stay in order of age though the sweep comes by record', () => {
    const bench = benchOf();
    // Records that were freed are taken last in, first out, so age and record number run against each other.
    for (let n = 0; n < 40; n++) send(bench, 4000 + n, `198.51.100.9:${9000 + n}`);
    bench.pass(40);
    assert.equal(bench.table.parts.sessions.count, 0);
    const before = gaveWay(bench);
    for (let n = 0; n < 40; n++) {
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
      if (n % 8 === 7) bench.pass(0.25);
    }
    bench.pass(6);
    assert.deepEqual([listed(bench, PC, DEAD), gaveWay(bench) - before], [MOST, 36]);
    const left = Array.from({ length: 40 }, (_, n) => n).filter((n) =>
      isThere(bench, 5000 + n, `${DEAD}:${9000 + n}`),
    );
    assert.equal(left.length, MOST);
    assert.ok(
      left.every((n) => n >= 32),
      `${left} are not the youngest`,
    );
    assertSound(bench);
  });

  it('are not counted while they go on sending: a stream in one direction would come back at once', () => {
    const bench = benchOf();
    const stream = (): void => {
      for (let n = 0; n < 10; n++) send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
    };
    stream();
    for (let second = 0; second < 20; second++) {
      bench.pass(1);
      stream();
    }
    assert.deepEqual([gaveWay(bench), bench.table.parts.sessions.count], [0, 10]);
    bench.pass(3);
    assert.equal(gaveWay(bench), 0, 'the last packets are three seconds old');
    bench.pass(1.25);
    assert.deepEqual([gaveWay(bench), listed(bench, PC, DEAD)], [6, MOST]);
    // One of those that are left speaks again, and is left alone; its place is for another one.
    const speaker = Array.from({ length: 10 }, (_, n) => n).find((n) =>
      isThere(bench, 5000 + n, `${DEAD}:${9000 + n}`),
    );
    assert.ok(speaker !== undefined);
    send(bench, 5000 + speaker, `${DEAD}:${9000 + speaker}`);
    send(bench, 6000, `${DEAD}:9999`);
    bench.pass(2);
    assert.equal(listed(bench, PC, DEAD), MOST - 1);
    assertSound(bench);
  });

  it('are not capped where the profile has no limit, and by that of the LAN where two differ', () => {
    const open = { ...PRESETS.home, unansweredPerRemote: 0 };
    const policy = buildPolicy({ profiles: [PRESETS.home, open], profileOfLan: [0, 1] });
    const bench = benchOf({ policy });
    for (let n = 0; n < 10; n++) {
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`, '10.0.0.2');
    }
    bench.pass(6);
    assert.deepEqual([gaveWay(bench), bench.table.parts.sessions.count], [6, 14]);
  });

  it('give way one by one when a reload allows fewer', () => {
    const bench = benchOf();
    for (let n = 0; n < MOST; n++) send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
    bench.pass(5);
    assert.equal(gaveWay(bench), 0);
    bench.table.setPolicy(withProfile(presetPolicy('home'), { unansweredPerRemoteMax: 1 }));
    bench.pass(1.25);
    assert.deepEqual([listed(bench, PC, DEAD), gaveWay(bench)], [1, 3]);
    assert.ok(isThere(bench, 5003, `${DEAD}:9003`));
    assertSound(bench);
  });

  it('do not count pings', () => {
    const bench = benchOf();
    for (let n = 0; n < 20; n++) bench.pass4(echo4({ from: `${PC}:${n + 1}`, to: DEAD }));
    bench.pass(8);
    assert.deepEqual([gaveWay(bench), bench.table.parts.sessions.count], [0, 20]);
  });
});

describe('peers with a port of their own', () => {
  it('keep their unanswered sessions: their end would free no port, and would close the filter', () => {
    const bench = benchOf();
    const server = '203.0.113.10:3478';
    const out = bench.pass4(udp4({ from: `${PC}:5000`, to: server, payload: stun() }));
    answer(bench, out);
    for (let n = 0; n < 12; n++)
      bench.pass4(udp4({ from: `${PC}:5000`, to: `${DEAD}:${9000 + n}`, payload: stun() }));
    bench.pass(8);
    assert.deepEqual([gaveWay(bench), bench.table.parts.sessions.count], [0, 13]);
    // A peer that is late comes in from an address that was written to, at any port.
    const late = bench.pass4(udp4({ from: `${DEAD}:777`, to: endpoints(out).from }));
    assert.equal(endpoints(late).to, `${PC}:5000`);
    assertSound(bench);
  });

  it('give it back when it was for a dead destination alone', () => {
    const bench = benchOf();
    for (let n = 0; n < 40; n++) {
      bench.pass4(udp4({ from: `${PC}:${5000 + n}`, to: `${DEAD}:3478`, payload: stun() }));
      bench.pass(0.75);
      assert.ok(bench.table.parts.ports.ownedTotal <= 8);
    }
    bench.pass(4);
    assert.deepEqual([listed(bench, PC, DEAD), bench.table.parts.sessions.count], [MOST, MOST]);
    assert.ok(bench.table.parts.ports.ownedTotal <= MOST);
    assertSound(bench);
  });
});

describe('the mouse driver', () => {
  /** Ports of the set that carry a session of PC to the dead laptop. */
  const heldPorts = (bench: Bench): number => bench.table.parts.ports.usedCount[1];

  it('holds a handful of ports for a quarter of an hour, four packets every three seconds from new source ports', () => {
    const bench = benchOf();
    let most = 0;
    for (let round = 0; round < 300; round++) {
      for (let n = 0; n < 4; n++)
        send(bench, 1024 + ((round * 4 + n) % 60_000), `${DEAD}:${n % 2 ? 59870 : 59781}`);
      bench.pass(3);
      most = Math.max(most, heldPorts(bench));
    }
    assert.ok(most <= 12, `${most} ports`);
    assert.equal(bench.table.parts.counters[Counter.SessionsRefused], 0);
    assertSound(bench);
  });

  it('takes nothing from 24,000 answered flows and a peer on the same line', () => {
    const bench = benchOf({ capacity: 32768 });
    const peer = bench.pass4(
      udp4({ from: `${PC}:5000`, to: '203.0.113.10:3478', payload: stun() }),
    );
    answer(bench, peer);
    const flow = (n: number): [from: string, to: string] => [
      `10.1.${Math.floor(n / 250)}.${(n % 250) + 1}:${5000 + (n % 7)}`,
      `203.0.113.${(n % 100) + 100}:9000`,
    ];
    const first: Uint8Array[] = [];
    for (let n = 0; n < 24_000; n++) {
      const [from, to] = flow(n);
      first.push(bench.pass4(udp4({ from, to })));
      answer(bench, first[n]);
    }
    for (let round = 0; round < 10; round++) {
      for (let n = 0; n < 4; n++) send(bench, 20_000 + round * 4 + n, `${DEAD}:59870`);
      bench.pass(3);
    }
    assert.ok(gaveWay(bench) > 20);
    for (let n = 0; n < 24_000; n++) {
      const [from, to] = flow(n);
      assert.equal(
        endpoints(bench.pass4(udp4({ from, to }))).from,
        endpoints(first[n]).from,
        `flow ${n} has moved`,
      );
    }
    const late = bench.pass4(udp4({ from: '203.0.113.10:9', to: endpoints(peer).from }));
    assert.equal(endpoints(late).to, `${PC}:5000`);
    assert.equal(bench.table.parts.counters[Counter.SessionsEvicted], 0);
    assertSound(bench);
  }).timeout(30_000);

  it('leaves a port scan its answers: a thousand ports of one host, of which thirty are open', () => {
    const bench = benchOf();
    const open = new Set(Array.from({ length: 30 }, (_, n) => 100 + n * 30));
    // As nmap -sU does it: a few probes at a time, the answer at once or never.
    for (let port = 1; port <= 1000; port++) {
      const out = send(bench, 40_000 + port, `${DEAD}:${port}`);
      assert.equal(out[9], 17, `port ${port} was refused`);
      if (open.has(port)) answer(bench, out);
      if (port % 10 === 0) bench.pass(0.25);
    }
    bench.pass(4);
    for (const port of open)
      assert.ok(isThere(bench, 40_000 + port, `${DEAD}:${port}`), `port ${port}`);
    assert.equal(listed(bench, PC, DEAD), MOST);
    assert.equal(bench.table.parts.sessions.count, open.size + MOST);
    assertSound(bench);
  });
});

describe('the lists of unanswered sessions', () => {
  it('are made anew after a restart, within a second', () => {
    const bench = benchOf();
    for (let n = 0; n < MOST; n++) {
      send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
      bench.pass(0.5);
    }
    bench.pass(5);
    assert.equal(listed(bench, PC, DEAD), MOST);
    const buffer = bench.table.parts.arena.header.buffer as ArrayBuffer;
    const next = benchOf({ arena: buffer.slice(0), now: bench.now, seed: 7 });
    assert.equal(next.table.restore().sessions, MOST);
    assertSound(next);
    assert.equal(next.table.parts.unanswered.pairs, 0);
    next.pass(1.25);
    assert.equal(listed(next, PC, DEAD), MOST);
    send(next, 6000, `${DEAD}:9000`);
    next.pass(4.5);
    assert.equal(gaveWay(next), bench.table.parts.counters[Counter.UnansweredGaveWay] + 1);
    assert.ok(!isThere(next, 5000, `${DEAD}:9000`), 'the oldest');
    assertSound(next);
  });

  it('have room for 256 pairs in a small table; beyond that single ones are forgotten for a heavy one', () => {
    const policy: Policy = withProfile(presetPolicy('home'), {
      sessionsPerHostMax: 0,
      newPerSecondMax: 0,
    });
    const bench = benchOf({ policy, capacity: 4096 });
    for (let n = 0; n < 1500; n++)
      send(bench, 5000 + n, `198.51.${n >> 8}.${n & 255 || 255}:9000`, '10.0.0.2');
    bench.pass(4);
    const { unanswered } = bench.table.parts;
    assert.equal(unanswered.pairs, 256);
    for (let n = 0; n < 100; n++) send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
    // Each is looked at every eighth second while there is no room.
    bench.pass(16);
    assert.ok(unanswered.pairs <= 256);
    assert.ok(listed(bench, PC, DEAD) <= MOST);
    const dead = Array.from({ length: 100 }, (_, n) => n).filter((n) =>
      isThere(bench, 5000 + n, `${DEAD}:${9000 + n}`),
    );
    assert.ok(dead.length <= MOST + 2, `${dead.length} of 100 are left`);
    assert.equal(unanswered.uncapped, 0);
    assertSound(bench);
  });

  it('count what finds no room where every pair is a heavy one', () => {
    const policy = withProfile(presetPolicy('home'), { newPerSecondMax: 0 });
    const bench = benchOf({ policy, capacity: 4096 });
    for (let n = 0; n < 300; n++)
      for (let k = 0; k < 2; k++)
        send(bench, 5000 + n * 2 + k, `198.51.${n >> 8}.${n & 255 || 255}:${9000 + k}`, '10.0.0.2');
    // With both of its sessions found, a pair is not forgotten for another.
    bench.pass(8);
    assert.equal(bench.table.parts.unanswered.pairs, 256);
    assert.ok(bench.table.parts.unanswered.uncapped > 0);
    assert.equal(
      bench.table.parts.counters[Counter.UnansweredUncapped],
      bench.table.parts.unanswered.uncapped,
    );
    assertSound(bench);
  });

  it('are checked: a list that lost its order, its count or a session is found out', () => {
    const damage: ((bench: Bench) => void)[] = [
      (bench) => {
        const at = sessionOf(bench, PC, 5001, `${DEAD}:9001`) << SESSION_SHIFT;
        bench.table.parts.sessions.words[at + S_PACKETS_IN] = 0;
      },
      (bench) => {
        const at = sessionOf(bench, PC, 5002, `${DEAD}:9002`) << SESSION_SHIFT;
        bench.table.parts.sessions.words[at + S_PACKETS_IN + 1] = 0;
      },
      (bench) => {
        const at = sessionOf(bench, PC, 5000, `${DEAD}:9000`) << SESSION_SHIFT;
        bench.table.parts.sessions.words[at + S_PACKETS_IN] += 1;
      },
    ];
    for (const harm of damage) {
      const bench = benchOf();
      for (let n = 0; n < MOST; n++) send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
      bench.pass(5);
      assertSound(bench);
      harm(bench);
      assert.notDeepEqual(selfCheck(bench.table.parts), []);
    }
  });

  it('fit into 255 sessions a pair', () => {
    const policy = withProfile(presetPolicy('home'), { unansweredPerRemoteMax: 10_000 });
    const bench = benchOf({ policy, ports: mapePorts() });
    for (let n = 0; n < 400; n++) send(bench, 5000 + n, `${DEAD}:${9000 + n}`);
    bench.pass(6);
    assert.equal(listed(bench, PC, DEAD), 255);
    assertSound(bench);
  });
});
