/**
 * The one interface behind which packets come and go.
 *
 * A device fills a batch (bytes and descriptors, layout in the comment below), the engine rewrites it, the device writes what
 * has a verdict >= 0. Verdicts 0 and 1 mean as it stands, virtio header first; 2 and 3 are below. A device that cannot do these writes the
 * frame as it stands. Devices wrap devices: PcapWriter(device) records what passes.
 *
 *   descriptor, 4 words: offset of the IP header | length | gsoSize<<16 | gsoType<<8 | flags | verdict
 *
 * `core/frames.ts` describes the same layout for the engine; this folder imports nothing of it, and a test holds the two together.
 */
export const DESCRIPTOR_WORDS = 4;
export const VNET_HEADER_BYTES = 12;
export const HEADROOM_BYTES = 128;

/**
 * The outer IPv6 header stands in front of the frame's virtio header; the packet is written behind it, with complete checksums and
 * without offload, a superpacket as its segments.
 */
export const VERDICT_ENCAPSULATE = 2;
/** The frame may be merged with the TCP segments of its flow that follow it in the batch. */
export const VERDICT_COALESCE = 3;

/** Structural view of core's Frames. */
export interface FrameBatch {
  readonly bytes: Uint8Array;
  readonly descriptors: Int32Array;
  /** Frames in the batch; set by readBatch, raised by whoever appends frames of its own. */
  count: number;
  /** Frames that a device may read. `descriptors` may have room for more. */
  readonly capacity: number;
  /** Bytes from the start of `bytes` that a device may read into. */
  readonly readBytes: number;
}

export interface DeviceCounters {
  /** Packets read / written. */
  packetsIn: number;
  packetsOut: number;
  /** Writes that the kernel refused with EINVAL or another error of the single packet. */
  writeErrors: number;
  /** Writes that found the device full (EAGAIN, ENOBUFS). */
  writeFull: number;
}

export interface Device {
  /** Name of the interface, for words and logs. */
  readonly name: string;
  /** Gives the device the batch it reads into and writes from. Once, before anything else. */
  register(batch: FrameBatch): void;
  /**
   * Reads until nothing waits or the batch is full; sets batch.count and returns it. Every verdict starts as 0. Where nothing waits it sleeps
   * first, as wait() does: one call for both, since the way into the addon is paid for each (docs/performance.md). 0, the default: never blocks.
   */
  readBatch(waitMs?: number): number;
  /** Writes frames 0 … batch.count - 1 whose verdict is >= 0; returns how many packets were written. */
  writeBatch(): number;
  /** Sleeps until a packet waits, wake() is called or the time is over. */
  wait(timeoutMs: number): void;
  /** Ends a wait() of another thread. */
  wake(): void;
  readonly counters: DeviceCounters;
  close(): void;
}
