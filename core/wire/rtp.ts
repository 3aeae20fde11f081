/**
 * RTP and RTCP recognised by their headers and ports (RFC 3550 sections 5.1 and 6.4, RFC 3551
 * section 6, RFC 5761 section 4).
 *
 *   RTP    |V=2|P|X|  CC   |M|     PT      |       sequence number         |    0
 *          |                           timestamp                           |    4
 *          |                             SSRC                              |    8
 *          | CC × CSRC, extension, payload, padding …
 *
 *   RTCP   |V=2|P|  count  |     type      |  length in words, minus one   |    0
 *          |                             SSRC                              |    4
 *
 * An RTCP packet says its length, and a datagram is a row of them, so that it is recognised on any
 * port from 1024 on; random bytes pass once in 2^19 or less often. An RTP packet has but few fixed
 * bits: the first one of a stream has neither padding nor CSRC, has a payload type that is assigned
 * or dynamic, and goes to a port from 1024 on that is even (RFC 3550 section 11). Of random bytes to
 * such a port one datagram in 500 passes.
 */
import { readU16 } from './bytes.ts';

export const RTP_HEADER_BYTES = 12;

const PORT_MIN = 1024;
/** Version 2, with an extension or without, and nothing else. */
const FIRST_BYTE = 0x80;
const EXTENSION_BIT = 0x10;
const EXTENSION_HEADER_BYTES = 4;
const PAYLOAD_TYPE_MASK = 0x7f;
const DYNAMIC_TYPE_FIRST = 96;
/** Bit n: static payload type n is assigned (RFC 3551 tables 4 and 5). 32 to 34 are, too. */
const STATIC_TYPES_0_TO_31 = 0b1001_0110_0000_0111_1111_1111_1111_1001 | 0;
const STATIC_TYPE_LAST = 34;

const RTCP_HEADER_BYTES = 8;
const VERSION_MASK = 0xc0;
/** From the sender report (200) to extended reports (207, RFC 3611). */
const RTCP_TYPE_FIRST = 200;
const RTCP_TYPE_LAST = 207;
const RTCP_PACKETS_MAX = 8;

/** True if the `length` bytes at `at` may be the first packet of a stream, or its reports. */
export function isRtp(bytes: Uint8Array, at: number, length: number, remotePort: number): boolean {
  if (remotePort < PORT_MIN || length < RTCP_HEADER_BYTES) return false;
  if ((bytes[at] & VERSION_MASK) !== FIRST_BYTE) return false;
  const second = bytes[at + 1];
  if (second >= RTCP_TYPE_FIRST && second <= RTCP_TYPE_LAST) return isRtcp(bytes, at, at + length);
  if ((bytes[at] & ~EXTENSION_BIT) !== FIRST_BYTE || (remotePort & 1) !== 0) return false;
  return hasStreamType(second & PAYLOAD_TYPE_MASK) && hasPayload(bytes, at, length);
}

/** Whole packets, one behind the other, up to the end. */
function isRtcp(bytes: Uint8Array, at: number, end: number): boolean {
  let packet = at;
  for (let count = 0; count < RTCP_PACKETS_MAX && packet < end; count++) {
    if (packet + RTCP_HEADER_BYTES > end) return false;
    const type = bytes[packet + 1];
    if ((bytes[packet] & VERSION_MASK) !== FIRST_BYTE) return false;
    if (type < RTCP_TYPE_FIRST || type > RTCP_TYPE_LAST) return false;
    packet += (readU16(bytes, packet + 2) + 1) * 4;
  }
  return packet === end;
}

const hasStreamType = (type: number): boolean =>
  type >= DYNAMIC_TYPE_FIRST ||
  (type <= STATIC_TYPE_LAST && (type > 31 || ((STATIC_TYPES_0_TO_31 >>> type) & 1) !== 0));

function hasPayload(bytes: Uint8Array, at: number, length: number): boolean {
  if ((bytes[at] & EXTENSION_BIT) === 0) return length > RTP_HEADER_BYTES;
  const extension = at + RTP_HEADER_BYTES;
  if (length < RTP_HEADER_BYTES + EXTENSION_HEADER_BYTES) return false;
  const extensionBytes = EXTENSION_HEADER_BYTES + readU16(bytes, extension + 2) * 4;
  return length > RTP_HEADER_BYTES + extensionBytes;
}
