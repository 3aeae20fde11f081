/**
 * `portfold bench`: runs a suite and prints its report. One line in SUITES per suite; a suite is
 * loaded when it is asked for.
 */
import { type Report, reportAsJson, reportAsText, type Suite } from './report.ts';

const SUITES: Record<string, () => Promise<Suite>> = {
  micro: async () => (await import('../micro/micro.ts')).micro,
  engine: async () => (await import('../engine/engine.ts')).engine,
  datapath: async () => (await import('../datapath/datapath.ts')).datapath,
};

export interface BenchOptions {
  /** A name of SUITES, or "all". */
  suite: string;
  smoke: boolean;
  output: 'table' | 'json';
}

export async function bench(options: BenchOptions): Promise<number> {
  const names = options.suite === 'all' ? Object.keys(SUITES) : [options.suite];
  for (const name of names) if (!(name in SUITES)) throw new UnknownSuite(name);
  const reports: Report[] = [];
  for (const name of names) {
    const suite = await SUITES[name]();
    reports.push(await suite({ smoke: options.smoke }));
  }
  const print = options.output === 'json' ? reportAsJson : reportAsText;
  process.stdout.write(reports.map(print).join('\n\n') + '\n');
  return 0;
}

class UnknownSuite extends Error {
  readonly code = 'BENCH_UNKNOWN_SUITE';
  readonly exitCode = 2;

  constructor(name: string) {
    super(`there is no suite "${name}"; use ${Object.keys(SUITES).join(', ')} or all`);
  }
}
