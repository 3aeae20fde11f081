/**
 * Other CEs: where a packet for one goes, and whether a packet from one is honest (RFC 7597
 * sections 5.3, 5.4 and 8.1).
 *
 *   192.0.2.18:1232 ──FMR 192.0.2.0/24──▶ EA bits = suffix 18 | PSID 52
 *                                       ──▶ 2001:db8:12:3400:0:c000:212:34
 *
 * A forwarding mapping rule leads from an IPv4 address and a port to the address of the CE that
 * owns them. The same arithmetic run on the source of a decapsulated packet must give the outer
 * source; else the packet is spoofed and dropped. Packets from the BR are not checked so: their
 * inner source is the Internet.
 *
 * A fragment that is not the first of its packet holds no port. Its outer source names a PSID, and
 * the rest of the address must fit to that.
 *
 * Nothing here allocates; it may run once a packet on a mesh line.
 */
import { type IidFormat, writeCeAddress } from './address.ts';
import { IPV6_BYTES, ipv4Mask, prefixMatches } from './bits.ts';
import { psidOfPrefixAt, writeEndUserPrefix } from './ce.ts';
import { portIsAssigned, psidOfPort } from './psid.ts';
import {
  assignedIpv4Length,
  eaPsidBits,
  endUserPrefixLength,
  type MapRule,
  PSID_FROM_EA,
  ruleOffsetBits,
  rulePsidBits,
} from './rule.ts';

/** How the source of a packet from another CE stands to the rule. */
export const SourceCheck = {
  Fits: 0,
  Ipv4OutsideRule: 1,
  PortUnassigned: 2,
  Ipv6OutsideRule: 3,
  AddressDiffers: 4,
} as const;
export type SourceCheckResult = (typeof SourceCheck)[keyof typeof SourceCheck];

const prefixScratch = new Uint8Array(IPV6_BYTES);
const addressScratch = new Uint8Array(IPV6_BYTES);

/** Whether an IPv4 address lies inside the rule. */
export const ruleCoversIpv4 = (rule: MapRule, ipv4: number): boolean =>
  ((rule.ipv4 ^ ipv4) & ipv4Mask(rule.ipv4Length)) === 0;

/**
 * The rule for an IPv4 address by longest match, or -1. With `forwardingOnly` a rule without the F
 * flag is passed over: it must not be used to reach a neighbour (RFC 7597 section 5.4).
 */
export function findRuleByIpv4(
  rules: readonly MapRule[],
  ipv4: number,
  forwardingOnly: boolean,
): number {
  let found = -1;
  for (let n = 0; n < rules.length; n++) {
    const rule = rules[n];
    if (forwardingOnly && !rule.forwarding) continue;
    if (!ruleCoversIpv4(rule, ipv4)) continue;
    if (found < 0 || rule.ipv4Length > rules[found].ipv4Length) found = n;
  }
  return found;
}

/**
 * Writes the address of the CE that owns `ipv4` and `port` (for ICMP the query identifier). Returns
 * false, and writes nothing of use, when nobody owns the port under this rule. The caller has
 * checked that the rule covers the address.
 */
export function writeNeighbourAddress(
  out: Uint8Array,
  at: number,
  rule: MapRule,
  ipv4: number,
  port: number,
  format: IidFormat,
): boolean {
  const psid = psidOfOwner(rule, port);
  if (psid < 0) return false;
  writeAddressOfPsid(out, at, rule, ipv4, psid, format);
  return true;
}

/** The PSID of the CE that owns `port` (0 where addresses are not shared), or -1 if nobody does. */
function psidOfOwner(rule: MapRule, port: number): number {
  // Under an explicit PSID the EA bits hold no PSID that follows from the port, so such a rule
  // names no neighbour.
  if (rule.psid !== PSID_FROM_EA && eaPsidBits(rule) > 0) return -1;
  const psidBits = rulePsidBits(rule);
  if (psidBits === 0) return 0;
  const offsetBits = ruleOffsetBits(rule);
  if (!portIsAssigned(port, offsetBits)) return -1;
  const psid = psidOfPort(port, offsetBits, psidBits);
  return rule.psid === PSID_FROM_EA || rule.psid === psid ? psid : -1;
}

function writeAddressOfPsid(
  out: Uint8Array,
  at: number,
  rule: MapRule,
  ipv4: number,
  psid: number,
  format: IidFormat,
): void {
  writeEndUserPrefix(prefixScratch, 0, rule, ipv4, psid);
  const owned = ipv4 & ipv4Mask(assignedIpv4Length(rule));
  writeCeAddress(out, at, prefixScratch, endUserPrefixLength(rule), owned, psid, format);
}

/**
 * Checks the outer source of a packet from another CE, 16 bytes at `at`, against its inner source
 * (RFC 7597 section 8.1). The whole address is compared: prefix, IPv4 address and PSID.
 */
export function checkSource(
  rule: MapRule,
  format: IidFormat,
  outer: Uint8Array,
  at: number,
  ipv4: number,
  port: number,
): SourceCheckResult {
  if (!prefixMatches(outer, at, rule.ipv6, rule.ipv6Length)) return SourceCheck.Ipv6OutsideRule;
  if (!ruleCoversIpv4(rule, ipv4)) return SourceCheck.Ipv4OutsideRule;
  if (!writeNeighbourAddress(addressScratch, 0, rule, ipv4, port, format)) {
    return SourceCheck.PortUnassigned;
  }
  return isScratch(outer, at) ? SourceCheck.Fits : SourceCheck.AddressDiffers;
}

/**
 * As `checkSource`, for a later fragment, which holds no port: the PSID is the one that the outer
 * source itself names.
 */
export function checkSourceOfLaterFragment(
  rule: MapRule,
  format: IidFormat,
  outer: Uint8Array,
  at: number,
  ipv4: number,
): SourceCheckResult {
  if (!prefixMatches(outer, at, rule.ipv6, rule.ipv6Length)) return SourceCheck.Ipv6OutsideRule;
  if (!ruleCoversIpv4(rule, ipv4)) return SourceCheck.Ipv4OutsideRule;
  if (rule.psid !== PSID_FROM_EA && eaPsidBits(rule) > 0) return SourceCheck.PortUnassigned;
  writeAddressOfPsid(addressScratch, 0, rule, ipv4, psidOfPrefixAt(rule, outer, at), format);
  return isScratch(outer, at) ? SourceCheck.Fits : SourceCheck.AddressDiffers;
}

function isScratch(outer: Uint8Array, at: number): boolean {
  for (let n = 0; n < IPV6_BYTES; n++) if (outer[at + n] !== addressScratch[n]) return false;
  return true;
}
