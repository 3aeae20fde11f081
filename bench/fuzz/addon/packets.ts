/**
 * The fuzz run of the addon under AddressSanitizer and UndefinedBehaviorSanitizer:
 *
 *   node --import tsx bench/fuzz/addon/packets.ts --packets 1000000 --seed 1 [--mutated 50] [--breaks]
 *
 * Builds the addon into build/sanitized, makes a namespace, starts victim.ts in it and reads the
 * reports. With --breaks it builds copies with a check taken out and expects each to be noticed.
 * Needs root, gcc and its libasan. Exit 1 on a report or a wrong result, 2 for usage.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type CommandResult, Namespace } from '../../../lab/netns.ts';
import {
  BREAKS,
  buildSanitized,
  type Reports,
  readReports,
  sanitizedEnvironment,
  sanitizedFolder,
} from './sanitized.ts';

const VICTIM = fileURLToPath(new URL('victim.ts', import.meta.url));
const PACKETS_PER_BREAK = 30_000;
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
const EXIT_INTERRUPTED = 130;
const TIMEOUT_MS = 3_600_000;

export interface Run {
  command: CommandResult;
  reports: Reports;
}

export interface RunOptions {
  packets: number;
  seed: number;
  mutated: number;
}

/** Gives packets to one build of the addon, in a namespace that goes afterwards. */
export async function runVictim(addon: string, options: RunOptions): Promise<Run> {
  const folder = mkdtempSync(join('/dev/shm', 'portfold-addon-'));
  const namespace = new Namespace(`pfas-${process.pid}`);
  const interrupted = (): void => {
    namespace.remove();
    rmSync(folder, { recursive: true, force: true });
    process.exit(EXIT_INTERRUPTED);
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  await namespace.create();
  try {
    await namespace.ip(['link set lo up']);
    const numbers = [options.packets, options.seed, options.mutated].map(String);
    const node = ['--expose-gc', '--import', 'tsx', VICTIM, ...numbers, folder];
    const variables = sanitizedEnvironment(addon, folder);
    const command = await namespace.run('env', [...variables, process.execPath, ...node], {
      check: false,
      timeoutMs: TIMEOUT_MS,
    });
    return { command, reports: readReports(folder) };
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    namespace.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a run says against the addon, or undefined. */
export function faultOf({ command, reports }: Run): string | undefined {
  if (reports.errors.length > 0) return reports.errors[0];
  if (reports.leaks.length > 0) return `${reports.leaks.length} leaks: ${reports.leaks[0]}`;
  // A run that ended early proves nothing. Leaks of Node change its exit code, so that is not asked.
  if (!/^\{"packets":/m.test(command.stdout))
    return `exit ${command.code}: ${(command.stderr || command.stdout).slice(-2000)}`;
  return undefined;
}

async function runBreaks(options: RunOptions): Promise<number> {
  // What the whole addon does not pass, a broken one may fail for another reason.
  const whole = faultOf(await runVictim(buildSanitized(sanitizedFolder()), options));
  if (whole !== undefined) {
    console.log(whole);
    return 1;
  }
  let unnoticed = 0;
  for (const broken of BREAKS) {
    const folder = mkdtempSync(join(tmpdir(), 'portfold-broken-'));
    try {
      const run = await runVictim(buildSanitized(folder, broken), options);
      const fault = faultOf(run);
      if (fault === undefined) unnoticed++;
      console.log(`${broken.name}: ${fault === undefined ? 'NOT NOTICED' : summary(fault)}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return unnoticed === 0 ? 0 : 1;
}

const summary = (fault: string): string =>
  fault.match(/ERROR: (AddressSanitizer: \S+)|runtime error: .*|^\d+ leaks|Error: .*/m)?.[0] ??
  fault;

async function runOnce(options: RunOptions): Promise<number> {
  const started = performance.now();
  const run = await runVictim(buildSanitized(sanitizedFolder()), options);
  const fault = faultOf(run);
  console.log(run.command.stdout.trim());
  console.log(
    fault ??
      `no report in ${Math.round((performance.now() - started) / 1000)} s; ` +
        `Node itself leaked ${run.reports.leaksOfNode} times, the addon never`,
  );
  return fault === undefined ? 0 : 1;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      packets: { type: 'string' },
      seed: { type: 'string', default: '1' },
      mutated: { type: 'string', default: '50' },
      breaks: { type: 'boolean', default: false },
    },
  });
  const packets = Number(values.packets ?? (values.breaks ? PACKETS_PER_BREAK : 1_000_000));
  const options = { packets, seed: Number(values.seed), mutated: Number(values.mutated) };
  if (Object.values(options).some((value) => !Number.isInteger(value) || value < 0)) {
    console.error('--packets, --seed and --mutated are whole numbers');
    return 2;
  }
  return values.breaks ? runBreaks(options) : runOnce(options);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
