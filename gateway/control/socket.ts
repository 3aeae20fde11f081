/**
 * The place of the control socket in the file system.
 *
 * The server listens under a name of its own beside PATH and then renames it to PATH. So PATH is never a socket with
 * the wrong mode, a socket left behind by a dead gateway is replaced in one step, and a gateway that ends late removes
 * its own name only, never the socket of its successor.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';

/** sun_path holds 108 bytes with the NUL; our own name beside PATH takes some more. */
const SOCKET_PATH_BYTES_MAX = 107;
const PROBE_MILLISECONDS_MAX = 2_000;

export class SocketError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, exitCode: number, message: string) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** Listens on `path`; resolves with what removes it again. */
export async function listenAt(server: Server, path: string): Promise<() => void> {
  const ownPath = `${path}.${process.pid}`;
  if (Buffer.byteLength(ownPath) > SOCKET_PATH_BYTES_MAX)
    throw new SocketError(
      'SOCKET_PATH_TOO_LONG',
      1,
      `the control socket ${path} has a path of ${Buffer.byteLength(path)} bytes, and Linux takes at most ` +
        `${SOCKET_PATH_BYTES_MAX - String(process.pid).length - 1}; choose a shorter one with --socket`,
    );
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    await refuseLiving(path);
    removeIfThere(ownPath);
    await listening(server, ownPath);
    chmodSync(ownPath, 0o660);
    const own = lstatSync(ownPath);
    renameSync(ownPath, path);
    return () => removeOwn(path, own);
  } catch (error) {
    removeIfThere(ownPath);
    throw explain(error as NodeJS.ErrnoException, path);
  }
}

/** Throws if something lives at `path`, or something that is no socket lies there. */
async function refuseLiving(path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket())
    throw new SocketError(
      'SOCKET_IS_A_FILE',
      1,
      `${path} exists and is no socket, so it is left alone; remove it or choose another path with --socket`,
    );
  if (await answers(path))
    throw new SocketError(
      'SOCKET_IN_USE',
      1,
      `another gateway answers at ${path}; stop it first, or give this one a socket of its own with --socket PATH`,
    );
}

/** Whether somebody lives at the socket. */
export function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    // A gateway whose event loop stands still has a full backlog: it lives.
    const timer = setTimeout(() => settle(true), PROBE_MILLISECONDS_MAX);
    const settle = (alive: boolean) => {
      clearTimeout(timer);
      probe.destroy();
      resolve(alive);
    };
    probe.once('connect', () => settle(true));
    probe.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') return settle(false);
      if (error.code === 'EAGAIN') return settle(true);
      clearTimeout(timer);
      reject(error);
    });
  });
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function removeOwn(path: string, own: Stats): void {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.ino === own.ino && there.dev === own.dev) removeIfThere(path);
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function explain(error: NodeJS.ErrnoException, path: string): Error {
  if (error instanceof SocketError) return error;
  const denied = error.code === 'EACCES' || error.code === 'EPERM';
  return new SocketError(
    denied ? 'SOCKET_DENIED' : 'SOCKET_FAILED',
    denied ? 4 : 1,
    `cannot make the control socket ${path}: ${error.message}; ` +
      (denied ? 'run as root, or ' : 'make its directory, or ') +
      'choose another path with --socket',
  );
}
