/**
 * The session table over its size, beside its twin in C, two Maps with string keys, and two lru-caches.
 *
 * Each table does the same work from the same seed (workload.ts), in a process of its own, in turn with the others. The tables must
 * find the same: their proofs are compared. Figures are nanoseconds of processor time for one operation, and bytes for one session.
 */
import type { Chart } from '../plot/chart.ts';
import { median } from '../support/statistics.ts';
import { ownProgram, pinned, type Rival, takeTurns } from '../support/turns.ts';
import type { Report, Row, SuiteOptions, Target } from '../verbs/report.ts';
import { footprint } from './footprint.ts';
import type { Turn } from './subject.ts';
import { buildTwin } from './twin.ts';
import { SEED, STEPS } from './workload.ts';

const SIZES = [25_000, 250_000, 1_000_000];
const SIZES_SMOKE = [2_000, 10_000];
const OPERATIONS = 1_000_000;
const OPERATIONS_SMOKE = 50_000;
/** The tables with string keys are some twenty times as slow; a share is enough. */
const STRINGS_SHARE = 5;
const TURNS = 5;
/** The size at which the look-up is held against its rivals. */
const TARGET_SIZE = 250_000;

const TWIN = 'C twin';
const MAP = 'Map, strings';
const LRU = 'lru-cache';
const PORTFOLD = 'portfold';

const WORDS: Record<(typeof STEPS)[number], string> = {
  insert: 'insert',
  outbound: 'hit, outbound',
  inbound: 'hit, inbound',
  miss: 'miss',
  streamed: 'hit, streamed',
  churn: 'end and insert',
  end: 'end',
};

type Results = Record<string, Turn[]>;

export async function table(options: SuiteOptions): Promise<Report> {
  const { smoke } = options;
  const sizes = options.sessions?.split(',').map(Number) ?? (smoke ? SIZES_SMOKE : SIZES);
  const operations = smoke ? OPERATIONS_SMOKE : OPERATIONS;
  const turns = Number(options.pairs ?? (smoke ? 1 : TURNS));
  const twin = buildTwin();
  const bySize = new Map<number, Results>();
  try {
    for (const size of sizes) {
      const words = [String(size), String(operations)];
      const fewer = [String(size), String(operations / STRINGS_SHARE)];
      const own = (name: string, counts: string[]): Promise<Turn> =>
        ownProgram<Turn>(import.meta.url, './subject', [name, ...counts]);
      const rivals: Rival<Turn>[] = [
        { name: TWIN, turn: () => pinned<Turn>(twin.path, words) },
        { name: MAP, turn: () => own('map', fewer) },
        { name: LRU, turn: () => own('lru-cache', fewer) },
        { name: PORTFOLD, turn: () => own('portfold', words) },
      ];
      const results = await takeTurns(rivals, turns);
      requireSameProof(results, [TWIN, PORTFOLD], size);
      requireSameProof(results, [MAP, LRU], size);
      bySize.set(size, results);
      process.stderr.write(`${size.toLocaleString('en')} sessions: ${turns} turns\n`);
    }
  } finally {
    twin.remove();
  }
  return {
    suite: 'table',
    command: `portfold bench table${smoke ? ' --smoke' : ''}`,
    smoke,
    rows: [...bySize].flatMap(([size, results]) => rowsOf(size, results)),
    notes: {
      turns: `${turns}, each table in turn; ${operations.toLocaleString('en')} operations, seed ${SEED}`,
      figures: 'processor time and bytes; the ratio is that of the speeds (of the bytes)',
    },
    targets: targetsOf(bySize),
    charts: charts(bySize),
  };
}

/** Tables that were given the same work and found something else are not comparable, or wrong. */
function requireSameProof(results: Results, names: readonly string[], size: number): void {
  const proofs = names.flatMap((name) => results[name].map(({ proof }) => proof));
  if (new Set(proofs).size === 1) return;
  throw new Error(`${names.join(' and ')} found different records among ${size} sessions`);
}

const samplesOf = (results: Results, figure: (turn: Turn) => number): Row['samples'] =>
  Object.fromEntries(Object.entries(results).map(([name, turns]) => [name, turns.map(figure)]));

function rowsOf(size: number, results: Results): Row[] {
  const of = `${size.toLocaleString('en')} sessions`;
  const times = STEPS.map(
    (step): Row => ({
      name: `${WORDS[step]}, ${of}`,
      unit: 'ns',
      isCost: true,
      samples: samplesOf(results, ({ nanoseconds }) => nanoseconds[step]),
    }),
  );
  const bytes = samplesOf(results, ({ bytesPerSession }) => bytesPerSession);
  return [...times, { name: `size, ${of}`, unit: 'bytes a session', isCost: true, samples: bytes }];
}

/** How many times as fast as a rival: by medians. */
function speed(results: Results, rival: string, step: (typeof STEPS)[number]): number {
  const of = (name: string): number => median(results[name].map((turn) => turn.nanoseconds[step]));
  return of(rival) / of(PORTFOLD);
}

function targetsOf(bySize: Map<number, Results>): Target[] {
  const targets: Target[] = [];
  const at = `among ${TARGET_SIZE.toLocaleString('en')}`;
  const results = bySize.get(TARGET_SIZE);
  if (results !== undefined)
    for (const step of ['outbound', 'inbound'] as const)
      targets.push(
        {
          name: `${WORDS[step]}, ${at}, against the C twin`,
          value: speed(results, TWIN, step),
          bound: 'at least',
          wanted: 0.8,
        },
        {
          name: `${WORDS[step]}, ${at}, against a Map`,
          value: speed(results, MAP, step),
          bound: 'at least',
          wanted: 10,
        },
      );
  for (const bits of [18, 20]) {
    const { session, withAll, allocated } = footprint(1 << bits);
    const capacity = `capacity 2^${bits}`;
    targets.push(
      {
        name: `session with its two indexes, ${capacity}`,
        value: session,
        bound: 'at most',
        wanted: 96,
        unit: 'bytes',
      },
      {
        name: `with a mapping, a remote and rows of its own, ${capacity}`,
        value: withAll,
        bound: 'at most',
        wanted: 180,
        unit: 'bytes',
        remark: `${allocated.toFixed(0)} with hosts, permits, ports and events`,
      },
    );
  }
  return targets;
}

/** The curve of cost over size, one picture a step. */
function charts(bySize: Map<number, Results>): Chart[] {
  const sizes = [...bySize.keys()];
  const names = [PORTFOLD, TWIN, MAP, LRU];
  const chart = (
    file: string,
    title: string,
    unit: string,
    figure: (turn: Turn) => number,
  ): Chart => ({
    file,
    kind: 'lines',
    title,
    unit,
    places: sizes,
    placesTitle: 'sessions in the table',
    isLogarithmic: true,
    series: names.map((name) => ({
      name,
      samples: sizes.map((size) => bySize.get(size)?.[name].map(figure) ?? []),
    })),
  });
  const time = (step: (typeof STEPS)[number], file: string, title: string): Chart =>
    chart(file, title, 'nanoseconds of processor time', ({ nanoseconds }) => nanoseconds[step]);
  return [
    time('outbound', 'table-look-up', 'Look-up of an established session, outbound'),
    time('inbound', 'table-look-up-inbound', 'Look-up of an established session, inbound'),
    time('insert', 'table-insert', 'Insertion of a session into both indexes'),
    time('churn', 'table-churn', 'One session ends, another takes its place'),
    chart('table-bytes', 'Memory of a session', 'bytes', ({ bytesPerSession }) => bytesPerSession),
  ];
}
