/**
 * The long fuzz run:  node --import tsx bench/fuzz/engine.ts --packets 1000000 --seed 1 [--mutated 35]
 *
 * Goes on with the next seed after each 100,000 packets, since a seed chooses port set, preset and line too. Prints progress, and at the
 * first failure the seed and the index of the packet with a hex dump: the same seed repeats it. Exit 1 on a failure, 2 for usage.
 */
import { parseArgs } from 'node:util';
import { DROP_MEANING } from '../../core/verdict.ts';
import { FuzzFailure, fuzz } from './twins.ts';

const PACKETS_PER_SEED = 100_000;

function readOptions(): { packets: number; seed: number; mutated: number } | undefined {
  const { values } = parseArgs({
    options: {
      packets: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: '1' },
      mutated: { type: 'string', default: '35' },
    },
  });
  const numbers = {
    packets: Number(values.packets),
    seed: Number(values.seed),
    mutated: Number(values.mutated),
  };
  return Object.values(numbers).every((value) => Number.isInteger(value) && value >= 0)
    ? numbers
    : undefined;
}

function main(): number {
  const options = readOptions();
  if (options === undefined) {
    console.error('--packets, --seed and --mutated are whole numbers');
    return 2;
  }
  const reasons = new Map<number, number>();
  const started = process.hrtime.bigint();
  let done = 0;
  for (let seed = options.seed; done < options.packets; seed++) {
    const packets = Math.min(PACKETS_PER_SEED, options.packets - done);
    try {
      const result = fuzz({ seed, packets, mutatedPercent: options.mutated });
      for (const [reason, count] of result.reasons)
        reasons.set(reason, (reasons.get(reason) ?? 0) + count);
      done += packets;
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      console.log(
        `seed ${seed}: ${result.forwarded} forwarded, ${result.answered} answered, ${result.dropped} dropped, ` +
          `${result.appended} appended, ${result.datagramsJoined} datagrams joined, ` +
          `at most ${result.sessionsMax} sessions; ${done} packets, ${Math.round(done / seconds)} a second`,
      );
    } catch (error) {
      console.error(error instanceof FuzzFailure ? error.message : error);
      return 1;
    }
  }
  for (const [reason, count] of [...reasons].sort((a, b) => b[1] - a[1]))
    console.log(`${String(count).padStart(9)}  ${DROP_MEANING[reason][0]}`);
  return 0;
}

process.exitCode = main();
