/**
 * IPv4 header (RFC 791).
 *
 *    0                   1                   2                   3
 *   |Version|  IHL  |Type of Service|          Total Length         |   0
 *   |         Identification        |Flags|      Fragment Offset    |   4
 *   |  Time to Live |    Protocol   |         Header Checksum       |   8
 *   |                       Source Address                          |  12
 *   |                    Destination Address                        |  16
 */
import { readU16, writeU16 } from './bytes.ts';
import { adjustAt, fold, sumBytes, wordDelta } from './checksum.ts';

export const IPV4_TOS = 1;
export const IPV4_TOTAL_LENGTH = 2;
export const IPV4_ID = 4;
export const IPV4_FRAGMENT = 6;
export const IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9;
export const IPV4_CHECKSUM = 10;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;
export const IPV4_HEADER_BYTES = 20;

export const IPV4_FLAG_DF = 0x4000;
/** More Fragments and the fragment offset: zero in an unfragmented packet. */
export const IPV4_FRAGMENT_BITS = 0x3fff;
export const IPV4_OFFSET_BITS = 0x1fff;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** Header bytes by IHL. */
export const ipv4HeaderBytes = (bytes: Uint8Array, at: number): number => (bytes[at] & 15) << 2;

/** Changes the TTL and adjusts the header checksum. */
export function setTtl(bytes: Uint8Array, at: number, ttl: number): void {
  const before = readU16(bytes, at + IPV4_TTL);
  bytes[at + IPV4_TTL] = ttl;
  adjustAt(bytes, at + IPV4_CHECKSUM, fold(wordDelta(before, readU16(bytes, at + IPV4_TTL))));
}

/** Computes the header checksum anew. */
export function finishIpv4Header(bytes: Uint8Array, at: number): void {
  writeU16(bytes, at + IPV4_CHECKSUM, 0);
  const sum = sumBytes(bytes, at, ipv4HeaderBytes(bytes, at));
  writeU16(bytes, at + IPV4_CHECKSUM, ~sum & 0xffff);
}

/** True if the header's checksum is right. */
export const ipv4HeaderIsSound = (bytes: Uint8Array, at: number): boolean =>
  sumBytes(bytes, at, ipv4HeaderBytes(bytes, at)) === 0xffff;

/** True for an address in 224.0.0.0/4, the multicast block. */
export const isMulticast = (address: number): boolean => (address & 0xf0000000) >> 28 === -2;

/** True for destinations that no session may have: this network, loopback, multicast, reserved and limited broadcast. */
export function isUnroutable(address: number): boolean {
  const first = address >>> 24;
  return first === 0 || first === 127 || first >= 224;
}

export const formatIpv4 = (address: number): string =>
  `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;

/** Parses dotted decimal; throws on anything else. For configuration and tests. */
export function parseIpv4(text: string): number {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (!match || match.slice(1).some((part) => Number(part) > 255))
    throw new RangeError(`"${text}" is not an IPv4 address`);
  return match.slice(1).reduce((address, part) => (address << 8) | Number(part), 0);
}
