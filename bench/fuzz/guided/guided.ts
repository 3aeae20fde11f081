/**
 * The loop of the guided fuzzer: take a case that was the first to reach something, change it, play it, keep it if it reaches something
 * else again. A case that breaks a rule is made as short as it can be and handed out.
 *
 *   random play ──▶ corpus ──pick──▶ change ──▶ play on the counted build ──▶ new edges? ──▶ play on the plain build too, shorten, keep
 *                     ▲                                                        │                                                   │
 *                     └────────────────────────────────────────────────────────┴───────────────────────────────────────────────────┘
 */
import { Dice } from '../dice.ts';
import { mutate } from '../mutate.ts';
import { Traffic } from '../traffic.ts';
import { type Case, copyCase, literal, toJson } from './case.ts';
import { Changer } from './change.ts';
import { Corpus, type Novelty } from './corpus.ts';
import { type Build, COMPARISON_WORDS, type Core, load, type Plant } from './load.ts';
import { compare, Fault, Player } from './play.ts';
import { type Frames, makeFrames, Stage, VARIANTS, variantOf } from './stage.ts';

const CHANGES_PER_PICK = 24;
/** One case in so many is played on the plain build although it is not new. */
const TWIN_EVERY = 64;
const RANK_EVERY = 2000;
const FRESH_PERCENT = 2;
const FRESH_PACKETS_MAX = 16;
const SHORTEN_MAX = 400;
const NEW_PER_ROUND = 4;
const MATCHES_PER_CASE = 96;

export interface Finding {
  what: string;
  execution: number;
  /** As short as it could be made. */
  input: Case;
}

export interface Progress {
  executions: number;
  packets: number;
  seconds: number;
  /** Of the processor; less than `seconds` on a machine that has other work. */
  busySeconds: number;
  cases: number;
  covered: number;
  edges: number;
  findings: number;
}

export interface GuidedOptions {
  seed: number;
  /** Whichever comes first. */
  executions?: number;
  seconds?: number;
  folder?: string;
  plants?: readonly Plant[];
  stopAtFinding?: boolean;
  onFinding?: (finding: Finding) => void;
  /** Every so many seconds. */
  progressSeconds?: number;
  onProgress?: (progress: Progress) => void;
}

export interface GuidedResult extends Progress {
  found: Finding[];
  missing: string[];
}

/** Loads the builds and runs. */
export async function guided(options: GuidedOptions): Promise<GuidedResult> {
  const counted = await load({ counted: true, plants: options.plants });
  const plain = await load({ counted: false, plants: options.plants });
  return new Guided(options, counted, plain).run();
}

/** Plays one case on both builds: what is wrong with it, or undefined. */
export async function replay(input: Case): Promise<string | undefined> {
  const counted = await load({ counted: true });
  const plain = await load({ counted: false });
  return new Guided({ seed: 1 }, counted, plain).faultOf(input, true);
}

interface Side {
  core: Core;
  frames: Frames;
  fill: number;
  stages: (Stage | undefined)[];
}

class Guided {
  private readonly options: GuidedOptions;
  private readonly counted: Build<Core>;
  private readonly sides: readonly [Side, Side];
  private readonly dice: Dice;
  private readonly corpus: Corpus;
  private readonly changer: Changer;
  private readonly found = new Map<string, Finding>();
  private executions = 0;
  private packets = 0;
  private trace: readonly number[] = [];
  /** Cases of the corpus that `matchNew` is through with. */
  private matched = 0;
  private sent: readonly Uint8Array[] = [];
  private startedMs = 0;
  private startedCpu = process.cpuUsage();
  private nextProgressMs = 0;

  constructor(options: GuidedOptions, counted: Build<Core>, plain: Build<Core>) {
    this.options = options;
    this.counted = counted;
    const side = (core: Core, fill: number): Side => ({
      core,
      frames: makeFrames(core, fill),
      fill,
      stages: [],
    });
    this.sides = [side(counted.module, 0), side(plain.module, 0xff)];
    this.dice = new Dice(options.seed);
    this.corpus = new Corpus(counted.coverage, this.dice, options.folder);
    this.changer = new Changer(this.dice, counted.constants, () => this.corpus.pick());
  }

  run(): GuidedResult {
    const { corpus, dice } = this;
    this.startedMs = Date.now();
    this.startedCpu = process.cpuUsage();
    this.nextProgressMs = this.startedMs + this.progressMs();
    for (const input of corpus.stored()) this.try(input);
    for (let number = 0; number < 2 * VARIANTS; number++) this.try(this.fresh(number % VARIANTS));
    if (corpus.cases.length === 0) corpus.keep({ variant: 0, steps: [] });
    let nextRank = 0;
    while (!this.isOver()) {
      if (this.executions >= nextRank) {
        corpus.rank();
        nextRank = this.executions + RANK_EVERY;
      }
      if (dice.chance(FRESH_PERCENT)) this.try(this.fresh(dice.below(VARIANTS)));
      this.matchNew();
      const picked = corpus.pick();
      this.look(picked);
      for (let i = 0; i < CHANGES_PER_PICK && !this.isOver(); i++) {
        const input = copyCase(picked);
        this.changer.change(input);
        this.try(input);
      }
      this.report();
    }
    const missing = corpus.missing().map((edge) => this.counted.edges[edge]);
    return { ...this.progress(), found: [...this.found.values()], missing };
  }

  /** Tries, with each case not seen here before, what its comparisons waited for, one after the other. */
  private matchNew(): void {
    const { cases } = this.corpus;
    for (let i = 0; i < NEW_PER_ROUND && this.matched < cases.length && !this.isOver(); i++) {
      const input = cases[this.matched++];
      const matches = Math.min(this.look(input), MATCHES_PER_CASE);
      for (let match = 0; match < matches && !this.isOver(); match++) {
        const candidate = copyCase(input);
        this.changer.match(candidate, match);
        this.try(candidate);
      }
    }
  }

  private look(input: Case): number {
    const { comparisons } = this.counted;
    for (let i = 0; i < comparisons.length; i += COMPARISON_WORDS) comparisons.fill(0, i, i + 2);
    this.faultOf(input, false);
    return this.changer.look(input, this.sent, comparisons);
  }

  /** What is wrong with a case, or undefined. @param everything play on both builds, and until every timer has run out */
  faultOf(input: Case, everything: boolean): string | undefined {
    const [a, b] = this.sides;
    try {
      const stage = stageOf(a, input.variant);
      const player = new Player(a.core, stage);
      this.counted.coverage.fill(0);
      this.executions++;
      try {
        player.play(input);
      } finally {
        this.packets += player.packets;
        this.trace = player.trace;
        this.sent = player.sent;
      }
      if (!everything) return undefined;
      // The counters of the case itself are what counts, not those of its end.
      const counters = this.counted.coverage.slice();
      const twinStage = stageOf(b, input.variant);
      const twin = new Player(b.core, twinStage);
      twin.repeat(player.happened);
      compare(player, stage, twin, twinStage);
      twin.end();
      this.counted.coverage.set(counters);
      return undefined;
    } catch (error) {
      if (error instanceof Fault) return error.message;
      throw error;
    }
  }

  private try(input: Case): void {
    const { corpus } = this;
    const isTwin = this.executions % TWIN_EVERY === 0;
    let fault = this.faultOf(input, isTwin);
    if (fault === undefined) {
      const novelty = corpus.note(this.trace);
      if (novelty.places.length === 0 && novelty.pairs.length === 0) return;
      const kept = this.reduced(input, novelty);
      fault = this.faultOf(kept, true);
      if (fault === undefined) {
        corpus.keep(kept);
        return;
      }
    }
    this.find(fault, input);
  }

  /** Leaves out steps and repetitions that what is new does not need. */
  private reduced(input: Case, novelty: Novelty): Case {
    const { corpus } = this;
    let best = input;
    const attempt = (candidate: Case): boolean => {
      if (this.faultOf(candidate, false) !== undefined) return false;
      const other = corpus.note(this.trace);
      novelty.places.push(...other.places);
      novelty.pairs.push(...other.pairs);
      if (!corpus.repeats(novelty, this.trace)) return false;
      best = candidate;
      return true;
    };
    for (let size = best.steps.length >> 1; size > 0; size >>= 1)
      for (let at = best.steps.length - size; at >= 0; at -= size) {
        const steps = best.steps.toSpliced(at, size);
        attempt({ variant: best.variant, steps });
      }
    for (let at = 0; at < best.steps.length; at++) {
      const step = best.steps[at];
      if (step.kind !== 'packet' || step.times === 1) continue;
      for (const times of [1, step.times >> 1])
        if (attempt({ ...best, steps: best.steps.with(at, { ...step, times }) })) break;
    }
    return best;
  }

  private find(what: string, input: Case): void {
    const kind = kindOf(what);
    if (this.found.has(kind)) return;
    const execution = this.executions;
    const finding = { what, execution, input: this.shortened(input, kind) };
    this.found.set(kind, finding);
    this.options.onFinding?.(finding);
  }

  /** Leaves out steps, patches and repetitions as long as the same kind of fault remains. */
  private shortened(input: Case, kind: string): Case {
    let best = input;
    let tries = 0;
    const isSame = (candidate: Case): boolean => {
      const fault = ++tries > SHORTEN_MAX ? undefined : this.faultOf(candidate, true);
      if (fault === undefined || kindOf(fault) !== kind) return false;
      best = candidate;
      return true;
    };
    for (let size = best.steps.length >> 1; size > 0; size >>= 1)
      for (let at = 0; at < best.steps.length; ) {
        const candidate = copyCase(best);
        candidate.steps.splice(at, size);
        if (!isSame(candidate)) at += size;
      }
    for (let at = 0; at < best.steps.length; at++)
      for (const simplify of SIMPLER) {
        const candidate = copyCase(best);
        if (!simplify(candidate, at)) continue;
        if (toJson(candidate) !== toJson(best)) isSame(candidate);
      }
    return best;
  }

  /** A case of plausible packets, some of them mutated: what the random fuzzer would send. */
  private fresh(variant: number): Case {
    const { dice } = this;
    const [a] = this.sides;
    const traffic = new Traffic(dice, variantOf(variant));
    const stage = stageOf(a, variant);
    const input: Case = { variant, steps: [] };
    stage.reset();
    for (let i = dice.between(1, FRESH_PACKETS_MAX); i > 0; i--) {
      const sent = traffic.next();
      if (dice.chance(20)) mutate(dice, sent);
      if (sent.bytes.length > 3000 && dice.chance(90)) continue;
      const step = literal(sent.bytes.slice());
      step.virtio = [sent.flags, sent.gsoType, sent.gsoSize, sent.csumStart, sent.csumOffset];
      input.steps.push(step);
      stage.place([sent]);
      try {
        stage.process(1);
      } catch {
        break; // It is played again right away, and found then.
      }
      stage.advance(1);
      const { bytes, descriptors } = stage.frames;
      if (descriptors[3] >= 0)
        traffic.heard(bytes.slice(descriptors[0], descriptors[0] + descriptors[1]));
    }
    return input;
  }

  private isOver(): boolean {
    const { executions, seconds, stopAtFinding } = this.options;
    return (
      (executions !== undefined && this.executions >= executions) ||
      (seconds !== undefined && Date.now() - this.startedMs >= seconds * 1000) ||
      (stopAtFinding === true && this.found.size > 0)
    );
  }

  private progressMs(): number {
    return (this.options.progressSeconds ?? 60) * 1000;
  }

  private report(): void {
    if (Date.now() < this.nextProgressMs) return;
    this.nextProgressMs += this.progressMs();
    this.options.onProgress?.(this.progress());
  }

  private progress(): Progress {
    const { user, system } = process.cpuUsage(this.startedCpu);
    return {
      executions: this.executions,
      packets: this.packets,
      seconds: (Date.now() - this.startedMs) / 1000,
      busySeconds: (user + system) / 1e6,
      cases: this.corpus.cases.length,
      covered: this.corpus.covered,
      edges: this.counted.edges.length,
      findings: this.found.size,
    };
  }
}

function stageOf(side: Side, variant: number): Stage {
  side.stages[variant] ??= new Stage(side.core, variant, side.frames, side.fill);
  return side.stages[variant];
}

/** Faults that differ in numbers only are one. */
const kindOf = (what: string): string => what.replace(/\d+/g, 'N');

/** Ways to make step `at` simpler; false where there is nothing to do. */
const SIMPLER: readonly ((input: Case, at: number) => boolean)[] = [
  withPacket((step) => Object.assign(step, { times: 1, vary: 0 })),
  withPacket((step) => Object.assign(step, { patches: [] })),
  withPacket((step) => Object.assign(step, { patches: step.patches.slice(1) })),
  withPacket((step) => Object.assign(step, { patches: step.patches.slice(0, -1) })),
  withPacket((step) => Object.assign(step, { together: false })),
  withPacket((step) => Object.assign(step, { virtio: [0, 0, 0, 0, 0] })),
  withPacket((step) => Object.assign(step, { outer: [0, 0, 0] })),
  withPacket((step) => Object.assign(step, { tunnel: 0 })),
  withPacket((step) => Object.assign(step, { cut: [0, 0] })),
  withPacket((step) => Object.assign(step, { length: -1 })),
  withPacket((step) => Object.assign(step, { fix: 0 })),
];

function withPacket(
  simplify: (step: ReturnType<typeof literal>) => void,
): (input: Case, at: number) => boolean {
  return (input, at) => {
    const step = input.steps[at];
    if (step?.kind !== 'packet') return false;
    simplify(step);
    return true;
  };
}
