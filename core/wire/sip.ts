/**
 * SIP recognised by its first line, whatever the port (RFC 3261 sections 7.1 and 7.2).
 *
 *   REGISTER sip:example.com SIP/2.0        request: method, URI, version
 *   SIP/2.0 200 OK                          answer: version, three digits, reason
 *
 * A method is two to sixteen capital letters (RFC 3261 and its extensions need no more), so that
 * those to come are recognised too; what sets SIP apart from other text is its version behind the
 * URI. Random bytes pass once in 2^60 or less often.
 */
import { readI32 } from './bytes.ts';

const METHOD_BYTES_MIN = 2;
const METHOD_BYTES_MAX = 16;
/** The first line of a request is looked through up to here; nobody's URI is longer. */
const LINE_BYTES_MAX = 512;

const SPACE = 0x20;
const DOT = 0x2e;
const ZERO = 0x30;
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
/** "SIP/" and "2.0" behind it, of which the letters may be small (RFC 3261 section 7.1). */
const SIP_SLASH = 0x5349502f;
const UPPER_CASE = 0xdfdfdfff | 0;
const VERSION_BYTES = 7;
/** "SIP/2.0 200 " */
const STATUS_BYTES_MIN = VERSION_BYTES + 5;

/** True if the `length` bytes at `at` begin with a request line or a status line of SIP. */
export function isSip(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < STATUS_BYTES_MIN || !isCapital(bytes[at] & 0xdf)) return false;
  const end = at + Math.min(length, LINE_BYTES_MAX);
  return isVersion(bytes, at, end)
    ? isStatus(bytes, at + VERSION_BYTES)
    : isRequest(bytes, at, end);
}

function isRequest(bytes: Uint8Array, at: number, end: number): boolean {
  let next = at;
  while (next < end && isCapital(bytes[next])) next++;
  const methodBytes = next - at;
  if (methodBytes < METHOD_BYTES_MIN || methodBytes > METHOD_BYTES_MAX) return false;
  if (next >= end || bytes[next] !== SPACE) return false;
  // The URI has no space, so the version stands behind the next one.
  next++;
  const uri = next;
  while (next < end && bytes[next] > SPACE && bytes[next] < 0x7f) next++;
  if (next === uri || next >= end || bytes[next] !== SPACE) return false;
  const behind = next + 1 + VERSION_BYTES;
  if (!isVersion(bytes, next + 1, end) || behind >= end) return false;
  return bytes[behind] === CARRIAGE_RETURN || bytes[behind] === LINE_FEED;
}

/** A space, three digits and a space. The caller has checked that they are there. */
function isStatus(bytes: Uint8Array, at: number): boolean {
  return (
    bytes[at] === SPACE &&
    bytes[at + 1] - ZERO >= 1 &&
    bytes[at + 1] - ZERO <= 6 &&
    isDigit(bytes[at + 2]) &&
    isDigit(bytes[at + 3]) &&
    bytes[at + 4] === SPACE
  );
}

function isVersion(bytes: Uint8Array, at: number, end: number): boolean {
  return (
    at + VERSION_BYTES <= end &&
    (readI32(bytes, at) & UPPER_CASE) === SIP_SLASH &&
    bytes[at + 4] === ZERO + 2 &&
    bytes[at + 5] === DOT &&
    bytes[at + 6] === ZERO
  );
}

const isCapital = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a;

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= ZERO + 9;
