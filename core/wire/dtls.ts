/**
 * DTLS recognised by its record headers, whatever the port (RFC 6347 section 4.1, RFC 9147 section
 * 4).
 *
 *   | type (8) |     version (16)     | epoch (16)  |    0
 *   |        sequence number (48)                   |    5
 *   |      length (16)     | fragment …             |   11
 *
 * A datagram is a row of whole records: each must have a known type and a version that was ever
 * used, and the last one ends where the datagram does. A session mostly begins with a ClientHello
 * (type 22); any other record is as good a sign, since nothing else looks like one.
 *
 *   version   fe ff  DTLS 1.0, and the first records of any newer one
 *             fe fd  1.2, and 1.3 before it encrypts
 *             01 00  what OpenSSL 0.9.8 spoke, and AnyConnect still does
 *
 * The unified header of encrypted DTLS 1.3 records has no version and is not recognised. Random
 * bytes pass once in 2^34.
 */
import { readU16 } from './bytes.ts';

export const DTLS_RECORD_HEADER_BYTES = 13;

const VERSION = 1;
const LENGTH = 11;

const DTLS_1_0 = 0xfeff;
const DTLS_1_2 = 0xfefd;
const DTLS_BEFORE_1_0 = 0x0100;

/** From change cipher spec (20) and handshake (22) to data with a connection id (25) and ack (26). */
const TYPE_FIRST = 20;
const TYPE_LAST = 26;

/** 2^14 and what protection may add (RFC 6347 section 4.1). */
const RECORD_BYTES_MAX = 16384 + 2048;
/** Hardly a datagram holds more; what stands behind them is not looked at. */
const RECORDS_MAX = 16;

/** True if the `length` bytes at `at` are DTLS records. */
export function isDtls(bytes: Uint8Array, at: number, length: number): boolean {
  const end = at + length;
  let record = at;
  for (let count = 0; count < RECORDS_MAX; count++) {
    if (!isRecord(bytes, record, end)) return false;
    record += DTLS_RECORD_HEADER_BYTES + readU16(bytes, record + LENGTH);
    if (record === end) return true;
  }
  return true;
}

function isRecord(bytes: Uint8Array, at: number, end: number): boolean {
  if (at + DTLS_RECORD_HEADER_BYTES > end) return false;
  const type = bytes[at];
  if (type < TYPE_FIRST || type > TYPE_LAST) return false;
  const version = readU16(bytes, at + VERSION);
  if (version !== DTLS_1_2 && version !== DTLS_1_0 && version !== DTLS_BEFORE_1_0) return false;
  const recordBytes = readU16(bytes, at + LENGTH);
  if (recordBytes === 0 || recordBytes > RECORD_BYTES_MAX) return false;
  return at + DTLS_RECORD_HEADER_BYTES + recordBytes <= end;
}
