/**
 * Runs the host's own tools (`ip`, `nft`, `unshare`) without a shell. The only place that starts
 * processes, but for the one that listens (monitor.ts).
 *
 * Names of interfaces and addresses travel as separate arguments, so that nothing in them is ever
 * interpreted. A failure becomes a CommandError with the command and what it wrote on stderr.
 */
import { execFile } from 'node:child_process';
import { CommandError, forbidden } from './errors.ts';

/** One command, in a form that can be kept in a file and run by a later process. */
export interface HostCommand {
  program: string;
  args: string[];
  /** What the command reads on stdin. */
  input?: string;
}

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** No command of ours waits for anything; one that takes this long hangs. */
const COMMAND_TIMEOUT_MS = 20_000;

const PACKAGES: Record<string, string> = { ip: 'iproute2', nft: 'nftables', unshare: 'util-linux' };

/** Daemons often start with a path that leaves out the directories of `ip` and `nft`. */
export const SEARCH_PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`;

/** Runs a command and returns its stdout; throws a CommandError if it cannot be run or fails. */
export function run(command: HostCommand): Promise<string> {
  const text = [command.program, ...command.args].join(' ');

  return new Promise((resolve, reject) => {
    const child = execFile(
      command.program,
      command.args,
      {
        encoding: 'utf8',
        maxBuffer: OUTPUT_BYTES_MAX,
        timeout: COMMAND_TIMEOUT_MS,
        env: { ...process.env, PATH: SEARCH_PATH, LC_ALL: 'C' },
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(describe(command.program, text, error, stderr.trim()));
      },
    );
    // A command that ends without reading its input would otherwise end us with EPIPE.
    child.stdin?.on('error', () => {});
    child.stdin?.end(command.input ?? '');
  });
}

/** `ip` with arguments. */
export const ip = (...args: string[]): HostCommand => ({ program: 'ip', args });

/** Runs `ip -j -N …`: numbers for tables and protocols, whatever names the host gives them. */
export async function ipJson<T>(...args: string[]): Promise<T[]> {
  const stdout = await run(ip('-j', '-N', ...args));
  // Some versions print nothing at all where the list is empty.
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as T[]);
}

/** How `ip`, `nft` and the kernel say that something is not there. */
const ABSENT = [
  'No such process',
  'No such file or directory',
  'No such device',
  'Cannot find device',
  'Cannot assign requested address',
  'ddress not found',
  'does not exist',
];

/** True if the error says that what we wanted to remove is not there. */
export const isAlreadyGone = (error: unknown): boolean =>
  error instanceof CommandError && ABSENT.some((text) => error.stderr.includes(text));

/** True if the error says that what we wanted to make is there. */
export const isAlreadyThere = (error: unknown): boolean =>
  error instanceof CommandError && /File exists/.test(error.stderr);

/** Runs a command whose failure is fine when `fine` says so. */
export async function runUnless(
  command: HostCommand,
  fine: (error: unknown) => boolean,
): Promise<void> {
  try {
    await run(command);
  } catch (error) {
    if (!fine(error)) throw error;
  }
}

function describe(
  program: string,
  text: string,
  error: { code?: number | string | null; killed?: boolean; message: string },
  stderr: string,
): Error {
  if (error.code === 'ENOENT') {
    const name = PACKAGES[program] ?? program;
    return new CommandError(
      text,
      stderr,
      'HOST_COMMAND_MISSING',
      `The command ${program} is not installed; install the package ${name}.`,
      1,
    );
  }
  if (/Operation not permitted|Permission denied|must be root/i.test(stderr)) {
    const denied = forbidden('HOST_NOT_PERMITTED', '');
    return new CommandError(
      text,
      stderr,
      denied.code,
      `Not permitted: ${text} (${stderr}); run as root or with CAP_NET_ADMIN.`,
      denied.exitCode,
    );
  }

  const said = error.killed ? 'no answer in time' : stderr || error.message;
  return new CommandError(
    text,
    stderr,
    'HOST_COMMAND_FAILED',
    `The host refused a setting: ${text} said "${said}"; try that command by hand, and ` +
      '`portfold doctor` for what else is wrong.',
    1,
  );
}
