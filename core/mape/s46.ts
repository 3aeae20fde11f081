/**
 * The DHCPv6 softwire options of MAP-E as bytes (RFC 7598), read into rules.
 *
 *   94 S46_CONT_MAPE   { 89 S46_RULE { 93 S46_PORTPARAMS } … , 90 S46_BR … }
 *
 *   89   flags 8 (lowest bit: F) | ea-len 8 | prefix4-len 8 | ipv4-prefix 32 | prefix6-len 8 |
 *        ipv6-prefix | options
 *   90   ipv6 address 128
 *   93   offset 8 | PSID-len 8 | PSID 16, left-aligned
 *
 * Every option has code 16 | length 16 in front, in network order. A container that breaks a rule
 * of section 6 is to be ignored whole; here the reader answers with the reason, so that whoever
 * debugs a provider sees it. Bits beyond a prefix length are cleared. Port parameters with PSID-len
 * 0 give the offset only; those beside a rule that leaves no full IPv4 address are discarded
 * (section 4.5), and `portParamsDiscarded` says so.
 */
import { copyPrefix, IPV6_BYTES, ipv4Mask } from './bits.ts';
import { OFFSET_BITS_DEFAULT, OFFSET_BITS_MAX } from './psid.ts';
import { assignedIpv4Length, EA_LENGTH_MAX, type MapRule, PSID_FROM_EA } from './rule.ts';

export const OPTION_IA_PD = 25;
export const OPTION_IAPREFIX = 26;
export const OPTION_S46_RULE = 89;
export const OPTION_S46_BR = 90;
export const OPTION_S46_DMR = 91;
export const OPTION_S46_V4V6BIND = 92;
export const OPTION_S46_PORTPARAMS = 93;
export const OPTION_S46_CONT_MAPE = 94;

/**
 * A container with more rules than this is not read: HB46PP asks for 256, and nobody sends more.
 */
export const RULES_MAX = 256;

const OPTION_HEADER_BYTES = 4;
const RULE_FIXED_BYTES = 8;
const RULE_IPV4_AT = 3;
const RULE_PREFIX6_LENGTH_AT = 7;
const RULE_FLAG_FMR = 1;
const PORTPARAMS_BYTES = 4;
const MESSAGE_HEADER_BYTES = 4;
const IA_PD_FIXED_BYTES = 12;
const IAPREFIX_FIXED_BYTES = 25;
const IAPREFIX_LENGTH_AT = 8;
const IAPREFIX_PREFIX_AT = 9;

export type S46Problem =
  | 'Truncated'
  | 'NoRule'
  | 'NoBr'
  | 'OptionNotPermitted'
  | 'TooManyRules'
  | 'RuleTooShort'
  | 'EaLengthOutOfRange'
  | 'Ipv4LengthOutOfRange'
  | 'Ipv6LengthOutOfRange'
  | 'BrLengthWrong'
  | 'PortParamsLengthWrong'
  | 'PortParamsTwice'
  | 'OffsetOutOfRange'
  | 'PsidTooLong';

/** A rule as it came, and what was made of its port parameters. */
export interface S46Rule extends MapRule {
  /** The port parameters as sent; undefined: none were, so the default offset holds. */
  portParams?: { offset: number; psidLength: number; psid: number };
  /**
   * An explicit PSID was sent beside a rule that leaves no full IPv4 address, and was discarded.
   */
  portParamsDiscarded: boolean;
}

export interface S46Container {
  rules: S46Rule[];
  /** Addresses of border relays, 16 bytes each, in the order of preference of the sender. */
  brs: Uint8Array[];
}

export interface S46Rejection {
  problem: S46Problem;
  /** Byte of the payload at which it was seen. */
  at: number;
  /** The value that was wrong, or the option code. */
  value: number;
}

/** Whether a container was rejected. */
export const isRejection = (result: S46Container | S46Rejection): result is S46Rejection =>
  'problem' in result;

const reject = (problem: S46Problem, at: number, value = 0): S46Rejection => ({
  problem,
  at,
  value,
});

/** Reads the payload of option 94. */
export function parseS46Container(payload: Uint8Array): S46Container | S46Rejection {
  const container: S46Container = { rules: [], brs: [] };
  let at = 0;
  while (at < payload.length) {
    const code = optionCode(payload, at);
    const end = optionEnd(payload, at, payload.length);
    if (end < 0) return reject('Truncated', at, code);
    const body = at + OPTION_HEADER_BYTES;

    if (code === OPTION_S46_RULE) {
      if (container.rules.length === RULES_MAX) return reject('TooManyRules', at, RULES_MAX);
      const rule = parseRule(payload, body, end);
      if ('problem' in rule) return rule;
      container.rules.push(rule);
    } else if (code === OPTION_S46_BR) {
      if (end - body !== IPV6_BYTES) return reject('BrLengthWrong', at, end - body);
      container.brs.push(payload.slice(body, end));
    } else {
      return reject('OptionNotPermitted', at, code);
    }
    at = end;
  }
  if (container.rules.length === 0) return reject('NoRule', 0);
  if (container.brs.length === 0) return reject('NoBr', 0);
  return container;
}

function parseRule(bytes: Uint8Array, at: number, end: number): S46Rule | S46Rejection {
  if (end - at < RULE_FIXED_BYTES) return reject('RuleTooShort', at, end - at);
  const eaLength = bytes[at + 1];
  const ipv4Length = bytes[at + 2];
  const ipv6Length = bytes[at + RULE_PREFIX6_LENGTH_AT];
  if (eaLength > EA_LENGTH_MAX) return reject('EaLengthOutOfRange', at + 1, eaLength);
  if (ipv4Length > 32) return reject('Ipv4LengthOutOfRange', at + 2, ipv4Length);
  if (ipv6Length > 128) {
    return reject('Ipv6LengthOutOfRange', at + RULE_PREFIX6_LENGTH_AT, ipv6Length);
  }
  const options = at + RULE_FIXED_BYTES + ((ipv6Length + 7) >>> 3);
  if (options > end) return reject('RuleTooShort', at, end - at);

  const ipv6 = new Uint8Array(IPV6_BYTES);
  copyPrefix(ipv6, 0, bytes.slice(at + RULE_FIXED_BYTES, options), ipv6Length);
  const rule: S46Rule = {
    ipv6,
    ipv6Length,
    ipv4: readI32(bytes, at + RULE_IPV4_AT) & ipv4Mask(ipv4Length),
    ipv4Length,
    eaLength,
    offsetBits: OFFSET_BITS_DEFAULT,
    psid: PSID_FROM_EA,
    forwarding: (bytes[at] & RULE_FLAG_FMR) !== 0,
    portParamsDiscarded: false,
  };
  return parseRuleOptions(rule, bytes, options, end) ?? rule;
}

function parseRuleOptions(
  rule: S46Rule,
  bytes: Uint8Array,
  from: number,
  to: number,
): S46Rejection | undefined {
  for (let at = from; at < to; ) {
    const code = optionCode(bytes, at);
    const end = optionEnd(bytes, at, to);
    if (end < 0) return reject('Truncated', at, code);
    if (code !== OPTION_S46_PORTPARAMS) return reject('OptionNotPermitted', at, code);
    if (rule.portParams !== undefined) return reject('PortParamsTwice', at);
    const length = end - at - OPTION_HEADER_BYTES;
    if (length !== PORTPARAMS_BYTES) return reject('PortParamsLengthWrong', at, length);

    const body = at + OPTION_HEADER_BYTES;
    const offset = bytes[body];
    const psidLength = bytes[body + 1];
    if (offset > OFFSET_BITS_MAX) return reject('OffsetOutOfRange', body, offset);
    if (psidLength > 16 || offset + psidLength > 16) {
      return reject('PsidTooLong', body + 1, psidLength);
    }
    const psid = ((bytes[body + 2] << 8) | bytes[body + 3]) >>> (16 - psidLength);
    applyPortParams(rule, offset, psidLength, psid);
    at = end;
  }
  return undefined;
}

function applyPortParams(rule: S46Rule, offset: number, psidLength: number, psid: number): void {
  rule.portParams = { offset, psidLength, psid };
  rule.offsetBits = offset;
  if (psidLength === 0) return;
  if (assignedIpv4Length(rule) < 32) {
    rule.portParamsDiscarded = true;
    rule.offsetBits = OFFSET_BITS_DEFAULT;
    return;
  }
  rule.psidBits = psidLength;
  rule.psid = psid;
}

/**
 * What a DHCPv6 message from a server says about MAP-E: payloads of option 94, and delegated
 * prefixes.
 */
export interface S46Message {
  containers: Uint8Array[];
  prefixes: { prefix: Uint8Array; length: number }[];
}

/**
 * Walks the options of a whole server message (message type, transaction id, options). Undefined
 * when it is cut short.
 */
export function parseServerMessage(message: Uint8Array): S46Message | undefined {
  const found: S46Message = { containers: [], prefixes: [] };
  let at = MESSAGE_HEADER_BYTES;
  if (message.length < at) return undefined;
  while (at < message.length) {
    const end = optionEnd(message, at, message.length);
    if (end < 0) return undefined;
    const body = at + OPTION_HEADER_BYTES;
    const code = optionCode(message, at);
    if (code === OPTION_S46_CONT_MAPE) found.containers.push(message.slice(body, end));
    if (code === OPTION_IA_PD && !collectPrefixes(found, message, body, end)) return undefined;
    at = end;
  }
  return found;
}

function collectPrefixes(found: S46Message, bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from + IA_PD_FIXED_BYTES; at < to; ) {
    const end = optionEnd(bytes, at, to);
    if (end < 0) return false;
    const body = at + OPTION_HEADER_BYTES;
    if (optionCode(bytes, at) === OPTION_IAPREFIX && end - body >= IAPREFIX_FIXED_BYTES) {
      const prefixAt = body + IAPREFIX_PREFIX_AT;
      found.prefixes.push({
        prefix: bytes.slice(prefixAt, prefixAt + IPV6_BYTES),
        length: Math.min(128, bytes[body + IAPREFIX_LENGTH_AT]),
      });
    }
    at = end;
  }
  return true;
}

const optionCode = (bytes: Uint8Array, at: number): number =>
  at + 1 < bytes.length ? (bytes[at] << 8) | bytes[at + 1] : 0;

/** Where the option at `at` ends, or -1 if it does not end before `limit`. */
function optionEnd(bytes: Uint8Array, at: number, limit: number): number {
  if (at + OPTION_HEADER_BYTES > limit) return -1;
  const end = at + OPTION_HEADER_BYTES + ((bytes[at + 2] << 8) | bytes[at + 3]);
  return end > limit ? -1 : end;
}

const readI32 = (b: Uint8Array, at: number): number =>
  (b[at] << 24) | (b[at + 1] << 16) | (b[at + 2] << 8) | b[at + 3];
