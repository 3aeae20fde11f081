/**
 * `portfold run`: the gateway in the foreground. SIGTERM and SIGINT end it and undo its changes to the host; SIGHUP reads the
 * configuration again.
 */
import { readFileSync } from 'node:fs';
import { sdNotify } from '../../tun/native.ts';
import { loadConfig } from '../config/load.ts';
import { Gateway } from '../gateway.ts';
import { type Logger, makeLogger } from '../log.ts';

export interface RunOptions {
  config: string;
  socket: string;
  /** At the end leave host settings and sessions in place for a successor. */
  handover?: boolean;
}

/** Resolves with the exit code when the gateway has ended. */
export async function run(options: RunOptions): Promise<number> {
  const config = loadConfig(options.config);
  const logger = makeLogger(config.gateway.logLevel);
  let end: (exitCode: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  const gateway = new Gateway({
    config,
    configFile: options.config,
    socket: options.socket,
    version: version(),
    logger,
    onFailure: (error) => {
      logger.fatal({ error: error.stack }, 'the datapath failed; the gateway ends');
      end(1);
    },
  });

  // A signal that comes while the gateway starts ends it when it has started: nothing is left half done.
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      logger.info({ signal }, 'ending');
      end(0);
    });
  // Each SIGHUP waits for the one before it, and the first for the start.
  let started: () => void = () => {};
  let reloads = new Promise<void>((resolve) => {
    started = resolve;
  });
  process.on('SIGHUP', () => {
    reloads = reloads.then(() => reload(gateway, options.config, logger));
  });

  await gateway.start();
  sdNotify('READY=1');
  started();
  const exitCode = await ended;
  process.removeAllListeners('SIGHUP');
  process.on('SIGHUP', () => {});
  await reloads;
  sdNotify('STOPPING=1');
  const handover = options.handover === true && exitCode === 0;
  // What is left then stands in the log; to say anything of success would hide it.
  const { isUndone, unknown } = await gateway.stop(handover);
  if (!isUndone) return exitCode || 1;
  logger.info(handover ? 'ended; a successor may take over' : `ended; ${hostAfter(unknown)}`);
  return exitCode;
}

/** Reads the file again and puts it into force, whole or not at all. Never throws: a gateway outlives a bad file. */
async function reload(gateway: Gateway, file: string, logger: Logger): Promise<void> {
  sdNotify('RELOADING=1');
  try {
    const changes = await gateway.reload(loadConfig(file));
    logger.info({ changes }, changes.length > 0 ? 'configuration reloaded' : 'nothing changed');
  } catch (error) {
    const { message } = error as Error;
    logger.error(`not reloaded, the old configuration stays in force: ${message}`);
  }
  sdNotify('READY=1');
}

/** From package.json, two folders up from the sources and three from dist/gateway/verbs. */
export function version(): string {
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version;
    } catch {
      // The other place has it.
    }
  }
  return 'unknown';
}

/** How the host is after an undo. `unknown`: settings of which nobody knows what they were before, if any. */
export function hostAfter(unknown: string[] | undefined): string {
  if (unknown === undefined) return 'the host is as it was before';
  const names = unknown.length > 0 ? unknown.join(', ') : 'kernel settings';
  return `${names} stay as a start without a snapshot found them, what the gateway itself changed is as before`;
}
