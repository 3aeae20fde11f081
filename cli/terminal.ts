/**
 * Where words go: data to stdout, everything said about it to stderr. Commands write through this, so that tests read
 * what a person would see.
 *
 * Data that cannot be written (a full disk) makes the program fail with a sentence. A reader that has seen enough closes
 * the pipe, and that is an end in silence. Words that cannot be written have nobody to be told to, and stop nothing.
 */
import { fstatSync, writeSync } from 'node:fs';

export interface Terminal {
  /** Data. */
  write(text: string): void;
  /** Words, one line. */
  say(text: string): void;
  /** Width and height in characters; 0 where stdout is no terminal: nothing is cut there. */
  columns: number;
  rows: number;
  colour: boolean;
  /** From now on an interrupt ends the program with 130. For commands that have nothing to undo. */
  endOnInterrupt(): void;
}

const EXIT_FAILED = 1;
const EXIT_INTERRUPTED = 130;

/** The output could not be written; what is there of it is not whole. */
export class OutputError extends Error {
  readonly code = 'OUTPUT_FAILED';
  readonly exitCode = EXIT_FAILED;

  constructor(cause: Error) {
    super(`the output could not be written whole (${cause.message}); see where stdout goes`);
  }
}

export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  stdout.on('error', endForOutput);
  stderr.on('error', () => {});
  const isFile = isRegularFile(stdout.fd);
  return {
    write: (text) => {
      if (isFile) writeWhole(stdout.fd, text);
      else stdout.write(text);
    },
    say: (text) => {
      stderr.write(text + '\n');
    },
    columns: stdout.isTTY ? stdout.columns || 80 : 0,
    rows: stdout.isTTY ? stdout.rows || 24 : 0,
    colour: stdout.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb',
    endOnInterrupt: () => {
      process.once('SIGINT', () => process.exit(EXIT_INTERRUPTED));
    },
  };
}

/** Ends the process when everything that was written is out: with `exitCode`, or 1 where stdout did not take it. */
export function endProcess(exitCode: number): void {
  process.stdout.write('', (error) => {
    if (error) endForOutput(error);
    else process.stderr.write('', () => process.exit(exitCode));
  });
}

function endForOutput(error: NodeJS.ErrnoException): void {
  // An end of the reader (head, less), and no failure.
  if (error.code === 'EPIPE') process.exit(0);
  const { message, exitCode } = new OutputError(error);
  process.stderr.write(`portfold: ${message}\n`, () => process.exit(exitCode));
  // Whoever still writes must not end the process first, with another code.
  process.exitCode = exitCode;
}

function isRegularFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}

/** A nearly full disk takes a part and reports no error; only the attempt to write the rest does. */
function writeWhole(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
  } catch (error) {
    throw new OutputError(error as Error);
  }
}

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

/** Colour repeats what the words say and never carries a meaning alone. */
export const paint = (terminal: Terminal, style: keyof typeof STYLES, text: string): string =>
  terminal.colour && text !== '' ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text;

/** Names from outside must not steer the terminal. */
export const printable = (text: string): string => text.replace(/\p{Cc}/gu, '?');
