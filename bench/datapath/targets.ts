/** What the datapath should reach beside its ceilings, computed from the results of one run. */
import { median } from '../support/statistics.ts';
import type { Target } from '../verbs/report.ts';
import type { BenchLine } from './options.ts';
import { judge, type Result, type Sample } from './results.ts';

const PORTFOLD = 'portfold';

/** Case, sessions in the table, and the least ratio to the rival of that line. */
const RATIOS: Record<BenchLine, [name: string, sessions: number, least: number][]> = {
  address: [
    ['tcp-out', 0, 0.95],
    ['tcp-in', 0, 0.95],
    ['udp64-out', 1000, 0.95],
    ['udp64-out', 250_000, 0.9],
  ],
  'map-e': [
    ['tcp-out', 0, 0.8],
    ['tcp-in', 0, 0.8],
  ],
  own: [
    ['tcp-out', 0, 0.9],
    ['tcp-in', 0, 2],
  ],
};
const SESSIONS_BESIDE = 250_000;
const SESSIONS_BESIDE_LEAST = 0.97;
const USER_SHARE_MOST = 0.15;
const ROUND_TRIP_MOST = 1.2;

export function targetsOf(line: BenchLine, results: readonly Result[]): Target[] {
  const find = (name: string, sessions: number): Result | undefined =>
    results.find((result) => result.one.name === name && result.sessions === sessions);
  const ratios = RATIOS[line].map(([name, sessions, least]) =>
    ratioTarget(find(name, sessions), least),
  );
  if (line !== 'address') return ratios.filter((target) => target !== undefined);
  const bulk = ['tcp-out', 'tcp-in'];
  return [
    ...ratios,
    ...bulk.map((name) => besideTarget(find(name, 0), find(name, SESSIONS_BESIDE))),
    ...bulk.map((name) => userTarget(find(name, 0))),
    roundTripTarget(find('rtt', 0)),
  ].filter((target) => target !== undefined);
}

/** The rival of that name, or the only one. */
function rivalOf(result: Result, wanted?: string): [name: string, samples: Sample[]] | undefined {
  return [...result.samples].find(([name]) =>
    wanted === undefined ? name !== PORTFOLD : name === wanted,
  );
}

export function ratioTarget(
  result: Result | undefined,
  least: number,
  rivalName?: string,
): Target | undefined {
  if (result === undefined) return undefined;
  const ours = result.samples.get(PORTFOLD);
  const rival = rivalOf(result, rivalName);
  if (ours === undefined || rival === undefined) return undefined;
  const { ratio, by } = judge(result.one, rival[1], ours);
  const sessions = result.sessions > 0 ? `, ${result.sessions} sessions` : '';
  return {
    name: `${result.one.title}${sessions}, against the ${rival[0]}`,
    value: ratio,
    bound: 'at least',
    wanted: least,
    remark: `by ${by}`,
  };
}

/** A full table beside an empty one: what the sessions cost that are only there. */
function besideTarget(empty?: Result, full?: Result): Target | undefined {
  const [without, with_] = [empty?.samples.get(PORTFOLD), full?.samples.get(PORTFOLD)];
  if (empty === undefined || without === undefined || with_ === undefined) return undefined;
  const { ratio, by } = judge(empty.one, without, with_);
  return {
    name: `${empty.one.title}, ${SESSIONS_BESIDE} sessions against an empty table`,
    value: ratio,
    bound: 'at least',
    wanted: SESSIONS_BESIDE_LEAST,
    remark: `by ${by}`,
  };
}

function userTarget(result?: Result): Target | undefined {
  const samples = result?.samples.get(PORTFOLD);
  if (result === undefined || samples === undefined) return undefined;
  const shares = samples.map(({ spent: { thread } }) => {
    return thread.userSeconds / (thread.userSeconds + thread.systemSeconds);
  });
  return {
    name: `${result.one.title}, user time of the datapath thread`,
    value: median(shares) * 100,
    bound: 'at most',
    wanted: USER_SHARE_MOST * 100,
    unit: '%',
  };
}

function roundTripTarget(result?: Result): Target | undefined {
  const ours = result?.samples.get(PORTFOLD);
  const rival = result === undefined ? undefined : rivalOf(result)?.[1];
  if (result === undefined || ours === undefined || rival === undefined) return undefined;
  return {
    name: 'round trip, idle, p50 against the null forwarder',
    value: 1 / judge(result.one, rival, ours).ratio,
    bound: 'at most',
    wanted: ROUND_TRIP_MOST,
  };
}
