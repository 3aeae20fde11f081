/**
 * Bit fields of an IPv6 address.
 *
 * An address is 16 bytes at `at` in some buffer; bit 0 is the most significant bit of the first
 * byte, as prefixes are counted. A field has at most 32 bits and is an unsigned number. Fields may
 * begin and end anywhere: EA bits start right after a rule prefix of any length (RFC 7597 section
 * 5.2).
 */
export const IPV6_BYTES = 16;
export const IPV6_BITS = 128;

/** Reads `count` (0 … 32) bits from bit `from`. */
export function readBits(bytes: Uint8Array, at: number, from: number, count: number): number {
  let value = 0;
  for (let bit = from; bit < from + count; bit++) {
    value = ((value << 1) | ((bytes[at + (bit >>> 3)] >>> (7 - (bit & 7))) & 1)) >>> 0;
  }
  return value;
}

/** Writes the low `count` (0 … 32) bits of `value` at bit `from`; other bits stay as they are. */
export function writeBits(
  bytes: Uint8Array,
  at: number,
  from: number,
  count: number,
  value: number,
): void {
  for (let n = 0; n < count; n++) {
    const bit = from + n;
    const mask = 0x80 >>> (bit & 7);
    const place = at + (bit >>> 3);
    if ((value >>> (count - 1 - n)) & 1) bytes[place] |= mask;
    else bytes[place] &= ~mask;
  }
}

/**
 * Copies the first `length` bits of the prefix and leaves the other bits of the target as they are.
 */
export function copyPrefix(
  target: Uint8Array,
  targetAt: number,
  prefix: Uint8Array,
  length: number,
): void {
  const whole = length >>> 3;
  for (let n = 0; n < whole; n++) target[targetAt + n] = prefix[n];
  const rest = length & 7;
  if (rest === 0) return;
  const mask = (0xff00 >>> rest) & 0xff;
  target[targetAt + whole] = (prefix[whole] & mask) | (target[targetAt + whole] & ~mask);
}

/** Whether the first `length` bits of the address at `at` are those of the prefix. */
export function prefixMatches(
  bytes: Uint8Array,
  at: number,
  prefix: Uint8Array,
  length: number,
): boolean {
  const whole = length >>> 3;
  for (let n = 0; n < whole; n++) if (bytes[at + n] !== prefix[n]) return false;
  const rest = length & 7;
  return rest === 0 || (bytes[at + whole] ^ prefix[whole]) >>> (8 - rest) === 0;
}

/** The mask of an IPv4 prefix as int32. */
export const ipv4Mask = (length: number): number => (length === 0 ? 0 : -1 << (32 - length));
