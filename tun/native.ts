/**
 * The addon, typed. The only file that loads portfold.node.
 *
 * The addon is plain C on Node-API (tun/native/), built by `npm ci` into build/Release. It is
 * loaded at the first call, so that what needs no device (a simulation, the command line) runs
 * without it, and may be loaded by any number of threads at once. PORTFOLD_ADDON names another build
 * of it, one with sanitizers for instance (bench/fuzz/addon).
 *
 *   device      openTun registerBuffers readBatch writeBatch wait wake setPersist closeTun,
 *               used through tun-device.ts
 *   write       writeInto: what writeBatch does, into memory
 *   memory      mapArena preferHugePages isTmpfs lockFile
 *   system      bootMilliseconds sdNotify setAffinity goBeforeOthers goWithOthers
 *               threadMilliseconds completeChecksum
 *
 * Invariant: the functions on the datapath (readBatch, writeBatch, wait, bootMilliseconds) allocate
 * nothing but a number.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { getSystemErrorMap } from 'node:util';
import { arenaError, DeviceError, fileError, isNativeError } from './errors.ts';

declare const brand: unique symbol;
/** A device opened by this thread. */
export type TunHandle = object & { readonly [brand]: 'tun' };
/** Names a device to every thread of the process; a plain number that may be posted. */
export type WakeToken = number & { readonly [brand]: 'wake' };

export interface OpenedTun {
  handle: TunHandle;
  /** The kernel's name: "portfold0" for "portfold%d". */
  name: string;
  token: WakeToken;
  /** Offload flags that the kernel took, OFFLOAD_…. */
  offload: number;
  /** The interface existed before. */
  adopted: boolean;
}

export const OFFLOAD_CSUM = 0x01;
export const OFFLOAD_TSO4 = 0x02;
export const OFFLOAD_TSO6 = 0x04;
export const OFFLOAD_USO4 = 0x20;
export const OFFLOAD_USO6 = 0x40;

/** Bits that wait() answers. */
export const READY_PACKET = 1;
export const READY_WAKE = 2;
export const READY_ERROR = 4;

/** Rows of the counters that a device keeps. */
export const COUNTER_PACKETS_IN = 0;
export const COUNTER_PACKETS_OUT = 1;
export const COUNTER_WRITE_ERRORS = 2;
export const COUNTER_WRITE_FULL = 3;
export const COUNTER_BYTES_IN = 4;
export const COUNTER_BYTES_OUT = 5;
export const COUNTER_LAST_WRITE_ERRNO = 6;
export const COUNTER_SHORT_READS = 7;
/** Boot-time clock when the last batch was read, in milliseconds. */
export const COUNTER_CLOCK = 8;
export const COUNTERS = 9;

/**
 * The addon as it is. Errors are raw here; the functions below and tun-device.ts make sentences of
 * them.
 */
export interface Native {
  openTun(name: string, persist: boolean): OpenedTun;
  closeTun(handle: TunHandle): void;
  setPersist(handle: TunHandle, on: boolean): void;
  registerBuffers(
    handle: TunHandle,
    bytes: Uint8Array,
    descriptors: Int32Array,
    counters: Float64Array,
    readBytes: number,
    readFrames: number,
  ): void;
  readBatch(handle: TunHandle, timeoutMs: number): number;
  writeBatch(handle: TunHandle, count: number): number;
  writeInto(bytes: Uint8Array, descriptors: Int32Array, count: number, output: Uint8Array): number;
  wait(handle: TunHandle, timeoutMs: number): number;
  wake(token: number): boolean;
  mapArena(
    path: string,
    bytes: number,
    create: boolean,
    resident: boolean,
  ): { buffer: ArrayBuffer; lockErrno: number };
  preferHugePages(words: Int32Array): boolean;
  isTmpfs(path: string): boolean;
  lockFile(path: string): number;
  unlockFile(descriptor: number): void;
  bootMilliseconds(): number;
  sdNotify(socket: string, text: string): void;
  setAffinity(cpu: number): void;
  goBeforeOthers(): number;
  goWithOthers(): void;
  threadMilliseconds(): number;
  completeChecksum(
    bytes: Uint8Array,
    ipOffset: number,
    csumStart: number,
    csumOffset: number,
    length: number,
  ): boolean;
}

let loaded: Native | undefined;

/** Loads the addon, or explains how to get it. */
export function loadNative(): Native {
  if (loaded === undefined) loaded = load(addonPath());
  return loaded;
}

/** Milliseconds since the machine started, sleep included; the same for every process. */
export function bootMilliseconds(): number {
  return loadNative().bootMilliseconds();
}

export interface MappedArena {
  buffer: ArrayBuffer;
  /**
   * The pages cannot be swapped out. False when RLIMIT_MEMLOCK forbids it (everything works all the
   * same).
   */
  locked: boolean;
}

/**
 * Maps a file of exactly `bytes` bytes as shared memory. With `create` it must not exist and is
 * made, all pages present; without, it must exist in that size. With `resident` the pages are mapped
 * and locked at once (the writer's way); without, they are charged as they are touched. The memory
 * stays mapped for as long as the buffer is reachable.
 */
export function mapArena(
  path: string,
  bytes: number,
  options: { create: boolean; resident?: boolean },
): MappedArena {
  try {
    const { create, resident = false } = options;
    const { buffer, lockErrno } = loadNative().mapArena(path, bytes, create, resident);
    return { buffer, locked: lockErrno === 0 };
  } catch (error) {
    throw arenaError(path, bytes, error);
  }
}

/**
 * Asks for huge pages behind an array, before it is touched; false where the kernel has none to give
 * (transparent huge pages "never"), which changes nothing but the speed.
 */
export function preferHugePages(words: Int32Array): boolean {
  return loadNative().preferHugePages(words);
}

/** Whether an existing file or directory lies on tmpfs. */
export function isTmpfs(path: string): boolean {
  try {
    return loadNative().isTmpfs(path);
  } catch (error) {
    throw fileError('STATFS_FAILED', 'looking up its file system', path, error);
  }
}

export interface FileLock {
  release(): void;
}

/**
 * Takes the lock of a file, made if need be, until release() or the end of the process. 'held':
 * somebody else has it.
 */
export function lockFile(path: string): FileLock | 'held' {
  let descriptor: number;
  try {
    descriptor = loadNative().lockFile(path);
  } catch (error) {
    throw fileError('LOCK_FAILED', 'locking', path, error);
  }
  if (descriptor < 0) return 'held';

  return {
    release(): void {
      if (descriptor >= 0) loadNative().unlockFile(descriptor);
      descriptor = -1;
    },
  };
}

/**
 * Tells the service manager, for instance "READY=1\nSTATUS=forwarding". False when there is none,
 * or it does not listen: a gateway forwards with or without somebody who watches.
 */
export function sdNotify(text: string): boolean {
  const socket = process.env.NOTIFY_SOCKET;
  if (!socket) return false;
  try {
    loadNative().sdNotify(socket, text);
    return true;
  } catch (error) {
    if (isNativeError(error)) return false;
    throw error;
  }
}

/** Binds the calling thread to one processor. */
export function setAffinity(cpu: number): void {
  try {
    loadNative().setAffinity(cpu);
  } catch (error) {
    if (!isNativeError(error)) throw error;
    const text = `the thread cannot be bound to processor ${cpu}: this machine or container does not offer it`;
    throw new DeviceError('CPU_MISSING', text, undefined, error);
  }
}

/**
 * Lets the calling thread go before every ordinary thread of the machine (SCHED_RR): 'before'; 'kept' where somebody has given it a policy
 * already; else the name of the error, EPERM without CAP_SYS_NICE and RLIMIT_RTPRIO.
 */
export function goBeforeOthers(): string {
  const result = loadNative().goBeforeOthers();
  if (result === 0) return 'before';
  return result < 0 ? 'kept' : (getSystemErrorMap().get(-result)?.[0] ?? `error ${result}`);
}

/** Makes it an ordinary thread again. */
export function goWithOthers(): void {
  loadNative().goWithOthers();
}

/** Processor time that the calling thread has used. */
export function threadMilliseconds(): number {
  return loadNative().threadMilliseconds();
}

/**
 * Completes a partial checksum in place. `csumStart` counts from the IP header, as in the virtio
 * header; `length` is that of the IP packet. Returns false, and changes nothing, when the field
 * does not lie inside the packet.
 */
export function completeChecksum(
  bytes: Uint8Array,
  ipOffset: number,
  csumStart: number,
  csumOffset: number,
  length: number,
): boolean {
  return loadNative().completeChecksum(bytes, ipOffset, csumStart, csumOffset, length);
}

/**
 * Writes frames 0 … count - 1 as a device does, but into `output`: for each packet its length in 4 bytes, little endian, then its
 * virtio header and itself. Superpackets are segmented, segments merged, as their verdicts say.
 * @returns bytes used of `output`; below 0: minus the number of packets that could not be written
 */
export function writeInto(
  bytes: Uint8Array,
  descriptors: Int32Array,
  count: number,
  output: Uint8Array,
): number {
  return loadNative().writeInto(bytes, descriptors, count, output);
}

/** Ends a wait() of whichever thread has the device. False when the device is closed. */
export function wakeDevice(token: WakeToken): boolean {
  return loadNative().wake(token);
}

/** From the source tree this file is tun/native.ts, from a build it is dist/tun/native.js. */
function addonPath(): string {
  const other = process.env.PORTFOLD_ADDON;
  if (other) return other;
  const candidates = ['../build/Release/portfold.node', '../../build/Release/portfold.node'];
  const paths = candidates.map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new DeviceError(
    'ADDON_MISSING',
    `the native part of Portfold is not built (no ${paths[0]}): run \`npm ci\`, which needs a C compiler, make and Python`,
  );
}

function load(path: string): Native {
  try {
    return createRequire(import.meta.url)(path) as Native;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const text = `the native part of Portfold does not load (${why}): build it for this machine with \`npm ci\``;
    throw new DeviceError('ADDON_BROKEN', text, undefined, error);
  }
}
