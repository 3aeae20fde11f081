/**
 * MAP rules between text and core's numbers, and core's named problems as sentences.
 *
 * Used by the configuration and by `portfold mape`, so that both say the same of the same mistake.
 */
import type { IidFormat } from '../../core/mape/address.ts';
import { copyPrefix, IPV6_BYTES, prefixMatches } from '../../core/mape/bits.ts';
import { type CeLine, deriveCe, findBasicRule } from '../../core/mape/ce.ts';
import {
  eaPsidBits,
  endUserPrefixLength,
  type MapRule,
  PSID_FROM_EA,
  type RuleProblem,
  ruleProblem,
  suffixBits,
} from '../../core/mape/rule.ts';
import {
  formatIpv6Prefix,
  type Ipv6Prefix,
  parseIpv4Prefix,
  parseIpv6Prefix,
} from './addresses.ts';
import type { Complaint } from './problems.ts';

/** A rule as text and numbers, before anything is checked. */
export interface RuleText {
  ipv6: string;
  ipv4: string;
  eaLength: number;
  psidOffset: number;
  psidLength?: number;
  psid?: number;
  forwarding?: boolean;
}

/** A complaint about one field of a rule; `field` is as in RuleText. */
export interface RuleComplaint extends Complaint {
  code: string;
  field: 'ipv6' | 'ipv4' | 'eaLength' | 'psidOffset' | 'psidLength' | 'psid';
}

/** Where a rule's field stands in a file. */
export const RULE_KEYS: Record<RuleComplaint['field'], string> = {
  ipv6: 'ipv6',
  ipv4: 'ipv4',
  eaLength: 'ea-length',
  psidOffset: 'psid-offset',
  psidLength: 'psid-length',
  psid: 'psid',
};

/** Brings a rule to core's numbers, or says what is wrong with it. */
export function readRule(text: RuleText): MapRule | RuleComplaint {
  const ipv6 = parseIpv6Prefix(text.ipv6);
  if (ipv6 === undefined) {
    const what = `"${text.ipv6}" is not an IPv6 prefix`;
    return { code: 'MAPE_BAD_RULE', field: 'ipv6', what, hint: 'write it like "2001:db8::/40"' };
  }
  const ipv4 = parseIpv4Prefix(text.ipv4);
  if (ipv4 === undefined) {
    const what = `"${text.ipv4}" is not an IPv4 prefix`;
    return { code: 'MAPE_BAD_RULE', field: 'ipv4', what, hint: 'write it like "192.0.2.0/24"' };
  }
  // A PSID of length 0 says nothing (RFC 7598 section 4.5).
  const explicit = text.psid !== undefined && text.psidLength !== 0;
  const rule: MapRule = {
    ipv6: ipv6.bytes,
    ipv6Length: ipv6.length,
    ipv4: ipv4.address,
    ipv4Length: ipv4.length,
    eaLength: text.eaLength,
    offsetBits: text.psidOffset,
    ...(text.psidLength === undefined ? {} : { psidBits: text.psidLength }),
    psid: explicit ? text.psid! : PSID_FROM_EA,
    forwarding: text.forwarding ?? false,
  };
  if (explicit && text.psidLength === undefined) rule.psidBits = eaPsidBits(rule);
  const problem = ruleProblem(rule);
  return problem === undefined ? rule : ruleComplaint(rule, problem);
}

/** core's name of a problem as a sentence with its values. */
export function ruleComplaint(rule: MapRule, problem: RuleProblem): RuleComplaint {
  const suffix = suffixBits(rule);
  const derived = eaPsidBits(rule);
  const stated = rule.psidBits ?? 0;
  const length = `EA length ${rule.eaLength}`;
  const say = (field: RuleComplaint['field'], what: string, hint: string): RuleComplaint => ({
    code: 'MAPE_BAD_RULE',
    field,
    what,
    hint,
  });
  switch (problem) {
    case 'Ipv6LengthOutOfRange':
      return say('ipv6', `an IPv6 prefix cannot have ${rule.ipv6Length} bits`, 'use 0 to 128');
    case 'Ipv4LengthOutOfRange':
      return say('ipv4', `an IPv4 prefix cannot have ${rule.ipv4Length} bits`, 'use 0 to 32');
    case 'EaLengthOutOfRange':
      return say('eaLength', `${length} is not possible`, 'use 0 to 48');
    case 'EndUserPrefixTooLong':
      return say(
        'eaLength',
        `${length} after a rule prefix of /${rule.ipv6Length} leaves the 128 bits of an address`,
        `use at most ${128 - rule.ipv6Length}`,
      );
    case 'OffsetOutOfRange':
      return say('psidOffset', `PSID offset ${rule.offsetBits} is not possible`, 'use 0 to 15');
    case 'PsidTooLong':
      return derived > 16
        ? say(
            'eaLength',
            `${length} leaves a PSID of ${derived} bits after ${suffix} bits of IPv4 suffix`,
            `a PSID has at most 16 bits, so use at most ${suffix + 16}`,
          )
        : say('psidLength', `PSID length ${stated} is not possible`, 'use 0 to 16');
    case 'OffsetAndPsidExceedPort': {
      const bits = rule.psid === PSID_FROM_EA ? derived : stated;
      const sum = rule.offsetBits + bits;
      return say(
        'psidOffset',
        `PSID offset ${rule.offsetBits} and PSID length ${bits} make ${sum} bits, ` +
          'but a port has 16',
        `with this PSID length the offset is at most ${16 - bits}`,
      );
    }
    case 'PsidLengthContradictsEa':
      return say(
        'psidLength',
        `PSID length ${stated} contradicts ${length} - ${suffix} bits of IPv4 suffix = ${derived}`,
        `leave the PSID length out, or use ${derived}`,
      );
    case 'PsidLengthWithoutPsid':
      return say(
        'psidLength',
        `PSID length ${stated} without a PSID: ${length} holds no PSID bits`,
        'give the PSID that the provider told you as well',
      );
    case 'PsidExceedsLength':
      return say(
        'psid',
        `PSID ${rule.psid} does not fit into ${stated} bits`,
        `use 0 to ${(1 << stated) - 1}`,
      );
    case 'PsidWithoutFullAddress':
      return say(
        'psid',
        `a PSID needs a full IPv4 address, but ${length} leaves a prefix of ` +
          `/${rule.ipv4Length + rule.eaLength}`,
        'remove the PSID, or correct IPv4 prefix and EA length',
      );
    case 'PortSetEmpty':
      return say(
        'psid',
        'PSID 0 of 16 bits holds port 0 only, which nobody can use',
        'check PSID and PSID length',
      );
  }
}

/**
 * What `deriveCe` answers, with problems as a complaint. `subject` names whose rules they are, for
 * instance "v6plus".
 */
export function deriveFromPrefix(
  rules: readonly MapRule[],
  prefix: Ipv6Prefix,
  format: IidFormat,
  subject: string,
): CeLine | (Complaint & { code: string }) {
  const ce = deriveCe(rules, prefix.bytes, prefix.length, format);
  if (typeof ce === 'object') return ce;
  const text = formatIpv6Prefix(prefix.bytes, prefix.length);
  if (ce === 'NoRule') {
    const covered = summarizePrefixes(rules).join(', ');
    return {
      code: 'MAPE_NO_RULE',
      what: `${text} is outside every rule of ${subject}`,
      hint: `the rules of ${subject} lie in ${covered}`,
    };
  }
  const rule = rules[findBasicRule(rules, prefix.bytes, prefix.length)];
  if (ce === 'PrefixTooShort') {
    const needed = endUserPrefixLength(rule);
    return {
      code: 'MAPE_PREFIX_TOO_SHORT',
      what:
        `${text} is too short: the rule ${formatIpv6Prefix(rule.ipv6, rule.ipv6Length)} with ` +
        `${rule.eaLength} EA bits needs a prefix of /${needed}`,
      hint: `give the prefix that the line received, /${needed} or longer`,
    };
  }
  return {
    code: 'MAPE_PORT_SET_EMPTY',
    what: `${text} has PSID 0 of 16 bits, and that holds port 0 only, which nobody can use`,
    hint: 'check prefix and rule',
  };
}

/** More prefixes than this in one sentence help nobody. */
const PREFIXES_SHOWN_MAX = 8;

/**
 * Where the rules lie: their IPv6 prefixes, joined, and widened as far as needed to name only a
 * few.
 */
export function summarizePrefixes(rules: readonly MapRule[]): string[] {
  const prefixes = rules.map((rule) => cutPrefix(rule.ipv6, rule.ipv6Length));
  let widest = Math.max(0, ...prefixes.map((prefix) => prefix.length));
  let joined = joinPrefixes(prefixes);
  while (joined.length > PREFIXES_SHOWN_MAX) {
    widest--;
    joined = joinPrefixes(
      joined.map((each) => cutPrefix(each.bytes, Math.min(widest, each.length))),
    );
  }
  joined.sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  return joined.map(({ bytes, length }) => formatIpv6Prefix(bytes, length));
}

/** Two halves become their whole, until no two are left that fit; what lies inside another goes. */
function joinPrefixes(prefixes: readonly Ipv6Prefix[]): Ipv6Prefix[] {
  const open = new Map(prefixes.map((prefix) => [prefixKey(prefix), prefix]));
  for (let length = 128; length > 0; length--) {
    for (const [key, prefix] of [...open]) {
      if (prefix.length !== length || !open.has(key)) continue;
      const sibling = prefix.bytes.slice();
      sibling[(length - 1) >>> 3] ^= 0x80 >>> ((length - 1) & 7);
      const whole = cutPrefix(prefix.bytes, length - 1);
      if (!open.delete(prefixKey({ bytes: sibling, length }))) continue;
      open.delete(key);
      open.set(prefixKey(whole), whole);
    }
  }
  const all = [...open.values()];
  return all.filter(
    (inner) => !all.some((outer) => outer.length < inner.length && covers(outer, inner)),
  );
}

const covers = (outer: Ipv6Prefix, inner: Ipv6Prefix): boolean =>
  prefixMatches(inner.bytes, 0, outer.bytes, outer.length);

const prefixKey = ({ bytes, length }: Ipv6Prefix): string => `${bytes.join('.')}/${length}`;

function cutPrefix(address: Uint8Array, length: number): Ipv6Prefix {
  const bytes = new Uint8Array(IPV6_BYTES);
  copyPrefix(bytes, 0, address, length);
  return { bytes, length };
}
