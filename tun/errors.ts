/**
 * Errors of the operating system, as sentences.
 *
 * The addon throws `{ code: 'EBUSY', step: 'TUNSETIFF' }`; people need to know what happened, to
 * which thing, and what to do. One function per subject turns the one into the other. Programs look
 * at `code` and `exitCode`, never at the words.
 */

/** 1: it failed. 4: a permission is missing. */
export const EXIT_FAILED = 1;
export const EXIT_PERMISSION = 4;

export class DeviceError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, message: string, exitCode = EXIT_FAILED, cause?: unknown) {
    super(message, { cause });
    this.name = 'DeviceError';
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** What the addon throws for a failed system call. */
interface NativeError extends Error {
  code: string;
  step: string;
}

export function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && typeof (error as NativeError).step === 'string';
}

const MODULE_HINT =
  'load it with `modprobe tun`, or give the container the device (--device /dev/net/tun)';
const ROOT_HINT = 'run as root or give the process CAP_NET_ADMIN';

export function tunOpenError(name: string, error: unknown): unknown {
  if (!isNativeError(error)) return error;
  const say = (code: string, text: string, exitCode = EXIT_FAILED): DeviceError =>
    new DeviceError(code, text, exitCode, error);

  if (error.step === 'open /dev/net/tun') {
    if (['ENOENT', 'ENODEV', 'ENXIO'].includes(error.code)) {
      return say(
        'TUN_MISSING',
        `this system has no /dev/net/tun (${error.code}): the TUN driver is not there; ${MODULE_HINT}`,
      );
    }
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      const text = `/dev/net/tun may not be opened (${error.code}): ${ROOT_HINT}`;
      return say('TUN_PERMISSION', text, EXIT_PERMISSION);
    }
  }

  if (error.step === 'TUNSETIFF') {
    if (error.code === 'EPERM') {
      const text = `the interface ${name} may not be created or taken (EPERM): ${ROOT_HINT}`;
      return say('TUN_PERMISSION', text, EXIT_PERMISSION);
    }
    if (error.code === 'EBUSY') {
      return say(
        'TUN_BUSY',
        `the interface ${name} is in use by another process (EBUSY): stop that one, or choose another name`,
      );
    }
    if (error.code === 'EINVAL') {
      return say(
        'TUN_NOT_OURS',
        `${name} exists and is not a TUN interface of one queue (EINVAL): remove it or choose another name`,
      );
    }
  }

  return say(
    'TUN_OPEN_FAILED',
    `the interface ${name} could not be set up: ${error.message}; is the kernel older than 5.10?`,
  );
}

export function tunReadError(name: string, error: unknown): unknown {
  if (!isNativeError(error)) return error;
  const text =
    error.code === 'EBADFD' || error.code === 'EFAULT'
      ? `the interface ${name} was deleted while in use (${error.code}): start again to create it anew`
      : `reading from the interface ${name} failed: ${error.message}`;
  return new DeviceError('TUN_READ_FAILED', text, EXIT_FAILED, error);
}

export function arenaError(path: string, bytes: number, error: unknown): unknown {
  if (!isNativeError(error)) return error;
  const say = (code: string, text: string, exitCode = EXIT_FAILED): DeviceError =>
    new DeviceError(code, text, exitCode, error);

  switch (error.code) {
    case 'EEXIST':
      return say('ARENA_EXISTS', `${path} exists already: map it as it is, or remove it first`);
    case 'ENOENT':
      return say('ARENA_MISSING', `${path} does not exist: create it, and its directory first`);
    case 'EOVERFLOW':
      return say(
        'ARENA_SIZE',
        `${path} is not a file of ${bytes} bytes: it belongs to another layout or capacity`,
      );
    case 'ENOSPC':
    case 'ENOMEM':
    case 'EFBIG':
      return say(
        'ARENA_NO_SPACE',
        `${path} needs ${bytes} bytes of memory, which are not to be had (${error.code}): ` +
          'lower gateway.capacity, or enlarge that tmpfs with `mount -o remount,size=…`',
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return say(
        'ARENA_PERMISSION',
        `${path} may not be written (${error.code}): run as root, or choose another runtime directory`,
        EXIT_PERMISSION,
      );
    default:
      return say('ARENA_FAILED', `${path} could not be mapped: ${error.message}`);
  }
}

export function fileError(code: string, what: string, path: string, error: unknown): unknown {
  if (!isNativeError(error)) return error;
  const permission = error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EROFS';
  const text = `${path}: ${what} failed: ${error.message}`;
  return new DeviceError(code, text, permission ? EXIT_PERMISSION : EXIT_FAILED, error);
}
