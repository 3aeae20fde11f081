/**
 * Nothing is allocated per packet: a million packets go through the engine, and the collector has nothing to do. The observer hears of a
 * collection one turn of the event loop later, so the count is read after the loop has turned. A control with one object per packet
 * must be caught, or the test would prove nothing.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

function send(...words: string[]): { collections: number; sessions: number; inbound: number } {
  const fixture = fileURLToPath(new URL('./fixtures/garbage.mts', import.meta.url));
  const output = execFileSync(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', fixture, ...words],
    { encoding: 'utf8' },
  );
  return JSON.parse(output);
}

describe('garbage', () => {
  it('none is made by a million packets, old sessions and new', () => {
    const { collections, sessions } = send();
    assert.equal(collections, 0);
    assert.ok(sessions > 10_000);
  }).timeout(60_000);

  it('none is made by packets into a tunnel and out of it, in fragments too', () => {
    const { collections, inbound } = send('tunnel');
    assert.equal(collections, 0);
    assert.ok(inbound > 900_000, `${inbound} packets came out of the tunnel`);
  }).timeout(60_000);

  it('is noticed when one object is made per packet', () => {
    assert.ok(send('control').collections > 0);
  }).timeout(60_000);
});
