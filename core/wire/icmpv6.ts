/**
 * ICMPv6 errors (RFC 4443): type, code, checksum, a 32-bit parameter (the MTU of Packet Too Big), then the packet in question.
 */
import { readU16 } from './bytes.ts';
import { sumBytes } from './checksum.ts';
import { IPV6_ADDRESS_BYTES, IPV6_DESTINATION, IPV6_SOURCE, NEXT_HEADER_ICMPV6 } from './ipv6.ts';

export const ICMPV6_TYPE = 0;
export const ICMPV6_CODE = 1;
export const ICMPV6_CHECKSUM = 2;
export const ICMPV6_MTU = 4;
export const ICMPV6_HEADER_BYTES = 8;

export const ICMPV6_UNREACHABLE = 1;
export const ICMPV6_PACKET_TOO_BIG = 2;
export const ICMPV6_TIME_EXCEEDED = 3;
export const ICMPV6_PARAMETER_PROBLEM = 4;
/** Types below this are errors. */
export const ICMPV6_INFORMATIONAL_MIN = 128;

/** True if the ICMPv6 checksum over pseudo header and message is right (RFC 4443 section 2.3). @param at the IPv6 header in front of it */
export function isIcmpv6Sound(bytes: Uint8Array, at: number, icmpv6: number, end: number): boolean {
  const length = end - icmpv6;
  let sum = length + NEXT_HEADER_ICMPV6;
  for (let i = 0; i < IPV6_ADDRESS_BYTES * 2; i += 2) sum += readU16(bytes, at + IPV6_SOURCE + i);
  return sumBytes(bytes, icmpv6, length, sum) === 0xffff;
}

if (IPV6_DESTINATION !== IPV6_SOURCE + IPV6_ADDRESS_BYTES) throw new Error('addresses adjoin');
