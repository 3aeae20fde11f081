/**
 * The engine beside itself with one thing otherwise, in turn, each turn a process of its own:
 *
 *   pages      huge pages behind the indexes, as in the gateway, beside small pages only and huge ones behind the arena too
 *   inlining   the compiler as it is told in the gateway, beside V8 left alone
 *   policies   the preset `home` beside no policies: what classes, limits and the rest cost
 */

import { AS_IN_GATEWAY, type EngineVariant } from '../support/engine.ts';
import { median } from '../support/statistics.ts';
import { ownProgram, takeTurns } from '../support/turns.ts';
import type { Report, Row, SuiteOptions, Target } from '../verbs/report.ts';
import type { Turn } from './subject.ts';

const SIZES = [250_128, 1_000_080];
const SIZES_SMOKE = [21_600];
const TURNS = 5;
/** Of the engine suite's own size: enough for superpackets, which are few. */
const SCALE = 0.7;
const SCALE_SMOKE = 0.02;

type Cases = Record<string, string>;

const PAGE_CASES: Cases = {
  established: 'established, random sessions',
  new: 'new sessions',
  replaced: 'new sessions, each for one that ended',
};
const ALL_CASES: Cases = {
  established: 'established, random sessions',
  'in cache': 'established, 64 sessions',
  superpackets: 'TCP superpackets of 64,000 bytes',
  new: 'new sessions',
  replaced: 'new sessions, each for one that ended',
};

/** Columns of the report; the last one is what the gateway does. */
type Variants = Record<string, EngineVariant>;

export const pages = (options: SuiteOptions): Promise<Report> =>
  compare('pages', options, SIZES, PAGE_CASES, {
    'small pages': { ...AS_IN_GATEWAY, pages: 'small' },
    'arena as well': { ...AS_IN_GATEWAY, pages: 'all' },
    portfold: AS_IN_GATEWAY,
  });

export const inlining = (options: SuiteOptions): Promise<Report> =>
  compare('inlining', options, SIZES.slice(0, 1), ALL_CASES, {
    'V8 left alone': { ...AS_IN_GATEWAY, inlining: 'usual' },
    portfold: AS_IN_GATEWAY,
  });

export async function policies(options: SuiteOptions): Promise<Report> {
  const report = await compare('policies', options, SIZES.slice(0, 1), ALL_CASES, {
    'no policies': { ...AS_IN_GATEWAY, policy: 'none' },
    portfold: AS_IN_GATEWAY,
  });
  return { ...report, targets: options.smoke ? [] : report.rows.flatMap(targetOf) };
}

/** An established packet is to cost nothing more, a new session a tenth at most. */
function targetOf({ name, samples }: Row): Target {
  const value = median(samples.portfold) / median(samples['no policies']);
  const wanted = name.startsWith('new') ? 0.9 : 0.98;
  return { name: `${name}, home against no policies`, value, bound: 'at least', wanted };
}

async function compare(
  suite: string,
  options: SuiteOptions,
  sizes: readonly number[],
  cases: Cases,
  variants: Variants,
): Promise<Report> {
  const { smoke } = options;
  const turns = Number(options.pairs ?? (smoke ? 1 : TURNS));
  const scale = String(smoke ? SCALE_SMOKE : SCALE);
  const rows: Row[] = [];
  const used = options.sessions?.split(',').map(Number) ?? (smoke ? SIZES_SMOKE : sizes);
  for (const size of used) {
    const rivals = Object.entries(variants).map(([name, variant]) => ({
      name,
      turn: () =>
        ownProgram<Turn>(import.meta.url, './subject', [
          String(size),
          scale,
          JSON.stringify(variant),
        ]),
    }));
    const results = await takeTurns(rivals, turns);
    for (const [id, title] of Object.entries(cases))
      rows.push({
        name: `${title}, ${size.toLocaleString('en')} present`,
        unit: 'million/s',
        samples: Object.fromEntries(
          Object.entries(results).map(([name, all]) => [
            name,
            all.map((turn) => turn.rates[id] / 1e6),
          ]),
        ),
      });
  }
  return {
    suite,
    command: `portfold bench ${suite}${smoke ? ' --smoke' : ''}`,
    smoke,
    rows,
    notes: { turns: `${turns}, in turn` },
  };
}
