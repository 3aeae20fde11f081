/**
 * Errors meant for whoever wrote a configuration or a command line. They carry a stable `code` and
 * the exit code of the process; the message says what happened, which value, and what to do.
 */
export const EXIT_USAGE = 2;
export const EXIT_CONFIGURATION = 78;

/** One thing that is wrong in a configuration file. Lines and columns count from 1. */
export interface ConfigProblem {
  code: string;
  line: number;
  column: number;
  /** For instance "wan[0].prefix"; empty when it is about the file. */
  key: string;
  what: string;
  /** What would be right. */
  hint: string;
}

export class ConfigError extends Error {
  readonly code: string;
  readonly exitCode = EXIT_CONFIGURATION;
  /**
   * All problems of a file, in the order of its lines; empty where the error is not about places in
   * a file.
   */
  readonly problems: ConfigProblem[];

  constructor(code: string, message: string, problems: ConfigProblem[] = []) {
    super(message);
    this.name = 'ConfigError';
    this.code = code;
    this.problems = problems;
  }
}

export class UsageError extends Error {
  readonly code: string;
  readonly exitCode = EXIT_USAGE;

  constructor(code: string, message: string) {
    super(message);
    this.name = 'UsageError';
    this.code = code;
  }
}
