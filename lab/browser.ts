/**
 * A headless chromium in a namespace, driven over its DevTools pipe.
 *
 *   descriptor 3 of the browser: commands to it      4: answers and events from it
 *   each message is one JSON text that ends with a zero byte; an answer carries the id of its command
 *
 * One browser has one page. `evaluate` runs an expression in it and awaits the promise that it may be. The profile lies
 * in a folder of the lab and goes with it. What the browser says on stderr is kept for errors only.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Namespace } from './netns.ts';

const START_TIMEOUT_MS = 30_000;
const COMMAND_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 5_000;
const SAID_CHARACTERS_MAX = 2000;

/** Nothing that would speak with the world by itself, and local addresses as they are instead of mDNS names. */
const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-sync',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-extensions',
  '--mute-audio',
  '--disable-features=WebRtcHideLocalIpsWithMdns,OptimizationHints,MediaRouter,Translate',
];

interface Answer {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
}

interface Evaluated {
  result: { value?: unknown };
  exceptionDetails?: { text: string; exception?: { description?: string } };
}

export class Browser {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (result: Record<string, unknown>) => void; reject: (error: Error) => void }
  >();
  #said = '';
  #rest = '';
  #commands = 0;
  #session: string | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_CHARACTERS_MAX);
    });
    const answers = child.stdio[4] as Duplex;
    answers.setEncoding('utf8').on('data', (text: string) => this.#take(text));
    // A browser that ends while it is written to is judged by its end.
    for (const pipe of [child.stdio[3] as Duplex, answers]) pipe.on('error', () => {});
    child.on('error', (error) => this.#fail(error.message));
    child.on('close', (code) => this.#fail(`it ended with ${code}`));
  }

  /** Resolves once the page is there. `flags` are added to those of every browser here. */
  static async start(
    namespace: Namespace,
    folder: string,
    flags: readonly string[] = [],
  ): Promise<Browser> {
    const profile = mkdtempSync(join(folder, 'chromium-'));
    const words = [
      ...['netns', 'exec', namespace.name, 'chromium', ...FLAGS],
      ...[`--user-data-dir=${profile}`, '--remote-debugging-pipe', ...flags, 'about:blank'],
    ];
    const child = spawn('ip', words, {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, HOME: profile },
    });
    const browser = new Browser(child);
    const target = await browser.#command(
      'Target.createTarget',
      { url: 'about:blank' },
      START_TIMEOUT_MS,
    );
    const flat = { targetId: target.targetId, flatten: true };
    const attached = await browser.#command('Target.attachToTarget', flat);
    browser.#session = String(attached.sessionId);
    return browser;
  }

  /** The value of an expression in the page, as JSON holds it. */
  async evaluate<T>(expression: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<T> {
    const words = { expression, awaitPromise: true, returnByValue: true };
    const said = (await this.#command(
      'Runtime.evaluate',
      words,
      timeoutMs,
    )) as unknown as Evaluated;
    if (said.exceptionDetails) {
      const { text, exception } = said.exceptionDetails;
      throw new Error(`in the page: ${exception?.description ?? text}`);
    }
    return said.result.value as T;
  }

  /** Asks the browser to close, and ends it if it does not. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'close');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    this.#session = undefined;
    await this.#command('Browser.close', {}).catch(() => child.kill('SIGTERM'));
    await ended;
    clearTimeout(timer);
  }

  #command(
    method: string,
    params: Record<string, unknown>,
    timeoutMs = COMMAND_TIMEOUT_MS,
  ): Promise<Record<string, unknown>> {
    const id = ++this.#commands;
    const message = { id, method, params, ...(this.#session && { sessionId: this.#session }) };
    return new Promise((resolve, reject) => {
      const over = (): boolean => {
        clearTimeout(timer);
        return this.#waiting.delete(id);
      };
      const timer = setTimeout(() => {
        if (over()) reject(this.#error(`${method} took longer than ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(id, {
        resolve: (result) => over() && resolve(result),
        reject: (error) => over() && reject(error),
      });
      (this.#child.stdio[3] as Duplex).write(`${JSON.stringify(message)}\0`);
    });
  }

  #take(text: string): void {
    const messages = (this.#rest + text).split('\0');
    this.#rest = messages.pop() ?? '';
    for (const message of messages) {
      const { id, result, error } = JSON.parse(message) as Answer;
      const waiting = id === undefined ? undefined : this.#waiting.get(id);
      if (error) waiting?.reject(this.#error(error.message));
      else waiting?.resolve(result ?? {});
    }
  }

  #fail(why: string): void {
    for (const { reject } of [...this.#waiting.values()]) reject(this.#error(why));
  }

  #error(why: string): Error {
    const said = this.#said.trim();
    return new Error(`chromium: ${why}${said === '' ? '' : `; it said\n${said}`}`);
  }
}
