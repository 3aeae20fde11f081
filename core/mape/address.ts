/**
 * The IPv6 address of a CE, in both interface-identifier formats.
 *
 *   RFC 7597 section 6                            draft-ietf-softwire-map-03 (Japanese services)
 *   |  prefix 64  | 0000 | IPv4 32 | PSID 16 |    |  prefix 64  | 00 | IPv4 32 | PSID 16 | 00 |
 *   bytes 0–7       8–9    10–13     14–15        bytes 0–7       8    9–12      13–14     15
 *
 * The PSID is right-justified and filled with zeros on the left. Where the CE owns an IPv4 prefix,
 * the bits after that prefix are zero; without a PSID its field is zero. A prefix longer than 64
 * bits overwrites the identifier from the left (RFC 7597 section 6). The bits between prefix and
 * identifier are zero: MAP lives in the first subnet (section 5.2).
 */
import { copyPrefix, IPV6_BYTES } from './bits.ts';

export const IID_RFC7597 = 0;
export const IID_DRAFT03 = 1;
export type IidFormat = typeof IID_RFC7597 | typeof IID_DRAFT03;

const IPV4_AT = [10, 9] as const;
const PSID_AT = [14, 13] as const;

/**
 * Writes a CE address at `at`.
 * @param prefix its first `prefixLength` bits are taken; @param psid 0 where there is none
 */
export function writeCeAddress(
  out: Uint8Array,
  at: number,
  prefix: Uint8Array,
  prefixLength: number,
  ipv4: number,
  psid: number,
  format: IidFormat,
): void {
  for (let n = 0; n < IPV6_BYTES; n++) out[at + n] = 0;
  const ipv4At = at + IPV4_AT[format];
  out[ipv4At] = ipv4 >>> 24;
  out[ipv4At + 1] = ipv4 >>> 16;
  out[ipv4At + 2] = ipv4 >>> 8;
  out[ipv4At + 3] = ipv4;
  out[at + PSID_AT[format]] = psid >>> 8;
  out[at + PSID_AT[format] + 1] = psid;
  copyPrefix(out, at, prefix, prefixLength);
}
