/**
 * Portfold beside what others use: null forwarders in C, kernel masquerade, slirp4netns, pasta and
 * tayga, in turn on one machine; and how many flows each way of sharing 240 ports holds.
 *
 * Everybody is measured once a round in the same lab, with the forwarder on a core of its own (see
 * bench/datapath). A rival whose program is missing is left out and named.
 */
import { missingPrograms, missingSentence } from '../../lab/programs.ts';
import type { Lab } from '../../lab/topology.ts';
import { CASES, type Case, selectCases } from '../datapath/cases.ts';
import { PINNING, withCores } from '../datapath/cores.ts';
import { PROGRAMS, requireBench } from '../datapath/datapath.ts';
import { commandOf, readPairs, readSeconds } from '../datapath/options.ts';
import { type Result, rowsOf, type Sample } from '../datapath/results.ts';
import { NullForwarder, Portfold, type Rival } from '../datapath/rivals.ts';
import { measure } from '../datapath/run.ts';
import { buildScene } from '../datapath/scene.ts';
import { ratioTarget } from '../datapath/targets.ts';
import type { Report, Row, SuiteOptions, Target } from '../verbs/report.ts';
import { held } from './held.ts';
import { Masquerade, pasta, slirp, Tayga } from './rivals.ts';

const PAIRS = 3;
const SECONDS = 2;
const CAPACITY = 262_144;
const CASE_NAMES = 'tcp-out,tcp-in,udp64,rtt';
const HELD = 'held';
const SMOKE_CASES = 'tcp-out,held';
const SLIRP_LEAST = 1.5;
/** These speak TCP only here: the one forwards IPv6 from the host, the other has a tunnel's MTU. */
const TCP_ONLY = ['tayga', 'null tunnel'];

export async function peers(options: SuiteOptions): Promise<Report> {
  requireBench(PROGRAMS);
  const usual = options.smoke ? SMOKE_CASES : `${CASE_NAMES},${HELD}`;
  const words = (options.cases ?? usual).split(',').map((word) => word.trim());
  const traffic = words.filter((word) => word !== HELD);
  const cases = traffic.length > 0 ? selectCases(traffic.join(','), BESIDE) : [];
  const pairs = readPairs(options, options.smoke ? 1 : PAIRS);
  const seconds = readSeconds(options, options.smoke ? 1 : SECONDS);
  const missing = missingPrograms(['slirp4netns', 'pasta', 'tayga']);
  const failures: string[] = [];
  const found: { rows: Row[]; targets: Target[] } = { rows: [], targets: [] };
  if (cases.length > 0) {
    const results = await withCores(() => compare(cases, missing, { pairs, seconds, failures }));
    found.rows.push(...results.flatMap(rowsOf));
    found.targets.push(
      ...results
        .filter((result) => ['tcp-out', 'tcp-in'].includes(result.one.name))
        .map((result) => ratioTarget(result, SLIRP_LEAST, 'slirp4netns'))
        .filter((target) => target !== undefined),
    );
  }
  if (words.includes(HELD)) {
    const flows = await held(options);
    found.rows.push(...flows.rows);
    found.targets.push(...flows.targets);
  }
  return {
    suite: 'peers',
    command: commandOf('peers', options),
    smoke: options.smoke,
    ...found,
    notes: {
      ...(cases.length > 0
        ? { rounds: `${pairs} in turn, ${seconds} s each`, cores: PINNING }
        : {}),
      ...(failures.length > 0 ? { failed: failures.join('; ') } : {}),
      ...(missing.length > 0 ? { 'not measured': missingSentence(missing) } : {}),
    },
  };
}

/** Cases that need no table of a certain size. */
const BESIDE = CASES.filter((one) => !one.fillsTable);

async function compare(
  cases: readonly Case[],
  missing: readonly string[],
  { pairs, seconds, failures }: { pairs: number; seconds: number; failures: string[] },
): Promise<Result[]> {
  const labs: Lab[] = [];
  const rivals: Rival[] = [];
  try {
    const lab = await buildScene({ line: 'address' });
    labs.push(lab);
    const tunnelled = await buildScene({ line: 'map-e' });
    labs.push(tunnelled);
    // Portfold keeps its LAN's packets out of connection tracking, so that the kernel needs another.
    const tracked = await buildScene({ line: 'address' });
    labs.push(tracked);
    const startable = [
      new NullForwarder(lab, 'offload'),
      new NullForwarder(lab, 'plain'),
      new NullForwarder(tunnelled, 'tunnel'),
      ...(missing.includes('slirp4netns') ? [] : [slirp(lab)]),
      ...(missing.includes('pasta') ? [] : [pasta(lab)]),
      ...(missing.includes('tayga') ? [] : [new Tayga(lab)]),
      new Portfold(lab, { capacity: CAPACITY }),
    ];
    for (const rival of startable) {
      rivals.push(rival);
      await rival.start();
    }
    rivals.splice(3, 0, new Masquerade(tracked));
    const results = cases.map(
      (one): Result => ({
        one,
        sessions: 0,
        samples: new Map(rivals.map((rival): [string, Sample[]] => [rival.name, []])),
      }),
    );
    for (let turn = 0; turn < pairs; turn++) {
      for (const { one, samples } of results) {
        for (const rival of rivals) {
          if (TCP_ONLY.includes(rival.name) && !one.name.startsWith('tcp')) continue;
          try {
            const sample = await measure(rival, one, { sessions: 0, seconds, turn });
            samples.get(rival.name)?.push(sample);
          } catch (error) {
            if (rival instanceof Portfold) throw error;
            // One program that fails must not cost the figures of all others; its cell stays empty.
            failures.push((error as Error).message);
          }
        }
      }
      process.stderr.write(`round ${turn + 1} of ${pairs}\n`);
    }
    return results;
  } finally {
    for (const rival of rivals) await rival.stop();
    for (const lab of labs) lab.remove();
  }
}
