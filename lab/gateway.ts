/**
 * A gateway in its namespace: `portfold run` as a user would start it, and its control API.
 *
 * Configuration, socket and runtime directory lie in a folder of their own below the lab's, and go
 * with the lab.
 */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from '../gateway/control/api.ts';
import { ControlClient } from '../gateway/control/client.ts';
import { configuration, type Preset } from './lines.ts';
import { type Background, type CommandResult, until } from './netns.ts';
import { LabError, projectFolder } from './programs.ts';
import type { Lab } from './topology.ts';

const START_TIMEOUT_MS = 20_000;
const SAID_CHARACTERS_MAX = 2000;

export interface GatewayOptions {
  preset?: Preset;
  /** More lines of [policy]. */
  policy?: readonly string[];
  capacity?: number;
  realtime?: boolean;
  /**
   * The whole configuration, instead of the lab's own. `DIR` in it becomes the runtime directory.
   */
  config?: string;
  /** Runs dist/, as an installed package does, even if sources are newer. */
  compiled?: boolean;
  /** Stands before the command, for instance setpriv and its words. */
  prefix?: readonly string[];
  /** More words behind `portfold run -c … --socket …`. */
  args?: string[];
}

export class Gateway {
  readonly lab: Lab;
  readonly folder: string;
  readonly configFile: string;
  /** May be set before the start, to that of another gateway for instance. */
  socket: string;
  readonly control: ControlClient;
  #child: Background | undefined;
  #args: string[];
  #prefix: readonly string[];
  #entry: string;

  constructor(lab: Lab, options: GatewayOptions = {}) {
    this.lab = lab;
    this.folder = mkdtempSync(join(lab.folder, 'gateway-'));
    this.configFile = join(this.folder, 'portfold.toml');
    this.socket = join(this.folder, 'portfold.sock');
    this.control = new ControlClient(this.socket);
    this.#args = options.args ?? [];
    this.#prefix = options.prefix ?? [];
    this.#entry = join(projectFolder(), options.compiled ? 'dist/bin/main.js' : 'bin/portfold.js');
    const runtimeDirectory = join(this.folder, 'state');
    const config =
      options.config?.replaceAll('DIR', runtimeDirectory) ??
      configuration(lab.line, {
        runtimeDirectory,
        preset: options.preset,
        policy: options.policy,
        capacity: options.capacity,
        realtime: options.realtime,
        shared: lab.shared,
      });
    writeFileSync(this.configFile, config);
  }

  /** Starts it and awaits that it forwards. One that ends before has said why, and that is the error. */
  async start(): Promise<Status> {
    const child = this.spawn();
    try {
      const status = await until(
        'the gateway to forward',
        async () => {
          if (child.over) return 'over';
          const status = await this.control.status();
          return status.state === 'forwarding' ? status : undefined;
        },
        START_TIMEOUT_MS,
      );
      if (status !== 'over') return status;
    } catch (error) {
      if (!child.over) await child.stop();
      const said = child.stderr.slice(-SAID_CHARACTERS_MAX);
      throw new LabError('LAB_GATEWAY_SILENT', 1, `${(error as Error).message}\n${said}`.trim());
    }
    throw endedError(await child.ended);
  }

  /** Starts it and awaits nothing. `prefix` instead of that of the options. */
  spawn(prefix: readonly string[] = this.#prefix): Background {
    const words = [
      ...prefix,
      process.execPath,
      this.#entry,
      'run',
      '-c',
      this.configFile,
      '--socket',
      this.socket,
      ...this.#args,
    ];
    this.#child = this.lab.gateway.start(words[0], words.slice(1));
    return this.#child;
  }

  get running(): boolean {
    return this.#child !== undefined && !this.#child.over;
  }

  get process(): Background {
    if (!this.#child) throw new Error('the gateway was not started');
    return this.#child;
  }

  /** Another verb of the command line, asked of this gateway. */
  portfold(...args: string[]): Promise<CommandResult> {
    return this.lab.gateway.run(
      process.execPath,
      [join(projectFolder(), 'bin', 'portfold.js'), ...args],
      { check: false, env: { PORTFOLD_SOCKET: this.socket } },
    );
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<CommandResult> {
    const result = await this.process.stop(signal, 15_000);
    return result;
  }

  /** Bytes of memory that the kernel counts as the gateway's now. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${this.process.pid}/status`, 'utf8');
    return Number(status.match(/^VmRSS:\s+(\d+) kB/m)?.[1] ?? Number.NaN) * 1024;
  }
}

/** The gateway's own sentence where it said one, else the end of all that it said. */
function endedError(result: CommandResult): LabError {
  const sentence = result.stderr.match(/^portfold: (.*)$/m)?.[1];
  const said = sentence ?? (result.stderr.trim().slice(-SAID_CHARACTERS_MAX) || 'it said nothing');
  return new LabError(
    'LAB_GATEWAY_ENDED',
    1,
    `the gateway ended with exit code ${result.code}: ${said}`,
  );
}
