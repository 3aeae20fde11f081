/**
 * Everything about the addon that is not a packet: arguments of every wrong type, devices that are
 * opened, adopted, closed twice, forgotten or taken away, threads that end in the middle of a wait,
 * arenas that come and go. What is left open here on purpose must be given back by finalizers.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { COUNTERS, loadNative, type Native } from '../../../tun/native.ts';
import type { Dice } from '../dice.ts';

const ARENA_BYTES = 1 << 20;
/** Names of devices that live here; the namespace is ours. */
const LIFE_DEVICE = 'life0';
const THREAD_DEVICES = 3;
/** Closes whatever number it is given, so it is only given numbers that are no descriptors. */
const CLOSES = 'unlockFile';

/** Calls each function with arguments by chance; returns how many calls were refused. */
export function wrongArguments(dice: Dice, calls: number): number {
  const native = loadNative();
  // One has no arguments, and would let the fuzzer go before the whole machine.
  const names = (Object.keys(native) as (keyof Native)[]).filter(
    (name) => name !== 'goBeforeOthers',
  );
  const opened = native.openTun(LIFE_DEVICE, false);
  const closed = native.openTun('life1', false).handle;
  native.closeTun(closed);
  let refused = 0;
  for (let i = 0; i < calls; i++) {
    const name = dice.pick(names);
    const values = Array.from({ length: dice.below(7) }, () => odd(dice, opened.handle, closed));
    if (name === 'wait') values[1] = dice.pick([0, 1, Number.NaN, undefined, 'x']);
    if (name === CLOSES) values[0] = dice.pick([-1, undefined, 'x', {}, 1e9]);
    if (name === 'setAffinity') values[0] = dice.pick([-1, 1 << 20, undefined, 'x', {}]);
    if (name === 'closeTun' && values[0] === opened.handle) values[0] = closed;
    try {
      const result = (native[name] as (...values: unknown[]) => unknown)(...values);
      if (name === 'openTun') native.closeTun((result as { handle: typeof closed }).handle);
      if (name === 'lockFile' && (result as number) >= 0) native.unlockFile(result as number);
    } catch (error) {
      refused++;
      if (typeof (error as { code?: unknown }).code !== 'string') throw error;
    }
  }
  native.closeTun(opened.handle);
  native.closeTun(opened.handle);
  return refused;
}

function odd(dice: Dice, handle: unknown, closed: unknown): unknown {
  return dice.pick<unknown>([
    undefined, null, true, false, 0, 1, -1, 1.5, 12, 65663, 2 ** 31, -(2 ** 31), 2 ** 53, 1e300,
    Number.NaN, Number.POSITIVE_INFINITY, '', 'x', 'x'.repeat(15), 'x'.repeat(16), 'a\0b', '@name',
    'é'.repeat(60), 'x'.repeat(5000), '/', '.', 'none/such', {}, [], 10n, Symbol('s'), () => 0,
    handle, handle, handle, closed, new Uint8Array(0), new Uint8Array(100),
    new Uint8Array(70_000), new Int32Array(0), new Int32Array(4), new Int32Array(64),
    new Float64Array(0), new Float64Array(8), new DataView(new ArrayBuffer(8)),
    new Uint8Array(new SharedArrayBuffer(66_000)), new Uint8Array(new ArrayBuffer(200), 13, 60),
  ]); // biome-ignore format: a table
}

/** Opens devices and gives them up in every way; the last is taken away by another program. */
export function deviceLives(rounds: number): void {
  const native = loadNative();
  const counters = (): Float64Array => new Float64Array(COUNTERS);
  for (let i = 0; i < rounds; i++) {
    // The name of one that is forgotten is free when the finalizer has run, which is later.
    const name = i % 4 === 0 ? `forgotten${i}` : LIFE_DEVICE;
    const { handle } = native.openTun(name, i % 3 === 0);
    const bytes = new Uint8Array(128 + 65535);
    native.registerBuffers(handle, bytes, new Int32Array(4), counters(), bytes.length, 1);
    expectError(() =>
      native.registerBuffers(handle, bytes, new Int32Array(4), counters(), bytes.length, 1),
    );
    native.readBatch(handle, 0);
    native.wait(handle, 0);
    // One in four is forgotten: its finalizer closes it.
    if (i % 4 === 0) collect();
    else native.closeTun(handle);
    if (i % 4 !== 0) expectError(() => native.readBatch(handle, 0));
  }
  collect();
  const { handle } = native.openTun('gone0', true);
  const bytes = new Uint8Array(1 << 17);
  native.registerBuffers(handle, bytes, new Int32Array(64), counters(), bytes.length, 16);
  execFileSync('ip', ['link', 'del', 'gone0']);
  native.wait(handle, 100);
  expectError(() => native.readBatch(handle, 0));
  native.writeBatch(handle, 16);
  expectError(() => native.setPersist(handle, false));
  native.closeTun(handle);
}

/** Maps, looks, forgets. */
export function arenas(folder: string, rounds: number): void {
  const native = loadNative();
  for (let i = 0; i < rounds; i++) {
    const path = join(folder, `arena-${i}`);
    const words = new Int32Array(native.mapArena(path, ARENA_BYTES, true, i % 2 === 0).buffer);
    words[words.length - 1] = i;
    const again = new Int32Array(native.mapArena(path, ARENA_BYTES, false, i % 3 === 0).buffer);
    if (again[words.length - 1] !== i) throw new Error('an arena does not hold what was written');
    expectError(() => native.mapArena(path, ARENA_BYTES, true, false));
    expectError(() => native.mapArena(path, ARENA_BYTES + 1, false, false));
    expectError(() => native.mapArena(join(folder, 'none', 'such'), ARENA_BYTES, true, false));
    const lock = native.lockFile(join(folder, 'lock'));
    if (native.lockFile(join(folder, 'lock')) !== -1) throw new Error('a lock was given twice');
    native.unlockFile(lock);
    if (i % 16 === 0) collect();
  }
}

/**
 * Threads that sleep in wait() and are woken; one half ends by itself with its device open, the
 * other is terminated.
 */
export async function threads(folder: string, rounds: number): Promise<void> {
  const file = join(folder, 'thread.cjs');
  writeFileSync(file, THREAD);
  const native = loadNative();
  for (let round = 0; round < rounds; round++) {
    const workers = Array.from(
      { length: THREAD_DEVICES },
      (_, i) =>
        new Worker(file, {
          workerData: { name: `thread${i}`, ends: round % 2 === 0 },
          execArgv: [],
        }),
    );
    const tokens = await Promise.all(
      workers.map(
        (worker) =>
          new Promise<number>((done, failed) => {
            worker.once('message', done);
            worker.once('error', failed);
          }),
      ),
    );
    const ended = workers.map((worker) => new Promise((done) => worker.once('exit', done)));
    if (round % 2 === 1) for (const worker of workers) void worker.terminate();
    for (const token of tokens) native.wake(token);
    await Promise.all(ended);
    // The tokens outlive their devices.
    for (const token of tokens)
      if (native.wake(token)) throw new Error('a device that is gone was woken');
  }
}

const THREAD = `
const { parentPort, workerData } = require('node:worker_threads');
const native = require(process.env.PORTFOLD_ADDON);
const { handle, token } = native.openTun(workerData.name, false);
const bytes = new Uint8Array(1 << 17);
native.registerBuffers(handle, bytes, new Int32Array(64), new Float64Array(${COUNTERS}), bytes.length, 16);
parentPort.postMessage(token);
if (workerData.ends) native.wait(handle, 5000);
else for (;;) { native.wait(handle, 5); native.readBatch(handle, 0); }
`;

function expectError(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    if (typeof (error as { code?: unknown }).code === 'string') return;
    throw error;
  }
  throw new Error(`no error came of ${action}`);
}

function collect(): void {
  (globalThis as { gc?: () => void }).gc?.();
}
