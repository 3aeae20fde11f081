/**
 * What the end-to-end tests share: a bed (lab and gateway) that stands for one `describe`, and a
 * few conditions.
 *
 *   const bed = withBed({ line: 'map-e' });       registers before() and after()
 *
 * A test that cannot run for want of a program is pending; with CI=true it fails, since there
 * everything must run.
 */
import assert from 'node:assert/strict';
import type { Audit } from '../../lab/audit.ts';
import { Gateway, type GatewayOptions } from '../../lab/gateway.ts';
import { missingPrograms, missingSentence } from '../../lab/programs.ts';
import { buildLab, type Lab, type LabOptions } from '../../lab/topology.ts';

/** Size of a file that travels: 1 GB with PORTFOLD_TEST_FULL=1, else 100 MB. */
export const FILE_BYTES = process.env.PORTFOLD_TEST_FULL === '1' ? 1_000_000_000 : 100_000_000;

export interface Bed {
  lab: Lab;
  gateway: Gateway;
}

export interface BedOptions extends LabOptions {
  gateway?: GatewayOptions;
  programs?: string[];
  /** false: the test starts it itself. */
  start?: boolean;
}

export function requirePrograms(context: Mocha.Context, programs: readonly string[]): void {
  const missing = missingPrograms(programs);
  if (missing.length === 0) return;
  const sentence = missingSentence(missing);
  if (process.env.CI === 'true') throw new Error(sentence);
  console.log(`      not run: ${sentence}`);
  context.skip();
}

export function withBed(options: BedOptions): Bed {
  const bed = {} as Bed;
  before(async function () {
    requirePrograms(this, options.programs ?? []);
    bed.lab = await buildLab(options);
    bed.gateway = new Gateway(bed.lab, options.gateway);
    if (options.start !== false) await bed.gateway.start();
  });
  after(async () => {
    if (bed.lab === undefined) return;
    const running = bed.gateway.running;
    const result = running ? await bed.gateway.stop() : undefined;
    bed.lab.remove();
    if (result) assert.equal(result.code, 0, `the gateway ended with\n${result.stderr}`);
  });
  return bed;
}

/** Nothing left the gateway that a neighbour, or the provider, should not see. */
export function assertClean(audit: Audit, packetsAtLeast: number): void {
  const said = audit.examples.join('\n');
  assert.equal(audit.portsOutside, 0, said);
  assert.equal(audit.echoIdsOutside, 0, said);
  assert.equal(audit.errorsOutside, 0, said);
  assert.equal(audit.privateSources, 0, said);
  assert.equal(audit.otherSources, 0, said);
  assert.equal(audit.outsideTunnel, 0, said);
  // What was not seen may have been anything.
  assert.equal(audit.missed, 0, `the capture lost ${audit.missed} packets and proves nothing`);
  // A capture that saw nothing proves nothing.
  assert.ok(audit.packets >= packetsAtLeast, `only ${audit.packets} packets were captured`);
}
