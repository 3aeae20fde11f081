/** Two LANs with policies of their own on one port set; and the filter that a LAN's owners have. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Policy } from '../../../core/policy.ts';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { buildPolicy } from '../../../policies/build.ts';
import { type PolicySettings, PRESETS, type PresetName } from '../../../policies/settings.ts';
import { Bench, type BenchOptions, endpoints, mapePorts } from '../../support/gateway.ts';
import { ACK, RST, SYN, tcp4, udp4 } from '../../support/packets.ts';

const portOf = (packet: Uint8Array): number => Number(endpoints(packet).from.split(':')[1]);

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

const settings = (preset: PresetName): PolicySettings => ({
  ...PRESETS[preset],
  privateDestinations: 'allow',
  limits: { ...PRESETS[preset].limits, sessions: 0, newPerSecond: 0 },
  unansweredPerRemote: 0,
});

/** 192.168.1.0/24 has the first preset, 10.0.0.0/8 the second one. */
const policyOf = (first: PresetName, second: PresetName): Policy =>
  buildPolicy({ profiles: [settings(first), settings(second)], profileOfLan: [0, 1] });

const benchOf = (first: PresetName, second: PresetName, more: BenchOptions = {}): Bench =>
  new Bench({ policy: policyOf(first, second), ...more });

describe('a LAN with `rfc` beside one with `home`', () => {
  const send = (bench: Bench, from: string, to: string): Uint8Array =>
    bench.pass4(udp4({ from, to }));

  it('owns its ports, while the other LAN shares the rest', () => {
    const bench = benchOf('rfc', 'home');
    const strict = new Set<number>();
    for (let n = 0; n < 100; n++)
      strict.add(portOf(send(bench, `192.168.1.11:${n + 1}`, '198.51.100.1:9000')));
    assert.equal(strict.size, 100);
    assert.equal(bench.table.parts.ports.ownedTotal, 100);
    for (let n = 0; n < 1400; n++) {
      const out = send(bench, `10.0.0.2:${n + 1}`, `198.51.100.${(n % 10) + 2}:9000`);
      assert.equal(out[9], 17);
      assert.ok(!strict.has(portOf(out)), 'an owned port is the last resort');
    }
    assert.equal(bench.table.parts.ports.ownedTotal, 100);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('gets a port with guests as its own, and is refused when every port has an owner', () => {
    const bench = benchOf('rfc', 'home', { ports: mapePorts().slice(0, 20) });
    for (let n = 0; n < 200; n++)
      send(bench, `10.0.0.2:${n + 1}`, `198.51.100.${(n % 20) + 2}:9000`);
    for (let n = 0; n < 20; n++)
      assert.equal(send(bench, `192.168.1.11:${n + 1}`, '198.51.100.1:9000')[9], 17);
    assert.equal(send(bench, '192.168.1.11:99', '198.51.100.1:9000')[9], 1);
    assert.equal(bench.dropCount('NoPortLeft'), 1);
    // The other LAN goes on as a guest on owned ports, towards remotes that the owners do not know.
    assert.equal(send(bench, '10.0.0.3:1', '198.51.100.200:9000')[9], 17);
    assert.equal(send(bench, '10.0.0.3:2', '198.51.100.1:9000')[9], 1);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('does not let its unanswered sessions give way for its own, as the other does', () => {
    for (const [host, gives] of [
      ['192.168.1.11', false],
      ['10.0.0.2', true],
    ] as const) {
      const bench = benchOf('rfc', 'home', { ports: mapePorts().slice(0, 8) });
      for (let n = 0; n < 8; n++) send(bench, `10.0.0.9:${n + 1}`, '198.51.100.1:9000');
      bench.pass(4);
      assert.equal(send(bench, `${host}:5000`, '198.51.100.1:9000')[9], gives ? 17 : 1, host);
      assert.equal(bench.table.parts.counters[Counter.SessionsEvicted], gives ? 1 : 0);
    }
  });

  it('has timers of its own', () => {
    const bench = benchOf('rfc', 'home');
    const count = (): number => bench.table.parts.sessions.count;
    send(bench, '192.168.1.11:1', '198.51.100.1:9000');
    send(bench, '10.0.0.2:1', '198.51.100.1:9000');
    bench.pass(290);
    assert.equal(
      count(),
      1,
      'five minutes (RFC 4787 REQ-5c); in home what was never answered ends sooner',
    );
    bench.pass(12);
    assert.equal(count(), 0);
  });

  it('is consistent after any order of packets, answers, pauses, restarts and changes of the policy', () => {
    const step = fc.record({
      isFirstLan: fc.boolean(),
      endpoint: fc.integer({ min: 0, max: 30 }),
      remote: fc.integer({ min: 1, max: 5 }),
      stun: fc.boolean(),
      answer: fc.boolean(),
      pause: fc.constantFrom(0, 0, 0, 1, 30, 310),
      next: fc.constantFrom('', '', '', '', '', '', 'restart', 'swap', 'one'),
    });
    const names = fc.constantFrom<PresetName>('home', 'rfc', 'game', 'event');
    fc.assert(
      fc.property(names, names, fc.array(step, { maxLength: 120 }), (first, second, steps) => {
        let bench = benchOf(first, second, { capacity: 1024, ports: mapePorts().slice(0, 12) });
        for (const { isFirstLan, endpoint, remote, stun: isStun, answer, pause, next } of steps) {
          const from = `${isFirstLan ? '192.168.1' : '10.0.0'}.${(endpoint % 9) + 2}:${5000 + endpoint}`;
          const to = `198.51.100.${remote}:3478`;
          const payload = isStun ? stun() : undefined;
          const out = bench.pass4(udp4({ from, to, payload }));
          if (answer && out[9] === 17)
            assert.equal(
              endpoints(bench.pass4(udp4({ from: to, to: endpoints(out).from }))).to,
              from,
            );
          if (pause > 0) bench.pass(pause);
          if (next === 'swap') bench.table.setPolicy(policyOf(second, first));
          if (next === 'one')
            bench.table.setPolicy(buildPolicy({ profiles: [settings('home')], profileOfLan: [] }));
          if (next !== 'restart') continue;
          const arena = bench.table.parts.arena.header.buffer as ArrayBuffer;
          bench = benchOf(first, second, {
            capacity: 1024,
            ports: mapePorts().slice(0, 12),
            arena,
            now: bench.now,
          });
          bench.table.restore();
        }
        assert.deepEqual(selfCheck(bench.table.parts), []);
      }),
      { numRuns: 60 },
    );
  });
});

describe('a LAN with `game` beside one with `home`', () => {
  /** The external endpoint of a peer of that host. */
  const peer = (bench: Bench, host: string): string =>
    endpoints(bench.pass4(udp4({ from: `${host}:5000`, to: '203.0.113.10:3478', payload: stun() })))
      .from;

  it('lets everybody in to its owners (RFC 4787 REQ-8), the other only known addresses', () => {
    const bench = benchOf('game', 'home');
    const open = peer(bench, '192.168.1.11');
    const closed = peer(bench, '10.0.0.2');
    const stranger = '203.0.113.99:7777';
    assert.equal(
      endpoints(bench.pass4(udp4({ from: stranger, to: open }))).to,
      '192.168.1.11:5000',
    );
    assert.equal(bench.send(udp4({ from: stranger, to: closed })), 'FilteredByOwner');
    assert.equal(bench.table.parts.sessions.count, 2, 'an inbound packet makes no session');
    assert.equal(bench.table.parts.counters[Counter.OwnerPackets], 1);
    // The host answers: now it has one, from the same external port.
    const answer = bench.pass4(udp4({ from: '192.168.1.11:5000', to: stranger }));
    assert.equal(endpoints(answer).from, open);
    assert.equal(bench.table.parts.sessions.count, 3);
  });

  it('a flood of strangers costs nothing', () => {
    const bench = benchOf('game', 'home');
    const open = peer(bench, '192.168.1.11');
    for (let n = 0; n < 3000; n++)
      bench.pass4(udp4({ from: `203.0.${113 + (n >> 8)}.${n & 255}:7777`, to: open }));
    const { sessions, permits, remotes } = bench.table.parts;
    assert.deepEqual([sessions.count, permits.count, remotes.count], [1, 1, 1]);
  });

  it('its owners’ ports have no guests, even where all others are taken', () => {
    const bench = benchOf('game', 'home', { ports: mapePorts().slice(0, 8) });
    const open = peer(bench, '192.168.1.11');
    const closed = peer(bench, '10.0.0.2');
    const to = '198.51.100.1:9000';
    const used = new Set<number>();
    for (let n = 0; n < 7; n++) {
      const out = bench.pass4(udp4({ from: `10.0.0.3:${n + 1}`, to }));
      assert.equal(out[9], 17);
      used.add(portOf(out));
    }
    const [openPort, closedPort] = [open, closed].map((endpoint) => Number(endpoint.split(':')[1]));
    assert.ok(used.has(closedPort), 'the owner does not know that address');
    assert.ok(!used.has(openPort), 'the owner admits every address');
    assert.equal(bench.pass4(udp4({ from: '10.0.0.3:99', to }))[9], 1);
    assert.equal(bench.dropCount('NoPortLeft'), 1);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('follows a change of the policy, and what a restart finds', () => {
    const bench = benchOf('game', 'home');
    const open = peer(bench, '192.168.1.11');
    const packet = (): Uint8Array => udp4({ from: '203.0.113.99:7777', to: open });
    bench.pass4(packet());
    bench.table.setPolicy(policyOf('home', 'home'));
    assert.equal(bench.send(packet()), 'FilteredByOwner');
    bench.table.setPolicy(policyOf('game', 'home'));
    bench.pass4(packet());
    const arena = bench.table.parts.arena.header.buffer as ArrayBuffer;
    const next = benchOf('game', 'home', { arena, now: bench.now });
    next.table.restore();
    next.pass4(packet());
    assert.deepEqual(selfCheck(next.table.parts), []);
    // A profile that is not there any more is the first one.
    next.table.setPolicy(buildPolicy({ profiles: [settings('home')], profileOfLan: [] }));
    assert.equal(next.send(packet()), 'FilteredByOwner');
  });

  it('holds for TCP: a SYN comes in, the answer makes the session, a RST goes out', () => {
    const policy = policyOf('game', 'home');
    const { decide } = policy;
    // Every TCP endpoint is a peer.
    const bench = new Bench({ policy: { ...policy, decide: (first) => decide(first) | 64 } });
    const out = bench.pass4(tcp4({ from: '192.168.1.11:80', to: '203.0.113.10:1', flags: SYN }));
    const external = endpoints(out).from;
    const stranger = '203.0.113.99:4444';
    const syn = (): Uint8Array => tcp4({ from: stranger, to: external, flags: SYN });
    assert.equal(endpoints(bench.pass4(syn())).to, '192.168.1.11:80');
    const reset = bench.pass4(tcp4({ from: '192.168.1.11:80', to: stranger, flags: RST | ACK }));
    assert.equal(endpoints(reset).from, external);
    assert.equal(bench.table.parts.sessions.count, 1);
    bench.pass4(syn());
    const accepted = bench.pass4(tcp4({ from: '192.168.1.11:80', to: stranger, flags: SYN | ACK }));
    assert.equal(endpoints(accepted).from, external);
    assert.equal(bench.table.parts.sessions.count, 2);
  });
});
