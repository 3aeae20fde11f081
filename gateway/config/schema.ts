/**
 * What a configuration file may hold: one strict schema per table, and the words for what does not
 * fit.
 *
 *   TOML value ──zod──▶ tables with defaults filled in
 *                 └───▶ issues ──▶ Findings: a path, what is wrong, what would be right
 *
 * Keys are kebab-case in the file. A check that needs two keys (prefix and service, say) is in
 * load.ts; here a value is judged alone. Nothing is coerced: "1280" is not a number.
 */
import { z } from 'zod';
import { findService, listServices } from '../services/services.ts';
import { parseIpv4, parseIpv6, parseIpv6Prefix } from './addresses.ts';
import { networkProblem } from './networks.ts';
import { type PortRange, parsePorts } from './ports.ts';
import type { Complaint, Finding, KeyPath } from './problems.ts';
import { hintAmong, nearest } from './suggest.ts';

export const CAPACITY_MIN = 1024;
export const CAPACITY_MAX = 1_048_576;
export const CAPACITY_DEFAULT = 262_144;
export const MTU_MIN = 576;
export const MTU_MAX = 65_535;
/** IFNAMSIZ less the closing zero. */
const INTERFACE_NAME_MAX = 15;

type Check<T> = (value: T) => Complaint | undefined;

/** A text that `check` accepts. */
export const text = (check: Check<string>) =>
  z.string().check((ctx) => complain(ctx, check(ctx.value)));
export const integer = (least: number, most: number) =>
  z.number().check((ctx) => complain(ctx, integerProblem(ctx.value, least, most)));

function complain<T>(ctx: z.core.ParsePayload<T>, complaint: Complaint | undefined): void {
  if (complaint === undefined) return;
  const { what, hint } = complaint;
  ctx.issues.push({ code: 'custom', message: what, params: { hint }, input: ctx.value });
}

function integerProblem(value: number, least: number, most: number): Complaint | undefined {
  if (Number.isInteger(value) && value >= least && value <= most) return undefined;
  return { what: `${value} is not possible`, hint: `use a whole number from ${least} to ${most}` };
}

/** Checked for form only: an interface may appear later. */
export function interfaceProblem(name: string): Complaint | undefined {
  const hint = 'use the name that `ip link` shows, 1 to 15 characters';
  if (name === '') return { what: 'the name of an interface is empty', hint };
  if (Buffer.byteLength(name) > INTERFACE_NAME_MAX) {
    return { what: `"${name}" is longer than ${INTERFACE_NAME_MAX} characters`, hint };
  }
  if (name === '.' || name === '..' || !/^[\x21-\x7e]+$/.test(name) || /[/:%]/.test(name)) {
    return { what: `"${name}" cannot be the name of an interface`, hint };
  }
  return undefined;
}

function labelProblem(name: string): Complaint | undefined {
  if (/^[\w.-]{1,32}$/.test(name)) return undefined;
  const hint = 'use 1 to 32 letters, digits, ".", "_" or "-"';
  return { what: `"${name}" cannot be a name`, hint };
}

export function externalAddressProblem(value: string): Complaint | undefined {
  const address = parseIpv4(value);
  const hint = 'write the one address of the line, for instance "198.51.100.1"';
  if (address === undefined) return { what: `"${value}" is not an IPv4 address`, hint };
  const first = address >>> 24;
  if (first !== 0 && first !== 127 && first < 224) return undefined;
  return { what: `${value} cannot be the address of a line`, hint };
}

export function ipv6Problem(value: string): Complaint | undefined {
  if (parseIpv6(value) !== undefined) return undefined;
  const hint = 'write one address without a length, for instance "2404:9200:225:100::64"';
  return { what: `"${value}" is not an IPv6 address`, hint };
}

function prefixProblem(value: string): Complaint | undefined {
  if (value === 'auto' || parseIpv6Prefix(value) !== undefined) return undefined;
  const what = `"${value}" is not an IPv6 prefix`;
  return {
    what,
    hint: 'write it like "240b:10:1234:5600::/56", or "auto" to read it from the interface',
  };
}

function serviceProblem(id: string): Complaint | undefined {
  const service = findService(id);
  if (service === undefined) {
    const known = listServices().map((each) => each.id);
    return { what: `there is no service "${id}"`, hint: hintAmong(id, known, 'known services') };
  }
  if (service.rules.length > 0) return undefined;
  return { what: `${id} has no common rules`, hint: service.note };
}

export function directoryProblem(path: string): Complaint | undefined {
  if (path.startsWith('/') && !path.includes('\0')) return undefined;
  return { what: `"${path}" is not an absolute path`, hint: 'write it like "/run/portfold"' };
}

function capacityProblem(value: number): Complaint | undefined {
  const power = Number.isInteger(value) && value > 0 && (value & (value - 1)) === 0;
  if (power && value >= CAPACITY_MIN && value <= CAPACITY_MAX) return undefined;
  const nearby = 2 ** Math.round(Math.log2(Math.max(1, value || 1)));
  const right = Math.min(CAPACITY_MAX, Math.max(CAPACITY_MIN, nearby));
  const hint = `use a power of two from ${CAPACITY_MIN} to ${CAPACITY_MAX}, for instance ${right}`;
  return { what: `${value} sessions are not possible`, hint };
}

const ports = z.unknown().transform((value, ctx): PortRange[] => {
  // A missing key is reported as missing, in the same words as any other.
  if (value === undefined) {
    ctx.issues.push({ code: 'invalid_type', expected: 'string', input: value });
    return z.NEVER;
  }
  const result = parsePorts(value);
  if (Array.isArray(result)) return result;
  const { what, hint } = result;
  ctx.issues.push({ code: 'custom', message: what, params: { hint }, input: value });
  return z.NEVER;
});

export const lanTable = z.strictObject({
  name: text(labelProblem).optional(),
  interfaces: z.array(text(interfaceProblem)).min(1),
  networks: z.array(text(networkProblem)).min(1).optional(),
  policy: z.unknown().optional(),
});

export const WAN_TYPES = ['map-e', 'address'] as const;

const wanCommon = {
  name: text(labelProblem).optional(),
  interface: text(interfaceProblem),
  mtu: integer(MTU_MIN, MTU_MAX).optional(),
  /** Read by policy.ts. */
  policy: z.unknown().optional(),
};

export const ruleTable = z.strictObject({
  ipv6: z.string(),
  ipv4: z.string(),
  'ea-length': integer(0, 48),
  'psid-offset': integer(0, 15).optional(),
  'psid-length': integer(0, 16).optional(),
  psid: integer(0, 65_535).optional(),
  br: text(ipv6Problem).optional(),
});

/** On a line a rule may lead to neighbours as well. */
const lineRuleTable = ruleTable.extend({ fmr: z.boolean().optional() });

export const mapEWanTable = z.strictObject({
  ...wanCommon,
  type: z.literal('map-e'),
  service: text(serviceProblem).optional(),
  rules: z.array(lineRuleTable).min(1).max(256).optional(),
  prefix: text(prefixProblem),
  'iid-format': z.enum(['rfc7597', 'draft-ietf-softwire-map-03']).optional(),
  br: text(ipv6Problem).optional(),
  encapsulation: z.enum(['auto', 'seg6', 'ip6tnl', 'own']).default('auto'),
  mesh: z.boolean().default(false),
});

export const addressWanTable = z.strictObject({
  ...wanCommon,
  type: z.literal('address'),
  address: text(externalAddressProblem),
  ports,
});

/** For a line whose type is not known: only what every line has can be judged. */
export const unknownWanTable = z.looseObject({ ...wanCommon, type: z.enum(WAN_TYPES) });

export const gatewayTable = z.strictObject({
  capacity: z
    .number()
    .check((ctx) => complain(ctx, capacityProblem(ctx.value)))
    .default(CAPACITY_DEFAULT),
  tun: text(interfaceProblem).default('portfold0'),
  'runtime-directory': text(directoryProblem).default('/run/portfold'),
  'log-level': z.enum(['debug', 'info', 'warn', 'error']).default('info'),
  realtime: z.boolean().optional(),
});

/** The tables of a file, not yet looked into. */
export const fileTable = z.strictObject({
  lan: z.array(z.unknown()).min(1),
  wan: z.array(z.unknown()).min(1),
  policy: z.unknown().optional(),
  gateway: z.unknown().optional(),
});

/** What to write where a key is missing. */
const EXAMPLES: Record<string, string> = {
  lan: 'add a table [[lan]] with interfaces = ["lan0"]',
  wan: 'add a table [[wan]] with interface = "wan0" and type = "map-e" or "address"',
  interfaces: 'add for instance interfaces = ["lan0"]',
  interface: 'add for instance interface = "wan0"',
  type: `add type = "map-e" or type = "address"`,
  prefix: 'add prefix = "auto", or the prefix of the line, for instance "240b:10:1234:5600::/56"',
  address: 'add the external address, for instance address = "198.51.100.1"',
  ports: 'add the external ports that may be used, for instance ports = "4096-65534"',
  ipv6: 'add for instance ipv6 = "2001:db8::/40"',
  ipv4: 'add for instance ipv4 = "192.0.2.0/24"',
  'ea-length': 'add for instance ea-length = 16',
  entries: 'add how many entries its table holds, for instance entries = 20000',
};

/** Runs a schema; what does not fit is added to `findings` under `path`. */
export function readTable<S extends z.ZodType>(
  schema: S,
  value: unknown,
  path: KeyPath,
  findings: Finding[],
): z.output<S> | undefined {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) findings.push(...findingsOf(issue, schema, value, path));
  return undefined;
}

function findingsOf(
  issue: z.core.$ZodIssue,
  schema: z.ZodType,
  value: unknown,
  base: KeyPath,
): Finding[] {
  const inner = issue.path as (string | number)[];
  const path = [...base, ...inner];
  const found = inner.reduce<unknown>((at, key) => (at as Record<string, unknown>)?.[key], value);
  const one = (code: string, what: string, hint: string): Finding[] => [{ code, path, what, hint }];
  const last = String(path[path.length - 1] ?? '');

  if (issue.code === 'unrecognized_keys') {
    const known = keysOf(schema, inner);
    return issue.keys.map((key) => ({
      code: 'CONFIG_UNKNOWN_KEY',
      path: [...path, key],
      atKey: true,
      what: 'there is no such key',
      hint: hintAmong(key, known, nearest(key, known) ? 'known here' : 'known here are'),
    }));
  }
  if (found === undefined) {
    return one('CONFIG_MISSING', 'is missing', EXAMPLES[last] ?? `add ${last}`);
  }
  if (issue.code === 'invalid_type') {
    const what = `expected ${withArticle(issue.expected)}, found ${describe(found)}`;
    return one('CONFIG_WRONG_TYPE', what, EXAMPLES[last] ?? typeHint(issue.expected, found));
  }
  if (issue.code === 'invalid_value' && typeof found === 'string') {
    const known = issue.values.map(String);
    return one('CONFIG_BAD_VALUE', `"${found}" is unknown`, hintAmong(found, known, 'possible'));
  }
  if (issue.code === 'invalid_value') {
    const hint = `write one of ${issue.values.map((each) => `"${String(each)}"`).join(', ')}`;
    return one('CONFIG_WRONG_TYPE', `expected a text, found ${describe(found)}`, hint);
  }
  if (issue.code === 'too_small') return one('CONFIG_EMPTY', 'is empty', EXAMPLES[last] ?? '');
  if (issue.code === 'too_big') {
    return one('CONFIG_BAD_VALUE', `has more than ${issue.maximum} entries`, 'remove some');
  }
  const hint = issue.code === 'custom' ? String(issue.params?.hint ?? '') : '';
  return one('CONFIG_BAD_VALUE', issue.message, hint);
}

/** The keys that a table of the schema knows, at a path inside of it. */
function keysOf(schema: z.ZodType, path: readonly (string | number)[]): string[] {
  let at: unknown = schema;
  for (const part of path) {
    at = unwrap(at);
    if (at instanceof z.ZodArray) at = at.element;
    else if (at instanceof z.ZodObject) at = at.shape[String(part)];
  }
  at = unwrap(at);
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

function unwrap(schema: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return unwrap(schema.unwrap());
  }
  return schema;
}

const NAMES: Record<string, string> = {
  object: 'a table',
  record: 'a table',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
};

const withArticle = (type: string): string => NAMES[type] ?? `a ${type}`;

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'object') return 'a table';
  if (typeof value === 'string') return `the text "${value}"`;
  return typeof value === 'number' ? `the number ${value}` : String(value);
}

function typeHint(expected: string, found: unknown): string {
  if (expected === 'string') return `put it in quotes: "${String(found)}"`;
  if (expected === 'number') return 'write a number without quotes';
  if (expected === 'boolean') return 'write true or false, without quotes';
  if (expected === 'array') return 'write a list in square brackets';
  return '';
}
