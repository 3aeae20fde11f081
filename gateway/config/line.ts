/**
 * What a [[wan]] comes to: the external address, the ports, and for MAP-E the addresses of the
 * tunnel.
 *
 *   service or rules + prefix ──▶ address, PSID, ports, CE address, BR
 *
 * Pure: the prefix is a text here; "auto" is resolved before (prefix.ts).
 */

import { portRanges, portsOfRanges } from '../../core/mape/psid.ts';
import type { MapRule } from '../../core/mape/rule.ts';
import {
  coreRules,
  findService,
  type IidFormatName,
  iidFormatOf,
  listServices,
  type Service,
} from '../services/services.ts';
import {
  formatIpv4,
  formatIpv4Prefix,
  formatIpv6,
  formatIpv6Prefix,
  parseIpv6,
  parseIpv6Prefix,
} from './addresses.ts';
import { ConfigError } from './errors.ts';
import { deriveFromPrefix, type RuleComplaint, readRule } from './rules.ts';
import { hintAmong } from './suggest.ts';
import type { MapEWanConfig, MapRuleConfig, WanConfig } from './types.ts';

export interface DerivedLine {
  /** IPv4 text; of an IPv4 prefix its first address. */
  externalAddress: string;
  /** Inclusive ranges, ascending. */
  portRanges: [number, number][];
  /** Single ports, ascending. */
  ports: Uint16Array;
  /** Absent when the address is not shared. */
  psid?: number;
  psidLength?: number;
  psidOffset?: number;
  /** The IPv4 prefix of the CE, where it owns more than one address. */
  assignedPrefix?: string;
  endUserPrefix?: string;
  ceAddress?: string;
  brAddress?: string;
  iidFormat?: IidFormatName;
  /** The basic mapping rule that was used. */
  rule?: MapRuleConfig;
  /** On a line in a mesh: the rules by which neighbours are reached. */
  forwardingRules?: MapRuleConfig[];
  /** How sure the built-in table is of the rule. */
  confidence?: 'high' | 'medium' | 'low';
}

/**
 * Derives a line. Throws ConfigError for what cannot be one, and when the prefix is still "auto".
 */
export function deriveLine(wan: WanConfig): DerivedLine {
  if (wan.type === 'address') {
    return {
      externalAddress: wan.address,
      portRanges: wan.ports,
      ports: portsOfRanges(wan.ports),
    };
  }
  return deriveMapELine(wan);
}

function deriveMapELine(wan: MapEWanConfig): DerivedLine {
  const { rules, core, subject, iidFormat } = rulesOfLine(wan);
  if (wan.prefix === 'auto') {
    const message = `${wan.name}: the prefix is "auto" and was not read from ${wan.interface} yet`;
    throw new ConfigError('CONFIG_PREFIX_UNRESOLVED', message);
  }
  const prefix = parseIpv6Prefix(wan.prefix);
  if (prefix === undefined) {
    const message = `"${wan.prefix}" is not an IPv6 prefix; write it like "240b:10:1234:5600::/56"`;
    throw new ConfigError('MAPE_BAD_PREFIX', message);
  }
  const ce = deriveFromPrefix(core, prefix, iidFormatOf(iidFormat), subject);
  if ('what' in ce) throw new ConfigError(ce.code, `${ce.what}; ${ce.hint}`);

  const { confidence, ...rule } = rules[ce.ruleIndex];
  const ranges = portRanges(ce.offsetBits, ce.psidBits, ce.psid);
  const br = parseIpv6(wan.br ?? rule.br);
  if (br === undefined) {
    const message = `"${wan.br ?? rule.br}" is not an IPv6 address of a border relay`;
    throw new ConfigError('MAPE_BAD_BR', message);
  }
  return {
    externalAddress: formatIpv4(ce.ipv4),
    portRanges: ranges,
    ports: portsOfRanges(ranges),
    ...(ce.psidBits > 0
      ? { psid: ce.psid, psidLength: ce.psidBits, psidOffset: ce.offsetBits }
      : {}),
    ...(ce.ipv4Length < 32 ? { assignedPrefix: formatIpv4Prefix(ce.ipv4, ce.ipv4Length) } : {}),
    endUserPrefix: formatIpv6Prefix(ce.endUserPrefix, ce.endUserPrefixLength),
    ceAddress: formatIpv6(ce.ceAddress),
    brAddress: formatIpv6(br),
    iidFormat,
    rule,
    ...(wan.mesh ? { forwardingRules: forwardingRules(wan) } : {}),
    ...(confidence === undefined ? {} : { confidence }),
  };
}

type LineRule = MapRuleConfig & { confidence?: 'high' | 'medium' | 'low' };

/**
 * The rules of a line in both forms, and how they are called. Throws ConfigError when there are
 * none.
 */
export function rulesOfLine(wan: MapEWanConfig): {
  rules: LineRule[];
  core: MapRule[];
  subject: string;
  iidFormat: IidFormatName;
} {
  if (wan.rules !== undefined) {
    const core = wan.rules.map((rule) => {
      const read = readRule({ ...rule, forwarding: rule.fmr ?? true });
      if ('what' in read) throw new ConfigError(read.code, ruleSentence(read));
      return read;
    });
    return { rules: wan.rules, core, subject: wan.name, iidFormat: wan.iidFormat ?? 'rfc7597' };
  }
  const service = serviceWithRules(wan.service ?? '');
  return {
    rules: service.rules.map(({ forwarding: _, ...rule }) => rule),
    core: coreRules(service),
    subject: service.id,
    iidFormat: wan.iidFormat ?? service.iidFormat,
  };
}

/** The rules by which neighbours may be reached, if the line is in a mesh. */
export function forwardingRules(wan: MapEWanConfig): MapRuleConfig[] {
  const { rules, core } = rulesOfLine(wan);
  return rules.filter((_, n) => core[n].forwarding).map(({ confidence: _, ...rule }) => rule);
}

export const ruleSentence = (complaint: RuleComplaint): string =>
  `${complaint.what}; ${complaint.hint}`;

/** A built-in service that has rules; throws ConfigError for the others. */
export function serviceWithRules(id: string): Service {
  const service = findService(id);
  if (service === undefined) {
    const known = listServices().map((each) => each.id);
    const message = `there is no service "${id}"; ${hintAmong(id, known, 'known services')}`;
    throw new ConfigError('MAPE_UNKNOWN_SERVICE', message);
  }
  if (service.rules.length === 0) {
    throw new ConfigError(
      'MAPE_NO_COMMON_RULES',
      `${service.id} has no common rules. ${service.note}`,
    );
  }
  return service;
}
