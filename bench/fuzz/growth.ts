/**
 * Slow growth of memory: one engine under mixed traffic for a long virtual time.
 *
 *   node --import tsx bench/fuzz/growth.ts [--packets 20000000] [--seed 1]
 *
 * Three quarters of the packets are conversations with answers, errors, fragments and tunnel packets (traffic.ts), a tenth of them
 * mutated; the others come in bursts of every flood of flood.ts. A burst takes seconds, between two rounds timers run out, now and then
 * all of them, and the gateway restarts over its arena. At equal distances garbage is collected and memory is read; the first quarter
 * warms up. A straight line is laid through the rest, and its slope in bytes a packet must stay below a bound:
 *
 *   held   heapUsed + external: what JavaScript keeps, typed arrays included. A number kept once in 400 packets is over it.
 *   RSS    what the process has of the system. It moves with the allocator, so its bound is wider.
 *
 * Exit 1 above a bound or when the tables are wrong at the end, 2 for usage.
 */
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { DESCRIPTOR_WORDS, HEADROOM_BYTES } from '../../core/frames.ts';
import { selfCheck } from '../../core/table/self-check.ts';
import { Dice } from './dice.ts';
import { type Flood, floods } from './flood.ts';
import type { Input } from './input.ts';
import { mutate } from './mutate.ts';
import { PLAIN_HOME } from './policy-choice.ts';
import { Traffic } from './traffic.ts';
import { chooseVariant, psidPorts, type Variant, World } from './world.ts';

export const HELD_BYTES_PER_PACKET_MAX = 0.02;
export const RSS_BYTES_PER_PACKET_MAX = 0.5;

const START_MS = 1_000_000;
const SAMPLES = 40;
const WARM_UP_SHARE = 4;
const ROUND_PACKETS = 20_000;
const BURST_PACKETS = 5000;
const BATCH_MAX = 8;
const SLOT_BYTES = 256;
const ROUNDS_PER_RESTART = 10;
const ROUNDS_PER_SILENCE = 25;

export interface Sample {
  packets: number;
  heapUsed: number;
  external: number;
  rss: number;
  sessions: number;
}

export interface Growth {
  samples: Sample[];
  /** Bytes a packet, after the warm-up. */
  heldSlope: number;
  rssSlope: number;
  restarts: number;
  virtualHours: number;
  problems: string[];
}

export interface GrowthOptions {
  packets: number;
  seed: number;
  /** How often memory is read. */
  samples?: number;
  /** Called after each round: the control of a test leaks here. */
  afterRound?: () => void;
  onSample?: (sample: Sample) => void;
}

export function growth(options: GrowthOptions): Growth {
  const run = new Run(options.seed);
  const samples: Sample[] = [];
  const count = options.samples ?? SAMPLES;
  const every = options.packets / count;
  while (samples.length < count) {
    run.round();
    options.afterRound?.();
    if (run.packets < every * (samples.length + 1)) continue;
    run.forget();
    const sample = { packets: run.packets, ...memory(), sessions: run.sessionsMax };
    samples.push(sample);
    run.sessionsMax = 0;
    options.onSample?.(sample);
  }
  const steady = samples.slice(Math.floor(count / WARM_UP_SHARE));
  return {
    samples,
    heldSlope: slope(steady, ({ heapUsed, external }) => heapUsed + external),
    rssSlope: slope(steady, ({ rss }) => rss),
    restarts: run.restarts,
    virtualHours: (run.now - START_MS) / 3_600_000,
    problems: run.problems(),
  };
}

class Run {
  packets = 0;
  sessionsMax = 0;
  restarts = 0;
  now = START_MS;
  private readonly dice: Dice;
  private traffic: Traffic;
  private readonly variant: Variant;
  private readonly world: World;
  private readonly floods: readonly Flood[];
  private rounds = 0;

  constructor(seed: number) {
    this.dice = new Dice(seed);
    this.variant = {
      ...chooseVariant(tunnelSeed(seed)),
      ports: Uint16Array.from(psidPorts()),
      capacity: 4096,
      ...PLAIN_HOME,
    };
    this.traffic = new Traffic(this.dice, this.variant);
    this.world = new World(this.variant, seed, 0, this.now);
    this.floods = floods().filter(({ ports }) => ports.length === this.variant.ports.length);
  }

  round(): void {
    const { dice, floods, world } = this;
    const end = this.packets + ROUND_PACKETS - BURST_PACKETS;
    while (this.packets < end) this.converse();
    this.burst(floods[this.rounds % floods.length]);
    this.rounds++;
    this.pass(dice.between(1000, 400_000));
    if (this.rounds % ROUNDS_PER_SILENCE === 0) this.pass(3 * 3_600_000);
    if (this.rounds % ROUNDS_PER_RESTART !== 0) return;
    world.restart(this.now);
    this.restarts++;
  }

  /** Forgets the conversations, so that what is measured is what the engine holds. */
  forget(): void {
    this.traffic = new Traffic(this.dice, this.variant);
  }

  problems(): string[] {
    return selfCheck(this.world.table.parts);
  }

  /** A batch of plausible packets. */
  private converse(): void {
    const { dice, traffic, world } = this;
    const { frames } = world;
    const count = dice.chance(70) ? 1 : dice.between(2, BATCH_MAX);
    let at = 256;
    let placed = 0;
    for (; placed < count; placed++) {
      const input = traffic.next();
      if (dice.chance(10)) mutate(dice, input);
      if (at + input.bytes.length + 2 * HEADROOM_BYTES > frames.readBytes) break;
      at = this.place(placed, at, input);
    }
    world.engine.process(placed, this.now);
    this.packets += placed;
    const { bytes, descriptors } = frames;
    if (placed === 1 && descriptors[3] >= 0)
      traffic.heard(bytes.slice(descriptors[0], descriptors[0] + descriptors[1]));
    this.step(dice.below(3));
  }

  /** @returns where the next frame may begin */
  private place(i: number, from: number, input: Input): number {
    const { bytes, descriptors } = this.world.frames;
    const at = (from + HEADROOM_BYTES + 3) & ~3;
    bytes.fill(0, at - HEADROOM_BYTES, at);
    bytes.set(input.bytes, at);
    bytes[at - 12] = input.flags;
    bytes[at - 11] = input.gsoType;
    const d = i * DESCRIPTOR_WORDS;
    descriptors[d] = at;
    descriptors[d + 1] = input.bytes.length;
    descriptors[d + 2] = (input.gsoSize << 16) | (input.gsoType << 8) | input.flags;
    return at + input.bytes.length;
  }

  private burst({ template, poke }: Flood): void {
    const { frames, engine } = this.world;
    const { bytes, descriptors } = frames;
    const first = this.dice.below(1 << 20);
    for (let n = 0; n < BURST_PACKETS; n += BATCH_MAX) {
      for (let i = 0; i < BATCH_MAX; i++) {
        const at = HEADROOM_BYTES + i * (SLOT_BYTES + HEADROOM_BYTES);
        bytes.set(template, at);
        poke(bytes, at, first + n + i);
        descriptors[i * DESCRIPTOR_WORDS] = at;
        descriptors[i * DESCRIPTOR_WORDS + 1] = template.length;
        descriptors[i * DESCRIPTOR_WORDS + 2] = 0;
      }
      engine.process(BATCH_MAX, this.now);
      this.packets += BATCH_MAX;
      this.step(1);
    }
  }

  private step(milliseconds: number): void {
    this.now += milliseconds;
    this.world.engine.advance(this.now);
    const { count } = this.world.table.parts.sessions;
    if (count > this.sessionsMax) this.sessionsMax = count;
  }

  /** Long enough steps for the sweep to see every record in each. */
  private pass(milliseconds: number): void {
    for (let left = milliseconds; left > 0; left -= 5000) this.step(Math.min(left, 5000));
  }
}

/** The first seed from this one on whose line has a tunnel of its own. */
function tunnelSeed(seed: number): number {
  for (let candidate = seed; ; candidate++)
    if (chooseVariant(candidate).line.encapsulatesHere === true) return candidate;
}

const collect = makeCollector();

function makeCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}

function memory(): { heapUsed: number; external: number; rss: number } {
  // What was let go by finalizers of the first collection is gone after the second.
  collect();
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heapUsed, external, rss };
}

/** Of the straight line with the smallest squares, per packet. */
function slope(samples: readonly Sample[], value: (sample: Sample) => number): number {
  const meanX = samples.reduce((sum, { packets }) => sum + packets, 0) / samples.length;
  const meanY = samples.reduce((sum, sample) => sum + value(sample), 0) / samples.length;
  let above = 0;
  let below = 0;
  for (const sample of samples) {
    above += (sample.packets - meanX) * (value(sample) - meanY);
    below += (sample.packets - meanX) ** 2;
  }
  return above / below;
}

function readOptions(): { packets: number; seed: number } | undefined {
  const { values } = parseArgs({
    options: {
      packets: { type: 'string', default: '20000000' },
      seed: { type: 'string', default: '1' },
    },
  });
  const packets = Number(values.packets);
  const seed = Number(values.seed);
  const isGood = Number.isInteger(packets) && packets >= 1_000_000 && Number.isInteger(seed);
  return isGood ? { packets, seed } : undefined;
}

const kilobytes = (bytes: number): string => `${Math.round(bytes / 1024)} KB`;

function main(): number {
  const options = readOptions();
  if (options === undefined) {
    console.error('--packets and --seed are whole numbers, --packets at least 1000000');
    return 2;
  }
  const started = Date.now();
  const result = growth({
    ...options,
    onSample: ({ packets, heapUsed, external, rss, sessions }) =>
      console.log(
        `${packets} packets: heap ${kilobytes(heapUsed)}, external ${kilobytes(external)}, ` +
          `RSS ${kilobytes(rss)}, at most ${sessions} sessions`,
      ),
  });
  const { heldSlope, rssSlope, restarts, virtualHours, problems } = result;
  console.log(
    `${Math.round(virtualHours)} virtual hours, ${restarts} restarts, ${Math.round((Date.now() - started) / 1000)} s; ` +
      `held ${heldSlope.toFixed(5)} bytes a packet (at most ${HELD_BYTES_PER_PACKET_MAX}), ` +
      `RSS ${rssSlope.toFixed(5)} (at most ${RSS_BYTES_PER_PACKET_MAX})`,
  );
  for (const problem of problems) console.error(problem);
  const isFlat = heldSlope <= HELD_BYTES_PER_PACKET_MAX && rssSlope <= RSS_BYTES_PER_PACKET_MAX;
  return isFlat && problems.length === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exitCode = main();
