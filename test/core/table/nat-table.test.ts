import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, endpoints, mapePorts, withProfile } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

const portOf = (packet: Uint8Array): number => Number(endpoints(packet).from.split(':')[1]);

/** The n-th internal endpoint: 60,000 ports on each of many hosts. */
const inside = (n: number): string =>
  `10.1.${Math.floor(n / 250) & 255}.${(n % 250) + 1}:${5000 + (n >> 16)}`;

/** A binding request of STUN with its magic cookie. */
const stunRequest = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

describe('sharing ports among endpoints', () => {
  it('carries 240 sessions to one remote endpoint on 240 ports, and refuses the next one with ICMP 3/13', () => {
    const bench = new Bench();
    const used = new Set<number>();
    for (let n = 0; n < 240; n++)
      used.add(portOf(bench.pass4(udp4({ from: inside(n), to: '198.51.100.1:53' }))));
    assert.equal(used.size, 240);

    const refused = bench.pass4(udp4({ from: inside(240), to: '198.51.100.1:53' }));
    assert.deepEqual([refused[9], refused[20], refused[21]], [1, 3, 13]);
    assert.equal(bench.dropCount('NoPortLeft'), 1);
    assert.equal(bench.table.parts.counters[Counter.SessionsRefused], 1);
    // Another remote endpoint does not notice.
    bench.pass4(udp4({ from: inside(240), to: '198.51.100.2:53' }));
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('holds 24,000 of 24,000 sessions to 100 remote endpoints, each at the same port when it comes again', () => {
    const bench = new Bench({ capacity: 32768 });
    const first = new Int32Array(24000);
    const send = (n: number): number =>
      portOf(bench.pass4(udp4({ from: inside(n), to: `198.51.100.${(n % 100) + 1}:53` })));
    for (let n = 0; n < 24000; n++) first[n] = send(n);
    for (let n = 0; n < 24000; n++) assert.equal(send(n), first[n]);
    assert.equal(bench.table.parts.counters[Counter.SessionsRefused], 0);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('keeps an endpoint at its port towards other remotes, and counts those that were diverted', () => {
    const bench = new Bench({ capacity: 32768 });
    let moved = 0;
    for (let n = 0; n < 6000; n++) {
      const a = portOf(
        bench.pass4(udp4({ from: inside(n), to: `198.51.100.${(n % 100) + 1}:53` })),
      );
      const b = portOf(
        bench.pass4(udp4({ from: inside(n), to: `203.0.113.${((n * 31) % 89) + 6}:53` })),
      );
      if (a !== b) moved++;
    }
    assert.equal(bench.table.parts.counters[Counter.SessionsDiverted], moved);
    assert.ok(moved > 0 && moved < 6000 * 0.2, `${moved} of 6,000 were diverted`);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('frees what it held when sessions end', () => {
    const bench = new Bench();
    for (let n = 0; n < 1000; n++)
      bench.pass4(udp4({ from: inside(n), to: `198.51.100.${(n % 10) + 1}:53` }));
    bench.pass(302);
    const { sessions, mappings, remotes, ports } = bench.table.parts;
    assert.deepEqual(
      [sessions.count, mappings.count, remotes.count, ports.usedCount[1]],
      [0, 0, 0, 0],
    );
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('lets an unanswered session give way after three seconds, never an answered one', () => {
    const bench = new Bench();
    for (let n = 0; n < 240; n++) {
      const out = bench.pass4(udp4({ from: inside(n), to: '198.51.100.1:53' }));
      if (n > 0) bench.pass4(udp4({ from: '198.51.100.1:53', to: endpoints(out).from }));
    }
    assert.equal(bench.pass4(udp4({ from: inside(300), to: '198.51.100.1:53' }))[9], 1);
    bench.pass(3.5);
    assert.equal(bench.pass4(udp4({ from: inside(301), to: '198.51.100.1:53' }))[9], 17);
    assert.equal(bench.pass4(udp4({ from: inside(302), to: '198.51.100.1:53' }))[9], 1);
    assert.equal(bench.table.parts.counters[Counter.SessionsEvicted], 1);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('limits the ICMP answers of a host to 300 at once', () => {
    const bench = new Bench();
    for (let n = 0; n < 240; n++) bench.pass4(udp4({ from: inside(n), to: '198.51.100.1:53' }));
    let answered = 0;
    for (let port = 1; port <= 1000; port++)
      if (typeof bench.send(udp4({ from: `10.2.0.1:${port}`, to: '198.51.100.1:53' })) !== 'string')
        answered++;
    assert.equal(answered, 300);
    assert.equal(bench.dropCount('AnswerLimited'), 700);
    assert.equal(bench.dropCount('NoPortLeft'), 1000);
  });

  it('is consistent after any order of packets, answers and pauses', () => {
    const step = fc.record({
      endpoint: fc.integer({ min: 0, max: 40 }),
      remote: fc.integer({ min: 1, max: 6 }),
      stun: fc.boolean(),
      pause: fc.constantFrom(0, 0, 0, 1, 30, 310),
      answer: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer(), (steps, seed) => {
        const bench = new Bench({ capacity: 1024, ports: mapePorts().slice(0, 24), seed });
        for (const { endpoint, remote, stun, pause, answer } of steps) {
          const to = `198.51.100.${remote}:3478`;
          const payload = stun ? stunRequest() : undefined;
          const out = bench.pass4(udp4({ from: inside(endpoint), to, payload }));
          if (answer && out[9] === 17)
            assert.equal(
              endpoints(bench.pass4(udp4({ from: to, to: endpoints(out).from }))).to,
              inside(endpoint),
            );
          if (pause > 0) bench.pass(pause);
        }
        assert.deepEqual(selfCheck(bench.table.parts), []);
      }),
      { numRuns: 150 },
    );
  });

  it('makes the row of a large set piece by piece, and the search stays exact', () => {
    const ports = Uint16Array.from({ length: 61439 }, (_, i) => 4096 + i);
    const policy = withProfile(standardPolicy('home'), { evictUnanswered: false });
    const bench = new Bench({ capacity: 65536, ports, policy, line: { isShared: false } });
    const used = new Set<number>();
    for (let n = 0; n < 61439; n++) {
      const from = `10.${1 + Math.floor(n / 60000)}.${Math.floor(n / 250) & 255}.${(n % 250) + 1}:${2000 + n}`;
      used.add(portOf(bench.pass4(udp4({ from, to: '198.51.100.1:53' }))));
      if (n % 512 === 0) bench.pass(0.25);
    }
    assert.equal(used.size, 61439);
    assert.equal(bench.pass4(udp4({ from: '10.9.9.9:9', to: '198.51.100.1:53' }))[9], 1);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  }).timeout(60000);
});

describe('peers own their port', () => {
  it('two hosts with the same source port get ports of their own, the same towards every server', () => {
    for (const order of ['flows first', 'peers first']) {
      const bench = new Bench({ capacity: 32768 });
      const peer = (host: string, server: string): number =>
        portOf(bench.pass4(udp4({ from: `${host}:5000`, to: server, payload: stunRequest() })));
      const flows = (): void => {
        for (let n = 0; n < 24000; n++) {
          const out = bench.pass4(udp4({ from: inside(n), to: `198.51.100.${(n % 100) + 1}:53` }));
          assert.equal(out[9], 17, `${order}: flow ${n} was refused`);
        }
      };
      const ask = (): void => {
        const servers = ['203.0.113.10:3478', '203.0.113.11:3478', '203.0.113.11:3479'];
        const a = servers.map((server) => peer('192.168.1.11', server));
        const b = servers.map((server) => peer('192.168.1.12', server));
        assert.equal(new Set(a).size, 1, order);
        assert.equal(new Set(b).size, 1, order);
        assert.notEqual(a[0], b[0], order);
      };
      if (order === 'flows first') {
        flows();
        ask();
      } else {
        ask();
        flows();
        ask();
      }
      assert.deepEqual(selfCheck(bench.table.parts), []);
    }
  });

  it('filter by address: known remotes reach the owner from any port, others do not', () => {
    const bench = new Bench();
    const out = bench.pass4(
      udp4({ from: '192.168.1.11:5000', to: '203.0.113.10:3478', payload: stunRequest() }),
    );
    const external = endpoints(out).from;
    const known = bench.pass4(udp4({ from: '203.0.113.10:9999', to: external }));
    assert.equal(endpoints(known).to, '192.168.1.11:5000');
    assert.equal(bench.table.parts.sessions.count, 1, 'an inbound packet makes no session');
    assert.equal(bench.send(udp4({ from: '203.0.113.77:3478', to: external })), 'FilteredByOwner');
  });

  it('own at most eight ports a host, and three quarters of the set', () => {
    const bench = new Bench({ ports: mapePorts().slice(0, 40) });
    const claim = (host: number, port: number): void => {
      bench.pass4(
        udp4({
          from: `192.168.1.${host}:${port}`,
          to: '203.0.113.10:3478',
          payload: stunRequest(),
        }),
      );
    };
    for (let port = 1; port <= 10; port++) claim(11, port);
    assert.equal(bench.table.parts.ports.ownedCount[1], 8);
    assert.equal(bench.table.parts.counters[Counter.PeersWithoutOwnPort], 2);
    for (let host = 12; host < 16; host++) for (let port = 1; port <= 7; port++) claim(host, port);
    assert.equal(bench.table.parts.ports.ownedCount[1], 30);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('that give a port back make room for others within five seconds', () => {
    const bench = new Bench({ ports: mapePorts().slice(0, 10) });
    const to = '203.0.113.10:3478';
    bench.pass4(udp4({ from: '192.168.1.11:5000', to, payload: stunRequest() }));
    bench.pass(150);
    for (let n = 0; n < 9; n++) {
      const out = bench.pass4(udp4({ from: inside(n), to }));
      bench.pass4(udp4({ from: to, to: endpoints(out).from }));
    }
    assert.equal(bench.pass4(udp4({ from: inside(9), to }))[9], 1, 'all ten are taken');
    bench.pass(146);
    bench.send(udp4({ from: inside(9), to }));
    bench.pass(10);
    assert.equal(bench.table.parts.ports.ownedCount[1], 0);
    assert.equal(bench.pass4(udp4({ from: inside(9), to }))[9], 17);
  });

  it('give their port back with their last session', () => {
    const bench = new Bench();
    bench.pass4(
      udp4({ from: '192.168.1.11:5000', to: '203.0.113.10:3478', payload: stunRequest() }),
    );
    assert.equal(bench.table.parts.ports.ownedCount[1], 1);
    bench.pass(302);
    assert.equal(bench.table.parts.ports.ownedCount[1], 0);
    assert.equal(bench.table.parts.permits.count, 0);
  });
});

describe('the rfc preset', () => {
  it('gives every endpoint a port of its own and refuses when the set is used up', () => {
    const bench = new Bench({ policy: standardPolicy('rfc') });
    const used = new Set<number>();
    for (let n = 0; n < 240; n++)
      used.add(
        portOf(bench.pass4(udp4({ from: inside(n), to: `198.51.100.${(n % 200) + 1}:53` }))),
      );
    assert.equal(used.size, 240);
    const refused = bench.pass4(udp4({ from: inside(240), to: '198.51.100.250:53' }));
    assert.deepEqual([refused[9], refused[20], refused[21]], [1, 3, 13]);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });
});

describe('a policy that changes while sessions live', () => {
  const send = (bench: Bench, n: number, remote: number): number =>
    portOf(bench.pass4(udp4({ from: inside(n), to: `198.51.100.${remote}:53` })));

  it('from home to rfc: what stands keeps its port, new endpoints own theirs', () => {
    const bench = new Bench();
    const before = Array.from({ length: 100 }, (_, n) => send(bench, n, (n % 5) + 1));
    bench.table.setPolicy(standardPolicy('rfc'));
    before.forEach((port, n) => {
      assert.equal(send(bench, n, (n % 5) + 1), port);
    });
    assert.equal(bench.table.parts.ports.ownedCount[1], 0);
    const owned = Array.from({ length: 50 }, (_, n) => send(bench, 1000 + n, 7));
    assert.equal(new Set(owned).size, 50);
    assert.equal(bench.table.parts.ports.ownedCount[1], 50);
    // An endpoint from before gets a port of its own with its next session.
    const port = send(bench, 3, 9);
    assert.equal(send(bench, 3, 10), port);
    assert.equal(bench.table.parts.ports.ownedCount[1], 51);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('from rfc to home: owners keep their port until their sessions end, others share', () => {
    const bench = new Bench({ policy: standardPolicy('rfc') });
    for (let n = 0; n < 240; n++) send(bench, n, 1);
    assert.equal(bench.pass4(udp4({ from: inside(500), to: '198.51.100.2:53' }))[9], 1);
    bench.table.setPolicy(standardPolicy('home'));
    for (let n = 500; n < 600; n++) send(bench, n, 2);
    assert.equal(bench.table.parts.ports.ownedCount[1], 240);
    assert.deepEqual(selfCheck(bench.table.parts), []);
    bench.pass(302);
    assert.equal(bench.table.parts.ports.ownedCount[1], 0);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });
});
