/**
 * UDP header (RFC 768).
 *
 *   |          Source Port          |       Destination Port        |   0
 *   |            Length             |           Checksum            |   4
 */
export const UDP_SOURCE_PORT = 0;
export const UDP_DESTINATION_PORT = 2;
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;
export const UDP_HEADER_BYTES = 8;
