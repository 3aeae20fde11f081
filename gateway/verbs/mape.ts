/**
 * `portfold mape`: what a MAP-E prefix comes to, without root and without touching the network.
 *
 *   --service v6plus --prefix 240b:10:1234:5600::/56     address, PSID, ports, CE address, relay
 *   --rule … | --s46 … instead of --service              rules by hand, or as a DHCPv6 server sent them
 *   --packet "1.2.3.4:80>192.0.2.18:1232"                the outer addresses of a packet
 *   --list                                               the built-in services
 *
 * Returns 0. What cannot be is thrown: ConfigError (78) for a prefix or rule, UsageError (2) for
 * the options, and SourceMismatch (1) for a packet that would be dropped as spoofed.
 */

import type { CeLine } from '../../core/mape/ce.ts';
import { portCount, portRanges } from '../../core/mape/psid.ts';
import { type MapRule, PSID_FROM_EA, rulePsidBits } from '../../core/mape/rule.ts';
import {
  formatIpv4,
  formatIpv4Prefix,
  formatIpv6,
  formatIpv6Prefix,
  type Ipv6Prefix,
  parseIpv6,
} from '../config/addresses.ts';
import { ConfigError, UsageError } from '../config/errors.ts';
import { formatRange } from '../config/ports.ts';
import { deriveFromPrefix } from '../config/rules.ts';
import { hintAmong } from '../config/suggest.ts';
import { serviceWarnings } from '../config/warnings.ts';
import {
  fromPrefix,
  fromRules,
  fromS46,
  fromService,
  type PortSetOnly,
  type RuleSource,
  readPrefix,
} from '../services/input.ts';
import { explainPacket, type PacketReport } from '../services/packet.ts';
import { type IidFormatName, iidFormatOf, listServices } from '../services/services.ts';

export interface MapeOptions {
  service?: string;
  prefix?: string;
  rule?: string[];
  iidFormat?: string;
  br?: string;
  s46?: string;
  psid?: string;
  packet?: string;
  list?: boolean;
  output: 'table' | 'json';
}

interface RuleReport {
  ipv6: string;
  ipv4: string;
  eaLength: number;
  psidOffset: number;
  psidLength: number;
  /** The explicit PSID; null where it is read from the EA bits. */
  psid: number | null;
  fmr: boolean;
  br: string | null;
}

interface LineReport {
  endUserPrefix: string;
  /** null where the CE owns an IPv4 prefix. */
  address: string | null;
  assignedPrefix: string | null;
  /** null where the address is not shared. */
  psid: number | null;
  psidLength: number;
  psidOffset: number;
  /** How many share the address. */
  sharingRatio: number;
  portCount: number;
  portRanges: string[];
  ceAddress: string;
  iidFormat: IidFormatName;
  brAddress: string | null;
  /** MTU of IPv4 where the IPv6 MTU is 1500. */
  mtu: number;
  rule: RuleReport;
}

/** What JSON output holds. Parts that were not asked for are absent. */
export interface MapeReport {
  schema: 'portfold/mape/v1';
  service?: string;
  line?: LineReport;
  /** A port set without an address. */
  portSet?: { psid: number; psidLength: number; psidOffset: number } & PortReport;
  packet?: PacketReport;
  /** All rules, where they came by DHCPv6. */
  rules?: RuleReport[];
  warnings: string[];
}

interface PortReport {
  portCount: number;
  portRanges: string[];
}

const IID_FORMATS: Record<string, IidFormatName> = {
  rfc7597: 'rfc7597',
  rfc: 'rfc7597',
  'draft-ietf-softwire-map-03': 'draft-ietf-softwire-map-03',
  'draft-03': 'draft-ietf-softwire-map-03',
};
const TUNNEL_HEADER_BYTES = 40;
const IPV6_MTU_USUAL = 1500;
const RANGES_PER_ROW = 6;

/** Runs the verb; answers the exit code. Data goes to `print`, warnings to `warn`. */
export async function mape(
  options: MapeOptions,
  print: (text: string) => void = (text) => void process.stdout.write(text),
  warn: (text: string) => void = (text) => void process.stderr.write(text),
): Promise<number> {
  if (options.list === true) {
    print(options.output === 'json' ? listJson() : listTable());
    return 0;
  }
  const report = mapeReport(options);
  if (options.output === 'json') {
    print(`${JSON.stringify(report, null, 2)}\n`);
    return 0;
  }
  print(reportTable(report));
  for (const warning of report.warnings) warn(`portfold: ${warning}\n`);
  return 0;
}

/** Everything that the options ask for, as data. */
export function mapeReport(options: MapeOptions): MapeReport {
  const source = readSource(options);
  if (!('rules' in source)) return portSetReport(source);

  const br = options.br === undefined ? undefined : readRelay(options.br);
  if (options.iidFormat !== undefined) source.iidFormat = readIidFormat(options.iidFormat);

  const warnings = [...source.notes];
  const report: Omit<MapeReport, 'warnings'> = { schema: 'portfold/mape/v1' };
  if (source.service !== undefined) report.service = source.service.id;
  if (source.kind === 's46') report.rules = source.rules.map((_, n) => ruleReport(source, n, br));

  const prefix = choosePrefix(source, options, warnings);
  if (prefix !== undefined) report.line = lineReport(source, prefix, br);
  if (options.packet !== undefined) {
    const format = iidFormatOf(source.iidFormat);
    const relayOf = (n: number): string | null => br ?? source.brs[n] ?? null;
    report.packet = explainPacket(options.packet, source.rules, format, relayOf);
  }
  return { ...report, warnings: [...warnings, ...builtInWarnings(source, report.line, br)] };
}

function readRelay(text: string): string {
  const bytes = parseIpv6(text);
  if (bytes !== undefined) return formatIpv6(bytes);
  throw new UsageError('MAPE_BAD_BR', `--br: "${text}" is not an IPv6 address`);
}

function builtInWarnings(source: RuleSource, line: LineReport | undefined, br?: string): string[] {
  const { service } = source;
  if (service === undefined) return [];
  const warnings = serviceWarnings({ service: service.id, br });
  const rule = service.rules.find((each) => each.ipv6 === line?.rule.ipv6);
  if (rule?.confidence === 'low') {
    warnings.push(`the rule ${rule.ipv6} → ${rule.ipv4} has one source only`);
  }
  return warnings;
}

function readSource(options: MapeOptions): RuleSource | PortSetOnly {
  const { service, rule = [], s46, prefix, psid } = options;
  const named = [service !== undefined, rule.length > 0, s46 !== undefined].filter(Boolean).length;
  if (named > 1) {
    throw new UsageError('MAPE_USAGE', 'use one of --service, --rule and --s46');
  }
  if (psid !== undefined && rule.length === 0 && s46 === undefined) {
    throw new UsageError('MAPE_USAGE', '--psid goes with --rule or --s46');
  }
  if (service !== undefined) return fromService(service);
  if (rule.length > 0) return fromRules(rule, psid);
  if (s46 !== undefined) return fromS46(s46, psid);
  if (prefix !== undefined) return fromPrefix(readPrefix(prefix));
  throw new UsageError(
    'MAPE_USAGE',
    'say where the rules come from: --service NAME, --rule "ipv6=…,ipv4=…,ea=…,offset=…", ' +
      '--s46 HEX, or --prefix PREFIX alone to search the built-in services; --list shows them',
  );
}

function readIidFormat(name: string): IidFormatName {
  if (Object.hasOwn(IID_FORMATS, name)) return IID_FORMATS[name];
  const hint = hintAmong(name, Object.keys(IID_FORMATS), 'known');
  throw new UsageError('MAPE_USAGE', `--iid-format: "${name}" is unknown; ${hint}`);
}

/**
 * The prefix given, that of the same DHCPv6 message, or that of a rule that is one customer's own
 * (no EA bits).
 */
function choosePrefix(
  source: RuleSource,
  options: MapeOptions,
  notes: string[],
): Ipv6Prefix | undefined {
  if (options.prefix !== undefined) return readPrefix(options.prefix);
  const [rule] = source.rules;
  if (source.rules.length === 1 && rule.eaLength === 0) {
    return { bytes: rule.ipv6, length: rule.ipv6Length };
  }
  const delegated = source.delegatedPrefix;
  if (delegated !== undefined) {
    const ce = deriveFromPrefix(source.rules, delegated, 0, source.subject);
    if (!('code' in ce)) return delegated;
    notes.push(
      `the prefix of the same message does not serve: ${ce.what}; give yours with --prefix`,
    );
    return undefined;
  }
  if (options.packet !== undefined || source.kind === 's46') return undefined;
  throw new UsageError(
    'MAPE_USAGE',
    'add --prefix PREFIX, the IPv6 prefix of the line, or --packet',
  );
}

function lineReport(source: RuleSource, prefix: Ipv6Prefix, br: string | undefined): LineReport {
  const ce = deriveFromPrefix(source.rules, prefix, iidFormatOf(source.iidFormat), source.subject);
  if ('code' in ce) throw new ConfigError(ce.code, `${ce.what}; ${ce.hint}`);
  const rule = ruleReport(source, ce.ruleIndex, br);
  const whole = ce.ipv4Length === 32;
  return {
    endUserPrefix: formatIpv6Prefix(ce.endUserPrefix, ce.endUserPrefixLength),
    address: whole ? formatIpv4(ce.ipv4) : null,
    assignedPrefix: whole ? null : formatIpv4Prefix(ce.ipv4, ce.ipv4Length),
    psid: ce.psidBits === 0 ? null : ce.psid,
    psidLength: ce.psidBits,
    psidOffset: ce.offsetBits,
    sharingRatio: 2 ** ce.psidBits,
    ...portReport(ce),
    ceAddress: formatIpv6(ce.ceAddress),
    iidFormat: source.iidFormat,
    brAddress: rule.br,
    mtu: source.service?.mtu ?? IPV6_MTU_USUAL - TUNNEL_HEADER_BYTES,
    rule,
  };
}

const portReport = (set: Pick<CeLine, 'offsetBits' | 'psidBits' | 'psid'>): PortReport => ({
  portCount: portCount(set.offsetBits, set.psidBits, set.psid),
  portRanges: portRanges(set.offsetBits, set.psidBits, set.psid).map(formatRange),
});

function portSetReport(set: PortSetOnly): MapeReport {
  const { psid, psidBits: psidLength, offsetBits: psidOffset } = set;
  const portSet = { psid, psidLength, psidOffset, ...portReport(set) };
  return { schema: 'portfold/mape/v1', portSet, warnings: [] };
}

function ruleReport(source: RuleSource, n: number, br: string | undefined): RuleReport {
  const rule: MapRule = source.rules[n];
  return {
    ipv6: formatIpv6Prefix(rule.ipv6, rule.ipv6Length),
    ipv4: formatIpv4Prefix(rule.ipv4, rule.ipv4Length),
    eaLength: rule.eaLength,
    psidOffset: rule.offsetBits,
    psidLength: rulePsidBits(rule),
    psid: rule.psid === PSID_FROM_EA ? null : rule.psid,
    fmr: rule.forwarding,
    br: br ?? source.brs[n] ?? null,
  };
}

function reportTable(report: MapeReport): string {
  const rows: [string, string][] = [];
  if (report.service !== undefined) rows.push(['service', report.service]);
  const rules = report.line === undefined ? (report.rules ?? []) : [report.line.rule];
  for (const rule of rules) rows.push(['rule', ruleText(rule)]);
  if (report.line !== undefined) rows.push(...lineRows(report.line));
  else if (report.rules?.[0]?.br) rows.push(['relay (BR)', report.rules[0].br]);
  if (report.portSet !== undefined) {
    const { psid, psidLength, psidOffset } = report.portSet;
    rows.push(['PSID', psidText(psid, psidLength, psidOffset)], ...portRows(report.portSet));
  }
  if (report.packet !== undefined) rows.push(...packetRows(report.packet));
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}

function lineRows(line: LineReport): [string, string][] {
  const rows: [string, string][] = [['prefix', line.endUserPrefix]];
  if (line.assignedPrefix !== null) rows.push(['IPv4 prefix', line.assignedPrefix]);
  if (line.address !== null) {
    const shared = line.sharingRatio > 1 ? ` (shared by ${line.sharingRatio})` : ' (not shared)';
    rows.push(['address', `${line.address}${shared}`]);
  }
  if (line.psid !== null) {
    rows.push(['PSID', psidText(line.psid, line.psidLength, line.psidOffset)]);
  }
  rows.push(...portRows(line));
  rows.push(['CE address', `${line.ceAddress} (${line.iidFormat})`]);
  rows.push(['relay (BR)', line.brAddress ?? 'not known; give it with --br']);
  const mss = line.mtu - TUNNEL_HEADER_BYTES;
  rows.push(['MTU', `${line.mtu} where IPv6 has ${IPV6_MTU_USUAL}, so a TCP MSS of ${mss}`]);
  return rows;
}

const psidText = (psid: number, length: number, offset: number): string =>
  `${psid} (0x${psid.toString(16)}), ${length} bits after an offset of ${offset}`;

function portRows({ portCount: count, portRanges: ranges }: PortReport): [string, string][] {
  const rows: [string, string][] = [
    ['ports', `${count} in ${ranges.length} range${ranges.length === 1 ? '' : 's'}`],
  ];
  for (let n = 0; n < ranges.length; n += RANGES_PER_ROW) {
    rows.push(['', ranges.slice(n, n + RANGES_PER_ROW).join(' ')]);
  }
  return rows;
}

function packetRows(packet: PacketReport): [string, string][] {
  const inner = packet.source === null ? '' : `${packet.source} > `;
  const rows: [string, string][] = [['packet', `${inner}${packet.destination}`]];
  const unknown = 'the relay; give it with --br';
  if (packet.source !== null) rows.push(['outer source', packet.outerSource ?? unknown]);
  rows.push(['outer destination', packet.outerDestination ?? unknown]);
  if (packet.psid !== null) rows.push(['PSID of the packet', String(packet.psid)]);
  if (packet.assignedPrefix !== null) rows.push(['IPv4 prefix', packet.assignedPrefix]);
  if (packet.sourceFits === true) rows.push(['source check', 'the outer source fits']);
  return rows;
}

function ruleText(rule: RuleReport): string {
  const psid = rule.psid === null ? '' : `, PSID ${rule.psid} of ${rule.psidLength} bits`;
  const fmr = rule.fmr ? ', FMR' : '';
  return `${rule.ipv6} → ${rule.ipv4}, EA ${rule.eaLength}, offset ${rule.psidOffset}${psid}${fmr}`;
}

function listJson(): string {
  const items = listServices().map(({ rules, ...service }) => ({
    ...service,
    rules: rules.length,
  }));
  const list = { schema: 'portfold/services/v1', total: items.length, items };
  return `${JSON.stringify(list, null, 2)}\n`;
}

function listTable(): string {
  const rows = listServices().map((service) => [
    service.id,
    service.rules.length === 0 ? 'rules by hand' : `${service.rules.length} rules`,
    service.confidence,
    service.name,
  ]);
  rows.unshift(['SERVICE', 'RULES', 'CONFIDENCE', 'NAME']);
  const widths = [0, 1, 2].map((n) => Math.max(...rows.map((row) => row[n].length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, n) => cell.padEnd(widths[n] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
