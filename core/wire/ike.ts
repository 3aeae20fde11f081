/**
 * IKE recognised by its header (RFC 7296 section 3.1, RFC 2408 section 3.1), and what shares port
 * 4500 with it (RFC 3948 section 2).
 *
 *   |                   initiator's SPI (64), not zero              |    0
 *   |                   responder's SPI (64), zero at first         |    8
 *   | next payload  | version 1.0 or 2.0 | exchange type |  flags   |   16
 *   |                      message id (32)                          |   20
 *   |                      length (32)                              |   24
 *
 *   port 4500    | 0 0 0 0 | IKE …                            the non-ESP marker
 *                | SPI (32), over 255 | sequence (32) | … |   ESP; lower SPIs are reserved (RFC 4303)
 *                | ff |                                       keep-alive
 *
 * An IKE message says its own length, so that it is recognised on any port, with the marker or
 * without; random bytes pass once in 2^40. ESP is ciphertext behind its first eight bytes: there the
 * port decides, and random bytes pass if their length is a multiple of four.
 */
import { readI32 } from './bytes.ts';

export const IKE_NAT_PORT = 4500;
export const IKE_HEADER_BYTES = 28;

const NEXT_PAYLOAD = 16;
const VERSION = 17;
const EXCHANGE = 18;
const FLAGS = 19;
const LENGTH = 24;
const LENGTH_LAST = LENGTH + 3;

const VERSION_1 = 0x10;
const VERSION_2 = 0x20;
/** IKEv1: the exchanges of ISAKMP, quick mode 32 and new group mode 33. */
const EXCHANGE_1_BASE_LAST = 6;
const EXCHANGE_1_QUICK = 32;
const EXCHANGE_1_NEW_GROUP = 33;
const FLAGS_1 = 0x07;
/** IKEv2: from IKE_SA_INIT to IKE_FOLLOWUP_KE, the last that the registry knows. */
const EXCHANGE_2_FIRST = 34;
const EXCHANGE_2_LAST = 44;
const FLAGS_2 = 0x38;

const MARKER_BYTES = 4;
const KEEP_ALIVE = 0xff;
const SPI_RESERVED_LAST = 255;
/** SPI, sequence number, one padded word and the shortest check value (RFC 4303 section 2). */
const ESP_BYTES_MIN = 24;

/** True if the `length` bytes at `at` are one IKE message, behind a non-ESP marker or without one. */
export function isIke(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < IKE_HEADER_BYTES) return false;
  // One byte of the length that a message says spares nearly every other datagram the rest.
  if (bytes[at + LENGTH_LAST] === (length & 255) && isMessage(bytes, at, length)) return true;
  const behind = at + MARKER_BYTES;
  const left = length - MARKER_BYTES;
  return (
    left >= IKE_HEADER_BYTES &&
    bytes[behind + LENGTH_LAST] === (left & 255) &&
    readI32(bytes, at) === 0 &&
    isMessage(bytes, behind, left)
  );
}

/** True if the `length` bytes at `at` may be ESP in UDP, or its keep-alive. */
export function isEspInUdp(
  bytes: Uint8Array,
  at: number,
  length: number,
  remotePort: number,
  internalPort: number,
): boolean {
  if (remotePort !== IKE_NAT_PORT && internalPort !== IKE_NAT_PORT) return false;
  if (length === 1) return bytes[at] === KEEP_ALIVE;
  if (length < ESP_BYTES_MIN || (length & 3) !== 0) return false;
  const spi = readI32(bytes, at);
  return (spi < 0 || spi > SPI_RESERVED_LAST) && readI32(bytes, at + 4) !== 0;
}

function isMessage(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < IKE_HEADER_BYTES || readI32(bytes, at + LENGTH) !== length) return false;
  if (readI32(bytes, at) === 0 && readI32(bytes, at + 4) === 0) return false;
  const exchange = bytes[at + EXCHANGE];
  const flags = bytes[at + FLAGS];
  if (bytes[at + VERSION] === VERSION_2)
    return exchange >= EXCHANGE_2_FIRST && exchange <= EXCHANGE_2_LAST && (flags & ~FLAGS_2) === 0;
  if (bytes[at + VERSION] !== VERSION_1 || (flags & ~FLAGS_1) !== 0) return false;
  return (
    bytes[at + NEXT_PAYLOAD] !== 0 &&
    ((exchange >= 1 && exchange <= EXCHANGE_1_BASE_LAST) ||
      exchange === EXCHANGE_1_QUICK ||
      exchange === EXCHANGE_1_NEW_GROUP)
  );
}
