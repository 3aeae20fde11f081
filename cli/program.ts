/**
 * The command line: which commands there are, and what the process says and returns.
 *
 *   argv ──> commander ──> command ──┬── asks the gateway over the control socket (client)
 *                                    └── calls a verb that other rooms bring in (Verbs)
 *
 *   exit: 0 done   1 failed   2 usage   3 not running   4 no permission   78 configuration   130 interrupted
 *
 * An error with a number `exitCode` is meant for the user: its message goes to stderr and the number out. Any other
 * error is a defect: its stack goes to stderr and 1 out.
 */
import { Command, CommanderError, Option } from 'commander';
import { SOCKET_DEFAULT } from '../gateway/control/api.ts';
import { addBench } from './commands/bench.ts';
import { addBr } from './commands/br.ts';
import { addCheck } from './commands/check.ts';
import { addDemo } from './commands/demo.ts';
import { addDoctor } from './commands/doctor.ts';
import { addDrops } from './commands/drops.ts';
import { addEvents } from './commands/events.ts';
import { addHosts } from './commands/hosts.ts';
import { addLab } from './commands/lab.ts';
import { addMape } from './commands/mape.ts';
import { addMappings } from './commands/mappings.ts';
import { addPorts } from './commands/ports.ts';
import { addRun } from './commands/run.ts';
import { addSessions } from './commands/sessions.ts';
import { addSim } from './commands/sim.ts';
import { addStatus } from './commands/status.ts';
import { addWhy } from './commands/why.ts';
import { examples, makeContext, type Verbs } from './context.ts';
import { processTerminal, type Terminal } from './terminal.ts';

export type { Verbs } from './context.ts';

export interface ProgramOptions {
  version?: string;
  terminal?: Terminal;
  /** Hears the exit code of the command that ran. */
  ended?: (exitCode: number) => void;
}

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** The program, ready to parse. Wrong usage throws a CommanderError instead of ending the process. */
export function buildProgram(verbs: Verbs, options: ProgramOptions = {}): Command {
  const terminal = options.terminal ?? processTerminal();
  const program = new Command('portfold');
  program
    .description(
      'A NAPT and MAP-E gateway for Linux that folds any number of sessions onto a few shared ports.\n' +
        'Without a command: status.',
    )
    .version(options.version ?? 'unknown', '-V, --version', 'print the version')
    .addOption(
      new Option('--socket <path>', 'control socket of the gateway')
        .env('PORTFOLD_SOCKET')
        .default(SOCKET_DEFAULT),
    )
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .configureHelp({ showGlobalOptions: true, helpWidth: terminal.columns || 100 })
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.say(text.trimEnd()),
      outputError: (text, write) => write(usageText(text)),
    })
    .exitOverride()
    .addHelpText(
      'after',
      examples(
        'portfold                              is it forwarding, how full is it',
        'portfold why                          what is short, who takes it, what to do',
        'portfold sessions 192.168.1.20        everything of one host',
        'portfold events --follow              what happens now',
        'portfold check /etc/portfold/portfold.toml',
        'sudo portfold run -c /etc/portfold/portfold.toml',
      ) +
        '\nData goes to stdout and words to stderr. Exit status: 0 done, 1 failed, 2 usage, 3 not running,\n' +
        '4 no permission, 78 configuration, 130 interrupted.\n',
    );

  const context = makeContext(program, terminal, verbs, options.ended ?? (() => {}));
  program.commandsGroup('Looking at the gateway:');
  for (const add of [
    addStatus,
    addWhy,
    addSessions,
    addMappings,
    addHosts,
    addPorts,
    addDrops,
    addEvents,
  ])
    add(program, context);
  program.commandsGroup('Running it:');
  for (const add of [addRun, addCheck, addMape, addDoctor, addBr]) add(program, context);
  program.commandsGroup('Trying it:');
  for (const add of [addDemo, addLab, addSim, addBench]) add(program, context);
  return program;
}

/** Parses and runs; the exit code, whatever happens. `argv` holds the words behind the program's name. */
export async function runProgram(
  argv: readonly string[],
  verbs: Verbs,
  options: Omit<ProgramOptions, 'ended'> = {},
): Promise<number> {
  const terminal = options.terminal ?? processTerminal();
  let exitCode = 0;
  const ended = (code: number): void => {
    exitCode = code;
  };
  try {
    const program = buildProgram(verbs, { ...options, terminal, ended });
    await program.parseAsync(withDefaultCommand(argv), { from: 'user' });
    return exitCode;
  } catch (error) {
    return report(terminal, error);
  }
}

/** Says what went wrong, and answers with the exit code for it. */
function report(terminal: Terminal, error: unknown): number {
  // Commander has said its own errors already; help and version are errors to it, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof Error && 'exitCode' in error && typeof error.exitCode === 'number') {
    terminal.say(`portfold: ${error.message}`);
    return error.exitCode;
  }
  terminal.say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return EXIT_FAILED;
}

/** Options of `portfold` and `portfold status` that take a value of their own. */
const TAKES_VALUE = new Set(['--socket', '-o', '--output']);
const ENDS_EARLY = new Set(['-h', '--help', '-V', '--version']);

/** Bare `portfold`, with options or without, is `portfold status`. */
export function withDefaultCommand(argv: readonly string[]): string[] {
  for (let i = 0; i < argv.length; i++) {
    if (ENDS_EARLY.has(argv[i]) || !argv[i].startsWith('-')) return [...argv];
    if (TAKES_VALUE.has(argv[i])) i++;
  }
  return ['status', ...argv];
}

/** Commander's words in the shape of all others. */
function usageText(text: string): string {
  const words = text.replace(/^error: /, '').trimEnd();
  return `portfold: ${words}\nTry \`portfold --help\`.`;
}
