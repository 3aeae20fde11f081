/**
 * The structured log: one JSON object a line on stderr; on a terminal a line for people instead.
 *
 * Sync on purpose: a gateway logs little, and what it said last must be out before it ends.
 */
import { styleText } from 'node:util';
import pino, { type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

export function makeLogger(level: string): Logger {
  const destination = process.stderr.isTTY
    ? peopleStream()
    : pino.destination({ fd: 2, sync: true });
  return pino(
    { level, base: undefined, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'message' },
    destination,
  );
}

const LEVELS: Record<number, string> = {
  20: styleText('gray', 'debug'),
  30: styleText('green', 'info '),
  40: styleText('yellow', 'warn '),
  50: styleText('red', 'error'),
  60: styleText('red', 'fatal'),
};

/** "time level message   key=value …" */
function peopleStream(): DestinationStream {
  return {
    write(line: string): void {
      const { level, time, message, ...rest } = JSON.parse(line);
      const details = Object.entries(rest)
        .map(
          ([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : value}`,
        )
        .join(' ');
      const clock = String(time).slice(11, 19);
      process.stderr.write(
        `${styleText('gray', clock)} ${LEVELS[level] ?? level} ${message}${details === '' ? '' : '   '}${styleText('gray', details)}\n`,
      );
    },
  };
}
