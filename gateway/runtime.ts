/**
 * What the gateway keeps in its runtime directory: the lock that says who runs, and the arena.
 *
 *   RUNTIME/gateway.lock      held while a gateway lives; the kernel gives it back when the process ends, however
 *   RUNTIME/arena             on tmpfs; where the directory is not, /dev/shm/portfold-HASH
 *   RUNTIME/arena.new         one that is to take its place, until the start has succeeded
 *
 * Directory and lock file go again with the gateway that made them, as long as nothing else lies there: a refused start leaves
 * nothing. Removing a lock file is safe only since whoever takes the lock looks afterwards whether it holds the file of that
 * name, and not one that was just removed.
 */
import { createHash } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Arena, type ArenaShape, arenaBytes, IDENTITY_WORDS } from '../core/table/arena.ts';
import { bootMilliseconds, type FileLock, isTmpfs, lockFile, mapArena } from '../tun/native.ts';
import { GatewayError } from './errors.ts';

const RUNTIME_MODE = 0o750;
const LOCK_MODE = 0o644;
export const LOCK_FILE = 'gateway.lock';
const ARENA_FILE = 'arena';
const NEW_SUFFIX = '.new';
/** Where the arena lies when the runtime directory is not in memory. */
const SHARED_MEMORY = '/dev/shm';
/** Each time somebody else removed the file in between. */
const LOCK_ATTEMPTS_MAX = 8;

/** Makes the directory and takes its lock; throws when another gateway holds it. */
export function takeLock(runtimeDirectory: string): FileLock {
  let firstMade: string | undefined;
  try {
    firstMade = mkdirSync(runtimeDirectory, { recursive: true, mode: RUNTIME_MODE });
  } catch (error) {
    throw directoryError(runtimeDirectory, 'cannot be made', error);
  }
  const cleanUp = (): void => removeEmpty(runtimeDirectory, firstMade);
  try {
    for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
      const lock = tryLock(join(runtimeDirectory, LOCK_FILE), cleanUp);
      if (lock === 'held') throw alreadyRunning(runtimeDirectory);
      if (lock !== undefined) return lock;
    }
  } catch (error) {
    cleanUp();
    if (error instanceof GatewayError) throw error;
    throw directoryError(runtimeDirectory, 'cannot be used', error);
  }
  throw alreadyRunning(runtimeDirectory);
}

/** For who cleans up: the lock of a directory that is there, whose file goes when it is released. */
export function takeLockToClean(runtimeDirectory: string): FileLock | 'held' | undefined {
  if (!existsSync(runtimeDirectory)) return undefined;
  const path = join(runtimeDirectory, LOCK_FILE);
  for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
    const lock = tryLock(path, () => {}, true);
    if (lock !== undefined) return lock;
  }
  return 'held';
}

const alreadyRunning = (runtimeDirectory: string): GatewayError =>
  new GatewayError(
    'GATEWAY_RUNNING',
    `another gateway already runs with the runtime directory ${runtimeDirectory}; stop it first`,
    1,
  );

/** Undefined when the file that was locked is no longer the one of that name. */
function tryLock(
  path: string,
  cleanUp: () => void,
  removesFile = false,
): FileLock | 'held' | undefined {
  const opened = openOrMake(path);
  if (opened === undefined) return undefined;
  const { descriptor, made } = opened;
  try {
    // The descriptor keeps the file's number from being given to another file meanwhile.
    const { ino, dev } = fstatSync(descriptor);
    const lock = lockFile(path);
    if (lock === 'held') return lock;
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.ino !== ino || there.dev !== dev) {
      lock.release();
      return undefined;
    }
    let isHeld = true;
    return {
      release() {
        if (!isHeld) return;
        isHeld = false;
        if (removesFile || (made && holdsOnlyTheLock(dirname(path)))) rmSync(path, { force: true });
        lock.release();
        cleanUp();
      },
    };
  } finally {
    closeSync(descriptor);
  }
}

function openOrMake(path: string): { descriptor: number; made: boolean } | undefined {
  const { O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    const flags = O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
    return { descriptor: openSync(path, flags, LOCK_MODE), made: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  try {
    return { descriptor: openSync(path, O_RDONLY | O_NOFOLLOW), made: false };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}

/** False as well where the directory is gone or may not be read: then nothing is removed. */
function holdsOnlyTheLock(directory: string): boolean {
  try {
    return readdirSync(directory).every((name) => name === LOCK_FILE);
  } catch {
    return false;
  }
}

/** Removes the directory and those above it down to the first that this start made, as far as they are empty. */
function removeEmpty(directory: string, firstMade: string | undefined): void {
  if (firstMade === undefined) return;
  try {
    for (let at = directory; at.length >= firstMade.length; at = dirname(at)) rmdirSync(at);
  } catch {
    // Somebody put something there: then it is not ours to remove.
  }
}

/** A directory that cannot be made or written, with the reason that the system has. */
function directoryError(directory: string, what: string, error: unknown): Error {
  const code = unwritableReason(directory) ?? (error as NodeJS.ErrnoException).code ?? 'unknown';
  const isRight = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  const reason = code === 'EROFS' ? 'its file system is read-only, EROFS' : code;
  return new GatewayError(
    'RUNTIME_DIRECTORY',
    `the runtime directory ${directory} ${what} (${reason}); ` +
      (code === 'EROFS'
        ? 'set gateway.runtime-directory to one on a tmpfs that may be written, or mount that one read-write'
        : 'run as root, or set gateway.runtime-directory to one that you may write'),
    isRight ? 4 : 1,
  );
}

/**
 * Why nothing can be written in a directory, or made where it is to be; undefined when it can. To make directories on a
 * read-only file system answers ENOENT in Node, hence the question is put to the nearest one that is there.
 */
export function unwritableReason(directory: string): string | undefined {
  let existing = directory;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  try {
    if (!statSync(existing).isDirectory()) return 'ENOTDIR';
    accessSync(existing, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}

/** Removes the arena of a gateway that is no more, wherever it lay; tells the files. Only under the lock. */
export function removeArena(runtimeDirectory: string): string[] {
  const paths = [join(runtimeDirectory, ARENA_FILE), sharedArenaPath(runtimeDirectory)];
  return paths.filter((path) => {
    rmSync(path + NEW_SUFFIX, { force: true });
    if (!existsSync(path)) return false;
    unlinkSync(path);
    return true;
  });
}

export interface OpenedArena {
  arena: Arena;
  /** Where it lies now. */
  path: string;
  /** The arena was there and holds a predecessor's records. */
  adopted: boolean;
  /** Puts a new one in the place of a predecessor's; answers where it lies then. */
  keep(): string;
  /** Removes a new one that was not kept. */
  discard(): void;
}

/**
 * Maps the arena: a predecessor's, if it was made for the same boot, addresses and ports, else a new one beside it. Until that is
 * kept the predecessor's stays, so that a start that fails costs no session; there must be room for both meanwhile.
 */
export function openArena(
  runtimeDirectory: string,
  shape: ArenaShape,
  externalAddresses: readonly number[],
  ports: Uint16Array,
): OpenedArena {
  const path = arenaPathFor(runtimeDirectory);
  const identity = arenaIdentity(ports);
  const bytes = arenaBytes(shape);
  const sizeBefore = statSync(path, { throwIfNoEntry: false })?.size;
  if (sizeBefore === bytes) {
    const arena = new Arena(mapArena(path, bytes, { create: false }).buffer, shape);
    if (arena.isFor(externalAddresses, identity))
      return { arena, path, adopted: true, keep: () => path, discard() {} };
  }

  const newPath = sizeBefore === undefined ? path : path + NEW_SUFFIX;
  let isKept = false;
  const discard = (): void => {
    if (!isKept) rmSync(newPath, { force: true });
  };
  discard();
  const arena = new Arena(makeArena(newPath, bytes, sizeBefore), shape);
  arena.format(bootMilliseconds(), externalAddresses, identity);
  const keep = (): string => {
    if (newPath !== path) renameSync(newPath, path);
    isKept = true;
    return path;
  };
  return { arena, path: newPath, adopted: false, keep, discard };
}

function makeArena(path: string, bytes: number, sizeBefore: number | undefined): ArrayBuffer {
  try {
    return mapArena(path, bytes, { create: true }).buffer;
  } catch (error) {
    if (sizeBefore === undefined) throw error;
    throw new GatewayError(
      'ARENA_NOT_MADE',
      `${(error as Error).message}; the predecessor's of ${sizeBefore} bytes is kept beside it until the start ` +
        'succeeds: with the old capacity its sessions go on, and `portfold doctor --clean` gives them up',
      1,
    );
  }
}

/** The arena lies in memory: in the runtime directory if that is tmpfs, else in /dev/shm under a name made from it. */
function arenaPathFor(runtimeDirectory: string): string {
  if (isTmpfs(runtimeDirectory)) return join(runtimeDirectory, ARENA_FILE);
  return sharedArenaPath(runtimeDirectory);
}

function sharedArenaPath(runtimeDirectory: string): string {
  const name = createHash('sha256').update(runtimeDirectory).digest('hex').slice(0, 12);
  return join(SHARED_MEMORY, `portfold-${name}`);
}

/** What an arena must have been made for to be taken over: this boot, since its clock counts from there, and this port set. */
function arenaIdentity(ports: Uint16Array): Int32Array {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const digest = createHash('sha256').update(boot).update(ports).digest();
  return Int32Array.from({ length: IDENTITY_WORDS }, (_, i) => digest.readInt32LE(i * 4));
}
