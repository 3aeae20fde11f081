/** What every command is given: the terminal, the verbs that work without a gateway, the socket, and how to end. */
import { type Command, Option } from 'commander';
import { ControlClient } from '../gateway/control/client.ts';
import type { Terminal } from './terminal.ts';

/** Verbs that other rooms bring in; each answers with an exit code. */
export interface Verbs {
  run(options: { config: string; socket: string; handover?: boolean }): Promise<number>;
  br(options: { config: string; socket?: string; clean?: boolean }): Promise<number>;
  check(file: string, options: { output: 'table' | 'json' }): Promise<number>;
  mape(options: {
    service?: string;
    prefix?: string;
    rule?: string[];
    iidFormat?: string;
    br?: string;
    s46?: string;
    psid?: string;
    packet?: string;
    list?: boolean;
    output: 'table' | 'json';
  }): Promise<number>;
  doctor(options: {
    config?: string;
    clean?: boolean;
    runtimeDirectory?: string;
    socket?: string;
    output?: 'table' | 'json';
  }): Promise<number>;
  demo(options: { line: 'map-e' | 'address'; flows: number; keep?: boolean }): Promise<number>;
  lab(options: {
    scenario: 'flow' | 'conference';
    /** Absent: the scenario's own. */
    flows?: number;
    seconds?: number;
    output: 'table' | 'json';
  }): Promise<number>;
  sim(options: {
    /** Absent: which there are. */
    scenario?: string;
    model?: string[];
    seed?: string;
    duration?: string;
    capture?: string;
    output: 'table' | 'json';
    plots?: string;
  }): Promise<number>;
  bench(options: {
    suite: string;
    smoke: boolean;
    output: 'table' | 'json' | 'markdown';
    plots?: string;
    /** What each of these means is the suite's affair; absent: the suite's own choice. */
    line?: string;
    cases?: string;
    sessions?: string;
    pairs?: string;
    seconds?: string;
  }): Promise<number>;
}

export interface Context {
  terminal: Terminal;
  verbs: Verbs;
  /** The path from --socket, PORTFOLD_SOCKET or the default. */
  socket(): string;
  /** Whoever asks the gateway undoes nothing: an interrupt then ends the program at once. */
  client(): ControlClient;
  /** Runs a command's work and keeps its exit code for whoever started the program. */
  action<Arguments extends unknown[]>(
    work: (...given: Arguments) => Promise<number>,
  ): (...given: Arguments) => Promise<void>;
}

export function makeContext(
  program: Command,
  terminal: Terminal,
  verbs: Verbs,
  ended: (exitCode: number) => void,
): Context {
  const socket = (): string => program.opts<{ socket: string }>().socket;
  return {
    terminal,
    verbs,
    socket,
    client: () => {
      terminal.endOnInterrupt();
      return new ControlClient(socket());
    },
    action:
      (work) =>
      async (...given) =>
        ended(await work(...given)),
  };
}

/** Wrong in how the program was called. */
export class UsageError extends Error {
  readonly code = 'USAGE';
  readonly exitCode = 2;
}

/** The text below a command's help. */
export const examples = (...lines: readonly string[]): string =>
  `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;

/** -o of the commands that print one thing and no list. */
export const tableOrJson = (): Option =>
  new Option('-o, --output <form>', 'form of the output')
    .choices(['table', 'json'])
    .default('table');
