/**
 * Where words go: data to stdout, everything said about it to stderr. Commands write through this, so that tests read
 * what a person would see.
 */
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

const EXIT_INTERRUPTED = 130;

export function processTerminal(): Terminal {
  const { stdout, stderr, env } = process;
  // A reader that has seen enough (head, less) closes the pipe: that is an end, not an error.
  for (const stream of [stdout, stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  return {
    write: (text) => {
      stdout.write(text);
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

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

/** Colour repeats what the words say and never carries a meaning alone. */
export const paint = (terminal: Terminal, style: keyof typeof STYLES, text: string): string =>
  terminal.colour && text !== '' ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text;

/** Names from outside must not steer the terminal. */
export const printable = (text: string): string => text.replace(/\p{Cc}/gu, '?');
