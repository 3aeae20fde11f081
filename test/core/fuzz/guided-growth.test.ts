/** Slow growth of memory (bench/fuzz/growth.ts) in small: the run works, and sees what is kept on purpose. */
import assert from 'node:assert/strict';
import { growth, HELD_BYTES_PER_PACKET_MAX } from '../../../bench/fuzz/growth.ts';

const PACKETS = 160_000;
const KEPT_BYTES = 200_000;

describe('the look at slow growth', () => {
  it('sees what each round of 20,000 packets keeps', () => {
    const kept: Uint8Array[] = [];
    const result = growth({
      packets: PACKETS,
      seed: 1,
      samples: 8,
      afterRound: () => kept.push(new Uint8Array(KEPT_BYTES)),
    });
    const expected = (KEPT_BYTES * kept.length) / PACKETS;
    assert.ok(result.heldSlope > 100 * HELD_BYTES_PER_PACKET_MAX, `${result.heldSlope}`);
    assert.ok(Math.abs(result.heldSlope - expected) < expected / 2, `${result.heldSlope}`);
    assert.deepEqual(result.problems, []);
    assert.ok(result.samples.every(({ sessions }) => sessions > 1000));
  }).timeout(60_000);
});
