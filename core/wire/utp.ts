/**
 * uTP recognised by its header, on any port from 1024 on (BEP 29).
 *
 *   | type  |version| extension     | connection id                 |    0
 *   | timestamp in microseconds                                     |    4
 *   | timestamp difference                                          |    8
 *   | window in bytes                                               |   12
 *   | sequence number               | acknowledgement number        |   16
 *
 *   type     0 DATA   1 FIN   2 STATE   3 RESET   4 SYN        version is 1
 *
 * A connection begins with SYN, which acknowledges nothing, has measured nothing and brings no
 * data. A LAN host that was called begins with STATE, and one whose mapping went with anything. An
 * extension is | next (8) | length (8) | … |: 1 selective acknowledgement, 2 extension bits (old
 * clients), 3 close reason. Random bytes pass as SYN once in 2^60, as another type once in 2^20.
 */
import { readI32, readU16 } from './bytes.ts';

export const UTP_HEADER_BYTES = 20;

const PORT_MIN = 1024;
const VERSION = 1;
const TYPE_DATA = 0;
const TYPE_SYN = 4;
const EXTENSION = 1;
const DIFFERENCE = 8;
const WINDOW = 12;
const ACKNOWLEDGEMENT = 18;

const EXTENSION_KIND_MAX = 3;
const EXTENSIONS_MAX = 4;
/** No client opens a larger window. */
const WINDOW_BYTES_MAX = 1 << 24;

/** True if the `length` bytes at `at`, to `remotePort`, are a uTP packet. */
export function isUtp(bytes: Uint8Array, at: number, length: number, remotePort: number): boolean {
  if (length < UTP_HEADER_BYTES || remotePort < PORT_MIN) return false;
  const type = bytes[at] >> 4;
  if ((bytes[at] & 15) !== VERSION || type > TYPE_SYN) return false;
  const window = readI32(bytes, at + WINDOW);
  if (window < 0 || window > WINDOW_BYTES_MAX) return false;
  const end = at + length;
  const payload = behindExtensions(bytes, at, end);
  if (payload < 0) return false;
  if (type === TYPE_DATA) return payload < end;
  if (payload !== end) return false;
  return (
    type !== TYPE_SYN ||
    (readI32(bytes, at + DIFFERENCE) === 0 && readU16(bytes, at + ACKNOWLEDGEMENT) === 0)
  );
}

/** Where the payload begins, or -1 if the extensions are none that we know or do not fit. */
function behindExtensions(bytes: Uint8Array, at: number, end: number): number {
  let kind = bytes[at + EXTENSION];
  let next = at + UTP_HEADER_BYTES;
  for (let count = 0; kind !== 0; count++) {
    if (kind > EXTENSION_KIND_MAX || count === EXTENSIONS_MAX || next + 2 > end) return -1;
    kind = bytes[next];
    next += 2 + bytes[next + 1];
  }
  return next <= end ? next : -1;
}
