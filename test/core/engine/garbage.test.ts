/**
 * Nothing is allocated per packet: a million packets of all kinds go through the engine, and the collector has nothing to do. The observer
 * hears of a collection one turn of the event loop later, so the count is read after the loop has turned. A control with one object
 * per packet must be caught, or the test would prove nothing; and each kind must come to what it stands for.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Mixture {
  collections: number;
  sessions: number;
  appended: number;
  kinds: { name: string; sent: number; asMeant: number }[];
}

function send(...words: string[]): unknown {
  const fixture = fileURLToPath(new URL('./fixtures/garbage.mts', import.meta.url));
  const output = execFileSync(
    process.execPath,
    ['--expose-gc', '--import', 'tsx', fixture, ...words],
    { encoding: 'utf8' },
  );
  return JSON.parse(output);
}

describe('garbage', () => {
  it('none is made by a million packets: sessions, answers, errors, fragments, drops', () => {
    const { collections, sessions, appended, kinds } = send() as Mixture;
    assert.equal(collections, 0);
    const total = kinds.reduce((sum, { sent }) => sum + sent, 0);
    assert.equal(total, 1_000_000);
    for (const { name, sent, asMeant } of kinds) assert.equal(asMeant, sent, name);
    // Of each round one packet was cut in two, and one fragment had to wait for its first.
    assert.equal(appended, 2 * kinds[0].sent);
    assert.ok(sessions > 100_000, `${sessions} sessions stand at the end`);
  }).timeout(60_000);

  for (const [mode, title] of [
    ['tunnel', 'packets into a tunnel and out of it, in fragments too'],
    ['mesh', 'packets to neighbours in a mesh and from them'],
  ])
    it(`none is made by ${title}`, () => {
      const { collections, encapsulated, inbound } = send(mode) as Record<string, number>;
      assert.equal(collections, 0);
      assert.ok(encapsulated > 490_000, `${encapsulated} packets went into the tunnel`);
      assert.ok(inbound > 900_000, `${inbound} packets came out of the tunnel`);
    }).timeout(60_000);

  it('none is made by a quarter of a million new sessions under tight limits, pressure and a NAT above', () => {
    const { collections, ...counts } = send('policies') as Record<string, number>;
    assert.equal(collections, 0);
    for (const [name, count] of Object.entries(counts)) assert.ok(count > 0, `${name}: ${count}`);
  }).timeout(60_000);

  it('is noticed when one object is made per packet', () => {
    assert.ok((send('control') as Mixture).collections > 0);
  }).timeout(60_000);
});
