/**
 * Packets from memory through the engine: what the translation itself costs, without a kernel around it, with an empty table, with 250,000
 * sessions and with a million. What is asked stands in cases.ts; each turn is a process of its own, and the sizes take turns.
 */
import type { Chart } from '../plot/chart.ts';
import { median } from '../support/statistics.ts';
import { ownProgram, takeTurns } from '../support/turns.ts';
import type { Report, Row, SuiteOptions, Target } from '../verbs/report.ts';
import { SEED } from './cases.ts';
import type { Turn } from './subject.ts';

/** Whole remotes of 216 sessions: 1,158 and 4,630 remotes. */
const SIZES = [0, 250_128, 1_000_080];
const SIZES_SMOKE = [0, 21_600];
const TURNS = 5;
const SCALE_SMOKE = 0.02;
const [SMALL, LARGE] = [250_128, 1_000_080];

const CASES: Record<string, string> = {
  established: 'established, random sessions',
  'in cache': 'established, 64 sessions',
  superpackets: 'TCP superpackets of 64,000 bytes',
  new: 'new sessions',
  replaced: 'new sessions, each for one that ended',
  refused: 'refused, the remote being full',
  unsolicited: 'unsolicited from the WAN',
  'tunnel out': 'encapsulated towards the relay',
  'tunnel in': 'decapsulated from the relay',
};

type Results = Record<string, Turn[]>;

const columnOf = (size: number): string => (size === 0 ? 'empty table' : size.toLocaleString('en'));

export async function engine(options: SuiteOptions): Promise<Report> {
  const { smoke } = options;
  const sizes = options.sessions?.split(',').map(Number) ?? (smoke ? SIZES_SMOKE : SIZES);
  const turns = Number(options.pairs ?? (smoke ? 1 : TURNS));
  const scale = smoke ? SCALE_SMOKE : 1;
  const rivals = sizes.map((size) => ({
    name: columnOf(size),
    turn: () => ownProgram<Turn>(import.meta.url, './subject', [String(size), String(scale)]),
  }));
  const results = await takeTurns(rivals, turns);
  const all = Object.values(results).flat();
  const collections = all.flatMap((turn) => Object.values(turn.collections));
  const collected = Object.keys(CASES).filter((name) => all.some((turn) => turn.collections[name]));
  return {
    suite: 'engine',
    command: `portfold bench engine${smoke ? ' --smoke' : ''}`,
    smoke,
    rows: Object.keys(CASES).flatMap((name) => rowsOf(name, results)),
    notes: {
      turns: `${turns}, the sizes in turn; UDP packets of 64 bytes in batches of 64, seed ${SEED}`,
      columns: 'sessions in the table; the ratio is that of the speeds',
      collections: `${collections.reduce((sum, count) => sum + count, 0)} while packets were processed${collected.length > 0 ? `, in: ${collected.join(', ')}` : ''}`,
    },
    targets: targetsOf(results, smoke),
    charts: charts(results),
  };
}

function rowsOf(name: string, results: Results): Row[] {
  const samples = (figure: (rate: number) => number): Row['samples'] =>
    Object.fromEntries(
      Object.entries(results).map(([column, turns]) => [
        column,
        turns.map((turn) => figure(turn.rates[name])),
      ]),
    );
  return [
    { name: CASES[name], unit: 'million/s', samples: samples((rate) => rate / 1e6) },
    { name: CASES[name], unit: 'ns', isCost: true, samples: samples((rate) => 1e9 / rate) },
  ];
}

function targetsOf(results: Results, smoke: boolean): Target[] {
  if (smoke) return [];
  const middle = (size: number, name: string): number =>
    median((results[columnOf(size)] ?? []).map((turn) => turn.rates[name]));
  const small = results[columnOf(SMALL)] !== undefined;
  const both = small && results[columnOf(LARGE)] !== undefined;
  const targets: Target[] = [];
  if (small)
    targets.push(
      {
        name: 'new sessions, 250,128 present before',
        value: middle(SMALL, 'new'),
        bound: 'at least',
        wanted: 600_000,
        unit: 'a second',
      },
      {
        name: 'new sessions in steady state, 250,128 present',
        value: middle(SMALL, 'replaced'),
        bound: 'at least',
        wanted: 400_000,
        unit: 'a second',
        remark: '1,158 remotes with 216 of 240 ports in use, over 5 s',
      },
    );
  if (both)
    targets.push({
      name: 'cost of an established packet, 1,000,080 sessions against 250,128',
      value: middle(SMALL, 'established') / middle(LARGE, 'established'),
      bound: 'at most',
      wanted: 1.5,
    });
  return targets;
}

function charts(results: Results): Chart[] {
  const names = ['established', 'in cache', 'new', 'replaced', 'refused', 'unsolicited'];
  return [
    {
      file: 'engine-packets',
      kind: 'bars',
      title: 'The engine alone: nanoseconds a packet',
      unit: 'nanoseconds, by sessions in the table',
      places: names,
      series: Object.entries(results).map(([column, turns]) => ({
        name: column === columnOf(0) ? column : `${column} sessions`,
        samples: names.map((name) => turns.map((turn) => 1e9 / turn.rates[name])),
      })),
    },
  ];
}
