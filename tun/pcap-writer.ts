/**
 * A device around a device that records what passes, for tcpdump and Wireshark.
 *
 *   engine ── readBatch / writeBatch ──► PcapWriter ──► device
 *                                             │
 *                                             ▼
 *                              pcap, nanosecond variant, LINKTYPE_RAW: a record is an IP packet
 *
 * Recorded are the frames as they were read, and those of the engine's frames that are about to be
 * written. A superpacket is one record. A partial checksum is completed in the recorded copy, so
 * that nobody hunts for broken checksums that were never sent; the frame itself is not touched.
 *
 * Recording is for looking at a problem, not for every day: the file is written by the datapath's
 * own thread. It never stops the traffic: when the disk refuses, or the limit is reached, recording
 * ends, `stopped` says why, and packets go on.
 *
 * pcap record, little endian:
 *   seconds u32 | nanoseconds u32 | bytes recorded u32 | bytes of the packet u32 | packet
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import {
  DESCRIPTOR_WORDS,
  type Device,
  type DeviceCounters,
  type FrameBatch,
  VNET_HEADER_BYTES,
} from './device.ts';
import { DeviceError } from './errors.ts';
import { completeChecksum } from './native.ts';

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;
const LINKTYPE_RAW = 101;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const SNAPSHOT_BYTES = 65535;
const BUFFER_BYTES = 1 << 20;
/** So that a forgotten recording does not fill the disk. */
const FILE_BYTES_MAX_DEFAULT = 1 << 30;
/** Packets carry what people say and read: nobody else opens the file. */
const FILE_MODE = 0o600;

const NEEDS_CSUM = 1;
const FRAME_VNET_CSUM_START = 6;
const FRAME_VNET_CSUM_OFFSET = 8;

export interface PcapOptions {
  /** Wall time in microseconds since 1970; asked once per batch. */
  nowMicroseconds: () => number;
  /** Recording ends before the file grows beyond this. */
  fileBytesMax?: number;
}

export class PcapWriter implements Device {
  readonly name: string;
  readonly counters: DeviceCounters;
  /** Packets in the file, those still in the buffer included. */
  recorded = 0;
  /** Why recording ended early; undefined while it goes on. */
  stopped: string | undefined;

  private readonly device: Device;
  private readonly options: PcapOptions;
  private readonly buffer = Buffer.alloc(BUFFER_BYTES);
  private readonly file: number;
  private batch: FrameBatch | undefined;
  private used = 0;
  private fileBytes = 0;
  private closed = false;
  /** The file takes no more; what is buffered has nowhere to go. */
  private broken = false;

  constructor(device: Device, path: string, options: PcapOptions) {
    this.device = device;
    this.name = device.name;
    this.counters = device.counters;
    this.options = options;
    try {
      this.file = openSync(path, 'w', FILE_MODE);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new DeviceError('PCAP_OPEN', `the recording cannot be written: ${why}`, 1, error);
    }
    this.used = writeFileHeader(this.buffer);
    this.flush();
  }

  register(batch: FrameBatch): void {
    this.batch = batch;
    this.device.register(batch);
  }

  /** What was recorded so far reaches the file before a sleep, so that `tcpdump -r` sees it. */
  readBatch(waitMs = 0): number {
    let count = this.device.readBatch();
    if (count === 0 && waitMs > 0) {
      this.flush();
      count = this.device.readBatch(waitMs);
    }
    if (count > 0) this.record();
    return count;
  }

  writeBatch(): number {
    this.record();
    return this.device.writeBatch();
  }

  wait(timeoutMs: number): void {
    this.flush();
    this.device.wait(timeoutMs);
  }

  wake(): void {
    this.device.wake();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.flush();
    closeSync(this.file);
    this.device.close();
  }

  /**
   * Records each frame of the batch with a verdict >= 0; fresh from the device, that is every one.
   */
  private record(): void {
    const { bytes, descriptors, count } = this.batch!;
    const microseconds = this.options.nowMicroseconds();
    const seconds = Math.floor(microseconds / 1e6);
    const nanoseconds = Math.floor((microseconds - seconds * 1e6) * 1e3);

    for (let i = 0; i < count && this.stopped === undefined; i++) {
      const descriptor = i * DESCRIPTOR_WORDS;
      if (descriptors[descriptor + 3] < 0) continue;
      const offset = descriptors[descriptor];
      const length = descriptors[descriptor + 1];
      if (offset < VNET_HEADER_BYTES || length <= 0 || offset + length > bytes.length) continue;
      this.append(bytes, offset, length, seconds, nanoseconds);
    }
  }

  private append(
    bytes: Uint8Array,
    offset: number,
    length: number,
    seconds: number,
    nanoseconds: number,
  ): void {
    const kept = Math.min(length, SNAPSHOT_BYTES);
    const total = RECORD_HEADER_BYTES + kept;
    const limit = this.options.fileBytesMax ?? FILE_BYTES_MAX_DEFAULT;
    if (this.fileBytes + this.used + total > limit) {
      this.stopped = `the file would grow beyond ${limit} bytes`;
      return;
    }
    if (this.used + total > BUFFER_BYTES) this.flush();
    if (this.stopped !== undefined) return;

    const { buffer } = this;
    let at = buffer.writeUInt32LE(seconds, this.used);
    at = buffer.writeUInt32LE(nanoseconds, at);
    at = buffer.writeUInt32LE(kept, at);
    at = buffer.writeUInt32LE(length, at);
    buffer.set(bytes.subarray(offset, offset + kept), at);

    const header = offset - VNET_HEADER_BYTES;
    if ((bytes[header] & NEEDS_CSUM) !== 0 && kept === length) {
      const start = readU16(bytes, header + FRAME_VNET_CSUM_START);
      const field = readU16(bytes, header + FRAME_VNET_CSUM_OFFSET);
      completeChecksum(buffer, at, start, field, kept);
    }
    this.used += total;
    this.recorded++;
  }

  private flush(): void {
    let from = 0;
    try {
      while (from < this.used && !this.broken) {
        from += writeSync(this.file, this.buffer, from, this.used - from);
      }
    } catch (error) {
      this.broken = true;
      this.stopped = error instanceof Error ? error.message : String(error);
    }
    this.fileBytes += from;
    this.used = 0;
  }
}

function writeFileHeader(buffer: Buffer): number {
  buffer.writeUInt32LE(MAGIC_NANOSECONDS, 0);
  buffer.writeUInt16LE(VERSION_MAJOR, 4);
  buffer.writeUInt16LE(VERSION_MINOR, 6);
  buffer.writeUInt32LE(0, 8);
  buffer.writeUInt32LE(0, 12);
  buffer.writeUInt32LE(SNAPSHOT_BYTES, 16);
  buffer.writeUInt32LE(LINKTYPE_RAW, 20);
  return FILE_HEADER_BYTES;
}

function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}
