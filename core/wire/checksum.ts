/**
 * The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 *   HC' = ~(~HC + ~m + m')                 RFC 1624 equation 3; equation 2 is wrong for some values and is not used
 *
 * A *delta* is the folded 16-bit value of ~m + m' over all words that change. It is kept in the session, so that a packet costs one
 * addition whatever it carries. In the other direction the change is undone by the delta's complement.
 *
 *   complete checksum:  HC' = ~fold(~HC + delta)
 *   partial checksum:   P'  =  fold(P + delta)       P is the folded, not complemented pseudo-header sum (virtio NEEDS_CSUM):
 *                                                    it covers addresses, not ports, so it takes the address delta only
 */
import { readU16, writeU16 } from './bytes.ts';

/** Folds a sum below 2^32 to 16 bits. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return ((once & 0xffff) + (once >>> 16)) & 0xffff;
}

/** Sum of ~old + new for a 16-bit word; not folded. Deltas of several words are added and folded once. */
export const wordDelta = (before: number, after: number): number => (~before & 0xffff) + after;

/** Sum of ~old + new for a 32-bit word (an address); not folded. */
export const addressDelta = (before: number, after: number): number =>
  (~(before >>> 16) & 0xffff) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff);

/** The delta that undoes `delta`. */
export const inverse = (delta: number): number => ~delta & 0xffff;

/** A complete checksum after a change by `delta` (folded). */
export const adjust = (checksum: number, delta: number): number =>
  ~fold((~checksum & 0xffff) + delta) & 0xffff;

/** Adjusts the complete checksum at `at` in place. */
export function adjustAt(bytes: Uint8Array, at: number, delta: number): void {
  writeU16(bytes, at, adjust(readU16(bytes, at), delta));
}

/** Adjusts a UDP checksum: zero means "none" and stays; a computed zero is sent as 0xffff (RFC 768). */
export function adjustUdpAt(bytes: Uint8Array, at: number, delta: number): void {
  const before = readU16(bytes, at);
  if (before === 0) return;
  const after = adjust(before, delta);
  writeU16(bytes, at, after === 0 ? 0xffff : after);
}

/**
 * Adjusts an ICMP checksum. An echo reply may be zeros throughout, and the checksum of that is 0xffff, which equation 3 never gives; of
 * everything else 0xffff and zero are both right.
 */
export function adjustIcmpAt(bytes: Uint8Array, at: number, delta: number): void {
  const after = adjust(readU16(bytes, at), delta);
  writeU16(bytes, at, after === 0 ? 0xffff : after);
}

/**
 * Replaces the 16-bit word at `at` and adjusts the complete checksum at `checksumAt`, which covers bytes from `start` on.
 * A word at an odd distance from `start` counts with its bytes swapped.
 */
export function replaceWord(
  bytes: Uint8Array,
  at: number,
  value: number,
  checksumAt: number,
  start: number,
): void {
  const before = readU16(bytes, at);
  const delta = fold(wordDelta(before, value));
  adjustAt(bytes, checksumAt, (at - start) & 1 ? ((delta << 8) | (delta >>> 8)) & 0xffff : delta);
  writeU16(bytes, at, value);
}

/**
 * Folded sum of `length` bytes, not complemented. For headers and quoted packets only: payloads are never summed here.
 * @param initial a sum to go on from; @param length at most 65,535
 */
export function sumBytes(bytes: Uint8Array, at: number, length: number, initial = 0): number {
  let sum = initial;
  const even = at + (length & ~1);
  for (let i = at; i < even; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
  if (length & 1) sum += bytes[even] << 8;
  return fold(sum);
}
