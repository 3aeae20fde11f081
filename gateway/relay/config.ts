/**
 * The configuration of a border relay: one small file, judged as strictly as the gateway's and by the same means.
 *
 *   address = "2001:db8:ffff::1"        the relay, as the CEs know it
 *   interface = "wan0"                  towards the CEs
 *
 *   [[rules]]                           every mapping rule of the domain
 *   ipv6 = "2001:db8::/40"
 *   ipv4 = "192.0.2.0/24"
 *   ea-length = 16
 */
import { z } from 'zod';
import type { IidFormat } from '../../core/mape/address.ts';
import { ipv4Mask } from '../../core/mape/bits.ts';
import type { MapRule } from '../../core/mape/rule.ts';
import { formatIpv4Prefix, formatIpv6, parseIpv6 } from '../config/addresses.ts';
import { ConfigError } from '../config/errors.ts';
import { parseToml, readText } from '../config/load.ts';
import { type Finding, formatProblems, type KeyPath, locate } from '../config/problems.ts';
import { RULE_KEYS, readRule } from '../config/rules.ts';
import {
  directoryProblem,
  externalAddressProblem,
  integer,
  interfaceProblem,
  ipv6Problem,
  MTU_MAX,
  MTU_MIN,
  readTable,
  text,
} from '../config/schema.ts';
import { type IidFormatName, iidFormatOf } from '../services/services.ts';

export const RELAY_RUNTIME_DIRECTORY = '/run/portfold-br';
const PSID_OFFSET_DEFAULT = 6;
const RULES_MAX = 256;
/** A rule for more than this is a slip of the pen: it would lead the Internet into the tunnel. */
const IPV4_LENGTH_MIN = 8;

export interface RelayConfig {
  /** The relay's IPv6 address as text, in its shortest form. */
  address: string;
  interface: string;
  tun: string;
  /** Source of the relay's ICMP messages; undefined: an address of the host. */
  ipv4Address?: string;
  /** MTU of the IPv4 packets in the tunnel; undefined: that of the interface less 40. */
  mtu?: number;
  iidFormat: IidFormatName;
  runtimeDirectory: string;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  rules: RelayRule[];
}

export interface RelayRule {
  ipv6: string;
  ipv4: string;
  eaLength: number;
  psidOffset: number;
  psidLength?: number;
}

const relayTable = z.strictObject({
  address: text(ipv6Problem),
  interface: text(interfaceProblem),
  tun: text(interfaceProblem).default('portfold-br0'),
  'ipv4-address': text(externalAddressProblem).optional(),
  mtu: integer(MTU_MIN, MTU_MAX).optional(),
  'iid-format': z.enum(['rfc7597', 'draft-ietf-softwire-map-03']).default('rfc7597'),
  'runtime-directory': text(directoryProblem).default(RELAY_RUNTIME_DIRECTORY),
  'log-level': z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  rules: z.array(z.unknown()).min(1).max(RULES_MAX),
});

const ruleTable = z.strictObject({
  ipv6: z.string(),
  ipv4: z.string(),
  'ea-length': integer(0, 48),
  'psid-offset': integer(0, 15).default(PSID_OFFSET_DEFAULT),
  'psid-length': integer(0, 16).optional(),
});

/** What to write where a key is missing, and what the gateway's words do not say. */
const HINTS: Record<string, string> = {
  address: 'add the IPv6 address of the relay, for instance address = "2001:db8:ffff::1"',
  interface: 'add the interface towards the CEs, for instance interface = "wan0"',
  rules: 'add a table [[rules]] with ipv6, ipv4 and ea-length',
};

/** Reads and checks a file. Throws ConfigError, whose message holds all problems with their places. */
export const loadRelayConfig = (path: string): RelayConfig =>
  parseRelayConfig(readText(path), path);

/** Checks a text; `file` is only named in messages. */
export function parseRelayConfig(source: string, file: string): RelayConfig {
  const findings: Finding[] = [];
  const config = readConfig(parseToml(source, file), findings);
  if (findings.length > 0 || config === undefined) {
    const problems = locate(source, findings.map(withHint));
    throw new ConfigError(problems[0].code, formatProblems(file, source, problems), problems);
  }
  return config;
}

function withHint(finding: Finding): Finding {
  const { code, path } = finding;
  const hint = path.length === 1 ? HINTS[String(path[0])] : undefined;
  const isMissing = code === 'CONFIG_MISSING' || code === 'CONFIG_EMPTY';
  return isMissing && hint !== undefined ? { ...finding, hint } : finding;
}

function readConfig(value: unknown, findings: Finding[]): RelayConfig | undefined {
  const table = readTable(relayTable, value, [], findings);
  // The rules are judged also where something else is wrong: everything at once.
  const listed = (value as { rules?: unknown }).rules;
  const rules = (Array.isArray(listed) ? listed : []).map((rule, n) =>
    readRuleTable(rule, n, findings),
  );
  checkOverlap(rules, findings);
  if (table === undefined || findings.length > 0) return undefined;
  if (table.tun === table.interface)
    findings.push({
      code: 'CONFIG_DUPLICATE',
      path: ['tun'],
      what: `"${table.tun}" is the interface towards the CEs already`,
      hint: 'give the TUN device a name of its own',
    });
  const ipv4Address = table['ipv4-address'];
  return {
    address: formatIpv6(parseIpv6(table.address)!),
    interface: table.interface,
    tun: table.tun,
    ...(ipv4Address === undefined ? {} : { ipv4Address }),
    ...(table.mtu === undefined ? {} : { mtu: table.mtu }),
    iidFormat: table['iid-format'],
    runtimeDirectory: table['runtime-directory'],
    logLevel: table['log-level'],
    rules: rules.filter((rule) => rule !== undefined),
  };
}

/** A PSID of its own a rule has with the gateway only. */
const RELAY_RULE_KEYS = { ...RULE_KEYS, psid: RULE_KEYS.psidLength };

function readRuleTable(value: unknown, n: number, findings: Finding[]): RelayRule | undefined {
  const path: KeyPath = ['rules', n];
  const table = readTable(ruleTable, value, path, findings);
  if (table === undefined) return undefined;
  const rule: RelayRule = {
    ipv6: table.ipv6,
    ipv4: table.ipv4,
    eaLength: table['ea-length'],
    psidOffset: table['psid-offset'],
    ...(table['psid-length'] === undefined ? {} : { psidLength: table['psid-length'] }),
  };
  const read = readRule(rule);
  if ('what' in read) {
    findings.push({ ...read, path: [...path, RELAY_RULE_KEYS[read.field]] });
    return undefined;
  }
  const problem = networkProblem(read);
  if (problem !== undefined) {
    findings.push({ code: 'CONFIG_BAD_VALUE', path: [...path, 'ipv4'], ...problem });
    return undefined;
  }
  return rule;
}

/** The prefix is routed into the tunnel as a whole, so it must be one that can belong to CEs. */
function networkProblem({ ipv4, ipv4Length }: MapRule): { what: string; hint: string } | undefined {
  const hint = 'write the public IPv4 prefix of the CEs, for instance "192.0.2.0/24"';
  const first = ipv4 >>> 24;
  const name = formatIpv4Prefix(ipv4, ipv4Length);
  if (ipv4Length < IPV4_LENGTH_MIN)
    return {
      what: `${name} is shorter than /${IPV4_LENGTH_MIN}, and all of it would be routed to CEs`,
      hint,
    };
  if (first === 0 || first === 127 || first >= 224)
    return { what: `${name} cannot belong to CEs`, hint };
  return undefined;
}

/** One IPv4 prefix leads to one IPv6 prefix; a longer one inside of it may lead elsewhere. */
function checkOverlap(rules: (RelayRule | undefined)[], findings: Finding[]): void {
  const seen = new Map<string, number>();
  rules.forEach((rule, n) => {
    if (rule === undefined) return;
    const prefix = networkOf(rule);
    const other = seen.get(prefix);
    if (other === undefined) seen.set(prefix, n);
    else
      findings.push({
        code: 'CONFIG_DUPLICATE',
        path: ['rules', n, 'ipv4'],
        what: `rules[${other}] is for ${prefix} already`,
        hint: 'an IPv4 prefix belongs to one rule; divide it into longer ones',
      });
  });
}

/** The rules in core's form. They were checked when the file was read. */
export const coreRulesOf = (config: RelayConfig): MapRule[] =>
  config.rules.map((rule) => {
    const read = readRule(rule);
    if ('what' in read) throw new ConfigError(read.code, `${read.what}; ${read.hint}`);
    return read;
  });

export const coreFormatOf = (config: RelayConfig): IidFormat => iidFormatOf(config.iidFormat);

/** The rule's IPv4 prefix as it is routed: bits after the length are zero. */
export function networkOf(rule: RelayRule): string {
  const read = readRule(rule);
  if ('what' in read) throw new ConfigError(read.code, `${read.what}; ${read.hint}`);
  return formatIpv4Prefix(read.ipv4 & ipv4Mask(read.ipv4Length), read.ipv4Length);
}
