/**
 * `portfold br`: a stateless MAP-E border relay in the foreground. SIGTERM and SIGINT end it and undo its changes to the host.
 * With `clean` it only undoes what a relay that was killed has left.
 */
import { join } from 'node:path';
import { undoHostOrThrow } from '../../tun/host/index.ts';
import { sdNotify } from '../../tun/native.ts';
import { makeLogger } from '../log.ts';
import { loadRelayConfig } from '../relay/config.ts';
import { RelayService, takeRelayLock } from '../relay/service.ts';
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
  if (options.clean === true) return clean(config.runtimeDirectory);
  const logger = makeLogger(config.logLevel);
  let end: (exitCode: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  const relay = new RelayService({
    config,
    configFile: options.config,
    socket: options.socket ?? join(config.runtimeDirectory, SOCKET_FILE),
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

async function clean(runtimeDirectory: string): Promise<number> {
  const lock = takeRelayLock(runtimeDirectory);
  try {
    const { found, removed, restored } = await undoHostOrThrow(runtimeDirectory);
    const said = found
      ? `removed ${removed.length} settings of a relay that is no more, and put ${restored.length} kernel settings back`
      : 'there is nothing to clean';
    process.stderr.write(`portfold: ${said}\n`);
    return 0;
  } finally {
    lock.release();
  }
}
