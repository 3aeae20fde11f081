/**
 * The guided run:  node --import tsx bench/fuzz/guided/run.ts --seconds 3600 --corpus FOLDER [--seed 1] [--replay FILE]
 *
 * Cases that reach something new are kept in FOLDER, one file each, and a later run begins with them. A finding is printed and written to
 * FOLDER/findings; `--replay` plays one case and says what is wrong with it. Exit 1 if something was found, 2 for usage.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fromJson, toJson } from './case.ts';
import { type Finding, guided, type Progress, replay } from './guided.ts';

interface Options {
  seconds: number;
  seed: number;
  corpus: string | undefined;
  replay: string | undefined;
  missing: boolean;
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      corpus: { type: 'string' },
      replay: { type: 'string' },
      missing: { type: 'boolean', default: false },
    },
  });
  const seconds = Number(values.seconds);
  const seed = Number(values.seed);
  if (!Number.isInteger(seconds) || !Number.isInteger(seed) || seconds < 1 || seed < 0)
    return undefined;
  return { seconds, seed, corpus: values.corpus, replay: values.replay, missing: values.missing };
}

function lineOf(progress: Progress): string {
  const { executions, packets, seconds, busySeconds, cases, covered, edges, findings } = progress;
  const rate = (count: number): string => `${count} (${Math.round(count / busySeconds)} a second)`;
  return (
    `${Math.round(seconds)} s, of the processor ${Math.round(busySeconds)} s: executions ${rate(executions)}, ` +
    `packets ${rate(packets)}, ${cases} cases, ${covered} of ${edges} edges, ${findings} findings`
  );
}

function writeFinding(corpus: string | undefined, finding: Finding, number: number): void {
  console.log(`finding ${number}, execution ${finding.execution}: ${finding.what}`);
  console.log(toJson(finding.input));
  if (corpus === undefined) return;
  const folder = join(corpus, 'findings');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${number}.json`), `${toJson(finding.input)}\n`);
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === undefined) {
    console.error('--seconds and --seed are whole numbers, --seconds at least 1');
    return 2;
  }
  if (options.replay !== undefined) {
    const fault = await replay(fromJson(readFileSync(options.replay, 'utf8')));
    console.log(fault ?? 'nothing is wrong with it');
    return fault === undefined ? 0 : 1;
  }
  let findings = 0;
  const result = await guided({
    seed: options.seed,
    seconds: options.seconds,
    ...(options.corpus === undefined ? {} : { folder: options.corpus }),
    onFinding: (finding) => writeFinding(options.corpus, finding, ++findings),
    onProgress: (progress) => console.log(lineOf(progress)),
  });
  console.log(lineOf(result));
  if (options.missing) for (const edge of result.missing) console.log(`not reached: ${edge}`);
  console.log(
    JSON.stringify({ ...result, found: result.found.length, missing: result.missing.length }),
  );
  return result.found.length === 0 ? 0 : 1;
}

process.exitCode = await main();
