/**
 * The tables that say what may be decided about sessions: [policy], [lan.policy], [wan.policy].
 *
 * Every key is optional. What a key does, and what each preset has in its place, stands in
 * docs/policies.md. As in schema.ts a value is judged alone here; policy.ts puts the tables
 * together.
 */
import { z } from 'zod';
import { UNANSWERED_PER_REMOTE_LIMIT } from '../../core/table/unanswered.ts';
import { UPSTREAM_ENTRIES_MAX } from '../../core/table/upstream.ts';
import {
  PRESET_NAMES,
  TIMER_NAMES,
  type TimerName,
  UDP_CLASS_NAMES,
} from '../../policies/settings.ts';
import { UPSTREAM_MODELS } from '../../policies/upstream-models.ts';
import { prefixProblem } from './networks.ts';
import type { Complaint } from './problems.ts';
import { integer, text } from './schema.ts';
import { hintAmong } from './suggest.ts';

/** A week. */
export const TIMER_SECONDS_MAX = 604_800;
const LEVELS = 4;

const percent = integer(0, 100);
const seconds = integer(1, TIMER_SECONDS_MAX);
const networks = z.array(text((value) => prefixProblem(value, 'write it like "192.0.2.0/24"')));
const exceptions = { from: networks.optional(), to: networks.optional() };

/** Judged by `problem`; its type is that of the word behind it. */
const judged = <T>(problem: (value: unknown) => Complaint | undefined) =>
  z.unknown().transform((value, ctx): T => {
    const complaint = problem(value);
    if (complaint === undefined) return value as T;
    const { what, hint } = complaint;
    ctx.issues.push({ code: 'custom', message: what, params: { hint }, input: value });
    return z.NEVER;
  });

const isWhole = (value: unknown, least: number, most: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;

function timerProblem(value: unknown): Complaint | undefined {
  const list = Array.isArray(value) ? value : [value];
  const hint = `write seconds from 1 to ${TIMER_SECONDS_MAX}, or a list of four: for the pressure levels 0 to 3`;
  if (Array.isArray(value) && value.length !== LEVELS)
    return { what: `${value.length} timers are not one for each pressure level`, hint };
  const wrong = list.find((each) => !isWhole(each, 1, TIMER_SECONDS_MAX));
  if (wrong !== undefined) return { what: `${JSON.stringify(wrong)} is not possible`, hint };
  const longer = list.findIndex((each, i) => i > 0 && each > list[i - 1]);
  if (longer < 0) return undefined;
  return {
    what: `at level ${longer} the timer is longer than at level ${longer - 1}`,
    hint: 'a timer stays or becomes shorter from level to level',
  };
}

function levelsProblem(value: unknown): Complaint | undefined {
  const hint = 'write three percentages, each above the one before, for instance [60, 75, 90]';
  const isList = Array.isArray(value) && value.length === LEVELS - 1;
  if (!isList || !value.every((each) => isWhole(each, 1, 100)))
    return { what: `${JSON.stringify(value)} are not three levels`, hint };
  if (value[0] < value[1] && value[1] < value[2]) return undefined;
  return { what: 'the levels do not rise', hint };
}

/** Names of models, and "none"; a table is judged by its own schema. */
function upstreamProblem(value: unknown): Complaint | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return undefined;
  const hint = 'write a model, for instance "rtx1200", or { entries = 20000 }';
  if (typeof value !== 'string')
    return { what: `${JSON.stringify(value)} is not a model and not a table`, hint };
  const known = [...Object.keys(UPSTREAM_MODELS), 'none'];
  if (known.includes(value)) return undefined;
  return { what: `there is no model "${value}"`, hint: hintAmong(value, known, 'known models') };
}

const timer = judged<number | number[]>(timerProblem).optional();
const timerShape = Object.fromEntries(TIMER_NAMES.map((name) => [name, timer])) as Record<
  TimerName,
  typeof timer
>;

export const policyTable = z.strictObject({
  preset: z.enum(PRESET_NAMES).optional(),
  sharing: z.boolean().optional(),
  filtering: z.enum(['address', 'open']).optional(),
  peers: z.array(z.enum(UDP_CLASS_NAMES)).optional(),
  'owned-percent': percent.optional(),
  timers: z.strictObject(timerShape).optional(),
  'evict-unanswered': z.boolean().optional(),
  'unanswered-per-remote': integer(0, UNANSWERED_PER_REMOTE_LIMIT).optional(),
  limits: z
    .strictObject({
      sessions: integer(0, 1_048_576).optional(),
      'owned-ports': integer(0, 65_535).optional(),
      'new-per-second': integer(0, 65_535).optional(),
      'new-at-once': integer(0, 65_535).optional(),
    })
    .optional(),
  reserve: z
    .strictObject({
      percent: integer(0, 50).optional(),
      'few-sessions': integer(1, 65_535).optional(),
    })
    .optional(),
  pressure: z
    .strictObject({
      levels: judged<[number, number, number]>(levelsProblem).optional(),
      evict: z.boolean().optional(),
    })
    .optional(),
  upstream: judged<unknown>(upstreamProblem).optional(),
  quic: z.enum(['allow', 'reject', 'drop', 'pressure']).optional(),
  'quic-from': z
    .strictObject({ level: integer(1, 3).optional(), upstream: percent.optional() })
    .optional(),
  'quic-except': z.strictObject(exceptions).optional(),
  udp: z.enum(['allow', 'reject', 'drop']).optional(),
  'udp-except': z
    .strictObject({ ...exceptions, classes: z.array(z.enum(UDP_CLASS_NAMES)).optional() })
    .optional(),
  'private-destinations': z.enum(['auto', 'refuse', 'allow']).optional(),
  'private-except': networks.optional(),
  mail: z.enum(['allow', 'reject']).optional(),
  'mail-except': z.strictObject(exceptions).optional(),
});

export const upstreamTable = z.strictObject({
  entries: integer(256, UPSTREAM_ENTRIES_MAX),
  timers: z
    .strictObject({
      udp: seconds.optional(),
      tcp: seconds.optional(),
      icmp: seconds.optional(),
      dns: seconds.optional(),
      'tcp-closed': seconds.optional(),
    })
    .optional(),
});

/** Keys that hold for the line as a whole. */
export const LINE_WIDE_KEYS = ['reserve', 'pressure', 'upstream'] as const;
