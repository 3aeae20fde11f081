/**
 * What an ICMPv6 error about a tunnel packet says, to whoever sent the IPv4 packet in it. Gateway and relay read it alike.
 *
 *   | IPv6 40 | ICMPv6 8 | IPv6 40 | IPv4 …
 *             ^ icmpv6   ^ outer   ^ quote
 *
 * RFC 2473 section 8.3 (RFC 7597 section 8.2): Packet Too Big becomes 3/4 with the MTU less 40 if the packet had DF (below 1280 it is
 * ignored, RFC 8201); hop limit, unreachable and parameter problem become 3/1. Who is told, and under which name it is dropped when nobody
 * is, the caller decides.
 */
import { readI32, readU16 } from '../wire/bytes.ts';
import { UNREACHABLE_FRAGMENTATION_NEEDED, UNREACHABLE_HOST } from '../wire/icmp.ts';
import {
  ICMPV6_MTU,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TYPE,
  ICMPV6_UNREACHABLE,
} from '../wire/icmpv6.ts';
import { IPV4_FLAG_DF, IPV4_FRAGMENT } from '../wire/ipv4.ts';
import {
  IPV6_HEADER_BYTES,
  IPV6_MTU_MIN,
  IPV6_NEXT_HEADER,
  IPV6_SOURCE,
  ipv6AddressIs,
  NEXT_HEADER_IPV4,
} from '../wire/ipv6.ts';

/** A Packet Too Big that nobody is told of. */
export const SIZE_NOT_TOLD = -1;
/** An error of a type that has no counterpart. */
export const TYPE_NOT_TOLD = -2;

/** True if the quoted header at `outer`, which is whole, is that of IPv4 in IPv6 from us. @param source our address */
export function isTunnelHeader(bytes: Uint8Array, outer: number, source: Uint8Array): boolean {
  return (
    bytes[outer] >>> 4 === 6 &&
    bytes[outer + IPV6_NEXT_HEADER] === NEXT_HEADER_IPV4 &&
    ipv6AddressIs(bytes, outer + IPV6_SOURCE, source)
  );
}

/** Code and MTU of the ICMP unreachable that tells of the error, as code << 16 | MTU; else SIZE_NOT_TOLD or TYPE_NOT_TOLD. */
export function errorToTell(bytes: Uint8Array, icmpv6: number, quote: number): number {
  const type = bytes[icmpv6 + ICMPV6_TYPE];
  if (type === ICMPV6_PACKET_TOO_BIG) {
    const mtu = readI32(bytes, icmpv6 + ICMPV6_MTU);
    const hasDf = (readU16(bytes, quote + IPV4_FRAGMENT) & IPV4_FLAG_DF) !== 0;
    if (mtu < IPV6_MTU_MIN || mtu > 0xffff || !hasDf) return SIZE_NOT_TOLD;
    return (UNREACHABLE_FRAGMENTATION_NEEDED << 16) | (mtu - IPV6_HEADER_BYTES);
  }
  const isTold = type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
  return isTold ? UNREACHABLE_HOST << 16 : TYPE_NOT_TOLD;
}
