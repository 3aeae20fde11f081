/**
 * `portfold bench`: runs a suite and prints its report. One line in SUITES per suite; a suite is
 * loaded when it is asked for.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chartAsSvg } from '../plot/chart.ts';
import {
  type Report,
  reportAsJson,
  reportAsMarkdown,
  reportAsText,
  type Suite,
  type SuiteOptions,
} from './report.ts';

const SUITES: Record<string, () => Promise<Suite>> = {
  table: async () => (await import('../table/table.ts')).table,
  micro: async () => (await import('../micro/micro.ts')).micro,
  engine: async () => (await import('../engine/engine.ts')).engine,
  pages: async () => (await import('../engine/variants.ts')).pages,
  inlining: async () => (await import('../engine/variants.ts')).inlining,
  policies: async () => (await import('../engine/variants.ts')).policies,
  memory: async () => (await import('../engine/memory.ts')).memory,
  datapath: async () => (await import('../datapath/datapath.ts')).datapath,
  peers: async () => (await import('../peers/peers.ts')).peers,
};

export interface BenchOptions extends SuiteOptions {
  /** A name of SUITES, or "all". */
  suite: string;
  output: 'table' | 'json' | 'markdown';
  /** Where the charts of the suite are written as SVG, if they are wanted. */
  plots?: string;
}

export async function bench(options: BenchOptions): Promise<number> {
  const names = options.suite === 'all' ? Object.keys(SUITES) : [options.suite];
  for (const name of names) if (!(name in SUITES)) throw new UnknownSuite(name);
  const reports: Report[] = [];
  for (const name of names) {
    const suite = await SUITES[name]();
    reports.push(await suite(options));
  }
  if (options.plots !== undefined) draw(reports, options.plots);
  const print = { json: reportAsJson, markdown: reportAsMarkdown, table: reportAsText }[
    options.output
  ];
  process.stdout.write(reports.map(print).join('\n\n') + '\n');
  return 0;
}

function draw(reports: readonly Report[], folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const chart of reports.flatMap((report) => report.charts ?? [])) {
    const path = join(folder, `${chart.file}.svg`);
    writeFileSync(path, chartAsSvg(chart));
    process.stderr.write(`${path}\n`);
  }
}

class UnknownSuite extends Error {
  readonly code = 'BENCH_UNKNOWN_SUITE';
  readonly exitCode = 2;

  constructor(name: string) {
    super(`there is no suite "${name}"; use ${Object.keys(SUITES).join(', ')} or all`);
  }
}
