/**
 * `portfold check FILE`: whether a configuration is right, and what it means.
 *
 * 0 with a summary of lines and LANs, or 78 with every problem. Warnings are told apart: they do
 * not change the exit code. Table: summary on stdout, problems and warnings on stderr. JSON: one
 * object on stdout in both cases. Both name each requirement of the RFCs that the policy departs
 * from, and each that it keeps: a departure is what a preset saves ports with, and no warning.
 */
import { isDeepStrictEqual } from 'node:util';
import { departures, type Judgement, keeps } from '../../policies/requirements.ts';
import type { PolicySettings } from '../../policies/settings.ts';
import { ConfigError } from '../config/errors.ts';
import { type DerivedLine, deriveLine, forwardingRules } from '../config/line.ts';
import { loadConfig } from '../config/load.ts';
import { formatRange } from '../config/ports.ts';
import type { MapRuleConfig, PortfoldConfig, WanConfig } from '../config/types.ts';
import { configWarnings } from '../config/warnings.ts';

export interface CheckOptions {
  output: 'table' | 'json';
}

/** Ranges named in the summary; `-o json` has them all. */
const RANGES_SHOWN_MAX = 3;

/** Runs the verb; answers the exit code. */
export async function check(
  file: string,
  options: CheckOptions,
  print: (text: string) => void = (text) => void process.stdout.write(text),
  warn: (text: string) => void = (text) => void process.stderr.write(text),
): Promise<number> {
  const json = options.output === 'json';
  let config: PortfoldConfig;
  try {
    config = loadConfig(file, 'name it with `portfold check FILE`');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (json) print(problemsJson(file, error));
    else warn(`${error.message}\n`);
    return error.exitCode;
  }
  const warnings = configWarnings(config);
  if (json) {
    print(summaryJson(file, config, warnings));
    return 0;
  }
  print(summaryTable(file, config));
  for (const warning of warnings) warn(`warning: ${warning}\n`);
  return 0;
}

/** A line whose prefix is "auto" is known only where it runs. */
const derived = (wan: WanConfig): DerivedLine | undefined =>
  wan.type === 'map-e' && wan.prefix === 'auto' ? undefined : deriveLine(wan);

function problemsJson(file: string, error: ConfigError): string {
  const { code, message, problems } = error;
  const report = { schema: 'portfold/check/v1', file, valid: false, code, message, problems };
  return `${JSON.stringify(report, null, 2)}\n`;
}

function summaryJson(file: string, config: PortfoldConfig, warnings: string[]): string {
  const lines = config.wans.map((wan) => {
    const common = { name: wan.name, type: wan.type, interface: wan.interface };
    const line = derived(wan);
    if (line === undefined) return { ...common, prefix: 'auto' };
    const { ports, portRanges, ...rest } = line;
    return { ...common, ...rest, portCount: ports.length, portRanges: portRanges.map(formatRange) };
  });
  const { lans, policy, gateway } = config;
  const report = { schema: 'portfold/check/v1', file, valid: true, lines, lans, policy, gateway };
  const policies = policiesOf(config).map(({ name, settings }) => ({
    name,
    preset: settings.preset,
    departures: departures(settings),
    keeps: keeps(settings),
  }));
  return `${JSON.stringify({ ...report, policies, warnings }, null, 2)}\n`;
}

function summaryTable(file: string, config: PortfoldConfig): string {
  const rows: string[] = [`${file} is right`];
  for (const wan of config.wans) {
    rows.push(
      '',
      `line ${wan.name} on ${wan.interface}, ${wan.type}`,
      ...lineRows(wan, config.policy),
    );
  }
  rows.push('');
  for (const lan of config.lans) {
    const networks = lan.networks?.join(', ') ?? 'all networks routed there';
    rows.push(`lan ${lan.name} on ${lan.interfaces.join(', ')}: ${networks}`);
  }
  const { capacity, tun } = config.gateway;
  rows.push(`${capacity} sessions at most, device ${tun}`);
  const [line, ...lans] = policiesOf(config);
  rows.push('', ...policyRows(line));
  for (const lan of lans) rows.push('', ...policyRows(lan, line));
  return `${rows.join('\n')}\n`;
}

/** The line's policy, and those of LANs that have one of their own. */
function policiesOf(config: PortfoldConfig): NamedPolicy[] {
  const own = config.lans.flatMap(({ name, policy }) =>
    policy === undefined ? [] : [{ name: `lan ${name}`, settings: policy }],
  );
  return [{ name: `line ${config.wans[0].name}`, settings: config.policy }, ...own];
}

interface NamedPolicy {
  name: string;
  settings: PolicySettings;
}

/** @param told what was told before: it is not said twice */
function policyRows({ name, settings }: NamedPolicy, told?: NamedPolicy): string[] {
  const { preset } = settings;
  const [departed, kept] = [departures(settings), keeps(settings)];
  if (
    told !== undefined &&
    isDeepStrictEqual([departed, kept], [departures(told.settings), keeps(told.settings)])
  )
    return [`policy of ${name}: ${preset}; as to requirements the same as ${told.name}`];
  if (departed.length === 0)
    return [`policy of ${name}: ${preset}, which keeps every requirement`, ...rowsOf(kept)];
  return [
    `policy of ${name}: ${preset}, which departs from`,
    ...rowsOf(departed),
    ...(kept.length === 0 ? [] : ['and keeps', ...rowsOf(kept)]),
  ];
}

const rowsOf = (list: readonly Judgement[]): string[] =>
  list.flatMap(({ requirement, values, wanted }) => [
    `  ${requirement}: ${wanted}`,
    ...values.map(({ key, value }) => `    ${key.padEnd(24)} ${value}`),
  ]);

function lineRows(wan: WanConfig, { upstream }: PolicySettings): string[] {
  const line = derived(wan);
  const rows: [string, string | undefined][] = [];
  if (line === undefined) {
    const service = wan.type === 'map-e' ? (wan.service ?? 'the rules given') : '';
    rows.push(['prefix', `read from ${wan.interface} when it runs, then ${service} applies`]);
  } else {
    rows.push(['prefix', line.endUserPrefix]);
    rows.push(['address', line.externalAddress]);
    rows.push(['IPv4 prefix', line.assignedPrefix]);
    rows.push(['PSID', line.psid === undefined ? undefined : `${line.psid}`]);
    rows.push(['ports', portText(line)]);
    rows.push(['CE address', line.ceAddress]);
    rows.push(['relay (BR)', line.brAddress]);
  }
  if (wan.type === 'map-e' && wan.mesh) rows.push(['mesh', meshText(forwardingRules(wan))]);
  if (wan.mtu !== undefined) rows.push(['MTU', `${wan.mtu}`]);
  if (upstream !== undefined) rows.push(['NAT above', upstreamText(upstream)]);
  return rows
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `  ${name.padEnd(11)} ${value}`);
}

function upstreamText(upstream: NonNullable<PolicySettings['upstream']>): string {
  const { entries, udpSeconds, tcpSeconds, icmpSeconds, dnsSeconds, tcpClosedSeconds } = upstream;
  const dns = dnsSeconds === undefined ? '' : `, ${dnsSeconds} s behind a DNS answer`;
  const closed = tcpClosedSeconds === undefined ? '' : `, ${tcpClosedSeconds} s when closed`;
  return `${entries} entries; UDP ${udpSeconds} s${dns}; TCP ${tcpSeconds} s${closed}; ICMP ${icmpSeconds} s`;
}

function meshText(rules: MapRuleConfig[]): string {
  const lead = rules.length === 1 ? 'rule leads' : 'rules lead';
  return `${rules.length} ${lead} to neighbours: ${rules.map((rule) => rule.ipv4).join(' ')}`;
}

function portText({ ports, portRanges }: DerivedLine): string {
  const shown = portRanges.slice(0, RANGES_SHOWN_MAX).map(formatRange).join(' ');
  const last = formatRange(portRanges[portRanges.length - 1]);
  if (portRanges.length <= RANGES_SHOWN_MAX) return `${ports.length}: ${shown}`;
  return `${ports.length} in ${portRanges.length} ranges: ${shown} … ${last}`;
}
