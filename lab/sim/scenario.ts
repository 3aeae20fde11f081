/**
 * A scenario file: who is in the LAN, what the line has, and which routers are tried on it.
 *
 *   duration = "30m"                    virtual time
 *   ports = "v6plus"                    the 240 ports of a line, or ranges
 *   [[model]]  router = "portfold"      one run each, with the same users
 *   [[users]]  kind = "pages"           what they do; keys of their own by kind
 *
 * The file is read as strictly as the gateway's own configuration, with the same words: every mistake with its place and what would be
 * right. A scenario is named by its file, or by its name alone for those that lie in lab/scenarios/.
 */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { ConfigError, UsageError } from '../../gateway/config/errors.ts';
import { parseToml, readText } from '../../gateway/config/load.ts';
import { parsePorts } from '../../gateway/config/ports.ts';
import {
  type Complaint,
  type Finding,
  formatProblems,
  type KeyPath,
  locate,
} from '../../gateway/config/problems.ts';
import { CAPACITY_MIN, readTable, text } from '../../gateway/config/schema.ts';
import { hintAmong } from '../../gateway/config/suggest.ts';
import { PRESET_NAMES, type PresetName } from '../../policies/settings.ts';
import type { Capture } from './capture.ts';
import { isRouter, PORTFOLD, ROUTER_NAMES } from './routers.ts';
import { type KindName, kindOf, USER_KINDS } from './users/kinds.ts';
import { amount, count, duration, integer } from './values.ts';
import { escaped } from './words.ts';

/** One run: a router, and what is around it. */
export interface ModelPlan {
  name: string;
  router: string;
  /** Of Portfold. */
  preset: PresetName;
  /** The router that stands above, the size of its table if it is not its own, and whether Portfold keeps a model of it. */
  below?: string;
  belowEntries?: number;
  guard: boolean;
  ports: Uint16Array;
  /** Absent: the router's own. */
  entries?: number;
}

export interface UsersPlan {
  kind: KindName;
  options: unknown;
}

export interface Scenario {
  name: string;
  about: string;
  durationMs: number;
  seed: number;
  samples: number;
  servers: number;
  popularity: number;
  ports: Uint16Array;
  models: ModelPlan[];
  users: UsersPlan[];
  /** Takes the place of the users. */
  capture?: Capture;
}

/** The ports of a v6 Plus line: fifteen blocks of sixteen. */
const V6PLUS = 'v6plus';
const V6PLUS_PSID = 0x34;
const PORTS_DEFAULT = '4096-65534';
const ENTRIES_MAX = 1_048_576;
const SAMPLES_MAX = 2000;
export const SEED_MAX = 0xffffffff;
const SERVERS_DEFAULT = 3000;
/** What to do where a file of one's own is not there. */
const MISSING = 'check the path; `portfold sim` lists the scenarios that come with it';
const FOLDERS = ['../scenarios/', '../../../lab/scenarios/'];

const routerName = text((name) =>
  isRouter(name)
    ? undefined
    : {
        what: `there is no router "${name}"`,
        hint: hintAmong(name, ROUTER_NAMES, 'known routers'),
      },
);

const ports = z.unknown().transform((value, ctx): Uint16Array => {
  const found = portsOf(value);
  if (found instanceof Uint16Array) return found;
  const { what, hint } = found;
  ctx.issues.push({ code: 'custom', message: what, params: { hint }, input: value });
  return z.NEVER;
});

const fileTable = z.strictObject({
  about: z.string().transform(escaped).default(''),
  duration,
  seed: integer(0, SEED_MAX).default(1),
  samples: integer(1, SAMPLES_MAX).default(120),
  servers: count.default(SERVERS_DEFAULT),
  popularity: amount(3).default(0.9),
  ports: ports.default(() => portsOf(PORTS_DEFAULT) as Uint16Array),
  model: z.array(z.unknown()).min(1),
  users: z.array(z.unknown()).min(1),
});

const modelTable = z.strictObject({
  name: z.string().transform(escaped).optional(),
  router: routerName,
  preset: z.enum(PRESET_NAMES as [PresetName, ...PresetName[]]).default('home'),
  below: routerName.optional(),
  'below-entries': integer(1, ENTRIES_MAX).optional(),
  guard: z.boolean().default(true),
  ports: ports.optional(),
  entries: integer(1, ENTRIES_MAX).optional(),
});

const usersTable = z.looseObject({
  kind: z.enum(Object.keys(USER_KINDS) as [KindName, ...KindName[]]),
});

/** Reads the scenario of this name, or in this file. */
export function loadScenario(name: string): Scenario {
  const file = fileOf(name);
  return parseScenario(readText(file, MISSING), file);
}

/** Checks a text; `file` is named in messages. */
export function parseScenario(source: string, file: string): Scenario {
  const value = parseToml(source, file);
  const findings: Finding[] = [];
  const table = readTable(fileTable, value, [], findings);
  const models = tablesOf(value, 'model').map((model, n) => readModel(model, n, findings));
  const users = tablesOf(value, 'users').map((user, n) => readUsers(user, n, findings));
  checkNames(models, findings);
  if (findings.length > 0 || table === undefined) {
    const problems = locate(source, findings);
    const plain = problems.map((each) => ({ ...each, what: escaped(each.what) }));
    throw new ConfigError(plain[0].code, formatProblems(file, source, plain), plain);
  }
  const { duration: durationMs, model: _, users: __, ...rest } = table;
  return {
    name: file.replace(/^.*\/|\.toml$/g, ''),
    ...rest,
    durationMs,
    models: models
      .filter((model) => model !== undefined)
      .map((model) => ({ ...model, ports: model.ports ?? table.ports })),
    users: users.filter((each) => each !== undefined),
  };
}

/** A run with a router that the scenario does not name: as it is by itself. */
export const plainModel = (router: string, ports: Uint16Array): ModelPlan => ({
  name: router,
  router,
  preset: 'home',
  guard: true,
  ports,
});

/** The names of the scenarios that come with the program. */
export function listScenarios(): string[] {
  const folder = FOLDERS.map(fromHere).find((path) => existsSync(path));
  if (folder === undefined) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith('.toml'))
    .map((file) => file.slice(0, -'.toml'.length))
    .sort();
}

const fromHere = (path: string): string => join(dirname(fileURLToPath(import.meta.url)), path);

function fileOf(name: string): string {
  if (name.includes('/') || name.endsWith('.toml')) return name;
  const path = FOLDERS.map((folder) => join(fromHere(folder), `${name}.toml`)).find(existsSync);
  if (path !== undefined) return path;
  const hint = hintAmong(name, listScenarios(), 'there are');
  throw new UsageError('SIM_UNKNOWN_SCENARIO', `there is no scenario "${name}"; ${hint}`);
}

function tablesOf(value: unknown, key: string): unknown[] {
  const found = (value as Record<string, unknown>)[key];
  return Array.isArray(found) ? found : [];
}

type ReadModel = Omit<ModelPlan, 'ports'> & { ports?: Uint16Array };

function readModel(value: unknown, n: number, findings: Finding[]): ReadModel | undefined {
  const path = ['model', n];
  const model = readTable(modelTable, value, path, findings);
  if (model === undefined) return undefined;
  const given = value as Record<string, unknown>;
  if (model.router === PORTFOLD) checkPortfold(model, path, findings);
  else
    for (const key of ['preset', 'guard', 'below', 'below-entries'])
      if (given[key] !== undefined)
        findings.push({
          code: 'SIM_NOT_FOR_MODEL',
          path: [...path, key],
          atKey: true,
          what: `${model.router} has no such key`,
          hint: `${key} is for router = "${PORTFOLD}"`,
        });
  const { 'below-entries': belowEntries, ...rest } = model;
  return {
    ...rest,
    ...(belowEntries === undefined ? {} : { belowEntries }),
    name: model.name ?? nameOf(model, given),
  };
}

function checkPortfold(
  model: z.output<typeof modelTable>,
  path: KeyPath,
  findings: Finding[],
): void {
  const { entries, below } = model;
  if (entries !== undefined && (entries < CAPACITY_MIN || (entries & (entries - 1)) !== 0))
    findings.push({
      code: 'CONFIG_BAD_VALUE',
      path: [...path, 'entries'],
      what: `${entries} sessions are not possible`,
      hint: `use a power of two from ${CAPACITY_MIN} to ${ENTRIES_MAX}`,
    });
  if (below === PORTFOLD)
    findings.push({
      code: 'CONFIG_BAD_VALUE',
      path: [...path, 'below'],
      what: 'Portfold does not stand above itself here',
      hint: `name another router: ${ROUTER_NAMES.filter((name) => name !== PORTFOLD).join(', ')}`,
    });
}

function nameOf(model: z.output<typeof modelTable>, given: Record<string, unknown>): string {
  const preset = given.preset === undefined ? '' : ` ${model.preset}`;
  const below = model.below === undefined ? '' : ` below ${model.below}`;
  const guard = model.below === undefined || model.guard ? '' : ', no guard';
  return `${model.router}${preset}${below}${guard}`;
}

function checkNames(models: readonly (ReadModel | undefined)[], findings: Finding[]): void {
  models.forEach((model, n) => {
    if (model === undefined) return;
    if (models.findIndex((other) => other?.name === model.name) === n) return;
    findings.push({
      code: 'SIM_NAME_TWICE',
      path: ['model', n, 'name'],
      what: `two models are called "${model.name}"`,
      hint: 'give one of them a name of its own, name = "…"',
    });
  });
}

function readUsers(value: unknown, n: number, findings: Finding[]): UsersPlan | undefined {
  const path = ['users', n];
  const known = readTable(usersTable, value, path, findings);
  if (known === undefined) return undefined;
  const { kind, ...rest } = known;
  const options = readTable(kindOf(kind).table, rest, path, findings);
  return { kind, options };
}

function portsOf(value: unknown): Uint16Array | Complaint {
  if (value === V6PLUS) return v6plusPorts();
  const ranges = parsePorts(value);
  if (!Array.isArray(ranges)) return ranges;
  const list = ranges.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  );
  return Uint16Array.from(list);
}

const v6plusPorts = (): Uint16Array =>
  Uint16Array.from(
    { length: 240 },
    (_, i) => ((1 + (i >> 4)) << 12) | (V6PLUS_PSID << 4) | (i & 15),
  );
