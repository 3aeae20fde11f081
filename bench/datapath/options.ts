/** The words of the command line that the suites with a network take, read and judged. */
import { LabError } from '../../lab/programs.ts';
import type { SuiteOptions } from '../verbs/report.ts';

export const LINES = ['address', 'map-e', 'own'] as const;
export type BenchLine = (typeof LINES)[number];

const PAIRS_MOST = 100;
const SECONDS_MOST = 60;
const SESSIONS_MOST = 1_000_000;

function wrong(option: string, value: string, right: string): LabError {
  return new LabError('BENCH_BAD_OPTION', 2, `--${option} is "${value}"; ${right}`);
}

export function wholeNumber(
  option: string,
  value: string | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return fallback;
  const number = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw wrong(option, value, `use a whole number from ${least} to ${most}`);
}

export const readPairs = (options: SuiteOptions, fallback: number): number =>
  wholeNumber('pairs', options.pairs, fallback, 1, PAIRS_MOST);

export const readSeconds = (options: SuiteOptions, fallback: number): number =>
  wholeNumber('seconds', options.seconds, fallback, 1, SECONDS_MOST);

export function readLine(options: SuiteOptions): BenchLine {
  const line = LINES.find((one) => one === (options.line ?? 'address'));
  if (line !== undefined) return line;
  throw wrong('line', options.line ?? '', `use ${LINES.join(', ')}`);
}

export function readSessions(options: SuiteOptions): number[] {
  return (options.sessions ?? '0')
    .split(',')
    .map((word) => wholeNumber('sessions', word.trim(), 0, 0, SESSIONS_MOST));
}

/** The command that makes a report again. */
export function commandOf(suite: string, options: SuiteOptions): string {
  const words = (['line', 'cases', 'sessions', 'pairs', 'seconds', 'try'] as const).flatMap(
    (name) => (options[name] === undefined ? [] : [`--${name} ${options[name]}`]),
  );
  return ['portfold bench', suite, ...words, ...(options.smoke ? ['--smoke'] : [])].join(' ');
}
