/**
 * Hears from the kernel that something changed: `ip monitor` as a child process. Its text only says
 * that there was something; what it means for us is seen by looking (verify.ts).
 *
 * Neighbours are left out: a busy LAN changes them every second, and the kernel tells nothing
 * about proxy entries. They go with their link, and that is told.
 *
 * The child ends with us, also after a kill -9, by the parent's death signal (setpriv). Where that
 * does not exist, it ends when it has something to write and nobody reads.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { SEARCH_PATH } from './run.ts';

const MONITOR = ['ip', 'monitor', 'link', 'address', 'route', 'rule'];
const WITH_PARENT = ['setpriv', '--pdeathsig', 'KILL'];
/** A child that ends sooner never listened. */
const LIVED_MILLISECONDS_MIN = 1000;

export interface HostMonitor {
  /** Starts the child again if it has ended. */
  revive(): void;
  close(): void;
}

/** @param onChange is called for each piece of text that came, so for bursts many times */
export function monitorHost(onChange: () => void): HostMonitor {
  let child: ChildProcess | undefined;
  let prefix = WITH_PARENT;
  let isClosed = false;

  const start = (): void => {
    const [program, ...args] = [...prefix, ...MONITOR];
    const startedAt = performance.now();
    const started = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, PATH: SEARCH_PATH, LC_ALL: 'C' },
    });
    child = started;
    const ended = (): void => {
      if (child !== started) return;
      child = undefined;
      if (performance.now() - startedAt < LIVED_MILLISECONDS_MIN) prefix = [];
    };
    started.once('error', ended);
    started.once('exit', ended);
    started.stdout.on('data', onChange);
  };

  start();
  return {
    revive(): void {
      if (child === undefined && !isClosed) start();
    },
    close(): void {
      isClosed = true;
      child?.kill('SIGKILL');
    },
  };
}
