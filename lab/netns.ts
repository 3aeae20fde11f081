/**
 * Network namespaces and the programs in them.
 *
 *   run(command, args)            one program, awaited; throws unless `check` is false
 *   new Namespace(name)           .run() and .start() inside it, .ip() for many `ip` commands
 *   Background                    a program that keeps running: await .line(/…/), then .stop()
 *
 * Every process that is started here is known by its pid, and a namespace ends exactly the
 * processes inside it. No name of a program is ever searched for.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';

const COMMAND_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
/** Output beyond this is cut: a runaway program must not fill the memory. */
const OUTPUT_BYTES_MAX = 64 << 20;

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  input?: string;
  timeoutMs?: number;
  /** false: a code other than 0 is a result, not an error. */
  check?: boolean;
  env?: Record<string, string>;
  cwd?: string;
}

export class CommandError extends Error {
  readonly code = 'LAB_COMMAND_FAILED';
  readonly exitCode = 1;
  readonly result: CommandResult;

  constructor(command: string, args: readonly string[], result: CommandResult) {
    const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-5).join('\n');
    super(`"${[command, ...args].join(' ')}" ended with ${result.code}: ${said}`);
    this.result = result;
  }
}

/**
 * Runs a program to its end. A program that cannot be started has code 127, one that took too long
 * 124.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const child = new Background(command, args, options);
  child.process.stdin?.end(options.input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? COMMAND_TIMEOUT_MS);
  const result = await child.ended;
  clearTimeout(timer);
  if (child.killed) {
    result.code = 124;
    result.stderr += `\ntook longer than ${(options.timeoutMs ?? COMMAND_TIMEOUT_MS) / 1000} s`;
  }
  if (result.code !== 0 && options.check !== false) throw new CommandError(command, args, result);
  return result;
}

/** A program that runs beside us. */
export class Background {
  readonly process: ChildProcess;
  readonly ended: Promise<CommandResult>;
  readonly name: string;
  stdout = '';
  stderr = '';
  /** True once kill() was called with SIGKILL. */
  killed = false;
  #over = false;
  #watchers: (() => void)[] = [];

  constructor(command: string, args: readonly string[], options: RunOptions = {}) {
    this.name = [command, ...args].join(' ');
    this.process = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A program that ends before it has read its input is judged by its code, not by EPIPE.
    this.process.stdin?.on('error', () => {});
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stdout.length < OUTPUT_BYTES_MAX) this.stdout += text;
      this.#changed();
    });
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stderr.length < OUTPUT_BYTES_MAX) this.stderr += text;
      this.#changed();
    });
    this.ended = new Promise((resolve) => {
      this.process.on('error', (error) => {
        this.#over = true;
        resolve({ code: 127, stdout: this.stdout, stderr: error.message });
        this.#changed();
      });
      this.process.on('close', (code, signal) => {
        this.#over = true;
        resolve({
          code: code ?? 128 + (signal === 'SIGKILL' ? 9 : signal === 'SIGTERM' ? 15 : 2),
          stdout: this.stdout,
          stderr: this.stderr,
        });
        this.#changed();
      });
    });
  }

  get pid(): number {
    return this.process.pid ?? -1;
  }

  get over(): boolean {
    return this.#over;
  }

  /**
   * Resolves with the match once the output (both streams) has it; rejects when the program ends or
   * time is over first.
   */
  line(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#watchers = this.#watchers.filter((watcher) => watcher !== check);
      };
      const check = (): void => {
        const match = this.stdout.match(pattern) ?? this.stderr.match(pattern);
        if (match) {
          finish();
          resolve(match);
        } else if (this.#over) {
          finish();
          reject(new Error(`"${this.name}" ended before it said ${pattern}: ${this.#said()}`));
        }
      };
      const timer = setTimeout(() => {
        finish();
        reject(
          new Error(`"${this.name}" did not say ${pattern} in ${timeoutMs} ms: ${this.#said()}`),
        );
      }, timeoutMs);
      this.#watchers.push(check);
      check();
    });
  }

  kill(signal: NodeJS.Signals): void {
    if (signal === 'SIGKILL') this.killed = true;
    if (!this.#over) this.process.kill(signal);
  }

  /** Ends the program and awaits its end; SIGKILL when the signal did nothing for some seconds. */
  async stop(
    signal: NodeJS.Signals = 'SIGTERM',
    timeoutMs = STOP_TIMEOUT_MS,
  ): Promise<CommandResult> {
    this.kill(signal);
    const timer = setTimeout(() => this.kill('SIGKILL'), timeoutMs);
    const result = await this.ended;
    clearTimeout(timer);
    return result;
  }

  #said(): string {
    return (this.stderr.trim() || this.stdout.trim() || 'it said nothing').slice(-600);
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

export class Namespace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  async create(): Promise<void> {
    await run('ip', ['netns', 'add', this.name]);
  }

  run(
    command: string,
    args: readonly string[] = [],
    options: RunOptions = {},
  ): Promise<CommandResult> {
    return run('ip', ['netns', 'exec', this.name, command, ...args], options);
  }

  start(command: string, args: readonly string[] = [], options: RunOptions = {}): Background {
    return new Background('ip', ['netns', 'exec', this.name, command, ...args], options);
  }

  /** Many `ip` commands by one process, each without the word `ip`. */
  async ip(lines: readonly string[]): Promise<void> {
    await run('ip', ['-n', this.name, '-batch', '-'], { input: lines.join('\n') + '\n' });
  }

  async sysctl(values: Record<string, string | number>): Promise<void> {
    const words = Object.entries(values).map(([key, value]) => `${key}=${value}`);
    await this.run('sysctl', ['-q', '-w', ...words]);
  }

  /**
   * Ends what runs inside and removes the namespace. Blocks, so that it works while the process is
   * ending; never throws.
   */
  remove(): void {
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const pids = this.#pids();
      if (pids.length === 0) break;
      for (const pid of pids) signalQuietly(pid, signal);
      const until = Date.now() + 2000;
      while (this.#pids().length > 0 && Date.now() < until) sleepBlocking(20);
    }
    ipQuietly(['netns', 'del', this.name]);
  }

  #pids(): number[] {
    return ipQuietly(['netns', 'pids', this.name])
      .split('\n')
      .filter((line) => line !== '')
      .map(Number);
  }
}

function signalQuietly(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended in the meantime.
  }
}

function ipQuietly(args: string[]): string {
  try {
    return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return '';
  }
}

function sleepBlocking(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Waits for a condition of the outside world. The last failure is part of the error. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 10_000,
  intervalMs = 50,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = `: ${error instanceof Error ? error.message : error}`;
    }
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms for ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
