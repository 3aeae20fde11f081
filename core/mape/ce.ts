/**
 * From an end-user IPv6 prefix to what the CE may use: the basic mapping rule applied (RFC 7597
 * section 5.2).
 *
 *   end-user prefix  240b:0010 : 1234 : 56 00::    rule 240b:10::/32, 106.72.0.0/16, EA 24, offset 4
 *                    |<- /32 ->|  |     |
 *                            suffix    PSID          → 106.72.18.52, PSID 86
 *
 * The BMR is the rule whose IPv6 prefix is the longest match. What people hold is often longer than
 * the end-user prefix (the /64 of a LAN, an address); bits after rule prefix + EA are subnet bits,
 * and MAP lives in subnet zero, so they are cleared. A prefix that is shorter than rule prefix + EA
 * cannot be used: its EA bits would not be there.
 */
import { type IidFormat, writeCeAddress } from './address.ts';
import { copyPrefix, IPV6_BYTES, ipv4Mask, prefixMatches, readBits, writeBits } from './bits.ts';
import {
  assignedIpv4Length,
  eaPsidBits,
  endUserPrefixLength,
  type MapRule,
  PSID_FROM_EA,
  ruleOffsetBits,
  rulePsidBits,
  suffixBits,
} from './rule.ts';

/** What a CE owns under a rule. */
export interface CeLine {
  /** Place of the BMR in the list. */
  ruleIndex: number;
  /** The end-user prefix in 16 bytes, all later bits zero. */
  endUserPrefix: Uint8Array;
  endUserPrefixLength: number;
  /** int32: the address, or the first one of the prefix. */
  ipv4: number;
  /** 32 for an address, less for a prefix. */
  ipv4Length: number;
  /** 0 when the address is not shared. */
  psidBits: number;
  psid: number;
  offsetBits: number;
  ceAddress: Uint8Array;
}

export type CeProblem = 'NoRule' | 'PrefixTooShort' | 'PortSetEmpty';

/**
 * The BMR: index of the rule with the longest IPv6 prefix that covers the given prefix; -1 if none
 * does.
 */
export function findBasicRule(
  rules: readonly MapRule[],
  prefix: Uint8Array,
  prefixLength: number,
): number {
  let found = -1;
  for (let n = 0; n < rules.length; n++) {
    const rule = rules[n];
    if (rule.ipv6Length > prefixLength) continue;
    if (!prefixMatches(prefix, 0, rule.ipv6, rule.ipv6Length)) continue;
    if (found < 0 || rule.ipv6Length > rules[found].ipv6Length) found = n;
  }
  return found;
}

/** Applies the BMR of `rules` to a prefix. The rules have passed `ruleProblem`. */
export function deriveCe(
  rules: readonly MapRule[],
  prefix: Uint8Array,
  prefixLength: number,
  format: IidFormat,
): CeLine | CeProblem {
  const ruleIndex = findBasicRule(rules, prefix, prefixLength);
  if (ruleIndex < 0) return 'NoRule';
  const rule = rules[ruleIndex];
  const length = endUserPrefixLength(rule);
  if (prefixLength < length) return 'PrefixTooShort';

  const ipv4Length = assignedIpv4Length(rule);
  const ipv4 = ipv4OfPrefix(rule, prefix);
  const psidBits = rulePsidBits(rule);
  const offsetBits = ruleOffsetBits(rule);
  const psid = psidOfPrefix(rule, prefix);
  // Sixteen PSID bits leave one port each, and that of PSID 0 is port 0.
  if (psidBits === 16 && psid === 0) return 'PortSetEmpty';

  const endUserPrefix = new Uint8Array(IPV6_BYTES);
  copyPrefix(endUserPrefix, 0, prefix, length);
  const ceAddress = new Uint8Array(IPV6_BYTES);
  writeCeAddress(ceAddress, 0, endUserPrefix, length, ipv4, psid, format);
  return {
    ruleIndex,
    endUserPrefix,
    endUserPrefixLength: length,
    ipv4,
    ipv4Length,
    psidBits,
    psid,
    offsetBits,
    ceAddress,
  };
}

/** The IPv4 address, or first address of the prefix, that the EA bits of `prefix` give. */
export function ipv4OfPrefix(rule: MapRule, prefix: Uint8Array): number {
  const bits = Math.min(rule.eaLength, suffixBits(rule));
  const suffix = readBits(prefix, 0, rule.ipv6Length, bits);
  const network = rule.ipv4 & ipv4Mask(rule.ipv4Length);
  const shift = 32 - rule.ipv4Length - bits;
  return bits === 0 ? network : network | (suffix << shift);
}

/**
 * The PSID in force for `prefix`: the explicit one, that of the EA bits, or 0 where there is none.
 */
export const psidOfPrefix = (rule: MapRule, prefix: Uint8Array): number =>
  psidOfPrefixAt(rule, prefix, 0);

/** The same for an address, or a prefix, that stands at `at`. */
export function psidOfPrefixAt(rule: MapRule, bytes: Uint8Array, at: number): number {
  if (rule.psid !== PSID_FROM_EA) return rule.psid;
  return readBits(bytes, at, rule.ipv6Length + suffixBits(rule), eaPsidBits(rule));
}

/**
 * Writes the end-user prefix of the CE that owns `ipv4` and `eaPsid` under `rule` (16 bytes, later
 * bits zero): the reverse of the two functions above. `eaPsid` is the PSID field of the EA bits.
 */
export function writeEndUserPrefix(
  out: Uint8Array,
  at: number,
  rule: MapRule,
  ipv4: number,
  eaPsid: number,
): void {
  for (let n = 0; n < IPV6_BYTES; n++) out[at + n] = 0;
  copyPrefix(out, at, rule.ipv6, rule.ipv6Length);
  const bits = Math.min(rule.eaLength, suffixBits(rule));
  const suffix = bits === 0 ? 0 : (ipv4 << rule.ipv4Length) >>> (32 - bits);
  writeBits(out, at, rule.ipv6Length, bits, suffix);
  writeBits(out, at, rule.ipv6Length + bits, eaPsidBits(rule), eaPsid);
}
