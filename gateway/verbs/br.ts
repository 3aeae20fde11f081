/**
 * `portfold br`: a stateless MAP-E border relay in the foreground. SIGTERM and SIGINT end it and undo its changes to the host.
 * With `clean` it only undoes what a relay that was killed has left.
 */
import { lstatSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readFacts } from '../../tun/host/facts.ts';
import { undoHostOrThrow } from '../../tun/host/index.ts';
import { sdNotify } from '../../tun/native.ts';
import { answers } from '../control/socket.ts';
import { makeLogger } from '../log.ts';
import { loadRelayConfig } from '../relay/config.ts';
import { refuseOtherRelay } from '../relay/host.ts';
import { RelayService, takeRelayLock } from '../relay/service.ts';
import { LOCK_FILE } from '../runtime.ts';
import { version } from './run.ts';

export interface BrOptions {
  config: string;
  /** Absent: in the runtime directory. */
  socket?: string;
  clean?: boolean;
}

const SOCKET_FILE = 'portfold.sock';

/** Resolves with the exit code when the relay has ended. */
export async function br(options: BrOptions): Promise<number> {
  const config = loadRelayConfig(options.config);
  const socket = options.socket ?? join(config.runtimeDirectory, SOCKET_FILE);
  if (options.clean === true) return clean(config.runtimeDirectory, socket);
  const logger = makeLogger(config.logLevel);
  let end: (exitCode: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  const relay = new RelayService({
    config,
    configFile: options.config,
    socket,
    version: version(),
    logger,
    onFailure: (error) => {
      logger.fatal({ error: error.stack }, 'the relay failed; it ends');
      end(1);
    },
  });
  // A signal that comes while the relay starts ends it when it has started: nothing is left half done.
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      logger.info({ signal }, 'ending');
      end(0);
    });
  await relay.start();
  sdNotify('READY=1');
  const exitCode = await ended;
  sdNotify('STOPPING=1');
  // What is left then stands in the log; to say anything of success would hide it.
  if (!(await relay.stop())) return exitCode || 1;
  logger.info('ended; the host is as it was before');
  return exitCode;
}

async function clean(runtimeDirectory: string, socket: string): Promise<number> {
  const lock = takeRelayLock(runtimeDirectory);
  try {
    // Another relay may live with the same TUN or table: they would go with those of the dead one.
    refuseOtherRelay(runtimeDirectory, await readFacts());
    const { found, removed, restored } = await undoHostOrThrow(runtimeDirectory);
    await removeDeadSocket(socket);
    // Under the lock, which the file's removal does not end: whoever takes it next makes a new one.
    rmSync(join(runtimeDirectory, LOCK_FILE), { force: true });
    const said = found
      ? `removed ${removed.length} settings of a relay that is no more, and put ${restored.length} kernel settings back`
      : 'there is nothing to clean';
    process.stderr.write(`portfold: ${said}\n`);
    return 0;
  } finally {
    lock.release();
  }
}

async function removeDeadSocket(path: string): Promise<void> {
  const isSocket = lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
  if (isSocket && !(await answers(path))) rmSync(path, { force: true });
}
