/**
 * QUIC recognised by its long header, whatever the port (RFC 8999 section 5.1, RFC 9000 section
 * 17.2, RFC 9369 section 3).
 *
 *   |1|F|T T|x x x x|             Version (32)              |    0, 1
 *   | DCID length (8) | DCID … | SCID length (8) | SCID …   |    5
 *   | Initial: token length (i) | token … | length (i) | number and payload … |
 *
 * RFC letter → here:  F fixed bit (not looked at: RFC 9287 lets it be greased), T packet type, DCID
 * and SCID destination and source connection id, (i) an integer of variable length (section 16).
 *
 *   version 1 and 2   the type is known: an Initial must be whole and fill 1,200 bytes, as RFC 9000
 *                     section 14.1 has it; 0-RTT and Handshake may be shorter; Retry is a server's
 *   0x?a?a?a?a        greased by a client (RFC 9000 section 15)  ┐ only the invariants are known:
 *   0xff0000??        drafts                                     ┘ ids and 1,200 bytes must fit
 *   0                 version negotiation: a server's list of versions (RFC 8999 section 6)
 *
 * A packet with a short header looks like any other datagram: a connection that moves to a new port
 * after its handshake is not recognised. Random bytes pass once in 2^24 or less often.
 */
import { readI32 } from './bytes.ts';

/** Least UDP payload with which a client begins (RFC 9000 section 14.1). */
export const QUIC_INITIAL_BYTES_MIN = 1200;

const VERSION_NEGOTIATION = 0;
const VERSION_1 = 1;
const VERSION_2 = 0x6b3343cf;
const GREASE_MASK = 0x0f0f0f0f;
const GREASE = 0x0a0a0a0a;
const DRAFT_MASK = ~0xff;
const DRAFT = 0xff000000 | 0;

const LONG_HEADER = 0x80;
const DCID_LENGTH = 5;
/** A connection id of version 1 and 2 has at most this many bytes. */
const ID_BYTES_MAX = 20;
/** The id that a client makes up for the server has at least this many (RFC 9000 section 7.2). */
const FIRST_ID_BYTES_MIN = 8;
/** Packet number and sample for the header protection (RFC 9001 section 5.4.2). */
const PROTECTED_BYTES_MIN = 20;
const RETRY_TAG_BYTES = 16;

const TYPE_INITIAL = 0;
const TYPE_RETRY = 3;

/** True if the `length` bytes at `at` begin with a QUIC packet that has a long header. */
export function isQuic(bytes: Uint8Array, at: number, length: number): boolean {
  if (length <= DCID_LENGTH || (bytes[at] & LONG_HEADER) === 0) return false;
  const version = readI32(bytes, at + 1);
  const end = at + length;
  if (version === VERSION_1) return isKnownPacket(bytes, at, end, (bytes[at] >> 4) & 3);
  // The types of version 2 are those of version 1, one further (RFC 9369 section 3.2).
  if (version === VERSION_2) return isKnownPacket(bytes, at, end, ((bytes[at] >> 4) - 1) & 3);
  if (version === VERSION_NEGOTIATION) return isNegotiation(bytes, at, end);
  if ((version & GREASE_MASK) !== GREASE && (version & DRAFT_MASK) !== DRAFT) return false;
  return (
    length >= QUIC_INITIAL_BYTES_MIN &&
    bytes[at + DCID_LENGTH] >= FIRST_ID_BYTES_MIN &&
    behindIds(bytes, at, end, ID_BYTES_MAX) > 0
  );
}

function isKnownPacket(bytes: Uint8Array, at: number, end: number, type: number): boolean {
  let next = behindIds(bytes, at, end, ID_BYTES_MAX);
  if (next < 0) return false;
  if (type === TYPE_RETRY) return next + RETRY_TAG_BYTES <= end;
  if (type === TYPE_INITIAL) {
    if (end - at < QUIC_INITIAL_BYTES_MIN) return false;
    const tokenBytes = integerAt(bytes, next, end);
    if (tokenBytes < 0) return false;
    next += integerBytes(bytes, next) + tokenBytes;
  }
  const rest = integerAt(bytes, next, end);
  return rest >= PROTECTED_BYTES_MIN && next + integerBytes(bytes, next) + rest <= end;
}

/** A list of at least one version, of four bytes each, up to the end. */
function isNegotiation(bytes: Uint8Array, at: number, end: number): boolean {
  const next = behindIds(bytes, at, end, 255);
  return next > 0 && end - next >= 4 && ((end - next) & 3) === 0;
}

/** Where the header goes on behind the two connection ids, or -1 if they do not fit. */
function behindIds(bytes: Uint8Array, at: number, end: number, idBytesMax: number): number {
  const destinationBytes = bytes[at + DCID_LENGTH];
  const sourceLength = at + DCID_LENGTH + 1 + destinationBytes;
  if (destinationBytes > idBytesMax || sourceLength >= end) return -1;
  const sourceBytes = bytes[sourceLength];
  const next = sourceLength + 1 + sourceBytes;
  return sourceBytes > idBytesMax || next > end ? -1 : next;
}

/** How many bytes the integer at `at` takes: 1, 2, 4 or 8. */
const integerBytes = (bytes: Uint8Array, at: number): number => 1 << (bytes[at] >> 6);

/** The integer at `at`, or -1 if it does not end before `end` or exceeds any datagram. */
function integerAt(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const size = integerBytes(bytes, at);
  if (at + size > end) return -1;
  let value = bytes[at] & 63;
  for (let i = 1; i < size; i++) {
    value = (value << 8) | bytes[at + i];
    if (value > 0xffff) return -1;
  }
  return value;
}
