/**
 * IPv6 header (RFC 8200).
 *
 *   |Version| Traffic Class |           Flow Label                  |   0
 *   |         Payload Length        |  Next Header  |   Hop Limit   |   4
 *   |                        Source Address (16)                    |   8
 *   |                     Destination Address (16)                  |  24
 *
 * Fragment header (RFC 8200 section 4.5):
 *   |  Next Header  |   Reserved    |      Fragment Offset    |Res|M|   0
 *   |                         Identification                        |   4
 */
export const IPV6_PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
export const IPV6_HOP_LIMIT = 7;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;
export const IPV6_HEADER_BYTES = 40;
export const IPV6_ADDRESS_BYTES = 16;

/** Every link carries at least this (RFC 8200 section 5). */
export const IPV6_MTU_MIN = 1280;

export const NEXT_HEADER_IPV4 = 4;
export const NEXT_HEADER_HOP_BY_HOP = 0;
export const NEXT_HEADER_FRAGMENT = 44;
export const NEXT_HEADER_ICMPV6 = 58;

export const FRAGMENT_OFFSET = 2;
export const FRAGMENT_ID = 4;
export const FRAGMENT_HEADER_BYTES = 8;
/** The offset stands in units of 8 bytes above three other bits, so that these bits are the offset in bytes. */
export const FRAGMENT_OFFSET_BITS = 0xfff8;
export const FRAGMENT_MORE = 1;

/** The two bits for congestion in the traffic class. */
export const ipv6Ecn = (bytes: Uint8Array, at: number): number => (bytes[at + 1] >>> 4) & 3;

/** True if the 16 bytes at `at` are `address`. */
export function ipv6AddressIs(bytes: Uint8Array, at: number, address: Uint8Array): boolean {
  for (let i = 0; i < IPV6_ADDRESS_BYTES; i++) if (bytes[at + i] !== address[i]) return false;
  return true;
}
