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

  const isKnown = (table: FragmentTable, key: number, tick: number): boolean =>
    table.find(SOURCE, DESTINATION, key, tick) >= 0;
  const isRefused = (table: FragmentTable, key: number, tick: number): boolean =>
    table.isRefused(SOURCE, DESTINATION, key, tick);
  const remember = (table: FragmentTable, key: number, tick: number): void =>
    table.remember(SOURCE, DESTINATION, key, tick, 4, 5, 6, 7);

  it('keeps what is known through a flood of refused ones, and the last 1,024 of those', () => {
    const table = new FragmentTable(1);
    remember(table, KEY, 0);
    for (let n = 0; n < 10_000; n++) table.refuse(SOURCE, DESTINATION, n << 16, 0);
    assert.ok(isKnown(table, KEY, 0));
    for (let n = 0; n < 10_000; n++)
      assert.equal(isRefused(table, n << 16, 0), n >= 10_000 - 1024, `${n}`);
    for (let n = 0; n < 10_000; n++) remember(table, (n << 16) | KEY, 0);
    assert.ok(isRefused(table, 9999 << 16, 0));
  });

  it('has a datagram known or refused, never both, and either for 30 seconds', () => {
    const table = new FragmentTable(1);
    table.refuse(SOURCE, DESTINATION, KEY, 0);
    assert.ok(isRefused(table, KEY, 120));
    assert.ok(!isRefused(table, KEY, 121));
    assert.ok(!isRefused(table, KEY + 1, 0));
    remember(table, KEY, 100);
    assert.ok(!isRefused(table, KEY, 100));
    table.refuse(SOURCE, DESTINATION, KEY, 220);
    assert.ok(isKnown(table, KEY, 220));
    assert.ok(!isRefused(table, KEY, 220));
    table.refuse(SOURCE, DESTINATION, KEY, 221);
    assert.ok(!isKnown(table, KEY, 221));
    assert.ok(isRefused(table, KEY, 221));
  });

  it('remembers the right ones whatever was refused, forwarded and forgotten before', () => {
    const table = new FragmentTable(1);
    const state = new Map<number, boolean>();
    for (let n = 0; n < 20_000; n++) {
      const key = (Math.imul(n, 7919) >>> 3) % 900;
      if (n % 3 === 0) remember(table, key, 0);
      else table.refuse(SOURCE, DESTINATION, key, 0);
      state.set(key, n % 3 === 0 || state.get(key) === true);
    }
    for (const [key, known] of state) {
      assert.equal(isKnown(table, key, 0), known, `${key}`);
      assert.equal(isRefused(table, key, 0), !known, `${key}`);
    }
  });
});
