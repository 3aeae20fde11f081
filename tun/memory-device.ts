/**
 * A device without an operating system: packets are put in by enqueue(), read in batches, and what
 * is written is kept or only counted. For tests of the engine, for benchmarks, and for the test
 * that a million packets make no garbage.
 *
 *   enqueue() → | queue of packets | → readBatch() → batch → writeBatch() → | capture | or a count
 *                 ^ rewind() starts here anew
 *
 * All memory is taken in the constructor. readBatch and writeBatch allocate nothing; they copy word
 * by word, since TypedArray.set would need a view object for every packet. Batches look as a
 * TunDevice makes them: HEADROOM_BYTES in front of each IP header, headers aligned to 64 bytes, a
 * virtio header directly in front, and room left for a packet of the largest size.
 *
 * Invariants: 0 <= next <= queued <= packetsMax. A record of queue or capture is
 *   4 words: start of the virtio header | length of the IP packet |
 *            gsoSize<<16 | gsoType<<8 | flags | verdict (capture only)
 */
import {
  DESCRIPTOR_WORDS,
  type Device,
  type DeviceCounters,
  type FrameBatch,
  HEADROOM_BYTES,
  VNET_HEADER_BYTES,
} from './device.ts';

const PACKET_BYTES_MAX = 65535;
const ALIGNMENT = 64;
const RECORD_WORDS = 4;
const PACKETS_MAX_DEFAULT = 4096;
const QUEUE_BYTES_DEFAULT = 4 << 20;

export interface MemoryDeviceOptions {
  name?: string;
  /** Packets that the queue holds, and, if they are captured, the capture. */
  packetsMax?: number;
  /** Bytes that the queue holds, and the capture. */
  queueBytes?: number;
  /** Keep what is written; otherwise it is counted only. */
  capture?: boolean;
}

/** The fields of a virtio header; those left out are zero. */
export interface Offload {
  flags?: number;
  gsoType?: number;
  headerLength?: number;
  gsoSize?: number;
  csumStart?: number;
  csumOffset?: number;
}

export interface CapturedPacket {
  /** A copy of the IP packet. */
  bytes: Uint8Array;
  offload: Required<Offload>;
  verdict: number;
}

export class MemoryDevice implements Device {
  readonly name: string;
  readonly counters: DeviceCounters = { packetsIn: 0, packetsOut: 0, writeErrors: 0, writeFull: 0 };
  /** How often the reader had nothing to do and asked to sleep. */
  waits = 0;
  /** Written packets for which the capture had no room; they count as written all the same. */
  captureMissed = 0;

  private readonly queue: PacketStore;
  private readonly capture: PacketStore | undefined;
  private next = 0;
  private batch: FrameBatch | undefined;
  private batchWords: Int32Array = new Int32Array(0);

  constructor(options: MemoryDeviceOptions = {}) {
    const packetsMax = options.packetsMax ?? PACKETS_MAX_DEFAULT;
    const queueBytes = options.queueBytes ?? QUEUE_BYTES_DEFAULT;
    this.name = options.name ?? 'memory';
    this.queue = new PacketStore(packetsMax, queueBytes);
    if (options.capture ?? true) this.capture = new PacketStore(packetsMax, queueBytes);
  }

  /** Appends a copy of a packet to the queue; false when there is no room for it. */
  enqueue(packet: Uint8Array, offload: Offload = {}): boolean {
    return this.queue.append(packet, offload);
  }

  /** Packets queued and not yet read. */
  get waiting(): number {
    return this.queue.count - this.next;
  }

  /** Lets the whole queue be read once more, as it was put in. */
  rewind(): void {
    this.next = 0;
  }

  /** Forgets queue and capture; counters stay. */
  clear(): void {
    this.queue.clear();
    this.capture?.clear();
    this.next = 0;
  }

  /** Number of packets that the capture holds. */
  get capturedCount(): number {
    return this.capture?.count ?? 0;
  }

  /** A copy of the packet that was written as number `index` since the last clear(). */
  captured(index: number): CapturedPacket {
    if (this.capture === undefined || index < 0 || index >= this.capture.count) {
      throw new RangeError(`packet ${index} was not captured: there are ${this.capturedCount}`);
    }
    return this.capture.packet(index);
  }

  register(batch: FrameBatch): void {
    if (this.batch !== undefined) throw new Error('the device has its batch already');
    const { buffer, byteOffset, byteLength } = batch.bytes;
    if (byteLength < HEADROOM_BYTES + PACKET_BYTES_MAX || (byteOffset | byteLength) & 3) {
      throw new RangeError(
        'the batch must hold a packet of 65,535 bytes, and consist of whole words',
      );
    }
    this.batch = batch;
    this.batchWords = new Int32Array(buffer, byteOffset, byteLength >> 2);
  }

  readBatch(): number {
    const batch = this.batch!;
    const { descriptors, capacity } = batch;
    const { records, words } = this.queue;
    const target = this.batchWords;
    const cursorMax = batch.readBytes - HEADROOM_BYTES - PACKET_BYTES_MAX;
    let count = 0;
    let cursor = 0;

    while (count < capacity && cursor <= cursorMax && this.next < this.queue.count) {
      const record = this.next * RECORD_WORDS;
      const length = records[record + 1];
      const offset = cursor + HEADROOM_BYTES;
      copyWords(words, records[record], target, offset - VNET_HEADER_BYTES, length);

      const descriptor = count * DESCRIPTOR_WORDS;
      descriptors[descriptor] = offset;
      descriptors[descriptor + 1] = length;
      descriptors[descriptor + 2] = records[record + 2];
      descriptors[descriptor + 3] = 0;
      cursor = align(offset + length);
      this.next++;
      count++;
    }

    batch.count = count;
    this.counters.packetsIn += count;
    return count;
  }

  writeBatch(): number {
    const { bytes, descriptors, count } = this.batch!;
    let written = 0;
    for (let i = 0; i < count; i++) {
      const descriptor = i * DESCRIPTOR_WORDS;
      if (descriptors[descriptor + 3] < 0) continue;
      const offset = descriptors[descriptor];
      const length = descriptors[descriptor + 1];
      // The same door as in the addon: a frame outside of the buffer is an error of the engine.
      if (offset < VNET_HEADER_BYTES || length <= 0 || offset + length > bytes.length) {
        this.counters.writeErrors++;
        continue;
      }
      written++;
      if (this.capture === undefined) continue;
      const kept = this.capture.copyIn(bytes, offset, length, descriptors[descriptor + 3]);
      if (!kept) this.captureMissed++;
    }
    this.counters.packetsOut += written;
    return written;
  }

  /** Returns at once: packets come only from the one who calls. */
  wait(_timeoutMs: number): void {
    this.waits++;
  }

  wake(): void {}

  close(): void {
    this.clear();
  }
}

/** Packets one behind the other, each with its virtio header, at multiples of 64 bytes. */
class PacketStore {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly records: Int32Array;
  count = 0;
  private cursor = 0;

  constructor(packetsMax: number, bytesMax: number) {
    const buffer = new ArrayBuffer(align(bytesMax));
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.records = new Int32Array(new ArrayBuffer(packetsMax * RECORD_WORDS * 4));
  }

  append(packet: Uint8Array, offload: Offload): boolean {
    const start = this.cursor;
    if (!this.reserve(packet.length)) return false;
    const header = new DataView(this.bytes.buffer, start, VNET_HEADER_BYTES);
    const { flags = 0, gsoType = 0, gsoSize = 0 } = offload;
    header.setUint8(0, flags);
    header.setUint8(1, gsoType);
    header.setUint16(2, offload.headerLength ?? 0, true);
    header.setUint16(4, gsoSize, true);
    header.setUint16(6, offload.csumStart ?? 0, true);
    header.setUint16(8, offload.csumOffset ?? 0, true);
    header.setUint16(10, 0, true);
    this.bytes.set(packet, start + VNET_HEADER_BYTES);
    this.commit(start, packet.length, (gsoSize << 16) | (gsoType << 8) | flags, 0);
    return true;
  }

  /**
   * Copies a frame with its virtio header from a batch. Byte by byte: the engine may have moved it
   * to any offset.
   */
  copyIn(from: Uint8Array, offset: number, length: number, verdict: number): boolean {
    const start = this.cursor;
    if (!this.reserve(length)) return false;
    const { bytes } = this;
    const source = offset - VNET_HEADER_BYTES;
    const total = VNET_HEADER_BYTES + length;
    for (let i = 0; i < total; i++) bytes[start + i] = from[source + i];

    const gsoSize = bytes[start + 4] | (bytes[start + 5] << 8);
    this.commit(start, length, (gsoSize << 16) | (bytes[start + 1] << 8) | bytes[start], verdict);
    return true;
  }

  packet(index: number): CapturedPacket {
    const record = index * RECORD_WORDS;
    const start = this.records[record];
    const at = start + VNET_HEADER_BYTES;
    const header = new DataView(this.bytes.buffer, start, VNET_HEADER_BYTES);
    return {
      bytes: this.bytes.slice(at, at + this.records[record + 1]),
      offload: {
        flags: header.getUint8(0),
        gsoType: header.getUint8(1),
        headerLength: header.getUint16(2, true),
        gsoSize: header.getUint16(4, true),
        csumStart: header.getUint16(6, true),
        csumOffset: header.getUint16(8, true),
      },
      verdict: this.records[record + 3],
    };
  }

  clear(): void {
    this.count = 0;
    this.cursor = 0;
  }

  private reserve(length: number): boolean {
    if (length < 1 || length > PACKET_BYTES_MAX) return false;
    if ((this.count + 1) * RECORD_WORDS > this.records.length) return false;
    return align(this.cursor + VNET_HEADER_BYTES + length) <= this.bytes.length;
  }

  private commit(start: number, length: number, offload: number, verdict: number): void {
    const record = this.count * RECORD_WORDS;
    this.records[record] = start;
    this.records[record + 1] = length;
    this.records[record + 2] = offload;
    this.records[record + 3] = verdict;
    this.count++;
    this.cursor = align(start + VNET_HEADER_BYTES + length);
  }
}

/**
 * Copies a virtio header and `length` bytes behind it. Both places are multiples of 4; up to 3
 * bytes behind are copied too.
 */
function copyWords(
  from: Int32Array,
  fromByte: number,
  to: Int32Array,
  toByte: number,
  length: number,
): void {
  const total = (VNET_HEADER_BYTES + length + 3) >> 2;
  const source = fromByte >> 2;
  const target = toByte >> 2;
  for (let i = 0; i < total; i++) to[target + i] = from[source + i];
}

function align(bytes: number): number {
  return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
}
