import assert from 'node:assert/strict';
import type { Policy } from '../../../core/policy.ts';
import { COUNTER_CLASS_CREATED, COUNTER_CLASS_NOW, Counter } from '../../../core/table/counters.ts';
import { HOST_REFUSED, HOST_SHIFT } from '../../../core/table/hosts.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { formatIpv4, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { EventLog } from '../../../gateway/source/event-log.ts';
import { presetPolicy } from '../../../policies/build.ts';
import { Bench, endpoints, mapePorts, withProfile } from '../../support/gateway.ts';
import { echo4, SYN, tcp4, udp4 } from '../../support/packets.ts';

const HOST = '192.168.1.11';
const OTHER = '192.168.1.12';
const GATEWAY = '192.168.1.1';

const free: Policy = {
  ...withProfile(presetPolicy('home', { privateDestinations: 'allow' }), {
    sessionsPerHostMax: 0,
    newPerSecondMax: 0,
    unansweredPerRemoteMax: 0,
  }),
  reserveSessions: 0,
  reserveOwnSessions: 0,
  pressure: { levelAt256: [257, 257, 257], evictFrom: 4 },
};

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

/** Sends the n-th flow of a host to a remote of its own; true if it went out, false if it was answered or dropped. */
function begins(bench: Bench, host: string, n: number): boolean {
  const remote = formatIpv4(parseIpv4('198.51.0.0') + 1 + (n % 60_000));
  const out = bench.send(udp4({ from: `${host}:${1024 + (n % 60_000)}`, to: `${remote}:9000` }));
  return typeof out !== 'string' && out[9] === 17;
}

/** How many of `count` new flows went out; their numbers begin at `from`. */
function begun(bench: Bench, host: string, from: number, count: number): number {
  let sent = 0;
  for (let n = from; n < from + count; n++) if (begins(bench, host, n)) sent++;
  return sent;
}

const refusedOf = (bench: Bench, host: string): number => {
  const { hosts } = bench.table.parts;
  return hosts.words[(hosts.find(parseIpv4(host)) << HOST_SHIFT) + HOST_REFUSED];
};

describe('the limit of new sessions a second', () => {
  const policy = withProfile(free, { newPerSecondMax: 10, newBurst: 25 });

  it('lets the burst through at once, then so many a second, and counts the rest by name', () => {
    const bench = new Bench({ policy });
    assert.equal(begun(bench, HOST, 0, 100), 25);
    assert.equal(bench.dropCount('HostRateLimit'), 75);
    bench.pass(1);
    assert.equal(begun(bench, HOST, 100, 100), 10);
    bench.pass(0.25);
    // Two and a half: the half is kept for the next quarter of a second.
    assert.equal(begun(bench, HOST, 200, 100), 2);
    bench.pass(0.25);
    assert.equal(begun(bench, HOST, 300, 100), 3);
    bench.pass(60);
    assert.equal(begun(bench, HOST, 400, 100), 25);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('gives them one by one and not by the quarter second, since all others wait for a burst', () => {
    const bench = new Bench({
      policy: withProfile(free, { newPerSecondMax: 2000, newBurst: 100 }),
    });
    begun(bench, HOST, 0, 200);
    for (let millisecond = 1; millisecond <= 500; millisecond++) {
      bench.pass(0.001);
      assert.equal(begun(bench, HOST, 100 * millisecond, 20), 2, `millisecond ${millisecond}`);
    }
  });

  it('tells the sender by ICMP 3/13 and names the host in an event', () => {
    const bench = new Bench({ policy });
    const log = new EventLog(bench.table.parts.arena, 240, 0);
    begun(bench, HOST, 0, 25);
    const answer = bench.pass4(udp4({ from: `${HOST}:9`, to: '198.51.100.1:9000' }));
    assert.deepEqual([answer[9], answer[20], answer[21]], [1, 3, 13]);
    assert.equal(endpoints(answer).from.split(':')[0], GATEWAY);
    const [event] = log.poll();
    assert.equal(event.kind, 'host-limited');
    assert.match(event.text, /192\.168\.1\.11:9 to 198\.51\.100\.1:9000 was refused: .*second/);
  });

  it('leaves what stands alone, and other hosts', () => {
    const bench = new Bench({ policy });
    assert.equal(begun(bench, HOST, 0, 100), 25);
    for (let n = 0; n < 25; n++) assert.ok(begins(bench, HOST, n), 'an established session');
    assert.equal(begun(bench, OTHER, 5000, 20), 20);
  });

  it('does not hold for the gateway, which asks on behalf of all', () => {
    const bench = new Bench({ policy });
    assert.equal(begun(bench, GATEWAY, 0, 500), 500);
  });

  it('holds for TCP and ICMP in the same bucket', () => {
    const bench = new Bench({ policy });
    begun(bench, HOST, 0, 23);
    const syn = (port: number): Uint8Array =>
      bench.pass4(tcp4({ from: `${HOST}:${port}`, to: '198.51.100.1:80', flags: SYN }));
    assert.equal(syn(1)[9], 6);
    assert.equal(
      endpoints(bench.pass4(echo4({ from: `${HOST}:77`, to: '198.51.100.1' }))).to,
      '198.51.100.1:0',
    );
    assert.deepEqual([syn(2)[9], bench.dropCount('HostRateLimit')], [1, 1]);
  });

  it('is not used up by what a policy refuses', () => {
    const refusing: Policy = {
      ...policy,
      decide: (first) => (first.remotePort === 9000 ? 1 << 31 : policy.decide(first)),
    };
    const bench = new Bench({ policy: refusing });
    assert.equal(begun(bench, HOST, 0, 100), 0);
    assert.equal(bench.dropCount('RefusedByPolicy'), 100);
    for (let port = 1; port <= 25; port++)
      assert.equal(bench.pass4(udp4({ from: `${HOST}:${port}`, to: '198.51.100.1:53' }))[9], 17);
  });

  it('makes a record for a host that is refused at once, so that its bucket is its own', () => {
    const bench = new Bench({ policy: withProfile(free, { newPerSecondMax: 1, newBurst: 0 }) });
    assert.equal(begun(bench, HOST, 0, 50), 1, 'a burst of none would refuse everything');
    assert.equal(refusedOf(bench, HOST), 49);
  });

  it('forgives all the time that has passed, however much a burst is against the rate', () => {
    const bench = new Bench({ policy: withProfile(free, { newPerSecondMax: 1, newBurst: 4000 }) });
    assert.equal(begun(bench, HOST, 0, 4100), 4000);
    bench.pass(3600);
    assert.equal(begun(bench, HOST, 5000, 4000), 3600);
  });

  it('survives a restart, a clock that is set back and a smaller limit', () => {
    const bench = new Bench({ policy, capacity: 4096 });
    begun(bench, HOST, 0, 25);
    const arena = (bench.table.parts.arena.header.buffer as ArrayBuffer).slice(0);
    const next = new Bench({ policy, arena, now: bench.now, seed: 3 });
    next.table.restore();
    assert.equal(begun(next, HOST, 100, 10), 0);
    next.now -= 100_000;
    assert.equal(begun(next, HOST, 200, 10), 0);
    next.pass(1);
    assert.equal(begun(next, HOST, 300, 20), 10);
    next.table.setPolicy(withProfile(policy, { newPerSecondMax: 4, newBurst: 4 }));
    next.pass(1);
    assert.equal(begun(next, HOST, 400, 20), 4, 'the old debt is not larger than the new burst');
  });

  it('of a host with sessions outlasts a flood of made-up sources, which finds no more than the reserve', () => {
    const reserved = { reserveSessions: 128, reserveOwnSessions: 32, fewSessions: 0 };
    const bench = new Bench({ policy: { ...policy, ...reserved }, capacity: 2048 });
    const { sessions, hosts } = bench.table.parts;
    begun(bench, HOST, 0, 25);
    const record = hosts.find(parseIpv4(HOST));
    for (let n = 0; n < 4000; n++) {
      const source = formatIpv4(parseIpv4('10.9.0.0') + n);
      for (const port of [1, 2])
        bench.send(udp4({ from: `${source}:${port}`, to: '198.51.100.1:53' }));
    }
    assert.ok(hosts.count <= hosts.capacity);
    assert.ok(sessions.free.length >= 32, 'the rest is for the gateway');
    assert.equal(begun(bench, GATEWAY, 0, 20), 20);
    assert.equal(hosts.find(parseIpv4(HOST)), record);
    assert.equal(begun(bench, HOST, 100, 10), 0);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('refuses a flood without a record more, an answer beyond 300 or a search', () => {
    const bench = new Bench({ policy });
    const { counters, mappings, hosts } = bench.table.parts;
    begun(bench, HOST, 0, 25);
    const searches = (): number =>
      counters[Counter.SearchesByProbe] +
      counters[Counter.SearchesByRow] +
      counters[Counter.SearchesByWalk];
    const before = [searches(), mappings.count, hosts.count];
    assert.equal(begun(bench, HOST, 100, 5000), 0);
    assert.deepEqual([searches(), mappings.count, hosts.count], before);
    assert.equal(bench.dropCount('HostRateLimit'), 5000);
    assert.equal(bench.dropCount('AnswerLimited'), 4700);
  });
});

describe('the limit of sessions of a host', () => {
  const policy = withProfile(free, { sessionsPerHostMax: 100 });

  it('is exact, and room comes back as sessions end', () => {
    const bench = new Bench({ policy });
    assert.equal(begun(bench, HOST, 0, 150), 100);
    assert.equal(bench.dropCount('HostSessionLimit'), 50);
    assert.equal(refusedOf(bench, HOST), 50);
    assert.equal(begun(bench, OTHER, 200, 100), 100);
    assert.equal(begun(bench, GATEWAY, 400, 150), 150);
    bench.table.end(
      bench.table.parts.sessions.findInternal(
        parseIpv4(HOST),
        parseIpv4('198.51.0.8'),
        ((1024 + 7) << 16) | 9000,
        17,
      ),
    );
    assert.equal(begun(bench, HOST, 1000, 5), 1);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });
});

describe('the answers of an owner', () => {
  const PEER = '203.0.113.10';
  /** How many sessions from one endpoint to so many ports of the peer begin. */
  const answered = (bench: Bench, count: number, from = `${HOST}:5000`): number => {
    let sent = 0;
    for (let port = 1; port <= count; port++) {
      const out = bench.pass4(udp4({ from, to: `${PEER}:${port}`, payload: stun() }));
      if (out[9] === 17) sent++;
    }
    return sent;
  };

  it('take half of the new sessions a second, and the rest is for what the host begins itself', () => {
    const bench = new Bench({ policy: withProfile(free, { newPerSecondMax: 10, newBurst: 20 }) });
    assert.equal(answered(bench, 100), 10, 'the first one, by which he admits the peer, is one');
    assert.equal(bench.dropCount('HostRateLimit'), 90);
    assert.equal(refusedOf(bench, HOST), 90);
    assert.equal(begun(bench, HOST, 0, 20), 10);
    for (let second = 0; second < 3; second++) {
      bench.pass(1);
      assert.equal(answered(bench, 200), 10, 'those that stand; what has come free is half');
      assert.equal(begun(bench, HOST, 100 + second * 20, 20), 10);
    }
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('take half of the sessions', () => {
    const bench = new Bench({ policy: withProfile(free, { sessionsPerHostMax: 100 }) });
    assert.equal(answered(bench, 150), 50);
    assert.equal(bench.dropCount('HostSessionLimit'), 100);
    assert.equal(begun(bench, HOST, 0, 100), 50);
    bench.pass(1);
    assert.equal(answered(bench, 50), 50, 'those that stand go on');
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('are not what the owner sends to an address that he does not admit yet', () => {
    const bench = new Bench({ policy: withProfile(free, { sessionsPerHostMax: 100 }) });
    assert.equal(answered(bench, 60), 50);
    const to = (n: number): string => `198.51.100.${n}:6881`;
    for (let n = 1; n <= 50; n++)
      assert.equal(bench.pass4(udp4({ from: `${HOST}:5000`, to: to(n), payload: stun() }))[9], 17);
    assert.equal(begun(bench, HOST, 0, 10), 0);
  });

  it('are all that an owner sends who admits everybody', () => {
    const policy = withProfile(free, { sessionsPerHostMax: 100, openFilter: true });
    const bench = new Bench({ policy });
    let sent = 0;
    for (let n = 1; n <= 100; n++) {
      const to = `198.51.100.${n}:6881`;
      if (bench.pass4(udp4({ from: `${HOST}:5000`, to, payload: stun() }))[9] === 17) sent++;
    }
    assert.deepEqual([sent, begun(bench, HOST, 0, 100)], [50, 50]);
  });

  it('of a guest, and of the gateway, are none', () => {
    const policy = withProfile(free, { sessionsPerHostMax: 100, ownedPerHostMax: 1 });
    const bench = new Bench({ policy });
    assert.equal(answered(bench, 1), 1);
    assert.equal(answered(bench, 150, `${HOST}:5001`), 99);
    assert.equal(answered(bench, 150, `${GATEWAY}:5000`), 150);
  });
});

describe('the limit of owned ports of a host', () => {
  const claim = (bench: Bench, host: string, port: number): Uint8Array =>
    bench.pass4(udp4({ from: `${host}:${port}`, to: '203.0.113.10:3478', payload: stun() }));

  it('makes a guest of a peer beyond it where ports are shared', () => {
    const bench = new Bench({ policy: withProfile(free, { ownedPerHostMax: 3 }) });
    for (let port = 1; port <= 5; port++) assert.equal(claim(bench, HOST, port)[9], 17);
    assert.equal(bench.table.parts.ports.ownedTotal, 3);
    assert.equal(bench.table.parts.counters[Counter.PeersWithoutOwnPort], 2);
    bench.pass(0.25);
    assert.equal(bench.table.parts.counters[Counter.OwnedPortsNow], 3);
  });

  it('refuses by name where they are not', () => {
    const policy = withProfile(presetPolicy('rfc', { privateDestinations: 'allow' }), {
      ownedPerHostMax: 3,
    });
    const bench = new Bench({ policy });
    for (let port = 1; port <= 3; port++) assert.equal(claim(bench, HOST, port)[9], 17);
    assert.equal(claim(bench, HOST, 4)[9], 1);
    assert.equal(bench.dropCount('HostSessionLimit'), 1);
    assert.equal(claim(bench, OTHER, 4)[9], 17);
    // The set itself is used up: another reason.
    const small = new Bench({ policy, ports: mapePorts().slice(0, 2) });
    claim(small, HOST, 1);
    claim(small, HOST, 2);
    assert.equal(claim(small, HOST, 3)[9], 1);
    assert.equal(small.dropCount('NoPortLeft'), 1);
  });
});

describe('the reserve', () => {
  const CAPACITY = 1024;
  const policy: Policy = {
    ...free,
    reserveSessions: 64,
    reserveOwnSessions: 16,
    fewSessions: 8,
  };

  it('keeps the last records for hosts with few sessions, and the last of these for the gateway', () => {
    const bench = new Bench({ policy, capacity: CAPACITY });
    const { sessions } = bench.table.parts;
    assert.equal(begun(bench, HOST, 0, 2000), CAPACITY - 64);
    assert.equal(bench.dropCount('ReservedForOthers'), 2000 - (CAPACITY - 64));
    // Nine each: eight are few, and one that holds eight may still begin one.
    for (let host = 20; host < 25; host++)
      assert.equal(begun(bench, `192.168.1.${host}`, 3000 + host * 50, 50), 9, `host ${host}`);
    assert.equal(sessions.free.length, 64 - 45);
    assert.equal(begun(bench, '192.168.1.30', 9000, 9), 3);
    assert.equal(sessions.free.length, 16);
    assert.equal(begun(bench, '192.168.1.31', 9100, 9), 0);
    assert.equal(begun(bench, GATEWAY, 9200, 30), 16);
    assert.equal(bench.dropCount('SessionTableFull'), 14);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('is answered, and told by event', () => {
    const bench = new Bench({ policy, capacity: CAPACITY });
    const log = new EventLog(bench.table.parts.arena, 240, 0);
    begun(bench, HOST, 0, CAPACITY - 64);
    const answer = bench.pass4(udp4({ from: `${HOST}:9`, to: '198.51.100.1:9000' }));
    assert.deepEqual([answer[9], answer[20], answer[21]], [1, 3, 13]);
    assert.equal(log.poll()[0].kind, 'host-limited');
  });

  it('is nothing for hosts that share a record: who they are is not known', () => {
    const bench = new Bench({ policy: { ...policy, fewSessions: 500 }, capacity: 2048 });
    const { hosts, counters } = bench.table.parts;
    // One session each from more hosts than there are records.
    for (let n = 0; n < hosts.capacity; n++) {
      const from = `10.7.${n >> 8}.${n & 255}:5000`;
      assert.equal(bench.pass4(udp4({ from, to: '198.51.100.1:53' }))[9] === 17, n < 240);
      bench.pass4(udp4({ from, to: `198.51.${n >> 8}.${n & 255}:54` }));
    }
    assert.equal(hosts.find(parseIpv4('10.9.9.9')), -1);
    const before = bench.table.parts.sessions.free.length;
    const room = before - 64;
    let sent = 0;
    for (let n = 0; n < 2000; n++) if (begins(bench, '10.9.9.9', n)) sent++;
    assert.equal(sent, room);
    assert.ok(counters[Counter.SessionsRefused] > 0);
    assert.ok(bench.dropCount('ReservedForOthers') > 0);
  });
});

describe('counts by class', () => {
  it('are published, and survive a restart', () => {
    const bench = new Bench({ policy: free });
    begun(bench, HOST, 0, 5);
    bench.pass4(tcp4({ from: `${HOST}:1`, to: '198.51.100.1:80', flags: SYN }));
    bench.pass4(udp4({ from: `${HOST}:5000`, to: '203.0.113.10:3478', payload: stun() }));
    bench.pass(0.25);
    const now = ({ table }: Bench, at: number): number[] => [
      ...table.parts.counters.slice(at, at + 16),
    ];
    const expected = [5, 1, 0, 0, 1, ...new Array(11).fill(0)];
    assert.deepEqual(now(bench, COUNTER_CLASS_NOW), expected);
    assert.deepEqual(now(bench, COUNTER_CLASS_CREATED), expected);
    const arena = (bench.table.parts.arena.header.buffer as ArrayBuffer).slice(0);
    const next = new Bench({ policy: free, arena, now: bench.now, seed: 3 });
    next.table.restore();
    assert.deepEqual(now(next, COUNTER_CLASS_NOW), expected);
    for (let session = 0; session < 7; session++) next.table.end(session);
    next.pass(0.25);
    assert.deepEqual(now(next, COUNTER_CLASS_NOW), new Array(16).fill(0));
    assert.deepEqual(now(next, COUNTER_CLASS_CREATED), expected);
  });

  it('and refusals of the last second', () => {
    const bench = new Bench({ policy: withProfile(free, { sessionsPerHostMax: 10 }) });
    const { counters } = bench.table.parts;
    bench.pass(1);
    begun(bench, HOST, 0, 60);
    bench.pass(1);
    assert.equal(counters[Counter.RefusalsNow], 50);
    bench.pass(1);
    assert.equal(counters[Counter.RefusalsNow], 0);
  });
});
