/**
 * What the gateway keeps in its runtime directory: the lock that says who runs, and the arena.
 *
 *   RUNTIME/gateway.lock      held while a gateway lives; the kernel gives it back when the process ends, however
 *   RUNTIME/arena             on tmpfs; where the directory is not, /dev/shm/portfold-HASH
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Arena, type ArenaShape, arenaBytes, IDENTITY_WORDS } from '../core/table/arena.ts';
import { bootMilliseconds, type FileLock, isTmpfs, lockFile, mapArena } from '../tun/native.ts';
import { GatewayError } from './errors.ts';

const RUNTIME_MODE = 0o750;
/** Where the arena lies when the runtime directory is not in memory. */
const SHARED_MEMORY = '/dev/shm';

/** Makes the directory and takes its lock; throws when another gateway holds it. */
export function takeLock(runtimeDirectory: string): FileLock {
  try {
    mkdirSync(runtimeDirectory, { recursive: true, mode: RUNTIME_MODE });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isRight = code === 'EACCES' || code === 'EPERM';
    throw new GatewayError(
      'RUNTIME_DIRECTORY',
      `the runtime directory ${runtimeDirectory} cannot be made (${code}); run as root, or set gateway.runtime-directory to one that you may write`,
      isRight ? 4 : 1,
    );
  }
  const lock = lockFile(join(runtimeDirectory, 'gateway.lock'));
  if (lock === 'held')
    throw new GatewayError(
      'GATEWAY_RUNNING',
      `another gateway already runs with the runtime directory ${runtimeDirectory}; stop it first, or give this one a runtime-directory, a tun name and a --socket of its own`,
      1,
    );
  return lock;
}

export interface OpenedArena {
  arena: Arena;
  path: string;
  /** The arena was there and holds a predecessor's records. */
  adopted: boolean;
}

/** Maps the arena: a predecessor's, if it was made for the same boot, addresses and ports, else a new one. */
export function openArena(
  runtimeDirectory: string,
  shape: ArenaShape,
  externalAddresses: readonly number[],
  ports: Uint16Array,
): OpenedArena {
  const path = arenaPathFor(runtimeDirectory);
  const identity = arenaIdentity(ports);
  const bytes = arenaBytes(shape);
  if (statSync(path, { throwIfNoEntry: false })?.size === bytes) {
    const arena = new Arena(mapArena(path, bytes, { create: false }).buffer, shape);
    if (arena.isFor(externalAddresses, identity)) return { arena, path, adopted: true };
  }
  rmSync(path, { force: true });
  const arena = new Arena(mapArena(path, bytes, { create: true }).buffer, shape);
  arena.format(bootMilliseconds(), externalAddresses, identity);
  return { arena, path, adopted: false };
}

/** The arena lies in memory: in the runtime directory if that is tmpfs, else in /dev/shm under a name made from it. */
function arenaPathFor(runtimeDirectory: string): string {
  if (isTmpfs(runtimeDirectory)) return join(runtimeDirectory, 'arena');
  const name = createHash('sha256').update(runtimeDirectory).digest('hex').slice(0, 12);
  return join(SHARED_MEMORY, `portfold-${name}`);
}

/** What an arena must have been made for to be taken over: this boot, since its clock counts from there, and this port set. */
function arenaIdentity(ports: Uint16Array): Int32Array {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const digest = createHash('sha256').update(boot).update(ports).digest();
  return Int32Array.from({ length: IDENTITY_WORDS }, (_, i) => digest.readInt32LE(i * 4));
}
