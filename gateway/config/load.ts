/**
 * A configuration file, read and judged whole.
 *
 *   bytes ──▶ UTF-8 ──▶ TOML values ──▶ tables (schema.ts) ──▶ checks ──▶ PortfoldConfig
 *     └─────────┴───────────┴────────────────┴────────────┴──▶ ConfigError with all problems
 *
 * Whoever corrects a file should see everything at once, so each table is read on its own and every
 * finding is kept; only what depends on a broken value stays silent. Syntax is the exception:
 * behind a syntax error nothing can be judged.
 */
import { readFileSync, statSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { type PolicySettings, PRESETS } from '../../policies/settings.ts';
import { findService, iidFormatOf, listServices } from '../services/services.ts';
import { parseIpv6Prefix } from './addresses.ts';
import { ConfigError } from './errors.ts';
import { deriveLine, rulesOfLine } from './line.ts';
import { checkNetworks } from './networks.ts';
import { checkProfiles, readLanPolicy, readPolicy } from './policy.ts';
import { type Finding, formatProblems, type KeyPath, locate } from './problems.ts';
import { deriveFromPrefix, RULE_KEYS, readRule } from './rules.ts';
import {
  addressWanTable,
  fileTable,
  gatewayTable,
  lanTable,
  mapEWanTable,
  readTable,
  unknownWanTable,
} from './schema.ts';
import type { LanConfig, MapEWanConfig, PortfoldConfig, WanConfig } from './types.ts';

/** Far above any real configuration; a larger file is something else. */
const FILE_BYTES_MAX = 1 << 20;
const PSID_OFFSET_DEFAULT = 6;
const NAME_IT = 'name it with -c FILE';

/**
 * Reads and checks a file. Throws ConfigError, whose message holds all problems with their places.
 * @param missing what to do where the file is not there
 */
export function loadConfig(path: string, missing = NAME_IT): PortfoldConfig {
  return parseConfig(readText(path, missing), path);
}

/** Checks a text; `file` is only named in messages. */
export function parseConfig(source: string, file: string): PortfoldConfig {
  const value = parseToml(source, file);
  const findings: Finding[] = [];
  const config = readConfig(value, findings);
  if (findings.length > 0 || config === undefined) {
    const problems = locate(source, findings);
    throw new ConfigError(problems[0].code, formatProblems(file, source, problems), problems);
  }
  return config;
}

/** @param missing what to do where the file is not there; `run`, `br` and `doctor` take another by -c */
export function readText(path: string, missing = NAME_IT): string {
  let bytes: Buffer;
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) throw fileError(path, 'is a directory', 'name the file in it');
    if (!stat.isFile() && !stat.isFIFO())
      throw fileError(path, 'is not a file', 'name a TOML file');
    if (stat.size > FILE_BYTES_MAX) {
      throw fileError(
        path,
        `has ${stat.size} bytes`,
        `a configuration has at most ${FILE_BYTES_MAX}`,
      );
    }
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw fileError(path, 'does not exist', missing);
    if (code === 'EACCES')
      throw fileError(path, 'may not be read', 'run as root, or change its mode');
    throw fileError(path, `cannot be read (${code})`, 'check the path');
  }
  if (bytes.includes(0)) throw fileError(path, 'is not a text file', 'name a TOML file');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const line = firstBadLine(bytes);
    throw fileError(`${path}:${line}:1`, 'is not UTF-8', 'save the file with the encoding UTF-8');
  }
}

const fileError = (path: string, what: string, hint: string): ConfigError =>
  new ConfigError('CONFIG_UNREADABLE', `${path} ${what}; ${hint}`);

/** The line in which the bytes stop being UTF-8. */
function firstBadLine(bytes: Buffer): number {
  let line = 1;
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline + 1;
    const text = bytes.subarray(start, end);
    if (!Buffer.from(text.toString('utf8'), 'utf8').equals(text)) return line;
    start = end;
  }
  return line;
}

export function parseToml(source: string, file: string): unknown {
  try {
    return parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const what = error.message.split('\n')[0].replace(/^Invalid TOML document: /, '');
    const hint = 'the file is not TOML from here on; texts, addresses and prefixes stand in quotes';
    const { line, column } = error;
    const problem = { code: 'CONFIG_SYNTAX', line, column, key: '', what, hint };
    throw new ConfigError('CONFIG_SYNTAX', formatProblems(file, source, [problem]), [problem]);
  }
}

function readConfig(value: unknown, findings: Finding[]): PortfoldConfig | undefined {
  readTable(fileTable, value, [], findings);
  const file = value as Record<string, unknown>;
  const policy = readLinePolicy(file, findings);
  const lans = tablesOf(file.lan).map((lan, n) => readLan(lan, n, policy, findings));
  const wans = tablesOf(file.wan).map((wan, n) => readWan(wan, n, findings));
  const gateway = readTable(gatewayTable, file.gateway ?? {}, ['gateway'], findings);

  checkNames(file.lan, 'lan', 'name', findings);
  checkNames(file.wan, 'wan', 'name', findings);
  checkInterfaces(file, findings);
  if (policy !== undefined)
    checkProfiles(
      policy,
      lans.map((lan) => lan?.policy),
      findings,
    );
  checkNetworks(tablesOf(file.lan), externalAddressOf(wans[0]), findings);
  tablesOf(file.wan).forEach((_, n) => {
    if (n > 0) findings.push(surplusLine(n));
  });
  if (findings.length > 0 || policy === undefined || gateway === undefined) return undefined;
  return {
    lans: lans.filter((lan) => lan !== undefined),
    wans: wans.filter((wan) => wan !== undefined),
    policy,
    gateway: {
      capacity: gateway.capacity,
      tun: gateway.tun,
      runtimeDirectory: gateway['runtime-directory'],
      logLevel: gateway['log-level'],
      ...(gateway.realtime === undefined ? {} : { realtime: gateway.realtime }),
    },
  };
}

/** What is known of it before the gateway runs: a prefix that is "auto" is read then. */
function externalAddressOf(wan: WanConfig | undefined): string | undefined {
  if (wan === undefined || (wan.type === 'map-e' && wan.prefix === 'auto')) return undefined;
  try {
    return deriveLine(wan).externalAddress;
  } catch {
    // A line that cannot be derived has its own problem in the list.
    return undefined;
  }
}

const tablesOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

const surplusLine = (n: number): Finding => ({
  code: 'CONFIG_SEVERAL_LINES',
  path: ['wan', n],
  atKey: true,
  what: 'one line runs at a time, and this is another [[wan]]',
  hint: 'keep one [[wan]] and remove the others',
});

/** [policy], and what the line that runs changes of it. */
function readLinePolicy(
  file: Record<string, unknown>,
  findings: Finding[],
): PolicySettings | undefined {
  const common = readPolicy(file.policy ?? {}, ['policy'], PRESETS.home, findings);
  const [wan] = tablesOf(file.wan);
  const own = policyOf(wan);
  if (own === undefined) return common;
  const line = readPolicy(own, ['wan', 0, 'policy'], common ?? PRESETS.home, findings);
  return common === undefined ? undefined : line;
}

const policyOf = (table: unknown): unknown => (table as { policy?: unknown } | null)?.policy;

function readLan(
  value: unknown,
  n: number,
  line: PolicySettings | undefined,
  findings: Finding[],
): LanConfig | undefined {
  const path: KeyPath = ['lan', n];
  const lan = readTable(lanTable, value, path, findings);
  const own = policyOf(value);
  const policy =
    own === undefined
      ? undefined
      : readLanPolicy(own, [...path, 'policy'], line ?? PRESETS.home, findings);
  if (lan === undefined) return undefined;
  const { name = lan.interfaces[0], interfaces, networks } = lan;
  return {
    name,
    interfaces,
    ...(networks === undefined ? {} : { networks }),
    ...(policy === undefined ? {} : { policy }),
  };
}

function readWan(value: unknown, n: number, findings: Finding[]): WanConfig | undefined {
  const path: KeyPath = ['wan', n];
  const type = (value as { type?: unknown } | null)?.type;
  if (type === 'map-e') {
    const wan = readTable(mapEWanTable, value, path, findings);
    if (wan !== undefined) return checkMapE(wan, path, findings);
    checkServicePrefix(value as Record<string, unknown>, path, findings);
    return undefined;
  }
  if (type === 'address') {
    const wan = readTable(addressWanTable, value, path, findings);
    if (wan === undefined) return undefined;
    const { name = wan.interface, mtu, policy: _, ...rest } = wan;
    return { name, ...rest, ...(mtu === undefined ? {} : { mtu }) };
  }
  readTable(unknownWanTable, value, path, findings);
  return undefined;
}

function checkMapE(
  wan: z.output<typeof mapEWanTable>,
  path: KeyPath,
  findings: Finding[],
): MapEWanConfig | undefined {
  const before = findings.length;
  checkSource(wan, path, findings);
  const rules = wan.rules?.map((rule, n) => {
    const at = [...path, 'rules', n];
    const br = rule.br ?? wan.br;
    if (br === undefined) {
      const hint =
        'add the address of the border relay, br = "2001:db8:ffff::1", here or to the line';
      findings.push({ code: 'CONFIG_MISSING', path: [...at, 'br'], what: 'is missing', hint });
    }
    const config = {
      ipv6: rule.ipv6,
      ipv4: rule.ipv4,
      eaLength: rule['ea-length'],
      psidOffset: rule['psid-offset'] ?? PSID_OFFSET_DEFAULT,
      ...(rule['psid-length'] === undefined ? {} : { psidLength: rule['psid-length'] }),
      ...(rule.psid === undefined ? {} : { psid: rule.psid }),
      br: br ?? '',
      ...(rule.fmr === undefined ? {} : { fmr: rule.fmr }),
    };
    const read = readRule(config);
    if ('what' in read) {
      findings.push({ ...read, path: [...at, RULE_KEYS[read.field]] });
    }
    return config;
  });
  if (findings.length > before) return undefined;

  const { name = wan.interface, mtu, service, br } = wan;
  const line: MapEWanConfig = {
    name,
    interface: wan.interface,
    type: 'map-e',
    ...(mtu === undefined ? {} : { mtu }),
    ...(service === undefined ? {} : { service }),
    ...(rules === undefined ? {} : { rules }),
    prefix: wan.prefix,
    ...(wan['iid-format'] === undefined ? {} : { iidFormat: wan['iid-format'] }),
    ...(br === undefined ? {} : { br }),
    encapsulation: wan.encapsulation,
    ...(wan.mesh ? { mesh: true } : {}),
  };
  checkMesh(line, path, findings);
  checkPrefix(line, path, findings);
  return line;
}

/** The rules of a line come from a service or are written out. */
function checkSource(wan: z.output<typeof mapEWanTable>, path: KeyPath, findings: Finding[]): void {
  const known = listServices().map((service) => service.id);
  if (wan.service === undefined && wan.rules === undefined) {
    const hint = `add service = "v6plus" (known: ${known.join(', ')}), or rules = [ … ]`;
    const what = 'neither service nor rules are given';
    findings.push({ code: 'CONFIG_MISSING', path, atKey: true, what, hint });
  }
  if (wan.service !== undefined && wan.rules !== undefined) {
    const at = [...path, 'service'];
    const what = 'service and rules are both given';
    const hint = 'keep the service, or the rules by hand';
    findings.push({ code: 'CONFIG_CONFLICT', path: at, atKey: true, what, hint });
  }
}

/** Neighbours need a rule that leads to them, and an encapsulation that can have more than one end. */
function checkMesh(wan: MapEWanConfig, path: KeyPath, findings: Finding[]): void {
  if (!wan.mesh) return;
  const complain = (what: string, hint: string): void => {
    findings.push({ code: 'CONFIG_CONFLICT', path: [...path, 'mesh'], atKey: true, what, hint });
  };
  if (wan.encapsulation === 'ip6tnl')
    complain(
      'encapsulation = "ip6tnl" reaches the relay alone',
      'use "auto", "seg6" or "own", or remove mesh',
    );
  if (rulesOfLine(wan).core.some((rule) => rule.forwarding)) return;
  if (wan.service === undefined)
    complain('each rule says fmr = false', 'remove that where a rule leads to neighbours');
  else
    complain(
      `the customers of ${wan.service} reach each other by the relay, as far as is known`,
      'remove mesh; if the provider says otherwise, write its rules by hand',
    );
}

function checkPrefix(wan: MapEWanConfig, path: KeyPath, findings: Finding[]): void {
  const prefix = parseIpv6Prefix(wan.prefix);
  if (prefix === undefined) return;
  const { core, subject, iidFormat } = rulesOfLine(wan);
  const ce = deriveFromPrefix(core, prefix, iidFormatOf(iidFormat), subject);
  if ('what' in ce) findings.push({ ...ce, path: [...path, 'prefix'] });
}

/** Prefix against service where the rest of the table is broken: neither depends on it. */
function checkServicePrefix(
  { service, prefix }: Record<string, unknown>,
  path: KeyPath,
  findings: Finding[],
): void {
  if (typeof service !== 'string' || typeof prefix !== 'string') return;
  if (!findService(service)?.rules.length) return;
  const line = { name: service, interface: '', service, prefix } as const;
  checkPrefix({ ...line, type: 'map-e', encapsulation: 'auto' }, path, findings);
}

function checkNames(tables: unknown, table: string, key: string, findings: Finding[]): void {
  const seen = new Set<unknown>();
  tablesOf(tables).forEach((each, n) => {
    const name = (each as Record<string, unknown> | null)?.[key];
    if (typeof name !== 'string') return;
    if (seen.has(name)) {
      const what = `another [[${table}]] is called "${name}" already`;
      const path = [table, n, key];
      findings.push({ code: 'CONFIG_DUPLICATE', path, what, hint: 'give each its own name' });
    }
    seen.add(name);
  });
}

/**
 * An interface belongs to one table: traffic of a LAN that is also the line would be routed in a
 * circle.
 */
function checkInterfaces(file: Record<string, unknown>, findings: Finding[]): void {
  const owners = new Map<string, string>();
  const claim = (name: unknown, owner: string, path: KeyPath): void => {
    if (typeof name !== 'string') return;
    const other = owners.get(name);
    if (other !== undefined) {
      const what = `"${name}" is named by ${other} already`;
      const hint = 'an interface belongs to one LAN or to the line';
      findings.push({ code: 'CONFIG_DUPLICATE', path, what, hint });
    }
    owners.set(name, owner);
  };
  tablesOf(file.lan).forEach((lan, n) => {
    const { interfaces } = (lan ?? {}) as { interfaces?: unknown };
    tablesOf(interfaces).forEach((name, i) => {
      claim(name, `lan[${n}]`, ['lan', n, 'interfaces', i]);
    });
  });
  tablesOf(file.wan).forEach((wan, n) => {
    // Lines may share an interface; only one of them runs.
    if (n > 0) return;
    claim((wan as { interface?: unknown } | null)?.interface, 'wan[0]', ['wan', n, 'interface']);
  });
  const tun = (file.gateway as { tun?: unknown } | undefined)?.tun ?? 'portfold0';
  claim(tun, 'gateway.tun', ['gateway', 'tun']);
}
