/**
 * Addresses between text and numbers, at the edge only: configuration, command line, rules.
 *
 * IPv4 is an int32 and IPv6 is 16 bytes inside; text is RFC 5952 on the way out. Parsing goes
 * through ip-address, with stricter doors in front: no leading zeros (010 is 8 to some programs),
 * no zone, no trailing rubbish. Every parser answers undefined instead of throwing, since the
 * caller knows file and line.
 */
import { Address4, Address6 } from 'ip-address';

export interface Ipv6Prefix {
  bytes: Uint8Array;
  length: number;
}

export interface Ipv4Prefix {
  address: number;
  length: number;
}

/** "192.0.2.18" as int32. */
export function parseIpv4(text: string): number | undefined {
  if (!/^(?:0|[1-9]\d{0,2})(?:\.(?:0|[1-9]\d{0,2})){3}$/.test(text)) return undefined;
  if (!Address4.isValid(text)) return undefined;
  return Number(new Address4(text).bigInt()) | 0;
}

export const formatIpv4 = (a: number): string =>
  `${a >>> 24}.${(a >>> 16) & 255}.${(a >>> 8) & 255}.${a & 255}`;

/** "2001:db8::1" as 16 bytes. */
export function parseIpv6(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f:.]+$/i.test(text) || !text.includes(':')) return undefined;
  if (!Address6.isValid(text)) return undefined;
  let value = new Address6(text).bigInt();
  const bytes = new Uint8Array(16);
  for (let n = 15; n >= 0; n--) {
    bytes[n] = Number(value & 255n);
    value >>= 8n;
  }
  return bytes;
}

/** RFC 5952: lower case, longest run of zeros as "::", never for a single group. */
export function formatIpv6(bytes: Uint8Array): string {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return Address6.fromBigInt(value).correctForm();
}

/** "2001:db8::/40"; a bare address is a /128. Bits after the length are kept. */
export function parseIpv6Prefix(text: string): Ipv6Prefix | undefined {
  const [address, length] = splitPrefix(text, 128);
  const bytes = parseIpv6(address);
  return bytes === undefined || length === undefined ? undefined : { bytes, length };
}

/** "192.0.2.0/24"; a bare address is a /32. Bits after the length are kept. */
export function parseIpv4Prefix(text: string): Ipv4Prefix | undefined {
  const [text4, length] = splitPrefix(text, 32);
  const address = parseIpv4(text4);
  return address === undefined || length === undefined ? undefined : { address, length };
}

export const formatIpv6Prefix = (bytes: Uint8Array, length: number): string =>
  `${formatIpv6(bytes)}/${length}`;

export const formatIpv4Prefix = (address: number, length: number): string =>
  `${formatIpv4(address)}/${length}`;

/** Address part and length; the length is undefined when it is written wrongly or too large. */
function splitPrefix(text: string, bits: number): [string, number | undefined] {
  const slash = text.indexOf('/');
  if (slash < 0) return [text, bits];
  const digits = text.slice(slash + 1);
  const length = /^(?:0|[1-9]\d{0,2})$/.test(digits) ? Number(digits) : Number.NaN;
  return [text.slice(0, slash), length <= bits ? length : undefined];
}
