import assert from 'node:assert/strict';
import { STATE_NAMES } from '../../../core/state.ts';
import { S_COMMIT } from '../../../core/table/arena.ts';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { ACK, FIN, RST, SYN, tcp4 } from '../../support/packets.ts';

const HOST = '192.168.1.11:5000';
const SERVER = '198.51.100.9:80';

/** A connection through a bench, with sequence numbers: internal side starts at 1000, remote side at 7000. */
class Connection {
  readonly bench: Bench;
  external = '';
  private readonly host: string;

  constructor(bench = new Bench(), host = HOST) {
    this.bench = bench;
    this.host = host;
  }

  out(
    flags: number,
    seq: number,
    ack = 0,
    more: { timestamp?: number; payload?: Uint8Array } = {},
  ): void {
    const packet = this.bench.pass4(
      tcp4({ from: this.host, to: SERVER, flags, seq, ack, ...more }),
    );
    this.external = endpoints(packet).from;
  }

  in(flags: number, seq: number, ack = 0): string | Uint8Array {
    return this.bench.send(tcp4({ from: SERVER, to: this.external, flags, seq, ack }));
  }

  open(timestamp?: number): this {
    this.out(SYN, 1000, 0, { timestamp });
    this.in(SYN | ACK, 7000, 1001);
    this.out(ACK, 1001, 7001, { timestamp });
    return this;
  }

  get state(): string {
    const { words } = this.bench.table.parts.sessions;
    return STATE_NAMES[words[S_COMMIT] & 63];
  }
}

describe('TCP state of a session', () => {
  it('goes from half-open to established, half-closed and closing', () => {
    const c = new Connection();
    c.out(SYN, 1000);
    assert.equal(c.state, 'half-open');
    c.in(SYN | ACK, 7000, 1001);
    assert.equal(c.state, 'established');
    c.out(ACK, 1001, 7001);
    c.out(FIN | ACK, 1001, 7001);
    assert.equal(c.state, 'half-closed');
    c.in(FIN | ACK, 7001, 1002);
    assert.equal(c.state, 'closing');
  });

  it('keeps an idle established connection for two hours and four minutes, a half-open one for four minutes', () => {
    const established = new Connection().open();
    established.bench.pass(7439);
    assert.equal(established.bench.table.parts.sessions.count, 1);
    established.bench.pass(4);
    assert.equal(established.bench.table.parts.sessions.count, 0);

    const halfOpen = new Connection();
    halfOpen.out(SYN, 1000);
    halfOpen.bench.pass(239);
    assert.equal(halfOpen.bench.table.parts.sessions.count, 1);
    halfOpen.bench.pass(4);
    assert.equal(halfOpen.bench.table.parts.sessions.count, 0);
    assert.deepEqual(selfCheck(halfOpen.bench.table.parts), []);
  });

  it('half-closed is kept for four minutes by preset home, as long as an established one by rfc', () => {
    for (const [preset, seconds] of [
      ['home', 240],
      ['rfc', 7440],
    ] as const) {
      const c = new Connection(new Bench({ policy: standardPolicy(preset) })).open();
      c.in(FIN | ACK, 7001, 1001);
      c.bench.pass(seconds - 1);
      assert.equal(c.bench.table.parts.sessions.count, 1, preset);
      c.bench.pass(5);
      assert.equal(c.bench.table.parts.sessions.count, 0, preset);
    }
  });

  it('is not ended by a RST with a wrong sequence number, which is forwarded all the same', () => {
    const c = new Connection().open();
    assert.notEqual(typeof c.in(RST, 7100), 'string');
    assert.equal(c.state, 'established');
    assert.notEqual(typeof c.in(RST, 7001), 'string');
    assert.equal(c.state, 'reset');
  });

  it('after a valid RST is kept for four minutes, and a packet from inside makes it live again', () => {
    const c = new Connection().open();
    c.in(RST, 7001);
    c.bench.pass(200);
    c.out(ACK, 1001, 7001);
    assert.equal(c.state, 'established');
  });

  it('a refused SYN ends in reset', () => {
    const c = new Connection();
    c.out(SYN, 1000);
    c.in(RST | ACK, 0, 1001);
    assert.equal(c.state, 'reset');
  });

  it('a new SYN on a closed session opens it anew, a hundred times', () => {
    const c = new Connection();
    for (let i = 0; i < 100; i++) {
      const base = 1000 + i * 100_000;
      c.out(SYN, base);
      assert.equal(c.state, 'half-open', `connection ${i}`);
      c.in(SYN | ACK, 7000, base + 1);
      c.out(ACK, base + 1, 7001);
      c.in(FIN | ACK, 7001, base + 1);
      c.out(FIN | ACK, base + 1, 7002);
      assert.equal(c.state, 'closing');
    }
    assert.equal(c.bench.table.parts.sessions.count, 1);
  });

  it('a SYN on an established session changes nothing', () => {
    const c = new Connection().open();
    c.out(SYN, 999_000);
    assert.equal(c.state, 'established');
  });
});

describe('places of closed TCP sessions', () => {
  /** Fills every port towards the server with connections that were closed, the remote side first. */
  const fill = (bench: Bench, remoteFirst: boolean, timestamp?: number): void => {
    for (let n = 0; n < 240; n++) {
      const c = new Connection(bench, `10.0.0.${n + 1}:5000`).open(timestamp);
      if (remoteFirst) c.in(FIN | ACK, 7001, 1001);
      c.out(FIN | ACK, 1001, 7001, { timestamp });
      if (!remoteFirst) c.in(FIN | ACK, 7001, 1002);
    }
  };
  const knock = (bench: Bench, seq: number, timestamp?: number): number =>
    bench.pass4(tcp4({ from: '192.168.1.50:9', to: SERVER, flags: SYN, seq, timestamp }))[9];

  it('are reused at once when the internal side closed first', () => {
    const bench = new Bench();
    fill(bench, false);
    assert.equal(knock(bench, 5), 6);
    assert.equal(bench.table.parts.counters[Counter.TimeWaitReused], 1);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('are reused by a greater sequence number only, when the server closed first', () => {
    const bench = new Bench();
    fill(bench, true);
    assert.equal(knock(bench, 900), 1, 'a smaller sequence number is refused');
    bench.pass(2);
    assert.equal(knock(bench, 900_000), 6);
  });

  it('are reused by a greater timestamp, whatever the sequence number', () => {
    const bench = new Bench();
    fill(bench, true, 5000);
    assert.equal(knock(bench, 900_000, 4000), 1);
    bench.pass(2);
    assert.equal(knock(bench, 1, 6000), 6);
  });

  it('are left alone while connections live', () => {
    const bench = new Bench();
    for (let n = 0; n < 240; n++) new Connection(bench, `10.0.0.${n + 1}:5000`).open();
    assert.equal(knock(bench, 5), 1);
    assert.equal(bench.table.parts.sessions.count, 240);
  });
});
