/**
 * A mapping rule and whether it can be one (RFC 7597 sections 5.1 and 5.2).
 *
 *   |        n bits          |  o bits  |  s bits   |   128-n-o-s bits
 *   +------------------------+----------+-----------+------------------+
 *   |   rule IPv6 prefix     |  EA bits | subnet ID |  interface ID    |
 *   +------------------------+----------+-----------+------------------+
 *   |<--- end-user IPv6 prefix ------->|
 *
 *   EA bits = | IPv4 suffix: p bits | PSID: q bits |
 *
 * RFC letter → name here:  n → ipv6Length, r → ipv4Length, o → eaLength, p → suffixBits, q = k →
 * psidBits.
 *
 *   o < 32 - r   the CE owns an IPv4 prefix of r + o bits; no PSID
 *   o = 32 - r   the CE owns one address; no PSID, or one given from outside (explicit)
 *   o > 32 - r   the CE shares an address; q = o - (32 - r), unless an explicit
 *                PSID takes its place (RFC 7598 section 4.5)
 *
 * An explicit PSID is a PSID that came beside the rule (DHCPv6 port parameters, configuration), not
 * out of the EA bits.
 */
import { IPV6_BITS } from './bits.ts';
import { OFFSET_BITS_MAX, PORT_BITS } from './psid.ts';

/** The EA bits hold at most an IPv4 address and a PSID (RFC 7598 section 4.1). */
export const EA_LENGTH_MAX = 48;
/** `psid` of a rule whose PSID is read from the EA bits. */
export const PSID_FROM_EA = -1;

export interface MapRule {
  /** 16 bytes; the bits after ipv6Length are not looked at. */
  ipv6: Uint8Array;
  ipv6Length: number;
  /** int32; the bits after ipv4Length are not looked at. */
  ipv4: number;
  ipv4Length: number;
  eaLength: number;
  offsetBits: number;
  /** Length of the PSID where it is stated; undefined: what the EA bits leave. */
  psidBits?: number;
  /** The explicit PSID, or PSID_FROM_EA. */
  psid: number;
  /** The rule may be used to send straight to other CEs (an FMR, the F flag of RFC 7598). */
  forwarding: boolean;
}

/**
 * Why a rule cannot be one. The names are stable; whoever speaks to people turns them into
 * sentences.
 */
export type RuleProblem =
  | 'Ipv6LengthOutOfRange'
  | 'Ipv4LengthOutOfRange'
  | 'EaLengthOutOfRange'
  | 'EndUserPrefixTooLong'
  | 'OffsetOutOfRange'
  | 'PsidTooLong'
  | 'OffsetAndPsidExceedPort'
  | 'PsidLengthContradictsEa'
  | 'PsidLengthWithoutPsid'
  | 'PsidExceedsLength'
  | 'PsidWithoutFullAddress'
  | 'PortSetEmpty';

/** Bits of an IPv4 address that the rule leaves open. */
export const suffixBits = (rule: MapRule): number => 32 - rule.ipv4Length;

/** Length of the IPv4 prefix that a CE owns under this rule: 32 for an address, shared or not. */
export const assignedIpv4Length = (rule: MapRule): number =>
  Math.min(32, rule.ipv4Length + rule.eaLength);

/** Length of the end-user IPv6 prefix of a CE under this rule. */
export const endUserPrefixLength = (rule: MapRule): number => rule.ipv6Length + rule.eaLength;

/** PSID bits that the EA bits hold after the IPv4 suffix. */
export const eaPsidBits = (rule: MapRule): number => Math.max(0, rule.eaLength - suffixBits(rule));

/** PSID bits in force: those of the explicit PSID, or those of the EA bits. */
export const rulePsidBits = (rule: MapRule): number =>
  rule.psid === PSID_FROM_EA ? eaPsidBits(rule) : (rule.psidBits ?? 0);

/** Offset bits in force. Who shares with nobody has no offset: all ports are his. */
export const ruleOffsetBits = (rule: MapRule): number =>
  rulePsidBits(rule) === 0 ? 0 : rule.offsetBits;

/**
 * What is wrong with a rule, or undefined. Everything else in this folder expects a rule that
 * passed.
 */
export function ruleProblem(rule: MapRule): RuleProblem | undefined {
  if (!within(rule.ipv6Length, 0, IPV6_BITS)) return 'Ipv6LengthOutOfRange';
  if (!within(rule.ipv4Length, 0, 32)) return 'Ipv4LengthOutOfRange';
  if (!within(rule.eaLength, 0, EA_LENGTH_MAX)) return 'EaLengthOutOfRange';
  if (endUserPrefixLength(rule) > IPV6_BITS) return 'EndUserPrefixTooLong';
  return psidProblem(rule);
}

function psidProblem(rule: MapRule): RuleProblem | undefined {
  const stated = rule.psidBits;
  if (!within(rule.offsetBits, 0, OFFSET_BITS_MAX)) return 'OffsetOutOfRange';
  if (stated !== undefined && !within(stated, 0, PORT_BITS)) return 'PsidTooLong';
  if (eaPsidBits(rule) > PORT_BITS) return 'PsidTooLong';

  if (rule.psid === PSID_FROM_EA) {
    if (stated !== undefined && stated !== eaPsidBits(rule)) {
      return rule.eaLength > suffixBits(rule) || stated === 0
        ? 'PsidLengthContradictsEa'
        : 'PsidLengthWithoutPsid';
    }
  } else {
    if (assignedIpv4Length(rule) < 32) return 'PsidWithoutFullAddress';
    if (rule.psid >= 1 << (stated ?? 0) || rule.psid < 0) return 'PsidExceedsLength';
  }
  if (ruleOffsetBits(rule) + rulePsidBits(rule) > PORT_BITS) return 'OffsetAndPsidExceedPort';
  // The one port of PSID 0 would be port 0; the EA bits may name other PSIDs, so only an explicit
  // one is refused here.
  if (rulePsidBits(rule) === PORT_BITS && rule.psid === 0) return 'PortSetEmpty';
  return undefined;
}

const within = (value: number, least: number, most: number): boolean =>
  Number.isInteger(value) && value >= least && value <= most;
