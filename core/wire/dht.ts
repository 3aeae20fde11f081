/**
 * The Mainline DHT recognised by how its messages begin, whatever the port (BEP 5, BEP 42).
 *
 *   query     d1:ad2:id20:…         a dictionary; its first key, "a", holds another one
 *             d1:ad2:bsi1e2:id20:…  which need not begin with "id" (libtorrent, BEP 44)
 *   answer    d1:rd2:id20:…         the same with "r"
 *             d2:ip6:…1:rd2:id20:…  with the asker's own endpoint in front (18 bytes for IPv6)
 *   error     d1:eli…               "e" is a list: a number and a text; also behind "ip"
 *
 * Bencoded keys are sorted, so that every message begins like this. Random bytes pass once in 2^47
 * or less often.
 */
import { readI32, readU16 } from './bytes.ts';

const DICTIONARY_ONE = 0x64313a00; // "d1:"
const DICTIONARY_IP = 0x64323a69; // "d2:i", of "d2:ip"
const THREE_BYTES = 0xffffff00 | 0;
const ONE_COLON = 0x313a; // "1:"
const LIST_OF_NUMBER = 0x6c69; // "li"
const SIX_COLON = 0x363a; // "6:"
const EIGHTEEN = 0x3138; // "18", of "18:"

const COLON = 0x3a;
const LETTER_A = 0x61;
const LETTER_D = 0x64;
const LETTER_E = 0x65;
const LETTER_P = 0x70;
const LETTER_R = 0x72;

/** An id of 20 bytes and what must stand around it; an error has none. */
const MESSAGE_BYTES_MIN = 32;
const ERROR_BYTES_MIN = 12;
/** "d2:ip6:" and "d2:ip18:", each with the endpoint behind it. */
const IPV4_BEHIND = 7 + 6;
const IPV6_BEHIND = 8 + 18;

/** True if the `length` bytes at `at` begin like a message of the DHT. */
export function isDht(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < ERROR_BYTES_MIN) return false;
  const lead = readI32(bytes, at);
  const end = at + length;
  if ((lead & THREE_BYTES) === DICTIONARY_ONE) return isBody(bytes, at + 1, end);
  if (lead !== DICTIONARY_IP || bytes[at + 4] !== LETTER_P) return false;
  if (readU16(bytes, at + 5) === SIX_COLON) return isBody(bytes, at + IPV4_BEHIND, end);
  const isLong = readU16(bytes, at + 5) === EIGHTEEN && bytes[at + 7] === COLON;
  return isLong && isBody(bytes, at + IPV6_BEHIND, end);
}

/** The key "a", "r" or "e" with the beginning of its value. @param at the key's length */
function isBody(bytes: Uint8Array, at: number, end: number): boolean {
  if (at + ERROR_BYTES_MIN - 1 > end || readU16(bytes, at) !== ONE_COLON) return false;
  const key = bytes[at + 2];
  if (key === LETTER_E) return readU16(bytes, at + 3) === LIST_OF_NUMBER;
  if (key !== LETTER_A && key !== LETTER_R) return false;
  // A dictionary, whose first key is a text of one to nine letters.
  const keyLength = bytes[at + 4] - 0x30;
  return (
    at + MESSAGE_BYTES_MIN - 1 <= end &&
    bytes[at + 3] === LETTER_D &&
    keyLength >= 1 &&
    keyLength <= 9 &&
    bytes[at + 5] === COLON
  );
}
