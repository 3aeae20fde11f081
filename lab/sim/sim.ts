/**
 * `portfold sim`: tries routers on a scenario under virtual time. Words and progress go to stderr, the result to stdout; the same seed
 * gives the same result.
 */
import { accessSync, constants, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../../gateway/config/errors.ts';
import { hintAmong } from '../../gateway/config/suggest.ts';
import { COLOURS } from '../plot/style.ts';
import { captureOf } from './capture.ts';
import { readRecording } from './pcap.ts';
import { runsAsSvg } from './plots.ts';
import { runsAsJson, runsAsText } from './report.ts';
import { isRouter, ROUTER_NAMES } from './routers.ts';
import {
  listScenarios,
  loadScenario,
  type ModelPlan,
  plainModel,
  type Scenario,
  SEED_MAX,
} from './scenario.ts';
import { type Run, simulate } from './simulate.ts';
import { parseDuration } from './values.ts';
import { emptyWords, escaped } from './words.ts';

export interface SimOptions {
  /** Absent: the scenarios that there are are listed. */
  scenario?: string;
  /** Names of the scenario's models, or of routers; absent: all of the scenario's. */
  model?: string[];
  seed?: string;
  duration?: string;
  output: 'table' | 'json';
  /** A recording whose flows take the place of the scenario's users. */
  capture?: string;
  /** Where the picture is written. */
  plots?: string;
}

const HOUR_MS = 3_600_000;
/** Longer is a clock that was set, or files of different days: every millisecond between would be waited through. */
const CAPTURE_MS_MAX = 24 * HOUR_MS;
/** Whose line and models a recording is played on when no scenario is named. */
const CAPTURE_SCENARIO = 'home-evening';

export function sim(options: SimOptions): Promise<number> {
  if (options.scenario === undefined && options.capture === undefined) {
    const lines = listScenarios().map((name) => `${name}  ${loadScenario(name).about}`);
    process.stdout.write(`${lines.join('\n')}\n`);
    return Promise.resolve(0);
  }
  const scenario = {
    ...loadScenario(options.scenario ?? CAPTURE_SCENARIO),
    ...recorded(options.capture, options.duration === undefined ? CAPTURE_MS_MAX : Infinity),
    ...durationOf(options.duration),
  };
  const seed = seedOf(options.seed, scenario);
  const plans = plansOf(options.model, scenario);
  // A run takes minutes: what would spoil the picture is found before.
  if (options.plots !== undefined) prepareDrawing(options.plots, plans.length);
  const runs = plans.map((plan) => runOne(scenario, plan, seed));
  if (options.plots !== undefined) draw(options.plots, scenario, runs);
  const print = options.output === 'json' ? runsAsJson : runsAsText;
  process.stdout.write(`${print(scenario, seed, runs)}\n`);
  return Promise.resolve(0);
}

/** What a recording changes in a scenario. */
function recorded(path: string | undefined, mostMs: number): Partial<Scenario> {
  if (path === undefined) return {};
  const recording = readRecording(path);
  const capture = captureOf(recording);
  const { flows, packets, durationMs } = capture;
  if (flows.length === 0)
    throw new UsageError('SIM_EMPTY_CAPTURE', `${escaped(path)} ${emptyWords(recording, capture)}`);
  const lastMs = packets[packets.length - 1].timeMs;
  if (lastMs > mostMs)
    throw new UsageError(
      'SIM_LONG_CAPTURE',
      `${path} spans ${Math.ceil(lastMs / HOUR_MS).toLocaleString('en')} hours, more than the ${CAPTURE_MS_MAX / HOUR_MS} that are ` +
        'played unless told otherwise; say how much of its beginning to play, for instance --duration 1h, or cut out the packets ' +
        'with wrong times',
    );
  process.stderr.write(
    `${escaped(path)}  ${flows.length.toLocaleString('en')} flows, ${packets.length.toLocaleString('en')} packets\n`,
  );
  return { capture, durationMs, about: `the flows of ${escaped(basename(path))}`, users: [] };
}

function durationOf(words: string | undefined): { durationMs?: number } {
  if (words === undefined) return {};
  const durationMs = parseDuration(words);
  if (durationMs !== undefined && durationMs > 0) return { durationMs };
  const hint = 'write it like "90s", "30m" or "1h"';
  throw new UsageError('SIM_BAD_DURATION', `"${words}" is not a duration; ${hint}`);
}

function seedOf(words: string | undefined, scenario: Scenario): number {
  if (words === undefined) return scenario.seed;
  const seed = /^\d+$/.test(words) ? Number(words) : Number.NaN;
  if (seed <= SEED_MAX) return seed;
  throw new UsageError(
    'SIM_BAD_SEED',
    `"${words}" is not a seed; write a whole number up to ${SEED_MAX}`,
  );
}

function plansOf(names: string[] | undefined, scenario: Scenario): ModelPlan[] {
  if (names === undefined) return scenario.models;
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice !== undefined)
    throw new UsageError('SIM_MODEL_TWICE', `--model names "${twice}" twice; each model runs once`);
  return names.map((name) => {
    const named = scenario.models.find((model) => model.name === name);
    if (named !== undefined) return named;
    if (isRouter(name)) return plainModel(name, scenario.ports);
    const known = [...scenario.models.map((model) => model.name), ...ROUTER_NAMES];
    const hint = hintAmong(name, [...new Set(known)], 'there are');
    throw new UsageError('SIM_UNKNOWN_MODEL', `there is no model "${name}"; ${hint}`);
  });
}

function runOne(scenario: Scenario, plan: ModelPlan, seed: number): Run {
  const { stderr } = process;
  const progress = (share: number): void => {
    if (stderr.isTTY) stderr.write(`\r${plan.name}  ${Math.floor(share * 100)} % `);
  };
  const run = simulate(scenario, plan, seed, () => performance.now(), progress);
  const { sessions, packets } = run.tally;
  const seconds = (run.elapsedMs / 1000).toFixed(1);
  const words = `${plan.name}  ${sessions.toLocaleString('en')} sessions, ${packets.toLocaleString('en')} packets in ${seconds} s`;
  stderr.write(`${stderr.isTTY ? '\r' : ''}${words}\n`);
  return run;
}

/** Makes the folder, and sees that a picture of so many models can be drawn and written there. */
function prepareDrawing(folder: string, models: number): void {
  if (models > COLOURS)
    throw new UsageError(
      'SIM_TOO_MANY_MODELS',
      `a plot tells ${COLOURS} models apart, not ${models}; name fewer with --model`,
    );
  try {
    makeFolder(folder);
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(
      'SIM_BAD_PLOTS',
      `no plot can be written to ${folder} (${code}); name a folder that is there or can be made`,
    );
  }
}

/** With what is missing above it. Node's own recursion does not end where a folder is there and takes none, as in /proc. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path);
    return;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path).isDirectory()) return;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
  }
  makeFolder(dirname(path));
  mkdirSync(path);
}

function draw(folder: string, scenario: Scenario, runs: readonly Run[]): void {
  const path = join(folder, `sim-${scenario.name}.svg`);
  writeFileSync(path, runsAsSvg(scenario, runs));
  process.stderr.write(`${path}\n`);
}
