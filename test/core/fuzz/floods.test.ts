/** Floods in smoke size: tables stay right, nothing grows, and what is refused costs a bounded number of look-ups. */
import assert from 'node:assert/strict';
import { floods, runFlood, wholePorts } from '../../../bench/fuzz/flood.ts';
import { Counter } from '../../../core/table/counters.ts';
import { Bench } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';

describe('floods', () => {
  for (const flood of floods(0.1))
    it(`${flood.name}: leave the tables right and within their limits`, () => {
      const result = runFlood(flood);
      assert.deepEqual(result.problems, []);
      assert.ok(result.sessions <= flood.capacity);
      assert.ok(result.hosts <= Math.max(1024, flood.capacity >> 4));
      assert.ok(result.owned <= (flood.ports.length * 3) / 4);
    }).timeout(30_000);
});

describe('a remote that every port of a large set is taken towards', () => {
  it('costs a bounded number of look-ups a packet, whether a session gives way or not', () => {
    const ports = wholePorts();
    const bench = new Bench({ capacity: 131_072, ports });
    const packet = (n: number): Uint8Array =>
      udp4({ from: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}:5`, to: '198.51.100.1:53' });
    for (let n = 0; n < ports.length; n++) bench.send(packet(n));
    bench.pass(4);
    const { sessions, counters } = bench.table.parts;
    assert.equal(sessions.count, ports.length);

    // Most give way, so that what is left to take is rare: then a search is long if nothing bounds it.
    const young = Math.floor(ports.length * 0.97);
    for (let n = 0; n < young; n++) bench.send(packet(ports.length + n));
    assert.ok(counters[Counter.SessionsEvicted] > 0);
    let lookUps = 0;
    const find = sessions.findExternal.bind(sessions);
    sessions.findExternal = (...key) => {
      lookUps++;
      return find(...key);
    };
    for (let n = 0; n < 20; n++) {
      lookUps = 0;
      bench.pass(1.25);
      bench.send(packet(200_000 + n));
      assert.ok(lookUps <= 80, `${lookUps} look-ups for one packet`);
    }
  }).timeout(30_000);
});
