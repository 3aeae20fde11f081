/**
 * WireGuard recognised by its message header, whatever the port (the protocol's paper, section 5.4).
 *
 *   | type (8) | reserved, zero (24) | …      little-endian 32 bits: 1 … 4
 *
 *   type                       bytes
 *   1 handshake initiation     148    what a client begins with
 *   2 handshake response        92    what a server in the LAN begins with
 *   3 cookie reply              64
 *   4 data                      32    and more, in steps of 16: the payload is padded (section 5.4.6)
 *
 * Variants that write into the reserved bytes are not recognised. Random bytes of a fitting length
 * pass once in 2^30.
 */
import { readI32 } from './bytes.ts';

const INITIATION_BYTES = 148;
const RESPONSE_BYTES = 92;
const COOKIE_REPLY_BYTES = 64;
const DATA_BYTES_MIN = 32;
const DATA_BYTES_STEP = 16;

/** The first four bytes of each type, read as they stand in the packet. */
const INITIATION = 1 << 24;
const RESPONSE = 2 << 24;
const COOKIE_REPLY = 3 << 24;
const DATA = 4 << 24;

/** True if the `length` bytes at `at` are a WireGuard message. */
export function isWireguard(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < DATA_BYTES_MIN) return false;
  switch (readI32(bytes, at)) {
    case INITIATION:
      return length === INITIATION_BYTES;
    case RESPONSE:
      return length === RESPONSE_BYTES;
    case COOKIE_REPLY:
      return length === COOKIE_REPLY_BYTES;
    case DATA:
      return length % DATA_BYTES_STEP === 0;
    default:
      return false;
  }
}
