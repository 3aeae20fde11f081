/**
 * DNS recognised by its bytes (RFC 1035 section 4.1, RFC 6895 section 2).
 *
 *   |                    id                     |    0
 *   |QR| opcode |AA|TC|RD|RA| Z|AD|CD|  rcode   |    2
 *   | questions | answers | authority | others  |    4
 *   | name: | length | label … | … 0 | type | class |    12
 *
 *   any port    a query as a resolver's client sends it: QR and opcode 0, one question, nothing in
 *               answers and authority, a whole name of known class and, where no other records are
 *               announced, nothing behind it
 *   port 53     any query with one question and opcode 0, so that odd ones are recognised as well
 *   from 53     an answer: a name server in the LAN, whose sessions begin with it
 *
 * A session of this class ends with its answers, so other traffic must not be taken for it: random
 * bytes pass once in 2^60, on port 53 once in 2^21.
 */
import { readU16 } from './bytes.ts';

export const DNS_HEADER_BYTES = 12;
export const DNS_PORT = 53;

const FLAGS = 2;
const QUESTIONS = 4;
const ANSWERS = 6;
const AUTHORITY = 8;
const OTHERS = 10;

const QR = 0x8000;
const OPCODE = 0x7800;
/** AA, RA, the bit that must be zero, and the code of an answer: none of these in a plain query. */
const NOT_IN_QUERY = QR | OPCODE | 0x0400 | 0x0080 | 0x0040 | 0x000f;
/** OPT and TSIG. */
const OTHERS_MAX = 2;
/** The root's name (one zero byte), type and class. */
const QUESTION_BYTES_MIN = 5;
const TYPE_AND_CLASS_BYTES = 4;
const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;
const CLASS_IN = 1;
const CLASS_CHAOS = 3;

/** True if the `length` bytes at `at` are DNS between these two ports. */
export function isDns(
  bytes: Uint8Array,
  at: number,
  length: number,
  remotePort: number,
  internalPort: number,
): boolean {
  if (length < DNS_HEADER_BYTES + QUESTION_BYTES_MIN) return false;
  if (readU16(bytes, at + QUESTIONS) !== 1) return false;
  const flags = readU16(bytes, at + FLAGS);
  if (remotePort === DNS_PORT && (flags & (QR | OPCODE)) === 0) return true;
  if (internalPort === DNS_PORT && (flags & (QR | OPCODE)) === QR) return true;
  return (
    (flags & NOT_IN_QUERY) === 0 &&
    readU16(bytes, at + ANSWERS) === 0 &&
    readU16(bytes, at + AUTHORITY) === 0 &&
    readU16(bytes, at + OTHERS) <= OTHERS_MAX &&
    isQuestion(bytes, at + DNS_HEADER_BYTES, at + length, readU16(bytes, at + OTHERS) === 0)
  );
}

/** One name, type and class. @param alone nothing may stand behind it */
function isQuestion(bytes: Uint8Array, at: number, end: number, alone: boolean): boolean {
  const nameEnd = Math.min(end, at + NAME_BYTES_MAX);
  let next = at;
  while (next < nameEnd && bytes[next] !== 0) {
    // Longer "lengths" are pointers, and the first name has nothing to point to.
    if (bytes[next] > LABEL_BYTES_MAX) return false;
    next += 1 + bytes[next];
  }
  const behind = next + 1 + TYPE_AND_CLASS_BYTES;
  if (next >= nameEnd || behind > end || (alone && behind !== end)) return false;
  const dnsClass = readU16(bytes, behind - 2);
  return dnsClass === CLASS_IN || dnsClass === CLASS_CHAOS;
}
