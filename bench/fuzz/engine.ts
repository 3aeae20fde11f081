/**
 * The long fuzz run:
 *
 *   node --import tsx bench/fuzz/engine.ts --packets 1000000 --seed 1 [--mutated 35]
 *   node --import tsx bench/fuzz/engine.ts --seeds 1-1000 --done runs.ndjson
 *
 * A seed chooses port set, preset and line too, so each has 100,000 packets and the run goes on with the next one. Seeds know nothing of
 * each other: ranges that do not overlap make runs that do not repeat each other, on several cores or one after the other. `--done`
 * names a file that gets a line of JSON for each seed; seeds that are in it already are left out, so that a run which was stopped goes on.
 *
 * A failure is printed with the seed, the index of the packet and a hex dump: the same seed repeats it. The run goes on with the next seed.
 * The last line is a summary in JSON. Exit 1 if there was a failure, 2 for usage.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { DROP_MEANING } from '../../core/verdict.ts';
import { FuzzFailure, type FuzzResult } from './outcome.ts';
import { fuzz } from './twins.ts';

const PACKETS_PER_SEED = 100_000;

interface Options {
  first: number;
  last: number;
  /** In all; the last seed may have fewer than the others. */
  packets: number;
  mutatedPercent: number;
  done: string | undefined;
}

/** One line of the file of `--done`. */
interface SeedDone {
  seed: number;
  packets: number;
  seconds: number;
  forwarded: number;
  failure?: string;
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      packets: { type: 'string' },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string' },
      mutated: { type: 'string', default: '35' },
      done: { type: 'string' },
    },
  });
  const [, low, high] = /^(\d+)-(\d+)$/.exec(values.seeds ?? '') ?? [];
  if (values.seeds !== undefined && low === undefined) return undefined;
  const first = Number(low ?? values.seed);
  const count = high === undefined ? undefined : Number(high) - first + 1;
  const packets = Number(values.packets ?? (count ?? 10) * PACKETS_PER_SEED);
  const last = first + (count ?? Math.ceil(packets / PACKETS_PER_SEED)) - 1;
  const mutatedPercent = Number(values.mutated);
  const areWhole = [first, last, packets, mutatedPercent].every(
    (value) => Number.isInteger(value) && value >= 0,
  );
  return areWhole ? { first, last, packets, mutatedPercent, done: values.done } : undefined;
}

/** What earlier runs have done, by seed. A last line that is cut short is as if it were not there. */
function readDone(path: string | undefined): Map<number, SeedDone> {
  const done = new Map<number, SeedDone>();
  if (path === undefined || !existsSync(path)) return done;
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (!line.endsWith('}')) continue;
    const entry = JSON.parse(line) as SeedDone;
    done.set(entry.seed, entry);
  }
  return done;
}

const secondsSince = (started: bigint): number => Number(process.hrtime.bigint() - started) / 1e9;

function describe(seed: number, result: FuzzResult, seconds: number): string {
  return (
    `seed ${seed}: ${result.forwarded} forwarded, ${result.answered} answered, ${result.dropped} dropped, ` +
    `${result.appended} appended, ${result.encapsulated} into the tunnel, ${result.decapsulated} out of it, ` +
    `${result.datagramsJoined} datagrams joined, ${result.restarts} restarts, ` +
    `at most ${result.sessionsMax} sessions; ${Math.round(result.packets / seconds)} packets a second`
  );
}

/** Runs one seed; a failure is printed and becomes part of the answer. */
function runSeed(seed: number, packets: number, options: Options, reasons: number[]): SeedDone {
  const started = process.hrtime.bigint();
  try {
    const result = fuzz({ seed, packets, mutatedPercent: options.mutatedPercent });
    for (const [reason, count] of result.reasons) reasons[reason] += count;
    const seconds = secondsSince(started);
    console.log(describe(seed, result, seconds));
    return { seed, packets: result.packets, seconds, forwarded: result.forwarded };
  } catch (error) {
    const words = error instanceof FuzzFailure ? error.message : String((error as Error).stack);
    console.error(`FAILED ${words}`);
    const at = error instanceof FuzzFailure ? error.index : 0;
    const failure = words.split('\n')[0];
    return { seed, packets: at, seconds: secondsSince(started), forwarded: 0, failure };
  }
}

function main(): number {
  const options = readOptions();
  if (options === undefined) {
    console.error(
      '--packets, --seed and --mutated are whole numbers, --seeds is FIRST-LAST, --done is a file',
    );
    return 2;
  }
  const { first, last, done } = options;
  const entries = readDone(done);
  const reasons = new Array<number>(DROP_MEANING.length).fill(0);
  const total = { packets: 0, seconds: 0, seeds: 0 };
  const failures: string[] = [];
  for (let seed = first; seed <= last; seed++) {
    const left = options.packets - (seed - first) * PACKETS_PER_SEED;
    if (left <= 0) break;
    let entry = entries.get(seed);
    if (entry === undefined) {
      entry = runSeed(seed, Math.min(PACKETS_PER_SEED, left), options, reasons);
      if (done !== undefined) appendFileSync(done, `${JSON.stringify(entry)}\n`);
    }
    total.packets += entry.packets;
    total.seconds += entry.seconds;
    total.seeds++;
    if (entry.failure !== undefined) failures.push(entry.failure);
  }
  for (const [reason, count] of [...reasons.entries()].sort((a, b) => b[1] - a[1]))
    if (count > 0) console.log(`${String(count).padStart(9)}  ${DROP_MEANING[reason][0]}`);
  // Of this process, so without what an earlier one has done.
  const { user, system } = process.cpuUsage();
  const summary = {
    packets: total.packets,
    seeds: { first, last: first + total.seeds - 1 },
    seconds: Math.round(total.seconds * 10) / 10,
    cpuSeconds: Math.round((user + system) / 1e5) / 10,
    packetsPerSecond: Math.round(total.packets / Math.max(total.seconds, 1e-9)),
    failures,
  };
  console.log(JSON.stringify(summary));
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = main();
