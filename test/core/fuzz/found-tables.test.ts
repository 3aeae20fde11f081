/** Faults of the tables that fuzzing and reading have found, each as the shortest history that shows it. */
import assert from 'node:assert/strict';
import { Flag } from '../../../core/state.ts';
import { M_EXTERNAL, S_COMMIT, S_INTERNAL_ADDRESS } from '../../../core/table/arena.ts';
import { Counter } from '../../../core/table/counters.ts';
import { MAPPING_SHIFT } from '../../../core/table/mappings.ts';
import { Permits } from '../../../core/table/permits.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { Bench, EXTERNAL, endpoints, mapePorts } from '../../support/gateway.ts';
import { cutPacket, ipv4, udp4 } from '../../support/packets.ts';

const HOST = '192.168.1.11';
const SERVER = '198.51.100.9';

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

/** A clock that jumps, forwards or back. */
const jump = (bench: Bench, milliseconds: number): void => {
  bench.now += milliseconds;
  bench.engine.advance(bench.now);
};

describe('a clock that is set back', () => {
  it('does not keep sessions beyond their timers', () => {
    const bench = new Bench();
    jump(bench, 100_000_000);
    bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    jump(bench, -50_000_000);
    bench.pass(310);
    assert.equal(bench.table.parts.sessions.count, 0);
  });

  it('does not silence the answers to senders without a host record', () => {
    const bench = new Bench();
    const esp = ipv4(50, { from: HOST, to: SERVER }, new Uint8Array(24));
    jump(bench, 100_000_000);
    assert.notEqual(bench.send(esp), 'AnswerLimited');
    jump(bench, -50_000_000);
    assert.notEqual(bench.send(esp), 'AnswerLimited');
    bench.pass(1);
    assert.notEqual(bench.send(esp), 'AnswerLimited');
  });

  it('does not silence events', () => {
    const bench = new Bench();
    const { events, counters } = bench.table.parts;
    events.add(1, 1_000_000, 0, 0, 0, 0, 0);
    events.add(1, 10, 0, 0, 0, 0, 0);
    bench.pass(1);
    assert.equal(counters[Counter.EventsSuppressed], 0);
  });
});

describe('fragments of a datagram whose identification was used before', () => {
  it('follow the new first fragment when the old one is forgotten', () => {
    const bench = new Bench();
    const datagram = (port: number): Uint8Array[] =>
      cutPacket(
        udp4({
          from: `${HOST}:${port}`,
          to: `${SERVER}:9`,
          df: false,
          id: 7,
          payload: new Uint8Array(2000),
        }),
        1400,
      );
    bench.pass4(datagram(5000)[0]);
    bench.pass(31);
    bench.pass4(datagram(5000)[0]);
    assert.equal(endpoints(bench.pass4(datagram(5000)[1])).from.split(':')[0], EXTERNAL);
  });
});

describe('permits of an owner', () => {
  it('are not taken back by sessions that were never counted: the table was full', () => {
    const permits = new Permits(1, 1);
    assert.equal(permits.add(1, 10), true);
    assert.equal(permits.add(1, 20), false);
    permits.remove(1, 10);
    assert.equal(permits.add(1, 20), true);
    assert.equal(permits.sessions(1, 20), 1);
  });

  it('are not taken back by a session that was diverted to the port before it was owned', () => {
    // Two ports: towards the first remote the endpoint's own port is taken, so it is diverted to the other one.
    for (let seed = 1; seed < 40; seed++) {
      const bench = new Bench({ ports: mapePorts().slice(0, 4), seed });
      const port = (from: string, to: string, payload?: Uint8Array): string =>
        endpoints(bench.pass4(udp4({ from, to, payload }))).from;
      const mine = port(`${HOST}:5000`, '198.51.100.1:9');
      for (let n = 0; n < 3; n++) port(`10.0.0.${n + 1}:1`, '198.51.100.2:9');
      const diverted = port(`${HOST}:5000`, '198.51.100.2:9');
      if (diverted === mine) continue;
      bench.pass(200);
      // Guests everywhere but at `diverted`, so that this port is the one with the fewest sessions.
      for (let n = 0; n < 40; n++) port(`10.0.1.${n + 1}:1`, `198.51.100.${n + 10}:9`);
      const owned = port(`${HOST}:5000`, '198.51.100.3:3478', stun());
      if (owned !== diverted) continue;
      // Another port of the address towards which the session was diverted: counted.
      assert.equal(port(`${HOST}:5000`, '198.51.100.2:10'), owned);
      bench.pass(150);
      port(`${HOST}:5000`, '198.51.100.2:10');
      bench.pass(200);
      assert.deepEqual(selfCheck(bench.table.parts), []);
      const told = bench.send(udp4({ from: '198.51.100.2:77', to: owned }));
      assert.notEqual(told, 'FilteredByOwner', 'the session that was counted is still there');
      return;
    }
    assert.fail('no seed diverted a session to the port that was claimed later');
  });

  it('are checked: one too few is reported', () => {
    const bench = new Bench();
    bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:3478`, payload: stun() }));
    assert.deepEqual(selfCheck(bench.table.parts), []);
    const { sessions } = bench.table.parts;
    assert.ok(((sessions.words[S_COMMIT] >>> 12) & Flag.Permit) !== 0);
    sessions.words[S_COMMIT] &= ~(Flag.Permit << 12);
    assert.equal(selfCheck(bench.table.parts).length, 1);
  });
});

describe('a peer that is refused', () => {
  it('is not searched for again while the remote refuses', () => {
    const bench = new Bench();
    const request = (n: number): Uint8Array =>
      udp4({ from: `10.1.${n >> 8}.${n & 255}:5`, to: `${SERVER}:3478`, payload: stun() });
    for (let n = 0; n < 240; n++) bench.pass4(request(n));
    assert.equal(bench.pass4(request(240))[9], 1);
    const { sessions } = bench.table.parts;
    let lookUps = 0;
    const find = sessions.findExternal.bind(sessions);
    sessions.findExternal = (...key) => {
      lookUps++;
      return find(...key);
    };
    assert.equal(bench.pass4(request(241))[9], 1);
    assert.equal(lookUps, 0);
  });
});

describe('a record of an owner that names an external address which is not there', () => {
  it('is not believed when a successor takes the arena over', () => {
    const bench = new Bench();
    bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:3478`, payload: stun() }));
    bench.pass4(udp4({ from: '192.168.1.12:5000', to: `${SERVER}:9` }));
    const { sessions, mappings, arena } = bench.table.parts;
    const mapping = mappings.find(sessions.words[S_INTERNAL_ADDRESS], 5000, 17);
    assert.ok(mappings.isOwner(mapping));
    mappings.words[(mapping << MAPPING_SHIFT) + M_EXTERNAL] |= 7 << 24;
    const buffer = arena.header.buffer as ArrayBuffer;
    const next = new Bench({ arena: buffer.slice(0), now: bench.now });
    const restored = next.table.restore();
    assert.deepEqual([restored.sessions, restored.dropped], [1, 1]);
    assert.deepEqual(selfCheck(next.table.parts), []);
  });
});
