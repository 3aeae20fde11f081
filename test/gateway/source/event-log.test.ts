import assert from 'node:assert/strict';
import { refuseFor } from '../../../core/policy.ts';
import { EVENT_CAPACITY } from '../../../core/table/arena.ts';
import { Event, Events } from '../../../core/table/events.ts';
import { Drop } from '../../../core/verdict.ts';
import { EventLog } from '../../../gateway/source/event-log.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, mapePorts } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

const logOf = (bench: Bench): EventLog => new EventLog(bench.table.parts.arena, 240, 0);

const stun = (): Uint8Array => {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
};

describe('events', () => {
  it('name host and destination of a session that was refused', () => {
    const bench = new Bench({ ports: mapePorts().slice(0, 1) });
    const log = logOf(bench);
    bench.send(udp4({ from: '192.168.1.11:5', to: '198.51.100.1:53' }));
    assert.deepEqual(log.poll(), []);
    bench.send(udp4({ from: '192.168.1.12:6', to: '198.51.100.1:53' }));
    const [event, ...more] = log.poll();
    assert.deepEqual(more, []);
    assert.equal(event.kind, 'session-refused');
    assert.equal(event.internal, '192.168.1.12:6');
    assert.equal(event.reason, 'NoPortLeft');
    assert.equal(event.remote, '198.51.100.1:53');
    assert.match(event.text, /^udp 192\.168\.1\.12:6 to 198\.51\.100\.1:53 was refused: all 240/);
    assert.deepEqual(log.poll(), [], 'each event is told once');
  });

  it('tell of what a policy refused, and answer its sender', () => {
    const policy = { ...standardPolicy('home'), decide: () => refuseFor(Drop.UdpBlocked) };
    const bench = new Bench({ policy });
    const answer = bench.pass4(udp4({ from: '192.168.1.11:5', to: '198.51.100.1:53' }));
    assert.deepEqual([answer[20], answer[21]], [3, 13]);
    assert.equal(bench.dropCount('UdpBlocked'), 1);
    const [event] = logOf(bench).poll();
    assert.deepEqual([event.kind, event.reason], ['policy-refused', 'UdpBlocked']);
  });

  it('name the reason of a refusal as drops do, and none where nothing was refused', () => {
    const bench = new Bench();
    const events = new Events(bench.table.parts.arena.events);
    const told = (kind: number, detail: number): string | undefined => {
      events.add(kind, 1, 1, 2, 3, 17, detail);
      return logOf(bench).poll().at(-1)?.reason;
    };
    assert.equal(told(Event.SessionRefused, Drop.NoPortLeft), 'NoPortLeft');
    assert.equal(told(Event.TableFull, Drop.RemoteTableFull), 'RemoteTableFull');
    assert.equal(told(Event.HostLimited, Drop.HostRateLimit), 'HostRateLimit');
    assert.equal(told(Event.PolicyRefused, Drop.RefusedByPolicy), 'RefusedByPolicy');
    assert.equal(told(Event.PeerWithoutPort, 0), undefined);
    assert.equal(told(Event.PressureChanged, (1 << 8) | 2), undefined);
  });

  it('tell of a peer that found no port of its own', () => {
    const bench = new Bench();
    for (let port = 1; port <= 9; port++)
      bench.pass4(udp4({ from: `192.168.1.11:${port}`, to: '203.0.113.10:3478', payload: stun() }));
    const [event] = logOf(bench).poll();
    assert.equal(event.kind, 'peer-without-port');
    assert.equal(event.internal, '192.168.1.11:9');
  });

  it('are limited, and the next one counts those that were left out', () => {
    const bench = new Bench();
    const events = new Events(bench.table.parts.arena.events);
    for (let i = 0; i < 1000; i++) events.add(Event.SessionRefused, 1, 1, 2, 3, 17, 0);
    events.add(Event.SessionRefused, 2, 1, 2, 3, 17, 0);
    const all = logOf(bench).poll();
    assert.equal(all.length, 201);
    assert.equal(all[200].suppressed, 800);
  });

  it('of a host are told each second whatever another host floods', () => {
    const bench = new Bench();
    const log = logOf(bench);
    const events = new Events(bench.table.parts.arena.events);
    const quiet = 0x0a000001;
    for (let tick = 1; tick <= 40; tick++) {
      for (let i = 0; i < 5_000; i++)
        events.add(Event.SessionRefused, tick, 0x0a000002, 2, 3, 17, 10);
      if (tick % 4 === 0) events.add(Event.PolicyRefused, tick, quiet, 9, 3, 17, 32);
    }
    const told = log.poll();
    assert.equal(told.filter(({ internal }) => internal === '10.0.0.1:0').length, 10);
    assert.ok(told.length < 200 + 12 * 40 + 2 * 10 + 1, `${told.length} events of 200,010`);
  });

  it('go on with the newest half when the reader comes too late', () => {
    const bench = new Bench();
    const log = logOf(bench);
    const events = new Events(bench.table.parts.arena.events);
    for (let i = 1; i <= EVENT_CAPACITY * 3; i++)
      events.add(Event.SessionRefused, i, 1, 2, 3, 17, 0);
    const told = log.poll();
    assert.equal(told[told.length - 1].sequence, EVENT_CAPACITY * 3);
    assert.ok(told.length >= EVENT_CAPACITY / 2 - 1 && told.length <= EVENT_CAPACITY);
    told.slice(1).forEach((event, i) => {
      assert.equal(event.sequence, told[i].sequence + 1);
    });
  });
});
