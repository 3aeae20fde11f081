/**
 * A TUN interface as a Device.
 *
 * The interface speaks IP packets with a virtio header (IFF_VNET_HDR) and hands over superpackets
 * and partial checksums; tun/native/device.c says how. A TunDevice belongs to the thread that
 * opened it. Other threads get its `wakeToken` in a message and end its sleep by
 * `wakeDevice(token)` from native.ts.
 *
 *   const device = new TunDevice('portfold0', { persist: true });
 *   device.register(new Frames(1 << 20, 256));
 *   for (;;) { device.readBatch(250); …; device.writeBatch(); }
 *
 * Persistence: with `persist` the interface outlives the process, with its routes; the next one
 * that opens the name adopts it. Without, it goes when it is closed. What is asked for at opening
 * holds, also for an adopted interface.
 */
import type { Device, DeviceCounters, FrameBatch } from './device.ts';
import { DeviceError, tunOpenError, tunReadError } from './errors.ts';
import {
  COUNTER_BYTES_IN,
  COUNTER_BYTES_OUT,
  COUNTER_CLOCK,
  COUNTER_LAST_WRITE_ERRNO,
  COUNTER_PACKETS_IN,
  COUNTER_PACKETS_OUT,
  COUNTER_SHORT_READS,
  COUNTER_WRITE_ERRORS,
  COUNTER_WRITE_FULL,
  COUNTERS,
  loadNative,
  type Native,
  OFFLOAD_USO4,
  type TunHandle,
  type WakeToken,
} from './native.ts';

/** IFNAMSIZ less its final zero. */
const NAME_LENGTH_MAX = 15;
const WAIT_MILLISECONDS_MAX = 0x7fffffff;

export interface TunOptions {
  /** The interface stays when it is closed or the process dies. */
  persist?: boolean;
}

export interface TunCounters extends DeviceCounters {
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** errno of the latest write error, 0 if there was none. */
  readonly lastWriteErrno: number;
  /** Reads that held less than one byte of packet. */
  readonly shortReads: number;
}

export class TunDevice implements Device {
  readonly name: string;
  /** For wakeDevice() on another thread. */
  readonly wakeToken: WakeToken;
  /** The interface existed before it was opened. */
  readonly adopted: boolean;
  /** UDP superpackets may come (kernel 6.2 and later). */
  readonly hasUdpSegmentation: boolean;
  readonly counters: TunCounters;
  /**
   * The rows behind `counters`, COUNTER_… in native.ts; in shared memory, so that another thread
   * may read them.
   */
  readonly counterRows: Float64Array;

  private readonly native: Native;
  private readonly handle: TunHandle;
  private batch: FrameBatch | undefined;

  constructor(name: string, options: TunOptions = {}) {
    checkName(name);
    this.native = loadNative();
    this.counterRows = new Float64Array(new SharedArrayBuffer(COUNTERS * 8));
    this.counters = new CounterView(this.counterRows);

    try {
      const opened = this.native.openTun(name, options.persist ?? false);
      this.handle = opened.handle;
      this.name = opened.name;
      this.wakeToken = opened.token;
      this.adopted = opened.adopted;
      this.hasUdpSegmentation = (opened.offload & OFFLOAD_USO4) !== 0;
    } catch (error) {
      throw tunOpenError(name, error);
    }
  }

  register(batch: FrameBatch): void {
    this.native.registerBuffers(
      this.handle,
      batch.bytes,
      batch.descriptors,
      this.counterRows,
      batch.readBytes,
      batch.capacity,
    );
    this.batch = batch;
  }

  /** Boot-time clock when the last batch was read, in milliseconds. */
  get readAt(): number {
    return this.counterRows[COUNTER_CLOCK];
  }

  readBatch(waitMs = 0): number {
    try {
      const count = this.native.readBatch(this.handle, timeoutOf(waitMs));
      this.batch!.count = count;
      return count;
    } catch (error) {
      throw tunReadError(this.name, error);
    }
  }

  writeBatch(): number {
    return this.native.writeBatch(this.handle, this.batch!.count);
  }

  wait(timeoutMs: number): void {
    this.native.wait(this.handle, timeoutOf(timeoutMs));
  }

  wake(): void {
    this.native.wake(this.wakeToken);
  }

  /** Decides anew whether the interface outlives this device. */
  setPersist(on: boolean): void {
    this.native.setPersist(this.handle, on);
  }

  close(): void {
    this.native.closeTun(this.handle);
  }
}

/** What poll() takes for it. */
const timeoutOf = (milliseconds: number): number =>
  Math.min(Math.max(Math.ceil(milliseconds), 0), WAIT_MILLISECONDS_MAX);

/** Named access to the rows. A class of its own, so that reading a counter makes no object. */
class CounterView implements TunCounters {
  private readonly rows: Float64Array;

  constructor(rows: Float64Array) {
    this.rows = rows;
  }

  get packetsIn(): number {
    return this.rows[COUNTER_PACKETS_IN];
  }

  get packetsOut(): number {
    return this.rows[COUNTER_PACKETS_OUT];
  }

  get writeErrors(): number {
    return this.rows[COUNTER_WRITE_ERRORS];
  }

  get writeFull(): number {
    return this.rows[COUNTER_WRITE_FULL];
  }

  get bytesIn(): number {
    return this.rows[COUNTER_BYTES_IN];
  }

  get bytesOut(): number {
    return this.rows[COUNTER_BYTES_OUT];
  }

  get lastWriteErrno(): number {
    return this.rows[COUNTER_LAST_WRITE_ERRNO];
  }

  get shortReads(): number {
    return this.rows[COUNTER_SHORT_READS];
  }
}

/**
 * The kernel's own rule for the names of interfaces (dev_valid_name), told before it says EINVAL
 * for three reasons at once.
 */
function checkName(name: string): void {
  const valid =
    name.length > 0 &&
    Buffer.byteLength(name) <= NAME_LENGTH_MAX &&
    name !== '.' &&
    name !== '..' &&
    !/[/:\s]/.test(name);
  if (valid) return;
  throw new DeviceError(
    'TUN_NAME',
    `"${name}" cannot be the name of an interface: use 1 to ${NAME_LENGTH_MAX} characters without blanks, "/" and ":"`,
  );
}
