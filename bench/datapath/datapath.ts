/**
 * The datapath against its ceiling: Portfold and a null forwarder in C, in turn, in namespaces.
 *
 *   h1 ── lan0 ─ gw ─ wan0 ── p ── br ── inet
 *
 *   --line address   the null forwarder with offloads and Portfold, both on an address line
 *   --line map-e     the same null forwarder on an address line; Portfold on a MAP-E line, the
 *                    kernel encapsulating on both ends (the fast relay)
 *   --line own       a C forwarder that segments and encapsulates, and Portfold that does so itself
 *
 * Each number of sessions has a lab and a gateway of its own, so that an empty table and a full one
 * are measured in turn as well. Everybody is measured once in each round (A B C, A B C …), since a
 * small virtual machine drifts by more than the difference. cases.ts has what is measured,
 * results.ts what is made of it, million.ts the case that only asks whether all is answered.
 */

import {
  builtProgram,
  LabError,
  missingPrograms,
  missingSentence,
  requireLab,
} from '../../lab/programs.ts';
import { iperf } from '../../lab/services.ts';
import type { Lab } from '../../lab/topology.ts';
import type { Report, SuiteOptions } from '../verbs/report.ts';
import { CASES, type Case, selectCases } from './cases.ts';
import { PINNING, withCores } from './cores.ts';
import { million } from './million.ts';
import {
  type BenchLine,
  commandOf,
  readLine,
  readPairs,
  readSeconds,
  readSessions,
} from './options.ts';
import { type Result, rowsOf, type Sample } from './results.ts';
import { NullForwarder, Portfold, type Rival } from './rivals.ts';
import { measure } from './run.ts';
import { buildScene, openSessions } from './scene.ts';
import { targetsOf } from './targets.ts';
import { trialOf } from './trials.ts';

const PAIRS = 5;
const SECONDS = 3;
const SMOKE_CASES = 'tcp-out,tcp-in,udp64,rtt';
const CAPACITY = 262_144;
const CAPACITY_LARGE = 1_048_576;
const SESSIONS_LARGE = 250_000;
const WARM_UP_SECONDS = 1;
export const PROGRAMS = ['iperf3', 'taskset'];

export async function datapath(options: SuiteOptions): Promise<Report> {
  requireBench(PROGRAMS);
  const line = readLine(options);
  if (options.cases === 'million') return million(options);
  const cases = selectCases(options.cases ?? (options.smoke ? SMOKE_CASES : undefined), CASES);
  const sessions = readSessions(options);
  const pairs = readPairs(options, options.smoke ? 1 : PAIRS);
  const seconds = readSeconds(options, options.smoke ? 1 : SECONDS);
  const stage = new Stage(line, options.try);
  const results = await withCores(async () => {
    try {
      await stage.set(sessions, cases);
      return await stage.play(cases, sessions, { pairs, seconds });
    } finally {
      await stage.strike();
    }
  });
  return {
    suite: 'datapath',
    command: commandOf('datapath', options),
    smoke: options.smoke,
    rows: results.flatMap(rowsOf),
    targets: options.try === undefined ? targetsOf(line, results) : [],
    notes: {
      line: `${line}, encapsulation ${stage.encapsulation}`,
      pairs: `${pairs} in turn, ${seconds} s each`,
      cores: PINNING,
      ...(options.try === undefined
        ? {}
        : { trial: `portfold has ${options.try}, "as it is" has not` }),
    },
  };
}

export function requireBench(programs: readonly string[]): void {
  requireLab();
  builtProgram('flows');
  builtProgram('null-forwarder');
  const missing = missingPrograms(programs);
  if (missing.length > 0) throw new LabError('BENCH_PROGRAMS_MISSING', 1, missingSentence(missing));
}

/** Who stands where: one null forwarder (or a gateway as it is, beside which something is tried), and a gateway for each number of sessions. */
class Stage {
  readonly #line: BenchLine;
  readonly #trial: string | undefined;
  readonly #labs: Lab[] = [];
  readonly #gateways = new Map<number | 'fresh', Portfold>();
  #ceiling: Rival | undefined;
  encapsulation = 'none';

  constructor(line: BenchLine, trial?: string) {
    this.#line = line;
    this.#trial = trial;
  }

  async set(sessions: readonly number[], cases: readonly Case[]): Promise<void> {
    const capacity = Math.max(...sessions) > SESSIONS_LARGE ? CAPACITY_LARGE : CAPACITY;
    if (this.#trial !== undefined) this.#ceiling = await this.#startGateway(capacity, 'as it is');
    else if (this.#line === 'map-e') await this.#addCeiling(await this.#addLab('address'));
    if (cases.some((one) => !one.fillsTable)) {
      for (const count of sessions) await this.#addGateway(count, capacity);
    }
    if (cases.some((one) => one.fillsTable)) await this.#addGateway('fresh', CAPACITY_LARGE);
    for (const [count, gateway] of this.#gateways) {
      if (typeof count === 'number') await fill(gateway, count);
    }
  }

  /** Every round: each case, and in it each rival once. */
  async play(
    cases: readonly Case[],
    sessions: readonly number[],
    { pairs, seconds }: { pairs: number; seconds: number },
  ): Promise<Result[]> {
    const ceiling = this.#ceiling as Rival;
    const results = cases.flatMap((one) =>
      (one.fillsTable ? [0] : sessions).map(
        (count): Result => ({
          one,
          sessions: count,
          samples: new Map<string, Sample[]>([
            [ceiling.name, []],
            ['portfold', []],
          ]),
        }),
      ),
    );
    for (let turn = 0; turn < pairs; turn++) {
      for (const one of cases) {
        // Traffic that ignores the table's sessions is the same for each number of them.
        let shared: Sample | undefined;
        for (const result of results.filter((each) => each.one === one)) {
          const { sessions: count } = result;
          const gateway = this.#gateways.get(one.fillsTable ? 'fresh' : count) as Portfold;
          const now = { sessions: count, seconds, turn };
          if (!one.fillsTable) await fill(gateway, count);
          if (one.usesSessions || shared === undefined) shared = await measure(ceiling, one, now);
          result.samples.get(ceiling.name)?.push(shared);
          result.samples.get('portfold')?.push(await measure(gateway, one, now));
        }
      }
      process.stderr.write(`pair ${turn + 1} of ${pairs}\n`);
    }
    return results;
  }

  async strike(): Promise<void> {
    for (const gateway of this.#gateways.values()) await gateway.stop();
    await this.#ceiling?.stop();
    for (const lab of this.#labs) lab.remove();
  }

  async #addLab(line: 'address' | 'map-e'): Promise<Lab> {
    const lab = await buildScene({ line });
    this.#labs.push(lab);
    return lab;
  }

  async #addCeiling(lab: Lab): Promise<void> {
    const forwarder = new NullForwarder(lab, this.#line === 'own' ? 'tunnel' : 'offload');
    this.#ceiling = forwarder;
    await forwarder.start();
  }

  async #addGateway(count: number | 'fresh', capacity: number): Promise<void> {
    const gateway = await this.#startGateway(capacity);
    this.#gateways.set(count, gateway);
    this.encapsulation = gateway.encapsulation;
    const change = this.#trial === undefined ? undefined : trialOf(this.#trial).change;
    if (change !== undefined) await gateway.try(change);
  }

  async #startGateway(capacity: number, name?: string): Promise<Portfold> {
    const lab = await this.#addLab(this.#line === 'address' ? 'address' : 'map-e');
    if (this.#ceiling === undefined && name === undefined) await this.#addCeiling(lab);
    const isTried = this.#trial !== undefined && name === undefined;
    const { policy, realtime } = isTried ? trialOf(this.#trial ?? '') : {};
    const ownEncapsulation = this.#line === 'own';
    const gateway = new Portfold(lab, { capacity, ownEncapsulation, name, policy, realtime });
    try {
      await gateway.start();
      const [host] = lab.hosts;
      await iperf(host, { seconds: WARM_UP_SECONDS });
      await iperf(host, { seconds: WARM_UP_SECONDS, reverse: true });
      return gateway;
    } catch (error) {
      await gateway.stop();
      throw error;
    }
  }
}

/** Opens what is missing of the sessions that should lie in this gateway's table. */
function fill(gateway: Portfold, count: number): Promise<void> {
  return openSessions(gateway.lab, count, async () => {
    return (await gateway.gateway.control.status()).sessions.udp;
  });
}
