/** What came of the runs, as a table for people and as JSON for programs. Nothing in it depends on the machine: a seed gives one text. */
import type { Capture } from './capture.ts';
import type { Scenario } from './scenario.ts';
import type { Run } from './simulate.ts';
import { captureNotes } from './words.ts';

const PER_THOUSAND = 1000;
const MINUTE_MS = 60_000;

/** Failures in a thousand user actions. */
export const failuresPerThousand = ({ tally }: Run): number =>
  tally.actions === 0 ? 0 : (tally.failures / tally.actions) * PER_THOUSAND;

export function runsAsText(scenario: Scenario, seed: number, runs: readonly Run[]): string {
  const head = [
    `${scenario.name}: ${lasting(scenario.durationMs)}, seed ${seed}`,
    ...(scenario.about === '' ? [] : [scenario.about]),
    ...(scenario.capture === undefined ? [] : captureNotes(scenario.capture)),
  ];
  return [...head, '', ...summary(runs), ...runs.flatMap(details)].join('\n');
}

function summary(runs: readonly Run[]): string[] {
  const hasAbove = runs.some(({ aboveCapacity }) => aboveCapacity !== undefined);
  const columns: [title: string, cell: (run: Run) => string][] = [
    ['MODEL', ({ plan }) => plan.name],
    ['ACTIONS', ({ tally }) => count(tally.actions)],
    ['FAILED', ({ tally }) => count(tally.failures)],
    ['PER 1000', (run) => failuresPerThousand(run).toFixed(1)],
    ['SESSIONS', ({ tally }) => count(tally.sessions)],
    ['LONG', ({ tally }) => count(tally.longSessions)],
    ['PACKETS', ({ tally }) => count(tally.packets)],
    ['PEAK TABLE', ({ tally, capacity }) => ofWhole(tally.peakSessions, capacity)],
    ['PEAK PORTS', ({ tally, portCount }) => ofWhole(tally.peakPorts, portCount)],
    ['REFUSED', ({ tally }) => count(tally.refusals)],
    ['QUIC REJECTED', ({ tally }) => percent(tally.quicRefused, tally.quicAttempts)],
  ];
  if (hasAbove)
    columns.splice(8, 0, [
      'PEAK ABOVE',
      ({ tally, aboveCapacity }) =>
        aboveCapacity === undefined ? '' : ofWhole(tally.peakAbove, aboveCapacity),
    ]);
  const rows = [
    columns.map(([title]) => title),
    ...runs.map((run) => columns.map(([, cell]) => cell(run))),
  ];
  const widths = columns.map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
      .join('  ')
      .trimEnd(),
  );
}

/** What failed and what was refused, one paragraph a model that has any. */
function details({ plan, tally }: Run): string[] {
  const failed = tally
    .kinds()
    .filter(({ failures }) => failures > 0)
    .map(({ kind, actions, failures, missing }) => {
      const reasons = Object.entries(missing).map(([what, n]) => `${what} ${count(n)}`);
      return `  ${count(failures)} of ${count(actions)} × ${kind} failed: ${reasons.join(', ')}`;
    });
  const reasons = Object.entries(tally.reasons()).map(([name, n]) => `${name} ${count(n)}`);
  if (reasons.length > 0) failed.push(`  refused: ${reasons.join(', ')}`);
  return failed.length === 0 ? [] : ['', plan.name, ...failed];
}

export function runsAsJson(scenario: Scenario, seed: number, runs: readonly Run[]): string {
  return JSON.stringify(
    {
      scenario: scenario.name,
      about: scenario.about,
      seed,
      durationSeconds: scenario.durationMs / 1000,
      users: scenario.users.map(({ kind, options }) => ({ kind, ...(options as object) })),
      ...(scenario.capture === undefined ? {} : { recording: recordingOf(scenario.capture) }),
      models: runs.map((run) => {
        const { plan, tally } = run;
        return {
          name: plan.name,
          router: plan.router,
          ...(plan.below === undefined ? {} : { below: plan.below, guard: plan.guard }),
          actions: tally.actions,
          failures: tally.failures,
          failuresPerThousand: failuresPerThousand(run),
          kinds: tally.kinds(),
          sessions: tally.sessions,
          longSessions: tally.longSessions,
          packets: tally.packets,
          capacity: run.capacity,
          peakSessions: tally.peakSessions,
          ports: run.portCount,
          peakPorts: tally.peakPorts,
          ...(run.aboveCapacity === undefined
            ? {}
            : { aboveCapacity: run.aboveCapacity, peakAbove: tally.peakAbove }),
          refusals: tally.refusals,
          refusalsTold: tally.refusalsTold,
          reasons: tally.reasons(),
          lostInbound: tally.lostInbound,
          quicAttempts: tally.quicAttempts,
          quicRejected: tally.quicRefused,
          samples: tally.samples,
        };
      }),
    },
    null,
    2,
  );
}

const recordingOf = ({ flows, packets, leftOut }: Capture): object => ({
  flows: flows.length,
  stoodBefore: flows.filter(({ stoodBefore }) => stoodBefore).length,
  packets: packets.length,
  leftOut,
});

/** "30 minutes"; what is shorter than one in seconds. */
function lasting(ms: number): string {
  const isLong = ms >= MINUTE_MS;
  const value = isLong ? count(ms / MINUTE_MS) : String(ms / 1000);
  return `${value} ${isLong ? 'minute' : 'second'}${value === '1' ? '' : 's'}`;
}

/** 12345 as "12,345". */
const count = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');

const ofWhole = (part: number, whole: number): string =>
  Number.isFinite(whole) ? `${count(part)} of ${count(whole)}` : count(part);

const percent = (part: number, whole: number): string =>
  whole === 0 ? '' : `${((part / whole) * 100).toFixed(1)} %`;
