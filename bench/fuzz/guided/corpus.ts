/**
 * What is known so far: which edges were passed and how often in one case, and the cases that were the first to do so.
 *
 *   classes of passes   1 · 2 · 3 · 4–7 · 8–15 · 16–31 · 32–127 · 128 and more      one bit each; a case is kept if it sets a new one
 *
 * Besides the edges there is a place for each pair of verdicts that follow each other. Half of the picks go to a case that holds one of
 * the rarest classes; the others to any case, the newer ones more often.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dice } from '../dice.ts';
import { type Case, fromJson, toJson } from './case.ts';

const VERDICTS = 64;
const CLASSES = 8;
const RARE_SHARE = 16;
const RESTART_COST = 40;

/** Edges in classes of passes, and pairs of verdicts, that no case before had. */
export interface Novelty {
  places: number[];
  pairs: number[];
}

/** Class of a number of passes, as a bit. */
const classOf = (passes: number): number => {
  if (passes < 4) return passes - 1;
  if (passes < 8) return 3;
  if (passes < 16) return 4;
  if (passes < 32) return 5;
  return passes < 128 ? 6 : 7;
};

const CLASS_BIT = Uint8Array.from({ length: 129 }, (_, n) => (n === 0 ? 0 : 1 << classOf(n)));

export class Corpus {
  readonly cases: Case[] = [];
  /** Edges that were ever passed. */
  covered = 0;
  private readonly coverage: Uint32Array;
  private readonly seen: Uint8Array;
  /** Cases that were kept when they passed this edge in this class, and executions that did so. */
  private readonly holder: Int32Array;
  private readonly passes: Uint32Array;
  private readonly pairs = new Uint8Array(VERDICTS * VERDICTS);
  private readonly dice: Dice;
  private readonly folder: string | undefined;
  private rare: Int32Array = new Int32Array(0);

  /** @param coverage counters of the build; @param folder where cases are written, one a file */
  constructor(coverage: Uint32Array, dice: Dice, folder?: string) {
    this.coverage = coverage;
    this.dice = dice;
    this.folder = folder;
    this.seen = new Uint8Array(coverage.length);
    this.holder = new Int32Array(coverage.length * CLASSES).fill(-1);
    this.passes = new Uint32Array(coverage.length * CLASSES);
    if (folder !== undefined) mkdirSync(folder, { recursive: true });
  }

  /** Cases of an earlier run. */
  stored(): Case[] {
    const { folder } = this;
    if (folder === undefined) return [];
    const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
    return files.sort().map((name) => fromJson(readFileSync(join(folder, name), 'utf8')));
  }

  /** Counts the edges of the case just played. @returns what was new about it; see `repeats` */
  note(trace: readonly number[]): Novelty {
    const { coverage, seen, passes } = this;
    const novelty: Novelty = { places: [], pairs: this.notePairs(trace) };
    for (let edge = 0; edge < coverage.length; edge++) {
      const count = coverage[edge];
      if (count === 0) continue;
      const bit = CLASS_BIT[count > 128 ? 128 : count];
      if ((seen[edge] & bit) === 0) {
        if (seen[edge] === 0) this.covered++;
        seen[edge] |= bit;
        novelty.places.push(edge * CLASSES + classOf(count));
      }
      passes[edge * CLASSES + classOf(count)]++;
    }
    return novelty;
  }

  private notePairs(trace: readonly number[]): number[] {
    const found: number[] = [];
    for (const pair of pairsOf(trace))
      if (this.pairs[pair] === 0) {
        this.pairs[pair] = 1;
        found.push(pair);
      }
    return found;
  }

  /** True if the case just played did what was new about another one. */
  repeats({ places, pairs }: Novelty, trace: readonly number[]): boolean {
    const { coverage } = this;
    for (const place of places) {
      const count = coverage[Math.floor(place / CLASSES)];
      if (count === 0 || classOf(count) !== place % CLASSES) return false;
    }
    if (pairs.length === 0) return true;
    const here = new Set(pairsOf(trace));
    return pairs.every((pair) => here.has(pair));
  }

  /** Keeps a case whose edges stand in the counters. */
  keep(input: Case): void {
    const number = this.cases.push(input) - 1;
    const { coverage, holder } = this;
    for (let edge = 0; edge < coverage.length; edge++) {
      if (coverage[edge] === 0) continue;
      const place = edge * CLASSES + classOf(coverage[edge]);
      const known = holder[place];
      if (known < 0 || costOf(this.cases[known]) > costOf(input)) holder[place] = number;
    }
    if (this.folder === undefined) return;
    const text = toJson(input);
    const file = join(this.folder, `${nameOf(text)}.json`);
    if (!existsSync(file)) writeFileSync(file, `${text}\n`);
  }

  /** A case to be changed: of two the cheaper one. */
  pick(): Case {
    const one = this.pickOne();
    const other = this.pickOne();
    return costOf(one) <= costOf(other) ? one : other;
  }

  private pickOne(): Case {
    const { dice, cases, rare } = this;
    if (rare.length > 0 && dice.chance(50))
      return cases[this.holder[rare[dice.below(rare.length)]]];
    const limit = dice.chance(50) ? cases.length : Math.max(1, cases.length >> 3);
    return cases[cases.length - 1 - dice.below(limit)];
  }

  /** Finds the rarest classes anew; now and then, since it looks at all of them. */
  rank(): void {
    const { holder, passes } = this;
    const held: number[] = [];
    for (let place = 0; place < holder.length; place++) if (holder[place] >= 0) held.push(place);
    held.sort((a, b) => passes[a] - passes[b]);
    this.rare = Int32Array.from(held.slice(0, Math.ceil(held.length / RARE_SHARE)));
  }

  /** Numbers of the edges that were never passed. */
  missing(): number[] {
    return [...this.seen.keys()].filter((edge) => this.seen[edge] === 0);
  }
}

/** In packets; a restart makes all tables anew. */
export const costOf = ({ steps }: Case): number =>
  steps.reduce((sum, step) => {
    if (step.kind === 'packet') return sum + step.times;
    return sum + (step.kind === 'restart' ? RESTART_COST : 1);
  }, 0);

/** The pairs of verdicts that follow each other. */
function* pairsOf(trace: readonly number[]): Generator<number> {
  let last = 0;
  // A verdict that is not negative is followed by five words about the packet.
  for (let i = 0; i < trace.length; i += trace[i] < 0 ? 1 : 6) {
    const verdict = (trace[i] + VERDICTS / 2) & (VERDICTS - 1);
    yield last * VERDICTS + verdict;
    last = verdict;
  }
}

function nameOf(text: string): string {
  let hash = 0x811c9dc5;
  let other = 0;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    other = (Math.imul(other, 31) + text.charCodeAt(i)) | 0;
  }
  return [hash, other].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}
