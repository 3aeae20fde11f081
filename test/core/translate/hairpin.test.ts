import assert from 'node:assert/strict';
import { selfCheck } from '../../../core/table/self-check.ts';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import {
  checksumProblems,
  cutPacket,
  echo4,
  error4,
  joinFragments,
  udp4,
} from '../../support/packets.ts';

const A = '192.168.1.11:5000';
const B = '192.168.1.12:6000';

function stun(): Uint8Array {
  const bytes = new Uint8Array(20);
  bytes.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
  return bytes;
}

/** The external endpoint that a host owns after it has asked a STUN server. */
const reflexive = (bench: Bench, host: string): string =>
  endpoints(bench.pass4(udp4({ from: host, to: '203.0.113.10:3478', payload: stun() }))).from;

describe('hairpin', () => {
  it('leads from host to host, each seeing the other’s external endpoint, both ways', () => {
    const bench = new Bench({ line: { restoreHopsOutbound: 0, restoreHopsInbound: 1 } });
    const a = reflexive(bench, A);
    const b = reflexive(bench, B);
    const there = bench.pass4(udp4({ from: A, to: b, ttl: 63 }));
    assert.deepEqual(endpoints(there), { from: a, to: B });
    assert.deepEqual(checksumProblems(there), []);
    assert.equal(there[8], 64, 'one of the two hops that the kernel takes is given back');
    const back = bench.pass4(udp4({ from: B, to: a }));
    assert.deepEqual(endpoints(back), { from: b, to: A });
    assert.deepEqual(checksumProblems(back), []);
    assert.equal(bench.table.parts.sessions.count, 4);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('lets a sender without a port of its own in, and its answers out', () => {
    const bench = new Bench();
    const b = reflexive(bench, B);
    const there = bench.pass4(udp4({ from: A, to: b }));
    const { from } = endpoints(there);
    assert.equal(from.split(':')[0], EXTERNAL);
    const back = bench.pass4(udp4({ from: B, to: from }));
    assert.deepEqual(endpoints(back), { from: b, to: A });
    assert.deepEqual(endpoints(bench.pass4(udp4({ from: A, to: b }))), { from, to: B });
  });

  it('leads a host back to itself', () => {
    const bench = new Bench();
    const a = reflexive(bench, A);
    const out = bench.pass4(udp4({ from: A, to: a }));
    assert.equal(endpoints(out).to, A);
    assert.equal(endpoints(out).from.split(':')[0], EXTERNAL);
    assert.deepEqual(checksumProblems(out), []);
  });

  it('to a port that nobody owns is dropped and makes no session', () => {
    const bench = new Bench();
    assert.equal(bench.send(udp4({ from: A, to: `${EXTERNAL}:4928` })), 'NoSession');
    assert.equal(bench.table.parts.sessions.count, 0);
  });

  it('carries ICMP errors, with the external address as their source', () => {
    const bench = new Bench();
    const b = reflexive(bench, B);
    const delivered = bench.pass4(udp4({ from: A, to: b }));
    const error = error4({
      from: B.split(':')[0],
      to: EXTERNAL,
      type: 3,
      code: 3,
      quoted: delivered,
    });
    const told = bench.pass4(error);
    assert.deepEqual(checksumProblems(told), []);
    assert.equal(endpoints(told).from, `${EXTERNAL}:0`);
    assert.equal(endpoints(told).to.split(':')[0], A.split(':')[0]);
    assert.deepEqual(endpoints(told.slice(28)), { from: A, to: b });
    assert.deepEqual(checksumProblems(told.slice(28)), []);
  });

  it('carries fragments', () => {
    const bench = new Bench();
    const b = reflexive(bench, B);
    const payload = Uint8Array.from({ length: 4000 }, (_, i) => i * 5);
    const whole = udp4({ from: A, to: b, df: false, id: 9, payload });
    const parts = cutPacket(whole, 1500).reverse();
    const out = parts.flatMap((part) => {
      bench.send(part);
      return bench.all();
    });
    const joined = joinFragments(out);
    assert.equal(endpoints(joined).to, B);
    assert.deepEqual(checksumProblems(joined), []);
    assert.deepEqual(joined.slice(28), whole.slice(28));
  });
});

describe('a ping of the external address', () => {
  for (const [side, from] of [
    ['LAN', '192.168.1.11'],
    ['WAN', '198.51.100.9'],
  ])
    it(`from the ${side} is answered by the gateway`, () => {
      const bench = new Bench();
      const answer = bench.pass4(echo4({ from: `${from}:77`, to: EXTERNAL, size: 40 }));
      assert.deepEqual(checksumProblems(answer), []);
      assert.equal(answer[20], 0);
      assert.deepEqual(endpoints(answer), { from: `${EXTERNAL}:0`, to: `${from}:77` });
      assert.equal(bench.table.parts.sessions.count, 0);
    });

  it('is limited', () => {
    const bench = new Bench();
    let answered = 0;
    for (let i = 0; i < 1000; i++)
      if (typeof bench.send(echo4({ from: '198.51.100.9:77', to: EXTERNAL })) !== 'string')
        answered++;
    assert.equal(answered, 100);
  });
});
