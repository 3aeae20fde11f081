/** Faults that the guided fuzzer has found. */
import assert from 'node:assert/strict';
import { isTransportRight } from '../../../bench/fuzz/build.ts';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import { echo4 } from '../../support/packets.ts';

const HOST = '192.168.1.11';
const SERVER = '198.51.100.9';

describe('the checksum of an echo reply that is zeros throughout is 0xffff', () => {
  const zeros = { sequence: 0, size: 0 };

  it('where the gateway answers a ping of its own address', () => {
    const bench = new Bench();
    const reply = bench.pass4(echo4({ from: `${HOST}:0`, to: EXTERNAL, ...zeros }));
    assert.deepEqual([...reply.subarray(20)], [0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    assert.ok(isTransportRight(reply));
  });

  it('where the identifier becomes zero on its way to the host', () => {
    const bench = new Bench();
    const request = bench.pass4(echo4({ from: `${HOST}:0`, to: SERVER, ...zeros }));
    const answer = echo4({ from: SERVER, to: endpoints(request).from, type: 0, ...zeros });
    const reply = bench.pass4(answer);
    assert.deepEqual([...reply.subarray(20)], [0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    assert.ok(isTransportRight(reply));
  });
});
