/**
 * What a benchmark suite reports, and how it is printed.
 *
 * A figure stands beside the figure of something else, run in turn on the same machine: rows are
 * what was measured, columns who was measured, and the ratio is last column to first. Each cell
 * keeps every sample, so that the spread can be seen.
 *
 *   row                     | ceiling            | portfold           | ratio
 *   TCP outbound, Gbit/s    | 4.71  4.60–4.80    | 4.32  4.21–4.40    | 0.92
 */
import { cpus, release, totalmem } from 'node:os';

export interface Row {
  name: string;
  unit: string;
  /** Column → samples, in the order in which they were taken. */
  samples: Record<string, number[]>;
}

export interface Report {
  suite: string;
  /** The command that makes these figures again. */
  command: string;
  smoke: boolean;
  rows: Row[];
  /** Facts that the figures depend on, for instance "encapsulation" → "seg6". */
  notes: Record<string, string>;
}

export type Suite = (options: { smoke: boolean }) => Promise<Report>;

export interface Machine {
  processor: string;
  cores: number;
  memoryBytes: number;
  kernel: string;
  node: string;
}

export function machine(): Machine {
  const list = cpus();
  return {
    processor: list[0]?.model.trim() ?? 'unknown',
    cores: list.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  };
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Last column to first, by medians; undefined with a single column. */
export function ratio(row: Row): number | undefined {
  const columns = Object.values(row.samples);
  if (columns.length < 2) return undefined;
  return median(columns[columns.length - 1]) / median(columns[0]);
}

export function reportAsJson(report: Report): string {
  const rows = report.rows.map((row) => ({
    ...row,
    medians: Object.fromEntries(
      Object.entries(row.samples).map(([column, samples]) => [column, median(samples)]),
    ),
    ratio: ratio(row),
  }));
  return JSON.stringify({ ...report, rows, machine: machine() }, null, 2);
}

export function reportAsText(report: Report): string {
  const here = machine();
  const columns = [...new Set(report.rows.flatMap((row) => Object.keys(row.samples)))].sort(
    (a, b) => Number(a === 'portfold') - Number(b === 'portfold'),
  );
  const table = [
    ['', ...columns, columns.length > 1 ? `${columns.at(-1)} / ${columns[0]}` : ''],
    ...report.rows.map((row) => [
      `${row.name}, ${row.unit}`,
      ...columns.map((column) => cell(row.samples[column] ?? [])),
      ratio(row)?.toFixed(2) ?? '',
    ]),
  ];
  const widths = table[0].map((_, i) => Math.max(...table.map((line) => line[i].length)));
  const body = table.map((line) =>
    line
      .map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i])))
      .join('   ')
      .trimEnd(),
  );
  const notes = Object.entries(report.notes).map(([name, text]) => `${name}: ${text}`);
  return [
    report.suite + (report.smoke ? ' (smoke size: it runs; how fast is another matter)' : ''),
    `${here.processor}, ${here.cores} cores; Linux ${here.kernel}; Node ${here.node}`,
    `made by: ${report.command}`,
    ...notes,
    '',
    ...body,
  ].join('\n');
}

/** Median, and the least and the most when there were several. */
function cell(samples: readonly number[]): string {
  if (samples.length === 0) return '-';
  if (samples.length === 1) return short(samples[0]);
  return `${short(median(samples))}  ${short(Math.min(...samples))}–${short(Math.max(...samples))}`;
}

function short(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
