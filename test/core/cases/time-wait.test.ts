/**
 * Which closed connection may give its place to a new one (RFC 6191, RFC 7857 section 2.2), on a set where every port is taken
 * towards the server.
 */
import assert from 'node:assert/strict';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { Bench, endpoints, mapePorts } from '../../support/gateway.ts';
import { ACK, FIN, RST, SYN, tcp4 } from '../../support/packets.ts';

const SERVER = '198.51.100.9:80';
const PORTS = 8;

interface Segment {
  flags: number;
  seq: number;
  ack?: number;
  timestamp?: number;
}

/** One connection of each port, brought to the same end by `close`. */
function full(
  close: (out: (segment: Segment) => void, back: (segment: Segment) => void) => void,
): Bench {
  const bench = new Bench({ ports: mapePorts().slice(0, PORTS) });
  for (let n = 0; n < PORTS; n++) {
    const host = `10.0.0.${n + 1}:5000`;
    let external = '';
    const out = (segment: Segment): void => {
      external = endpoints(bench.pass4(tcp4({ from: host, to: SERVER, ...segment }))).from;
    };
    const back = (segment: Segment): void => {
      bench.pass4(tcp4({ from: SERVER, to: external, ...segment }));
    };
    out({ flags: SYN, seq: 1000, timestamp: 50 });
    back({ flags: SYN | ACK, seq: 7000, ack: 1001 });
    out({ flags: ACK, seq: 1001, ack: 7001, timestamp: 60 });
    close(out, back);
  }
  return bench;
}

/** A SYN of another host: true if it left. */
function knock(bench: Bench, seq: number, timestamp?: number): boolean {
  const out = bench.pass4(tcp4({ from: '192.168.1.50:9', to: SERVER, flags: SYN, seq, timestamp }));
  assert.ok(out[9] === 6 || (out[9] === 1 && out[20] === 3 && out[21] === 13));
  return out[9] === 6;
}

describe('the place of a TCP connection', () => {
  const remoteClosedFirst = (timestamp?: number): Bench =>
    full((out, back) => {
      back({ flags: FIN | ACK, seq: 7001, ack: 1001 });
      out({ flags: FIN | ACK, seq: 1001, ack: 7002, timestamp });
    });

  it('is free at once after a valid RST of the remote', () => {
    const bench = full((_, back) => back({ flags: RST, seq: 7001 }));
    assert.ok(knock(bench, 1));
    assert.equal(bench.table.parts.counters[Counter.TimeWaitReused], 1);
    assert.equal(bench.table.parts.sessions.count, PORTS);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('is free at once after a RST of the remote that had closed before', () => {
    const bench = full((_, back) => {
      back({ flags: FIN | ACK, seq: 7001, ack: 1001 });
      back({ flags: RST, seq: 7002 });
    });
    assert.ok(knock(bench, 1));
  });

  it('is judged by the numbers of a connection that took over an open session', () => {
    for (const [seq, isSafe] of [
      [500, true],
      [300, false],
    ] as const) {
      const bench = full((out, back) => {
        out({ flags: SYN, seq: 399 });
        back({ flags: SYN | ACK, seq: 9000, ack: 400 });
        back({ flags: FIN | ACK, seq: 9001, ack: 400 });
        out({ flags: FIN | ACK, seq: 400, ack: 9002 });
      });
      assert.equal(knock(bench, seq), isSafe, `sequence number ${seq}`);
    }
  });

  it('is not free after a RST with a wrong sequence number', () => {
    const bench = full((_, back) => back({ flags: RST, seq: 9999 }));
    assert.ok(!knock(bench, 1_000_000));
  });

  it('is free at once after a RST of the host', () => {
    const bench = full((out) => out({ flags: RST, seq: 1001 }));
    assert.ok(knock(bench, 1));
  });

  it('is not free while one side alone has closed', () => {
    for (const side of ['host', 'remote'])
      assert.ok(
        !knock(
          full((out, back) =>
            side === 'host'
              ? out({ flags: FIN | ACK, seq: 1001, ack: 7001 })
              : back({ flags: FIN | ACK, seq: 7001, ack: 1001 }),
          ),
          1_000_000,
          1_000_000,
        ),
        side,
      );
  });

  it('by timestamp: a greater one is safe, the same or a smaller one is not, whatever the sequence number', () => {
    for (const [timestamp, isSafe] of [
      [71, true],
      [70, false],
      [69, false],
    ] as const)
      assert.equal(
        knock(remoteClosedFirst(70), 1_000_000, timestamp),
        isSafe,
        `TSval ${timestamp}`,
      );
  });

  it('by sequence number where a side has no timestamps: beyond what was sent, across the wrap too', () => {
    assert.ok(!knock(remoteClosedFirst(), 1002));
    assert.ok(knock(remoteClosedFirst(), 1003));
    assert.ok(knock(remoteClosedFirst(70), 1003));
    assert.ok(!knock(remoteClosedFirst(), 1003 + 0x8000_0000));
  });
});
