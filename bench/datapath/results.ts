/**
 * From samples to rows: what each case gave, what it cost, and which ratio counts.
 *
 *   row                                ceiling      portfold     ratio
 *   TCP out, Gbit/s                    11.4         10.9         0.96   counts: both above 90 % busy
 *     thread busy, %                   98           97
 *     thread waited for its core, %    0.4          0.3          much of it: others use the machine
 *     user, ms/GB                      9.1          61
 *     system, ms/GB                    690          655
 *     all cores, ms/GB                 1,390        1,380
 *     lost at tun, packets             0            12           (only rings that lost something)
 *
 * A throughput tells of a forwarder only while the forwarder is what limits it. Where one of the
 * two had its thread busy for less than 90 % of the time, generator or receiver was the limit, and
 * the ratio of processor time per GB or per packet stands for it.
 */
import { median } from '../support/statistics.ts';
import type { Row } from '../verbs/report.ts';
import type { Amount, Case } from './cases.ts';
import type { Losses, Spent } from './measurement.ts';

export const BUSY_LEAST = 0.9;

export interface Sample {
  amount: Amount;
  spent: Spent;
  /** Of the forwarder's thread while the traffic ran at full rate. */
  busy: number;
}

/** Samples of one case with one number of sessions in the table: by rival, in the order of turns. */
export interface Result {
  one: Case;
  sessions: number;
  samples: Map<string, Sample[]>;
}

/** The ratio that counts, last rival to first, and how it was come by. */
export interface Judgement {
  ratio: number;
  by: 'throughput' | 'processor time' | 'microseconds';
  /** For people. */
  words: string;
}

const values = (samples: readonly Sample[], of: (sample: Sample) => number): number[] =>
  samples.map(of);

/** Seconds of the forwarder's thread per GB or per packet. */
function cost(one: Case, sample: Sample, seconds: number): number {
  if (one.cost === 'GB') return (seconds * 1e9) / sample.amount.bytes;
  return seconds / sample.amount.packets;
}

const threadSeconds = ({ spent }: Sample): number =>
  spent.thread.userSeconds + spent.thread.systemSeconds;

/** More is better, whatever the unit. */
export function judge(one: Case, rival: readonly Sample[], ours: readonly Sample[]): Judgement {
  const value = (samples: readonly Sample[]): number =>
    median(values(samples, (sample) => sample.amount.value));
  if (one.cost === undefined) {
    const ratio = value(rival) / value(ours);
    return { ratio, by: 'microseconds', words: '' };
  }
  const busy = (samples: readonly Sample[]): number =>
    median(values(samples, (sample) => sample.busy));
  const least = Math.min(busy(rival), busy(ours));
  const throughput = value(ours) / value(rival);
  if (least >= BUSY_LEAST || Number.isNaN(least)) {
    const words = Number.isNaN(least) ? '' : 'by throughput: both threads at least 90 % busy';
    return { ratio: throughput, by: 'throughput', words };
  }
  const costOf = (samples: readonly Sample[]): number =>
    median(values(samples, (sample) => cost(one, sample, threadSeconds(sample))));
  const ratio = costOf(rival) / costOf(ours);
  const percent = Math.round(least * 100);
  const instead = `${ratio.toFixed(2)} by processor time per ${one.cost}`;
  const words = `counts: ${instead}, a thread only ${percent} % busy`;
  return { ratio, by: 'processor time', words };
}

/** The rows of one result, rivals as columns. */
export function rowsOf(result: Result): Row[] {
  const { one, sessions, samples } = result;
  const name = sessions > 0 ? `${one.title}, ${sessions} sessions` : one.title;
  const columns = [...samples];
  const row = (
    title: string,
    unit: string,
    of: (sample: Sample) => number,
    isCost = true,
  ): Row => ({
    name: title,
    unit,
    ...(isCost ? { isCost: true as const } : {}),
    samples: Object.fromEntries(columns.map(([rival, list]) => [rival, values(list, of)])),
  });
  const first = row(name, one.unit, (sample) => sample.amount.value, one.cost === undefined);
  if (columns.length === 2) first.remark = judge(one, columns[0][1], columns[1][1]).words;
  if (one.cost === undefined) {
    return [
      { ...first, name: `${name}, p50` },
      row(`${name}, p99`, one.unit, (sample) => sample.amount.tail ?? Number.NaN),
    ];
  }
  const scale = one.cost === 'GB' ? 1e3 : 1e6;
  const unit = one.cost === 'GB' ? 'ms/GB' : 'µs/packet';
  const costRow = (title: string, seconds: (sample: Sample) => number): Row =>
    row(title, unit, (sample) => cost(one, sample, seconds(sample)) * scale);
  return [
    first,
    row('  thread busy', '%', (sample) => sample.busy * 100, false),
    row('  thread waited for its core', '%', (sample) => sample.spent.waited * 100),
    costRow('  user', (sample) => sample.spent.thread.userSeconds),
    costRow('  system', (sample) => sample.spent.thread.systemSeconds),
    costRow('  all cores', (sample) => sample.spent.machineSeconds),
    ...lossRows(columns, row),
  ];
}

function lossRows(
  columns: readonly [string, Sample[]][],
  row: (title: string, unit: string, of: (sample: Sample) => number) => Row,
): Row[] {
  const rings: (keyof Losses)[] = ['tun', 'link', 'backlog', 'socket'];
  const lossy = rings.filter((ring) =>
    columns.some(([, list]) => list.some((sample) => sample.spent.losses[ring] > 0)),
  );
  return lossy.map((ring) =>
    row(`  lost at ${ring}`, 'packets', (sample) => sample.spent.losses[ring]),
  );
}
