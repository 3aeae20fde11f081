/** A gateway that cannot start is an error of the lab at once, in the gateway's own words. */
import assert from 'node:assert/strict';
import { Gateway } from '../../lab/gateway.ts';
import { configuration } from '../../lab/lines.ts';
import { withBed } from './support.ts';

/** Far below the time that a start is given, and far above what a refusal takes. */
const AT_ONCE_MS = 8000;

describe('the lab', () => {
  const bed = withBed({ line: 'address', start: false });

  it('says at once, in its own words, why a gateway ended', async () => {
    const config = configuration('address', { runtimeDirectory: 'DIR' });
    const gateway = new Gateway(bed.lab, { config: config.replace('wan0', 'wan9') });
    const started = performance.now();
    await assert.rejects(gateway.start(), {
      code: 'LAB_GATEWAY_ENDED',
      exitCode: 1,
      message: /^the gateway ended with exit code 78: .*wan9/,
    });
    assert.ok(performance.now() - started < AT_ONCE_MS);
    assert.equal(gateway.running, false);
  });
});
