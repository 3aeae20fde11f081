/** Values of scenario files: durations, counts, shares and addresses, each with words for what does not fit. */
import { z } from 'zod';
import type { Complaint } from '../../gateway/config/problems.ts';
import { text } from '../../gateway/config/schema.ts';

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)$/;
const COUNT_MAX = 1_000_000;

/** Milliseconds of "90s", "30m" or "1.5h"; undefined when it is no duration. */
export function parseDuration(words: string): number | undefined {
  const match = DURATION.exec(words);
  return match === null ? undefined : Number(match[1]) * UNIT_MS[match[2]];
}

/** A duration, in milliseconds. */
export const duration = text((words) =>
  (parseDuration(words) ?? 0) > 0
    ? undefined
    : {
        what: `"${words}" is not a duration`,
        hint: 'write it like "500ms", "90s", "30m" or "1.5h"',
      },
).transform((words) => parseDuration(words) as number);

/** A number that `problem` finds nothing wrong with. TOML has "inf" and "nan", which zod does not take for numbers. */
const number = (problem: (value: number) => Complaint | undefined) =>
  z.unknown().transform((value, ctx): number => {
    if (typeof value !== 'number') {
      ctx.issues.push({ code: 'invalid_type', expected: 'number', input: value });
      return z.NEVER;
    }
    const found = problem(value);
    if (found === undefined) return value;
    const { what, hint } = found;
    ctx.issues.push({ code: 'custom', message: what, params: { hint }, input: value });
    return z.NEVER;
  });

/** As TOML writes it. */
const shown = (value: number): string =>
  Number.isFinite(value) ? String(value) : String(value).toLowerCase().replace('infinity', 'inf');

/** A whole number. */
export const integer = (least: number, most: number) =>
  number((value) =>
    Number.isInteger(value) && value >= least && value <= most
      ? undefined
      : {
          what: `${shown(value)} is not possible`,
          hint: `use a whole number from ${least} to ${most}`,
        },
  );

export const count = integer(1, COUNT_MAX);

/** A number above 0 and up to `most`. */
export const amount = (most: number) =>
  number((value) =>
    value > 0 && value <= most
      ? undefined
      : { what: `${shown(value)} is not possible`, hint: `use a number above 0, up to ${most}` },
  );

/** A part of the whole, from 0 to 1. */
export const share = number((value) =>
  value >= 0 && value <= 1
    ? undefined
    : { what: `${shown(value)} is not a share`, hint: 'use a number from 0 to 1' },
);

/** At least and at most. */
export const range = (most: number) =>
  z.tuple([amount(most), amount(most)]).check((ctx) => {
    if (ctx.value[0] <= ctx.value[1]) return;
    ctx.issues.push({
      code: 'custom',
      message: `[${ctx.value.join(', ')}] begins with the greater one`,
      params: { hint: 'write the least first, then the most' },
      input: ctx.value,
    });
  });
