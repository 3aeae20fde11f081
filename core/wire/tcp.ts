/**
 * TCP header (RFC 9293) and the two options that a NAT reads: maximum segment size and timestamps (RFC 7323).
 *
 *   |          Source Port          |       Destination Port        |   0
 *   |                        Sequence Number                        |   4
 *   |                    Acknowledgment Number                      |   8
 *   | Offset|  Rsrvd  |CWR..FIN     |            Window             |  12
 *   |           Checksum            |         Urgent Pointer        |  16
 */
import { readI32 } from './bytes.ts';

export const TCP_SOURCE_PORT = 0;
export const TCP_DESTINATION_PORT = 2;
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGEMENT = 8;
export const TCP_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_CHECKSUM = 16;
export const TCP_HEADER_BYTES = 20;

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_ACK = 16;

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;
const OPTION_TIMESTAMPS = 8;

/** Header bytes by the data offset field. */
export const tcpHeaderBytes = (bytes: Uint8Array, at: number): number =>
  (bytes[at + TCP_OFFSET] >>> 4) << 2;

/**
 * Offset of the value of option `kind` with `size` bytes in all, or -1. `end` is where the header ends and lies within the packet.
 * A malformed list ends the search.
 */
function findOption(
  bytes: Uint8Array,
  at: number,
  end: number,
  kind: number,
  size: number,
): number {
  for (let i = at + TCP_HEADER_BYTES; i < end; ) {
    const found = bytes[i];
    if (found === OPTION_END) return -1;
    if (found === OPTION_NOP) {
      i++;
      continue;
    }
    if (i + 1 >= end) return -1;
    const length = bytes[i + 1];
    if (length < 2 || i + length > end) return -1;
    if (found === kind) return length === size ? i + 2 : -1;
    i += length;
  }
  return -1;
}

/** Offset of the 16-bit MSS value, or -1. */
export const findMss = (bytes: Uint8Array, at: number, end: number): number =>
  findOption(bytes, at, end, OPTION_MSS, 4);

/** Offset of TSval, or -1. */
export const findTimestamp = (bytes: Uint8Array, at: number, end: number): number =>
  findOption(bytes, at, end, OPTION_TIMESTAMPS, 10);

/** Sequence number after this segment: payload bytes, SYN and FIN count. */
export function sequenceEnd(bytes: Uint8Array, at: number, segmentBytes: number): number {
  const flags = bytes[at + TCP_FLAGS];
  const payload = segmentBytes - tcpHeaderBytes(bytes, at);
  return (
    (readI32(bytes, at + TCP_SEQUENCE) + payload + (flags & TCP_FIN) + ((flags & TCP_SYN) >> 1)) | 0
  );
}
