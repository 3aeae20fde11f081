/**
 * Errors about the host's network settings, made for people: what happened, which value, what to
 * do.
 *
 * `code` is for programs, `exitCode` for the shell: 1 failed (trying again may help), 4 no
 * permission, 78 the configuration does not fit this host (trying again does not help).
 */
export class HostError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, message: string, exitCode = 1) {
    super(message);
    this.name = 'HostError';
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** The configuration does not fit this host. */
export const misfit = (code: string, message: string): HostError =>
  new HostError(code, message, 78);

/** The rights do not suffice. */
export const forbidden = (code: string, message: string): HostError =>
  new HostError(code, message, 4);

/** A command of the host failed; carries what was run and what it said. */
export class CommandError extends HostError {
  readonly command: string;
  readonly stderr: string;

  constructor(command: string, stderr: string, code: string, message: string, exitCode: number) {
    super(code, message, exitCode);
    this.name = 'CommandError';
    this.command = command;
    this.stderr = stderr;
  }
}

/** Message of whatever was thrown. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
