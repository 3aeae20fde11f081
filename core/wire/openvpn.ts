/**
 * OpenVPN recognised by the packet that opens or answers a connection, whatever the port (the
 * protocol's wire format document, section "Packet Opcodes and Formats").
 *
 *   | opcode (5) key id (3), 0 | session id (64) | …
 *
 *   plain           … | acks (8), 0 | packet id (32), 0 |                                     14 bytes
 *   tls-auth        … | HMAC (n) | replay id (32) | time (32) | acks, 0 | packet id, 0 |      22 + n
 *   tls-crypt       … | replay id (32) | time (32) | HMAC (256) | five bytes in cipher |      54
 *   tls-crypt-v2    as tls-crypt, then the wrapped key, whose last two bytes are its length
 *
 *   opcode     7  hard reset by a client, version 2     10  version 3, which brings a wrapped key
 *              8  by a server: one ack more, 12 bytes of ack and of the other's session id
 *
 * The replay id counts from 1 with each packet sent, so that its upper 24 bits are fixed here. Data
 * packets and connections with a static key have nothing to be known by. Random bytes of a fitting
 * length pass once in 2^31.
 */
import { readI32, readU16 } from './bytes.ts';

const CLIENT_RESET_2 = 7 << 3;
const SERVER_RESET_2 = 8 << 3;
const CLIENT_RESET_3 = 10 << 3;

const AFTER_SESSION = 9;
const PLAIN_BYTES = 14;
const REPLAY_BYTES = 8;
const CRYPT_BYTES = PLAIN_BYTES + REPLAY_BYTES + 32;
/** An acknowledged packet id and the session id of who sent that packet. */
const ACK_BYTES = 12;
const REPLAY_ID_MAX = 255;
/** A client that brings a wrapped key says by these bits that it negotiates early (since 2.6). */
const EARLY = 0x0f000000;
/** Lengths of MD5, SHA-1, SHA-224, SHA-256, SHA-384 and SHA-512. */
const HMAC_BYTES = new Set([16, 20, 28, 32, 48, 64]);

/** True if the `length` bytes at `at` are a hard reset, with which every OpenVPN connection begins. */
export function isOpenvpn(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < PLAIN_BYTES) return false;
  switch (bytes[at]) {
    case CLIENT_RESET_2:
      return isReset(bytes, at, length, 0);
    case SERVER_RESET_2:
      return isReset(bytes, at, length, ACK_BYTES);
    case CLIENT_RESET_3:
      return hasReplayId(bytes, at + AFTER_SESSION, EARLY) && endsWithKey(bytes, at, length);
    default:
      return false;
  }
}

/** @param ackBytes of one acknowledgement, or 0 */
function isReset(bytes: Uint8Array, at: number, length: number, ackBytes: number): boolean {
  const extra = length - ackBytes - PLAIN_BYTES;
  if (length === CRYPT_BYTES + ackBytes && hasReplayId(bytes, at + AFTER_SESSION)) return true;
  if (extra !== 0) {
    const hmacBytes = extra - REPLAY_BYTES;
    if (!HMAC_BYTES.has(hmacBytes)) return false;
    if (!hasReplayId(bytes, at + AFTER_SESSION + hmacBytes)) return false;
  }
  const acks = at + AFTER_SESSION + extra;
  return bytes[acks] === (ackBytes === 0 ? 0 : 1) && readI32(bytes, at + length - 4) === 0;
}

/** @param marks bits that may be set beside the count */
function hasReplayId(bytes: Uint8Array, at: number, marks = 0): boolean {
  const id = readI32(bytes, at) & ~marks;
  return id >= 1 && id <= REPLAY_ID_MAX;
}

/** The wrapped key of tls-crypt-v2 reaches to the end, and counts its own length. */
const endsWithKey = (bytes: Uint8Array, at: number, length: number): boolean =>
  length > CRYPT_BYTES + 2 && readU16(bytes, at + length - 2) === length - CRYPT_BYTES;
