/** Fragments that wait for their first one come out as they went in, wherever they lay in the batch. */
import assert from 'node:assert/strict';
import { FragmentTable, WAITING_BYTES_MAX } from '../../../core/table/fragment-table.ts';

describe('FragmentTable', () => {
  const SOURCE = 1;
  const DESTINATION = 2;
  const KEY = 3;

  it('keeps a packet of any length, at any place of the batch, to the last byte', () => {
    const table = new FragmentTable(1);
    // A view that does not begin with its buffer, and one that does.
    const views = [new Uint8Array(new ArrayBuffer(8192), 12, 8000), new Uint8Array(8001)];
    for (const bytes of views) {
      for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 13 + (i >> 8)) & 255;
      for (const from of [0, 64, 65, 66, 67, 168])
        for (const length of [20, 21, 22, 23, 24, 1499, WAITING_BYTES_MAX]) {
          assert.ok(table.wait(bytes, from, length, SOURCE, DESTINATION, KEY, 0));
          const slot = table.nextWaiting(0, SOURCE, DESTINATION, KEY);
          assert.equal(table.waitingLength(slot), length);
          const out = new Uint8Array(length + 2).fill(0xee);
          table.release(slot, out, 1);
          assert.deepEqual(out.subarray(1, length + 1), bytes.subarray(from, from + length));
          assert.deepEqual([out[0], out[length + 1]], [0xee, 0xee]);
        }
    }
    assert.equal(table.waitingCount, 0);
  });

  it('gives up what waited for two seconds, counts it once, and what had to give way at once', () => {
    const table = new FragmentTable(1);
    const bytes = new Uint8Array(64);
    for (let n = 0; n < 300; n++) table.wait(bytes, 0, 40, SOURCE, DESTINATION, n << 16, 0);
    assert.equal(table.takeLost(0), 300 - 256);
    for (let tick = 1; tick <= 8; tick++) assert.equal(table.takeLost(tick), 0);
    assert.equal(table.takeLost(9), 256);
    assert.equal(table.takeLost(9), 0);
    // Also one that came in the tick that was looked at already.
    table.wait(bytes, 0, 40, SOURCE, DESTINATION, KEY, 9);
    assert.equal(table.takeLost(9), 0);
    assert.equal(table.takeLost(18), 1);
    assert.equal(table.waitingCount, 0);
  });
});
