/**
 * `portfold lab SCENARIO`: an outage that really happened, in namespaces, with real packets, on Portfold and on what others use.
 *
 * Words go to stderr as it happens; the table (or JSON), which is the point, goes to stdout. It succeeds when Portfold has survived.
 * Everything is removed again, also when it is interrupted.
 */
import { UsageError } from '../../gateway/config/errors.ts';
import { PROGRAMS as CONFERENCE_PROGRAMS, conference } from '../incidents/conference.ts';
import { PROGRAMS as FLOW_PROGRAMS, flow } from '../incidents/flow.ts';
import { type Incident, type IncidentOptions, printIncident, say } from '../incidents/report.ts';
import {
  builtProgram,
  LabError,
  missingPrograms,
  missingSentence,
  requireLab,
} from '../programs.ts';

export interface LabOptions {
  scenario: 'flow' | 'conference';
  flows?: number;
  seconds?: number;
  output: 'table' | 'json';
}

interface Scenario {
  run(options: IncidentOptions): Promise<Incident>;
  programs: readonly string[];
  /** That live beside it; 0 where it has none. */
  flows: number;
  seconds: number;
}

const SCENARIOS: Record<LabOptions['scenario'], Scenario> = {
  flow: { run: flow, programs: FLOW_PROGRAMS, flows: 24_000, seconds: 10 },
  conference: { run: conference, programs: CONFERENCE_PROGRAMS, flows: 0, seconds: 30 },
};

export async function lab(options: LabOptions): Promise<number> {
  const scenario = SCENARIOS[options.scenario];
  if (options.flows !== undefined && scenario.flows === 0)
    throw new UsageError(
      'LAB_NO_FLOWS',
      `--flows is for flow: no flows live beside ${options.scenario}; leave it out`,
    );
  requireLab();
  builtProgram('flows');
  const missing = missingPrograms(scenario.programs);
  if (missing.length > 0) throw new LabError('LAB_PROGRAMS_MISSING', 1, missingSentence(missing));
  const started = performance.now();
  const incident = await scenario.run({
    output: options.output,
    flows: options.flows ?? scenario.flows,
    seconds: options.seconds ?? scenario.seconds,
  });
  say(incident.about);
  const code = printIncident(incident, options.output);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  say(code === 0 ? `Portfold survived it, in ${seconds} s.` : `Not survived, in ${seconds} s.`);
  return code;
}
