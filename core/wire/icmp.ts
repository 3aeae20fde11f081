/**
 * ICMP (RFC 792) as far as a NAT meets it: echo (RFC 5508 REQ-1), and the errors that quote the packet which caused them.
 *
 *   echo:    |     Type      |     Code      |           Checksum            |   0
 *            |          Identifier           |        Sequence Number        |   4
 *   error:   |     Type      |     Code      |           Checksum            |   0
 *            |    unused     | length (4884) |  next-hop MTU (type 3 code 4) |   4
 *            |  IP header and at least 8 bytes of the packet in question     |   8
 */
export const ICMP_TYPE = 0;
export const ICMP_CODE = 1;
export const ICMP_CHECKSUM = 2;
export const ICMP_ID = 4;
export const ICMP_NEXT_HOP_MTU = 6;
export const ICMP_HEADER_BYTES = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_ECHO_REQUEST = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;

/** Codes of type 3. */
export const UNREACHABLE_HOST = 1;
export const UNREACHABLE_PROTOCOL = 2;
export const UNREACHABLE_FRAGMENTATION_NEEDED = 4;
export const UNREACHABLE_PROHIBITED = 13;

/** The errors that are translated (RFC 5508 REQ-9 and REQ-10; source quench and redirect are not). */
export const isTranslatedError = (type: number): boolean =>
  type === ICMP_UNREACHABLE || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETER_PROBLEM;

/** Everything that is an error in RFC 1122's sense: never answered with another error. */
export const isIcmpError = (type: number): boolean =>
  isTranslatedError(type) || type === 4 || type === 5;
