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
import type { Chart } from '../plot/chart.ts';
import { median } from '../support/statistics.ts';

export { median };

export interface Row {
  name: string;
  unit: string;
  /** For costs: the ratio is then that of the speeds, so that more is better in every row. */
  isCost?: true;
  /** Column → samples, in the order in which they were taken. */
  samples: Record<string, number[]>;
  /** Printed behind the ratio, for instance why another one counts. */
  remark?: string;
}

export interface Report {
  suite: string;
  /** The command that makes these figures again. */
  command: string;
  smoke: boolean;
  rows: Row[];
  /** Facts that the figures depend on, for instance "encapsulation" → "seg6". */
  notes: Record<string, string>;
  /** What the figures are held against. */
  targets?: Target[];
  /** What `--plots` draws. */
  charts?: Chart[];
}

/** A bound that a figure of this run should keep. */
export interface Target {
  name: string;
  value: number;
  bound: 'at least' | 'at most';
  wanted: number;
  unit?: string;
  /** How the figure was come by, where that is not plain. */
  remark?: string;
}

/** Words of the command line; what a word means is the suite's affair, and absent is its default. */
export interface SuiteOptions {
  smoke: boolean;
  line?: string;
  cases?: string;
  sessions?: string;
  pairs?: string;
  seconds?: string;
  /** A setting of the host that is tried (datapath). */
  try?: string;
}

export type Suite = (options: SuiteOptions) => Promise<Report>;

/** The column that is always the last. */
const OURS = 'portfold';

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

/** Last column to first, by medians; undefined with a single column. */
export function ratio(row: Row): number | undefined {
  const columns = Object.values(row.samples);
  if (columns.length < 2) return undefined;
  const quotient = median(columns[columns.length - 1]) / median(columns[0]);
  return row.isCost ? 1 / quotient : quotient;
}

export const isMet = ({ value, bound, wanted }: Target): boolean =>
  bound === 'at least' ? value >= wanted : value <= wanted;

export function reportAsJson(report: Report): string {
  const rows = report.rows.map((row) => ({
    ...row,
    medians: Object.fromEntries(
      Object.entries(row.samples).map(([column, samples]) => [column, median(samples)]),
    ),
    ratio: ratio(row),
  }));
  const targets = report.targets?.map((target) => ({ ...target, met: isMet(target) }));
  return JSON.stringify({ ...report, rows, targets, machine: machine() }, null, 2);
}

export function reportAsText(report: Report): string {
  const here = machine();
  const notes = Object.entries(report.notes).map(([name, text]) => `${name}: ${text}`);
  return [
    report.suite + (report.smoke ? ' (smoke size: it runs; how fast is another matter)' : ''),
    `${here.processor}, ${here.cores} cores; Linux ${here.kernel}; Node ${here.node}`,
    `made by: ${report.command}`,
    ...notes,
    ...tablesOf(report.rows).flatMap((rows) => ['', ...tableLines(rows)]),
    ...targetLines(report.targets ?? []),
  ].join('\n');
}

/** Rows that follow each other and share a column besides our own stand in one table. */
function tablesOf(rows: readonly Row[]): Row[][] {
  const tables: Row[][] = [];
  const rivals = (row: Row): string[] => Object.keys(row.samples).filter((one) => one !== OURS);
  for (const row of rows) {
    const last = tables.at(-1);
    const known = last?.flatMap(rivals) ?? [];
    const isAlike = rivals(row).length === 0 || rivals(row).some((one) => known.includes(one));
    if (last !== undefined && (isAlike || known.length === 0)) last.push(row);
    else tables.push([row]);
  }
  return tables;
}

function tableLines(rows: readonly Row[]): string[] {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row.samples)))].sort(
    (a, b) => Number(a === OURS) - Number(b === OURS),
  );
  const table = [
    ['', ...columns, columns.length > 1 ? `${columns.at(-1)} / ${columns[0]}` : '', ''],
    ...rows.map((row) => [
      `${row.name}, ${row.unit}`,
      ...columns.map((column) => cell(row.samples[column] ?? [])),
      ratio(row)?.toFixed(2) ?? '',
      row.remark ?? '',
    ]),
  ];
  const widths = table[0].map((_, i) => Math.max(...table.map((line) => line[i].length)));
  return table.map((line) =>
    line
      .map((text, i) =>
        i === 0 || i > columns.length + 1 ? text.padEnd(widths[i]) : text.padStart(widths[i]),
      )
      .join('   ')
      .trimEnd(),
  );
}

function targetLines(targets: readonly Target[]): string[] {
  if (targets.length === 0) return [];
  const widest = Math.max(...targets.map(({ name }) => name.length));
  const lines = targets.map((target) => {
    const { name, value, bound, wanted, unit, remark } = target;
    const words = `${short(value)}, wanted ${bound} ${short(wanted)}${unit ? ` ${unit}` : ''}${remark ? ` (${remark})` : ''}`;
    return `${name.padEnd(widest)}   ${isMet(target) ? 'met    ' : 'NOT MET'}   ${words}`;
  });
  return ['', ...lines];
}

/** The rows, and the targets below them, as tables for a page of the documentation. */
export function reportAsMarkdown(report: Report): string {
  const columns = [...new Set(report.rows.flatMap((row) => Object.keys(row.samples)))];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = (cells: readonly string[]): string => line(cells.map(() => '---'));
  const head = [`\`${report.command}\``, ...columns, 'ratio'];
  const rows = report.rows.map((row) => [
    `${row.name}, ${row.unit}`,
    ...columns.map((column) => cell(row.samples[column] ?? []).replace(/ {2}(.*)/, ' ($1)')),
    ratio(row)?.toFixed(2) ?? '',
  ]);
  const lines = [line(head), rule(head), ...rows.map(line)];
  if (report.targets === undefined || report.targets.length === 0) return lines.join('\n');
  const targetHead = ['target', 'wanted', 'seen', ''];
  const targets = report.targets.map((target) => [
    target.name,
    `${target.bound} ${short(target.wanted)} ${target.unit ?? ''}`.trimEnd(),
    short(target.value),
    isMet(target) ? 'met' : 'not met',
  ]);
  return [...lines, '', line(targetHead), rule(targetHead), ...targets.map(line)].join('\n');
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
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return size >= 10_000 ? Number(text).toLocaleString('en') : text;
}
