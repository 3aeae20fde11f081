import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Policy } from '../../../core/policy.ts';
import { TICKS_PER_SECOND } from '../../../core/state.ts';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import type { Upstream, UpstreamSettings } from '../../../core/table/upstream.ts';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import { presetPolicy } from '../../../policies/build.ts';
import { Bench, type BenchOptions, EXTERNAL, endpoints } from '../../support/gateway.ts';
import { NatAbove } from '../../support/nat-above.ts';
import { ACK, echo4, FIN, RST, SYN, tcp4, udp4 } from '../../support/packets.ts';

const RTX1200: UpstreamSettings = {
  entries: 20_000,
  udpSeconds: 900,
  tcpSeconds: 900,
  icmpSeconds: 900,
};

/** Nobody is limited, and every session ends after `idleSeconds`: what is seen is the doing of the NAT above with these settings. */
function below(upstream: UpstreamSettings | undefined, idleSeconds = 30): Policy {
  const policy = presetPolicy('home', {
    privateDestinations: 'allow',
    unansweredPerRemote: 0,
    limits: { sessions: 0, ownedPorts: 0, newPerSecond: 0, newAtOnce: 0 },
    reserve: { percent: 0, fewSessions: 0 },
  });
  const timers = new Int32Array(policy.timers[0].length).fill(idleSeconds * TICKS_PER_SECOND);
  return { ...policy, timers: [timers, timers, timers, timers], upstream };
}

const guarded = (settings: Partial<UpstreamSettings> = {}, options: BenchOptions = {}): Bench =>
  new Bench({ policy: below({ ...RTX1200, entries: 1000, ...settings }), ...options });

function modelOf(bench: Bench): Upstream {
  const { upstream } = bench.table.parts;
  assert.ok(upstream !== undefined);
  return upstream;
}

const portOf = (packet: Uint8Array): number => Number(endpoints(packet).from.split(':')[1]);
const inside = (n: number): string => `10.1.${(n >> 8) & 255}.${n & 255 || 1}:${4000 + (n >> 4)}`;
const udpFrom = (n: number, to: string): Uint8Array => udp4({ from: inside(n), to });
const WEB = '198.51.100.1:443';
const RESOLVER = '198.51.100.53:53';

const isRefused = (packet: Uint8Array | string): boolean =>
  typeof packet !== 'string' && packet[9] === 1 && packet[20] === 3 && packet[21] === 13;

const assertSound = (bench: Bench): void => assert.deepEqual(selfCheck(bench.table.parts), []);

describe('the model of the NAT above', () => {
  it('counts a session, then the tuple that it left behind, until its entry has ended above', () => {
    const bench = guarded();
    bench.pass4(udpFrom(1, WEB));
    bench.pass4(echo4({ from: '10.1.0.1:7', to: '198.51.100.1' }));
    const upstream = modelOf(bench);
    assert.deepEqual([upstream.live, upstream.lingering], [2, 0]);
    bench.pass(32);
    assert.deepEqual([upstream.live, upstream.lingering], [0, 2]);
    bench.pass(867);
    assert.equal(upstream.entries, 2);
    bench.pass(4);
    assert.equal(upstream.entries, 0);
    assertSound(bench);
  });

  it('gives a new endpoint the port of a tuple that the NAT above still knows towards the same remote endpoint', () => {
    const without = new Bench({ policy: below(undefined) });
    const bench = guarded();
    const ports = new Set<number>();
    const portsWithout = new Set<number>();
    for (let n = 1; n <= 20; n++) {
      ports.add(portOf(bench.pass4(udpFrom(n, WEB))));
      portsWithout.add(portOf(without.pass4(udpFrom(n, WEB))));
      bench.pass(40);
      without.pass(40);
    }
    assert.equal(ports.size, 1);
    assert.ok(portsWithout.size > 10);
    assert.deepEqual([modelOf(bench).entries, modelOf(bench).reused], [1, 19]);
    // Another remote endpoint does not know that port.
    bench.pass4(udpFrom(99, '198.51.100.2:443'));
    assert.equal(modelOf(bench).entries, 2);
    assertSound(bench);
  });

  it('lets the older tuples run out: the newest is taken first', () => {
    const bench = guarded();
    const old = portOf(bench.pass4(udpFrom(1, WEB)));
    bench.pass(20);
    const young = portOf(bench.pass4(udpFrom(2, WEB)));
    assert.notEqual(old, young);
    bench.pass(60);
    assert.equal(portOf(bench.pass4(udpFrom(3, WEB))), young);
    assert.equal(portOf(bench.pass4(udpFrom(4, WEB))), old);
  });

  it('does not fix the source port of DNS: it draws among 32 tuples, and takes none where fewer linger', () => {
    const bench = guarded();
    for (let n = 1; n <= 31; n++) bench.pass4(udpFrom(n, RESOLVER));
    bench.pass(40);
    assert.equal(modelOf(bench).lingering, 31);
    const before = modelOf(bench).reused;
    const few = new Set<number>();
    for (let n = 100; n < 140; n++) {
      few.add(portOf(bench.pass4(udpFrom(n, RESOLVER))));
      bench.pass(1);
    }
    assert.ok(modelOf(bench).reused - before < 15, `${modelOf(bench).reused - before} reused`);
    bench.pass(40);

    const many = new Set<number>();
    const reused = modelOf(bench).reused;
    for (let n = 200; n < 220; n++) {
      many.add(portOf(bench.pass4(udpFrom(n, RESOLVER))));
      bench.pass(31);
    }
    assert.equal(modelOf(bench).reused - reused, 20);
    assert.ok(many.size > 8, `${many.size} ports for 20 queries`);
    assertSound(bench);
  });

  describe('with TCP', () => {
    const client = '10.1.0.9:5000';
    /** Opens a connection and closes it from one side, and the external port that it had. */
    function closed(bench: Bench, first: 'internal' | 'remote' | 'reset' | 'nobody'): number {
      const out = (flags: number, seq: number, ack: number): Uint8Array =>
        bench.pass4(tcp4({ from: client, to: WEB, flags, seq, ack }));
      const opened = out(SYN, 1000, 0);
      const ours = endpoints(opened).from;
      const back = (flags: number, seq: number, ack: number): void => {
        bench.pass4(tcp4({ from: WEB, to: ours, flags, seq, ack }));
      };
      back(SYN | ACK, 5000, 1001);
      out(ACK, 1001, 5001);
      if (first === 'reset') out(RST | ACK, 1001, 5001);
      if (first === 'internal') {
        out(FIN | ACK, 1001, 5001);
        back(FIN | ACK, 5001, 1002);
        out(ACK, 1002, 5002);
      }
      if (first === 'remote') {
        back(FIN | ACK, 5001, 1001);
        out(FIN | ACK, 1001, 5002);
        back(ACK, 5002, 1002);
      }
      return portOf(opened);
    }
    const again = (bench: Bench, seq = 900): number =>
      portOf(bench.pass4(tcp4({ from: '10.1.0.8:6000', to: WEB, flags: SYN, seq })));

    for (const side of ['internal', 'reset'] as const)
      it(`reuses the tuple of a connection that was closed ${side === 'reset' ? 'by a RST' : 'by its internal side first'}`, () => {
        const bench = guarded();
        const port = closed(bench, side);
        bench.pass(32);
        assert.equal(again(bench), port);
        assert.equal(modelOf(bench).reused, 1);
      });

    for (const side of ['remote', 'nobody'] as const)
      it(`leaves the tuple alone where the server may still know the connection (closed first by ${side})`, () => {
        const bench = guarded({}, { seed: 5 });
        closed(bench, side);
        bench.pass(32);
        assert.equal(modelOf(bench).lingering, 1);
        again(bench);
        assert.equal(modelOf(bench).reused, 0);
        assert.equal(modelOf(bench).entries, 2);
      });

    it('reuses a tuple that was closed first by the server if the new SYN is beyond what it has seen', () => {
      const bench = guarded({}, { seed: 5 });
      const port = closed(bench, 'remote');
      bench.pass(32);
      assert.equal(again(bench, 2000), port);
      assert.equal(modelOf(bench).reused, 1);
    });

    it('lets a closed connection go with the shorter timer, if the NAT above has one', () => {
      const bench = guarded({ tcpClosedSeconds: 60 });
      closed(bench, 'remote');
      bench.pass(32);
      assert.equal(modelOf(bench).entries, 1);
      bench.pass(31);
      assert.equal(modelOf(bench).entries, 0);
    });
  });

  it('lets answered DNS go with the shorter timer, if the NAT above has one, and an open query not', () => {
    const bench = guarded({ dnsSeconds: 40 });
    const ours = endpoints(bench.pass4(udpFrom(1, RESOLVER))).from;
    bench.pass4(udp4({ from: RESOLVER, to: ours }));
    bench.pass4(udpFrom(2, RESOLVER));
    bench.pass(43);
    assert.equal(modelOf(bench).entries, 1);
  });

  it('begins the time of a tuple anew when the NAT above lets a late packet in', () => {
    const bench = guarded();
    const ours = endpoints(bench.pass4(udpFrom(1, WEB))).from;
    bench.pass(800);
    assert.equal(bench.send(udp4({ from: WEB, to: ours })), 'NoSession');
    bench.pass(800);
    assert.equal(modelOf(bench).entries, 1);
    bench.pass(103);
    assert.equal(modelOf(bench).entries, 0);
  });

  it('does not count what turns back to a host of ours', () => {
    const bench = guarded();
    const request = new Uint8Array(20);
    request.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    const peer = bench.pass4(
      udp4({ from: '10.1.0.1:5000', to: '198.51.100.9:3478', payload: request }),
    );
    assert.equal(modelOf(bench).entries, 1);
    bench.pass4(udp4({ from: '10.1.0.2:5000', to: endpoints(peer).from }));
    assert.equal(bench.table.parts.sessions.count, 2);
    assert.equal(modelOf(bench).entries, 1);
    bench.pass(40);
    assert.equal(modelOf(bench).entries, 1);
    assertSound(bench);
  });

  it('refuses a new tuple where the table above is full, and answers: from 93 % on, DNS from 94.5 % on', () => {
    const bench = guarded({ entries: 128 });
    for (let n = 1; n <= 119; n++) bench.pass4(udpFrom(n, `198.51.100.${n}:443`));
    const upstream = modelOf(bench);
    assert.deepEqual([upstream.entries, upstream.fill256], [119, 238]);
    assert.ok(isRefused(bench.send(udpFrom(300, '203.0.113.77:443'))));
    assert.equal(bench.dropCount('UpstreamFull'), 1);
    for (let n = 301; n <= 302; n++) bench.pass4(udpFrom(n, RESOLVER));
    assert.ok(isRefused(bench.send(udpFrom(309, RESOLVER))));
    assert.equal(upstream.fill256, 242);
    // A session that there is goes on, and so does a tuple that the NAT above knows.
    bench.pass4(udpFrom(1, '198.51.100.1:443'));
    bench.pass(40);
    assert.deepEqual([upstream.live, upstream.entries], [0, 121]);
    bench.pass4(udpFrom(400, '198.51.100.7:443'));
    assert.ok(isRefused(bench.send(udpFrom(401, '198.51.100.7:443'))));
    assert.deepEqual([upstream.reused, upstream.entries], [1, 121]);
    bench.pass(900);
    bench.pass4(udpFrom(500, '203.0.113.77:443'));
    assertSound(bench);
  });

  describe('is shared', () => {
    const LIMIT = 119;
    const DNS_LIMIT = 121;
    const udpOf = (host: number, port: number, to: string): Uint8Array =>
      udp4({ from: `10.1.9.${host}:${port}`, to });
    /** What a host holds above, as the model counts it. */
    const heldBy = (bench: Bench, host: number): number => {
      const { hosts } = bench.table.parts;
      return hosts.above[hosts.find(parseIpv4(`10.1.9.${host}`))];
    };
    /** Lets a host open sessions towards ever new endpoints until one is refused, and how many it got. */
    function fill(bench: Bench, host: number, network: string, remotePort = 443): number {
      for (let n = 0; n < 250; n++)
        if (isRefused(bench.send(udpOf(host, 5000 + n, `${network}.${n}:${remotePort}`)))) return n;
      throw new Error('nothing is refused');
    }

    it('so that nobody holds more than is left for all, and whoever has little always finds room', () => {
      const bench = guarded({ entries: 128 });
      assert.equal(fill(bench, 1, '203.0.113'), Math.ceil(LIMIT / 2));
      // The second gets half of what is left, the third half of that.
      assert.equal(fill(bench, 2, '203.0.113'), 30);
      assert.equal(fill(bench, 3, '203.0.113'), 15);
      for (let host = 10; host < 20; host++)
        bench.pass4(udpOf(host, 5000, `198.51.100.${host}:443`));
      assert.deepEqual([60, 30, 15], [heldBy(bench, 1), heldBy(bench, 2), heldBy(bench, 3)]);
      assert.ok(modelOf(bench).entries < LIMIT);
      assertSound(bench);
    });

    it('and what lingers counts for whoever left it, until another takes it over or it has ended', () => {
      const bench = guarded({ entries: 128 });
      assert.equal(fill(bench, 1, '203.0.113'), 60);
      bench.pass(40);
      assert.deepEqual([modelOf(bench).live, heldBy(bench, 1)], [0, 60]);
      assert.ok(isRefused(bench.send(udpOf(1, 6000, '198.51.100.1:443'))));
      // Towards a remote endpoint with a tuple that stands there, the same host goes on.
      bench.pass4(udpOf(1, 6001, '203.0.113.7:443'));
      assert.equal(heldBy(bench, 1), 60);
      for (let n = 10; n < 20; n++) bench.pass4(udpOf(2, 6000 + n, `203.0.113.${n}:443`));
      assert.deepEqual([heldBy(bench, 1), heldBy(bench, 2)], [50, 10]);
      bench.pass4(udpOf(1, 6002, '198.51.100.2:443'));
      assertSound(bench);
      bench.pass(940);
      assert.deepEqual([heldBy(bench, 1), heldBy(bench, 2)], [0, 0]);
      assertSound(bench);
    });

    it('but a 128th is anybody’s, so that a crowd may fill what is left', () => {
      const bench = guarded({ entries: 384 });
      const limit = Math.floor((384 * LIMIT) / 128);
      const left = (): number => limit - modelOf(bench).entries;
      for (let host = 1; left() > 384 / 128; host++) fill(bench, host, '203.0.113');
      assert.equal(left(), 2);
      assert.equal(fill(bench, 200, '198.51.100'), 2);
      assertSound(bench);
    });

    it('but DNS goes on, until its host holds four times what is left', () => {
      const bench = guarded({ entries: 128 });
      assert.equal(fill(bench, 1, '203.0.113'), 60);
      const names = fill(bench, 1, '198.51.100', 53);
      assert.equal(60 + names, Math.ceil((DNS_LIMIT * 4) / 5));
      bench.pass4(udpOf(2, 5000, RESOLVER));
      assertSound(bench);
    });

    it('and hosts that share a record are held to no share, since they cannot be told apart', () => {
      const bench = guarded({ entries: 128 });
      const { hosts } = bench.table.parts;
      bench.table.parts.hosts.findOrAdd = () => 0;
      assert.equal(fill(bench, 1, '203.0.113'), LIMIT);
      assert.equal(hosts.above[0], LIMIT);
    });

    it('and a host whose record another has got begins anew, and so does the other', () => {
      const bench = guarded({ entries: 8192 }, { capacity: 1024 });
      const { hosts } = bench.table.parts;
      for (let n = 0; n < 50; n++) bench.pass4(udpOf(1, 5000 + n, `203.0.113.${n}:443`));
      const record = hosts.find(parseIpv4('10.1.9.1'));
      bench.pass(40);
      for (let n = 0; n < hosts.capacity + 100; n++) {
        bench.pass4(
          udp4({ from: `10.2.${n >> 8}.${n & 255}:4000`, to: `198.51.${n >> 8}.${n & 255}:443` }),
        );
        if (n % 500 === 499) bench.pass(40);
      }
      assert.equal(hosts.find(parseIpv4('10.1.9.1')), -1);
      assert.equal(hosts.above[record], 1);
      bench.pass4(udpOf(1, 6000, WEB));
      assert.equal(heldBy(bench, 1), 1);
      // Another takes over what the first has left: it is counted for the one, and taken from nobody.
      bench.pass4(udpOf(2, 6000, '203.0.113.7:443'));
      assert.deepEqual([heldBy(bench, 1), heldBy(bench, 2), hosts.above[record]], [1, 1, 1]);
      assertSound(bench);
      bench.pass(940);
      assert.ok(hosts.above.every((count) => count === 0));
      assert.equal(modelOf(bench).entries, 0);
    });

    it('and other settings, or a restart, do not change who holds how much of what is known', () => {
      const bench = guarded();
      for (let n = 0; n < 20; n++) bench.pass4(udpOf(1, 5000 + n, `203.0.113.${n}:443`));
      bench.pass(40);
      for (let n = 0; n < 5; n++) bench.pass4(udpOf(1, 6000 + n, `198.51.100.${n}:443`));
      bench.table.setPolicy(below({ ...RTX1200, entries: 100 }));
      assert.equal(heldBy(bench, 1), 25);
      assertSound(bench);
      const buffer = bench.table.parts.arena.header.buffer as ArrayBuffer;
      const next = guarded({}, { arena: buffer.slice(0), now: bench.now, seed: 7 });
      next.table.restore();
      assert.equal(heldBy(next, 1), 5);
      assertSound(next);
    });
  });

  it('tells policies how full it is, but not the session that takes over a tuple', () => {
    let seen = -1;
    const policy = below({ ...RTX1200, entries: 64 });
    const bench = new Bench({
      policy: {
        ...policy,
        decide: (first) => {
          seen = first.upstreamFill256;
          return policy.decide(first);
        },
      },
    });
    for (let n = 1; n <= 32; n++) bench.pass4(udpFrom(n, `198.51.100.${n}:443`));
    bench.pass4(udpFrom(50, '203.0.113.50:443'));
    assert.equal(seen, 128);
    bench.pass(40);
    bench.pass4(udpFrom(51, '198.51.100.3:443'));
    assert.equal(seen, 0);
    bench.pass4(udpFrom(51, '203.0.113.51:443'));
    assert.equal(seen, 132);
  });

  it('weighs on nobody who takes over a tuple: their pressure is that of the rest', () => {
    const seen: number[] = [];
    const policy = below({ ...RTX1200, entries: 100 });
    const decide: Policy['decide'] = (first) => {
      seen.push(first.pressure);
      return policy.decide(first);
    };
    const bench = new Bench({ policy: { ...policy, decide } });
    for (let n = 1; n <= 80; n++) bench.pass4(udpFrom(n, `198.51.100.${n}:443`));
    bench.pass(40);
    assert.equal(bench.table.pressureLevel, 2);
    seen.length = 0;
    bench.pass4(udpFrom(100, '198.51.100.3:443'));
    bench.pass4(udpFrom(101, '203.0.113.77:443'));
    // An endpoint that has a mapping keeps its port, and so opens a tuple of its own.
    bench.pass4(udpFrom(101, '198.51.100.4:443'));
    assert.deepEqual(seen, [0, 2, 2]);
  });

  it('publishes entries, capacity and reuse as counters', () => {
    const bench = guarded();
    bench.pass4(udpFrom(1, WEB));
    bench.pass(40);
    bench.pass4(udpFrom(2, WEB));
    bench.pass(1);
    const { counters } = bench.table.parts;
    assert.deepEqual(
      [
        counters[Counter.UpstreamEntries],
        counters[Counter.UpstreamCapacity],
        counters[Counter.UpstreamReused],
      ],
      [1, 1000, 1],
    );
  });

  it('begins with the sessions after a restart; what lingered is forgotten', () => {
    const bench = guarded();
    bench.pass4(udpFrom(1, WEB));
    bench.pass(40);
    for (let n = 2; n < 12; n++) bench.pass4(udpFrom(n, `198.51.100.${n}:443`));
    assert.equal(modelOf(bench).entries, 11);
    const buffer = bench.table.parts.arena.header.buffer as ArrayBuffer;
    const next = guarded({}, { arena: buffer.slice(0), now: bench.now, seed: 7 });
    next.table.restore();
    assert.equal(modelOf(next).entries, 10);
    assertSound(next);
  });

  it('goes on counting over a restart what took over a tuple', () => {
    const bench = guarded();
    bench.pass4(udpFrom(1, WEB));
    bench.pass(40);
    bench.pass4(udpFrom(2, WEB));
    bench.pass(1);
    const buffer = bench.table.parts.arena.header.buffer as ArrayBuffer;
    const next = guarded({}, { arena: buffer.slice(0), now: bench.now, seed: 7 });
    next.table.restore();
    next.pass(40);
    assert.equal(next.table.parts.counters[Counter.UpstreamReused], 1);
    next.pass4(udpFrom(3, WEB));
    next.pass(1);
    assert.equal(next.table.parts.counters[Counter.UpstreamReused], 2);
  });

  it('keeps what it knows when other settings come into force, and ends when there are none', () => {
    const bench = guarded();
    for (let n = 1; n <= 20; n++) bench.pass4(udpFrom(n, `198.51.100.${n}:443`));
    bench.pass(40);
    bench.pass4(udpFrom(30, '203.0.113.77:443'));
    const before = modelOf(bench);
    bench.table.setPolicy(below({ ...RTX1200, entries: 1000 }));
    assert.equal(modelOf(bench), before);
    bench.table.setPolicy(below({ ...RTX1200, entries: 100 }));
    assert.notEqual(modelOf(bench), before);
    assert.deepEqual([modelOf(bench).live, modelOf(bench).lingering], [1, 20]);
    assertSound(bench);
    // A table that is smaller than what is known to stand in it is full, and what it cannot hold is counted.
    bench.table.setPolicy(below({ ...RTX1200, entries: 10 }));
    assert.equal(modelOf(bench).fill256, 256);
    assert.equal(modelOf(bench).forgotten, 20 - 16);
    bench.table.setPolicy(below(undefined));
    bench.pass(1);
    assert.equal(bench.table.parts.upstream, undefined);
    assert.equal(bench.table.parts.counters[Counter.UpstreamCapacity], 0);
  });

  it('says what is wrong with a table of no entries', () => {
    assert.throws(() => guarded({ entries: 0 }), /with 0 entries; use 1 to 1048576/);
  });

  it('is never below the truth, of a host neither, and the table above never overflows', () => {
    const timers = { udpSeconds: 70, tcpSeconds: 90, icmpSeconds: 20 };
    const entries = 16;
    /** 93 % of them. */
    const LIMIT = 14;
    const tupleOf = (packet: Uint8Array): string => {
      const { from, to } = endpoints(packet);
      return `${packet[9]} ${from} ${to}`;
    };
    const action = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          kind: fc.constantFrom('udp', 'tcp', 'icmp'),
          host: fc.integer({ min: 1, max: 4 }),
          port: fc.integer({ min: 4000, max: 4030 }),
          remote: fc.constantFrom(WEB, RESOLVER, '198.51.100.2:443', '198.51.100.3:5000'),
        }),
      },
      { weight: 3, arbitrary: fc.record({ back: fc.nat(1000) }) },
      { weight: 2, arbitrary: fc.record({ passMs: fc.integer({ min: 1, max: 16_000 }) }) },
    );
    let refused = 0;
    let refusedForShare = 0;
    let reused = 0;
    fc.assert(
      fc.property(fc.array(action, { minLength: 40, maxLength: 160 }), (actions) => {
        const above = new NatAbove(timers);
        const bench = new Bench({ policy: below({ entries, ...timers }, 30), capacity: 1024 });
        const { hosts } = bench.table.parts;
        const users = new Map<string, string>();
        for (const one of actions) {
          if ('passMs' in one) bench.pass(one.passMs / 1000);
          else if ('back' in one) {
            const tuples = above.tuples(bench.now);
            if (tuples.length > 0) {
              const [protocol, ours, remote] = tuples[one.back % tuples.length];
              const packet =
                protocol === 17
                  ? udp4({ from: remote, to: ours })
                  : protocol === 6
                    ? tcp4({ from: remote, to: ours, flags: SYN | ACK, seq: 9, ack: 1001 })
                    : echo4({ from: remote.split(':')[0], to: ours, type: 0 });
              assert.ok(above.inbound(packet, bench.now));
              bench.send(packet);
            }
          } else {
            const from = `10.1.0.${one.host}:${one.port}`;
            const packet =
              one.kind === 'udp'
                ? udp4({ from, to: one.remote })
                : one.kind === 'tcp'
                  ? tcp4({ from, to: one.remote, flags: SYN, seq: 1000 })
                  : echo4({ from, to: one.remote.split(':')[0] });
            const before = modelOf(bench).entries;
            const address = `10.1.0.${one.host}`;
            const heldBefore = hosts.above[hosts.find(parseIpv4(address))] ?? 0;
            const out = bench.send(packet);
            if (isRefused(out)) {
              refused++;
              // Who holds nothing is refused only where all is taken.
              assert.ok(heldBefore > 0 || before >= LIMIT, `${before} entries, none by the host`);
              if (before < LIMIT) refusedForShare++;
            } else if (typeof out !== 'string') {
              above.outbound(out, bench.now);
              users.set(tupleOf(out), address);
            }
          }
          const truths = new Map<string, number>();
          for (const [protocol, ours, remote] of above.tuples(bench.now)) {
            const user = users.get(`${protocol} ${ours} ${remote}`) ?? '';
            truths.set(user, (truths.get(user) ?? 0) + 1);
          }
          for (const [user, count] of truths) {
            const held = hosts.above[hosts.find(parseIpv4(user))];
            assert.ok(count <= held, `${user} has ${count} entries above, ${held} are counted`);
          }
          const truth = above.entries(bench.now);
          assert.ok(truth <= modelOf(bench).entries, `${truth} above, ${modelOf(bench).entries}`);
          assert.ok(truth <= entries * 0.95, `${truth} of ${entries} entries above`);
        }
        reused += modelOf(bench).reused;
        assertSound(bench);
      }),
      { numRuns: 40, seed: 20231 },
    );
    assert.ok(refused > 100 && reused > 40, `${refused} refused, ${reused} reused`);
    assert.ok(refusedForShare > 40, `${refusedForShare} refused for their share`);
  });

  it('spares most entries of a table of 20,000 under the load of a conference', () => {
    const { entries, reused, refused } = conference(100, RTX1200);
    assert.equal(refused, 0);
    assert.ok(entries < 6000, `${entries} entries, ${reused} reused`);
    const plain = conference(100, { ...RTX1200, entries: 1 << 15 }, true);
    assert.ok(plain.entries > 19_000, `${plain.entries} entries without reuse`);
  });
});

/**
 * A quarter of an hour of `users` users, each of whom opens ten pages with 20 QUIC connections, to servers by Zipf's law; what
 * stands above at the end. Without reuse every session is towards an endpoint that it had not before.
 */
function conference(
  users: number,
  settings: UpstreamSettings,
  withoutReuse = false,
): { entries: number; reused: number; refused: number } {
  const ports = Uint16Array.from({ length: 61_439 }, (_, i) => 4096 + i);
  const bench = new Bench({ policy: below(settings, 30), capacity: 2048, ports });
  const { table } = bench;
  const upstream = modelOf(bench);
  // Each server as often as it is drawn among 2^14.
  const draws: number[] = [];
  for (let server = 0; draws.length < 1 << 14; server++)
    for (let left = Math.ceil((1 << 14) / 8.2 / (server + 1)); left > 0; left--) draws.push(server);
  let state = 12345;
  const random = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state;
  };
  let refused = 0;
  let session = 0;
  const external = parseIpv4(EXTERNAL);
  for (let second = 0; second < 900; second++) {
    for (let left = Math.round((users * 200) / 900); left > 0; left--) {
      const server = draws[random() >>> 18];
      const n = session++;
      const first = table.opening;
      const remote = parseIpv4('20.0.0.0') + (withoutReuse ? n : server);
      first.begin(17, parseIpv4('10.2.0.1') + (n % users), 10_000 + (n % 50_000), remote, 443, 1);
      if (table.open(first, external, 0) < 0) refused++;
    }
    bench.pass(1);
  }
  return { entries: upstream.entries, reused: upstream.reused, refused };
}
