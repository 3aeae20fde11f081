/**
 * STUN recognised by its bytes (RFC 8489 section 5), whatever the port.
 *
 *   |0 0|     STUN Message Type     |         Message Length        |   0
 *   |                         Magic Cookie 0x2112A442               |   4
 *   |                     Transaction ID (96 bits)                  |   8
 *
 * A request of RFC 3489 has no cookie; it is recognised by a Binding Request type and an exact length on the STUN ports.
 */
import { readI32, readU16 } from './bytes.ts';

export const STUN_HEADER_BYTES = 20;
export const STUN_MAGIC_COOKIE = 0x2112a442;
export const STUN_PORT = 3478;
const BINDING_REQUEST = 0x0001;

/** True if the `length` bytes at `at` are a STUN message. */
export function isStun(bytes: Uint8Array, at: number, length: number, remotePort: number): boolean {
  if (length < STUN_HEADER_BYTES || (bytes[at] & 0xc0) !== 0) return false;
  const messageLength = readU16(bytes, at + 2);
  if ((messageLength & 3) !== 0 || messageLength + STUN_HEADER_BYTES > length) return false;
  if (readI32(bytes, at + 4) === STUN_MAGIC_COOKIE) return true;
  return (
    (remotePort === STUN_PORT || remotePort === STUN_PORT + 1) &&
    readU16(bytes, at) === BINDING_REQUEST &&
    messageLength + STUN_HEADER_BYTES === length
  );
}
