/** Nothing is allocated per packet by a relay. The control, one object per packet, must be caught, or the test would prove nothing. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

interface Sent {
  collections: number;
  batches: number;
  outbound: number;
  inbound: number;
  drops: string[];
}

/** A small young generation, so that few packets tell. */
function send(...words: string[]): Sent {
  const fixture = fileURLToPath(new URL('./fixtures/garbage.mts', import.meta.url));
  const flags = ['--expose-gc', '--max-semi-space-size=1', '--import', 'tsx'];
  return JSON.parse(
    execFileSync(process.execPath, [...flags, fixture, ...words], { encoding: 'utf8' }),
  );
}

describe('garbage of a relay', () => {
  it('none is made: from and to CEs, answers, fragments, refusals', () => {
    const { collections, batches, outbound, inbound, drops } = send();
    assert.equal(collections, 0);
    // Two whole ones, one between CEs, one that was made whole; the one that came too late is answered.
    assert.equal(outbound, 4 * batches);
    // One whole, one between CEs, two fragments, one that is cut.
    assert.equal(inbound, 5 * batches);
    assert.deepEqual(drops, [
      'SourceSpoofed',
      'DestinationUnassigned',
      'TtlExpired',
      'TooBigForTunnel',
    ]);
  }).timeout(60_000);

  it('is noticed when one object is made per packet', () => {
    assert.ok(send('control').collections > 0);
  }).timeout(60_000);
});
