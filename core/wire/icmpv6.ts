/**
 * ICMPv6 errors (RFC 4443): type, code, checksum, a 32-bit parameter (the MTU of Packet Too Big), then the packet in question.
 */
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
