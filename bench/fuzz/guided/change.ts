/**
 * Changes to a case: what a fuzzer of bytes does (flips, values that are often interesting, constants of the program, splices), and what
 * only one that knows the steps can: an answer or an error to what came out, a fragment, a tunnel header, a flood, a restart, a timer
 * that runs out.
 */
import { headerBytes, put16, SYN, tcp, udp } from '../build.ts';
import type { Dice } from '../dice.ts';
import { plain } from '../input.ts';
import { mutate } from '../mutate.ts';
import {
  BASES,
  type Case,
  copyStep,
  literal,
  type PacketStep,
  STEPS_MAX,
  type Step,
  TIMES_MAX,
} from './case.ts';
import { COMPARISON_WORDS } from './load.ts';
import { VARIANTS } from './stage.ts';

const PATCHES_MAX = 24;
const MATCHES_MAX = 2000;
/** Bytes of a packet that are looked at, and places of one number that are taken: more where nobody knows the right one. */
const LOOK_BYTES = 128;
const PLACES_MAX = 4;
const PLACES_OPEN_MAX = 40;
const LENGTHS = [0, 1, 19, 20, 21, 24, 27, 28, 40, 47, 48, 60, 68, 100, 576, 1280, 1281, 1460];
const LONG = [1461, 1500, 1501, 2048, 2049, 3000, 9000, 65535];
const WORDS = [
  0, 1, 2, 3, 4, 5, 8, 11, 12, 19, 20, 28, 40, 53, 68, 127, 128, 255, 256, 443, 576, 1280, 1460,
  3478, 0x2000, 0x2001, 0x4000, 0x6000, 0x7fff, 0x8000, 0x1fff, 0x3fff, 0xfffe, 0xffff,
];
const TIMES = [
  0,
  1,
  250,
  251,
  500,
  2000,
  2250,
  5000,
  10_000,
  10_250,
  30_000,
  30_250,
  60_000,
  60_250,
  240_000,
  240_250,
  300_000,
  300_250,
  3_600_000,
  7_440_000,
  7_440_250,
  86_400_000,
  86_400_000 * 40,
  -1,
  -250,
  -5000,
  -100_000,
  -10_000_000,
];
const ERRORS = [
  0x300, 0x301, 0x303, 0x304, 0x305, 0x30d, 0xb00, 0xb01, 0xc00, 0x400, 0x500, 0x0, 0x800,
];
const TCP_FLAGS = [2, 18, 16, 17, 1, 4, 20, 24, 0, 63];

/** A number in a packet, and what it was compared with. */
interface Match {
  step: number;
  at: number;
  value: number;
  size: number;
  rank: number;
}

/** Two numbers of a comparison that no case came to before (2), that never held (1), or that did (0). */
interface Pair {
  here: number;
  wanted: number;
  rank: number;
}

export class Changer {
  private readonly dice: Dice;
  private readonly constants: readonly number[];
  private readonly wide: readonly number[];
  private readonly matches: Match[] = [];
  /** Comparisons that cases have come to. */
  private readonly known = new Set<number>();
  /** A case of the corpus, for splices. */
  private readonly other: () => Case;

  constructor(dice: Dice, constants: readonly number[], other: () => Case) {
    this.dice = dice;
    this.constants = constants;
    this.wide = constants.filter((value) => value > 65535);
    this.other = other;
  }

  /**
   * Looks at a case that was just played and is to be changed: what stood in its packets and was compared with something else.
   * @param sent the packet of each step; @param comparisons pairs of numbers that differed
   * @returns how many changes `match` knows now
   */
  look({ steps }: Case, sent: readonly Uint8Array[], comparisons: Int32Array): number {
    const { matches } = this;
    matches.length = 0;
    const pairs = new Map<string, Pair>();
    for (let i = 0; i < comparisons.length; i += COMPARISON_WORDS) {
      if (comparisons[i] === comparisons[i + 1]) continue;
      const isOpen = comparisons[i + 2] === 0;
      const rank = this.known.has(i) ? Number(isOpen) : 2;
      this.known.add(i);
      for (const [here, wanted] of [
        [comparisons[i], comparisons[i + 1]],
        [comparisons[i + 1], comparisons[i]],
      ])
        if (rank >= (pairs.get(`${here} ${wanted}`)?.rank ?? 0))
          pairs.set(`${here} ${wanted}`, { here, wanted, rank });
    }
    steps.forEach((step, number) => {
      // In a tunnel the packet begins elsewhere than its patches count from.
      if (step.kind !== 'packet' || step.cut[0] > 0 || sent[number] === undefined) return;
      const bytes = step.tunnel > 0 ? sent[number].subarray(40) : sent[number];
      for (const { here, wanted, rank } of pairs.values())
        for (const at of placesOf(here, wanted, bytes, rank > 0 ? PLACES_OPEN_MAX : PLACES_MAX)) {
          if (matches.length === MATCHES_MAX) return;
          const size = sizeOf(here, wanted);
          matches.push({ step: number, at, value: wanted, size, rank });
        }
    });
    // Of the same rank the wider ones first, since nothing else finds them.
    matches.sort((a, b) => b.rank - a.rank || b.size - a.size);
    return matches.length;
  }

  /** Changes `input` in place, once or several times. */
  change(input: Case): void {
    const { dice } = this;
    if (dice.chance(25)) {
      // The first ones are the best.
      const limit = dice.chance(50) ? 48 : this.matches.length + 1;
      this.match(input, dice.below(limit));
      if (dice.chance(50)) return;
    }
    for (let i = 1 << dice.below(4); i > 0; i--) this.once(input);
    if (input.steps.length > STEPS_MAX) input.steps.length = STEPS_MAX;
  }

  private once(input: Case): void {
    const { dice } = this;
    const { steps } = input;
    if (dice.chance(1)) input.variant = dice.below(VARIANTS);
    if (steps.length === 0) steps.push(this.reaction());
    const at = dice.below(steps.length);
    const step = steps[at];
    if (dice.chance(35)) this.changeOrder(input, at);
    else if (step.kind === 'packet') this.changePacket(step);
    else if (step.kind === 'time') step.milliseconds = this.time();
    else this.changeOrder(input, at);
  }

  /** Puts what a comparison waited for in the place of what it got. Before any change of the order of steps. */
  match({ steps }: Case, match: number): void {
    if (match >= this.matches.length) return;
    const { step: number, at, value, size } = this.matches[match];
    const step = steps[number];
    if (step.kind !== 'packet') return;
    write(step, at, value, size);
    step.fix = 2;
  }

  private time(): number {
    return this.dice.chance(80) ? this.dice.pick(TIMES) : this.dice.below(400_000);
  }

  private changeOrder({ steps }: Case, at: number): void {
    const { dice } = this;
    const to = dice.below(steps.length + 1);
    switch (dice.below(9)) {
      case 0:
        steps.splice(to, 0, this.sequel(steps[at]));
        break;
      case 1:
        steps.splice(at, 1);
        break;
      case 2: {
        const [step] = steps.splice(at, 1);
        steps.splice(Math.min(to, steps.length), 0, step);
        break;
      }
      case 3: {
        const other = this.other().steps;
        if (other.length === 0) break;
        const from = dice.below(other.length);
        const some = other.slice(from, from + 1 + dice.below(6)).map(copyStep);
        steps.splice(to, dice.chance(30) ? some.length : 0, ...some);
        break;
      }
      case 4:
        steps.splice(to, 0, { kind: 'time', milliseconds: this.time() });
        break;
      case 5:
        if (dice.chance(15) && steps.every(({ kind }) => kind !== 'restart'))
          steps.splice(to, 0, { kind: 'restart' });
        break;
      case 6:
        steps.push(this.opening());
        break;
      default:
        steps.splice(dice.chance(70) ? at + 1 : to, 0, this.reaction());
    }
  }

  /** The same once more; of a connection perhaps with other flags. */
  private sequel(step: Step): Step {
    const { dice } = this;
    const copy = copyStep(step);
    if (copy.kind !== 'packet' || !dice.chance(50)) return copy;
    if (copy.base !== 'bytes') copy.word = dice.pick(TCP_FLAGS);
    else if (copy.bytes[9] === 6) {
      copy.patches.push(((headerBytes(copy.bytes) + 13) << 8) | dice.pick(TCP_FLAGS));
      copy.fix = 2;
    }
    return copy;
  }

  /** A packet that has to do with what came out. */
  private reaction(): Step {
    const { dice } = this;
    const step = literal(dice.bytes(dice.pick([0, 0, 8, 30])));
    step.base = dice.pick(['answer', 'answer', 'answer', 'error', 'error', 'again'] as const);
    step.of = dice.chance(60) ? 0 : dice.below(8);
    step.word = step.base === 'error' ? this.errorWord() : dice.pick(TCP_FLAGS);
    if (dice.chance(30)) step.tunnel = 1;
    return step;
  }

  /** A packet of a LAN host to somewhere, or to the source of what came out. */
  private opening(): Step {
    const { dice } = this;
    const ends = {
      from: (10 << 24) | (dice.below(4) << 16) | 9,
      to: (198 << 24) | (51 << 16) | (100 << 8) | dice.between(1, 4),
      fromPort: 5000 + dice.below(4),
      toPort: dice.pick([53, 80, 443, 3478]),
    };
    const stun = dice.bytes(20);
    stun.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
    const bytes = dice.chance(50)
      ? tcp({ ...ends, flags: SYN, seq: dice.next(), ack: 0 }, new Uint8Array(0))
      : udp(ends, dice.pick([stun, dice.bytes(20), dice.bytes(1500)]));
    const step = literal(bytes);
    if (dice.chance(20)) step.base = 'towards';
    return step;
  }

  private errorWord(): number {
    const { dice } = this;
    const word = dice.chance(80) ? dice.pick(ERRORS) : dice.below(65536);
    return (dice.pick([0, 68, 576, 1280, 1400, 65535]) << 16) | word;
  }

  private changePacket(step: PacketStep): void {
    const { dice } = this;
    const kind = dice.below(100);
    if (kind < 34) this.patch(step);
    else if (kind < 42) step.fix = dice.pick([0, 1, 2, 2] as const);
    else if (kind < 50) this.resize(step);
    else if (kind < 56) this.changeVirtio(step);
    else if (kind < 62) step.of = dice.chance(50) ? 0 : dice.below(16);
    else if (kind < 68) step.word = step.base === 'error' ? this.errorWord() : dice.pick(TCP_FLAGS);
    else if (kind < 72) step.base = dice.pick(BASES);
    else if (kind < 77) step.cut = dice.chance(30) ? [0, 0] : [8 << dice.below(8), dice.below(4)];
    else if (kind < 82) step.tunnel = dice.pick([0, 0, 1, 1, 2]);
    else if (kind < 86)
      step.outer = [dice.pick([0, 8, 64, 256, 1024]), dice.below(4), dice.below(3)];
    else if (kind < 89) step.together = !step.together;
    else if (kind < 91) this.flood(step);
    else if (kind < 94) step.patches = [];
    else this.mutateBytes(step);
  }

  /** Writes a byte, a word or two words over what the packet would hold. */
  private patch(step: PacketStep): void {
    const { dice } = this;
    const at = this.place(step);
    let value = dice.next();
    let size = dice.pick([1, 1, 2, 4]);
    switch (dice.below(6)) {
      case 0:
        value = 1 << dice.below(8);
        size = 1;
        break;
      case 1:
        // A cookie, a magic word: no chance finds it.
        if (this.wide.length === 0) break;
        value = dice.pick(this.wide);
        size = 4;
        break;
      case 2:
        value = dice.pick(this.constants);
        size = value > 65535 ? 4 : value > 255 || dice.chance(50) ? 2 : 1;
        break;
      case 3:
        value = dice.pick(this.constants) + dice.between(-1, 1);
        size = dice.pick([1, 2, 4]);
        break;
      case 4:
        value = dice.pick(WORDS);
        size = dice.pick([1, 2]);
    }
    write(step, at, value, size);
    if (dice.chance(50)) step.fix = 2;
  }

  /** Mostly within the headers, and half of the time where a word of four bytes may begin. */
  private place({ bytes }: PacketStep): number {
    const { dice } = this;
    const at = dice.chance(85) ? dice.below(64) : dice.below(Math.max(64, bytes.length));
    return dice.chance(50) ? at & ~3 : at;
  }

  private resize(step: PacketStep): void {
    const { dice } = this;
    const kind = dice.below(10);
    if (kind < 3) step.length = -1;
    else if (kind < 4 && dice.chance(25)) step.length = dice.pick(LONG);
    else step.length = dice.chance(60) ? dice.pick(LENGTHS) : dice.below(200);
    // An honest length now and then; otherwise the header says something else than the frame.
    if (step.length > 3 && dice.chance(60))
      step.patches.push((2 << 8) | (step.length >> 8), (3 << 8) | (step.length & 255));
  }

  private changeVirtio(step: PacketStep): void {
    const { dice } = this;
    const l4 = step.bytes.length > 0 ? headerBytes(step.bytes) : 20;
    step.virtio = dice.chance(40)
      ? [0, 0, 0, 0, 0]
      : [
          dice.pick([0, 1, 1, 2, 3]),
          dice.pick([0, 0, 1, 5, 4, 0x81]),
          dice.pick([0, 1, 500, 1200, 1420, 1448, 65535]),
          l4 + dice.pick([0, 0, 0, 40, 20, 60000]),
          dice.pick([6, 16, 6, 16, 2, 65535]),
        ];
  }

  private flood(step: PacketStep): void {
    const { dice } = this;
    step.times = dice.chance(40) ? 1 : dice.between(2, TIMES_MAX);
    step.vary = dice.pick([4, 12, 14, 18, 20, 22, 24, 44]);
    if (step.fix === 0) step.fix = 2;
  }

  /** The changes of the random fuzzer, on literal bytes. */
  private mutateBytes(step: PacketStep): void {
    const { dice } = this;
    if (step.base !== 'bytes' || step.bytes.length === 0) return;
    const input = plain(step.bytes.slice());
    mutate(dice, input);
    if (input.bytes.length > 3000) return;
    step.bytes = input.bytes;
    if (input.flags !== 0 || input.gsoType !== 0)
      step.virtio = [input.flags, input.gsoType, input.gsoSize, input.csumStart, input.csumOffset];
    if (step.bytes.length > 24 && dice.chance(10)) put16(step.bytes, 20, 5000 + dice.below(4));
  }
}

/** Bytes that it takes to hold both numbers. */
const sizeOf = (a: number, b: number): number => {
  const bits = a | b;
  return bits >>> 16 !== 0 ? 4 : bits >>> 8 !== 0 ? 2 : 1;
};

/** Where `here` stands in a packet, in the size in which it could become `wanted`. */
function placesOf(here: number, wanted: number, bytes: Uint8Array, limit: number): number[] {
  const size = sizeOf(here, wanted);
  const end = Math.min(bytes.length, LOOK_BYTES) - size;
  const places: number[] = [];
  for (let at = 0; at <= end && places.length < limit; at++) {
    let value = 0;
    for (let i = 0; i < size; i++) value = (value << 8) | bytes[at + i];
    if (value === here) places.push(at);
  }
  return places;
}

function write(step: PacketStep, at: number, value: number, size: number): void {
  for (let i = 0; i < size; i++)
    step.patches.push(((at + i) << 8) | ((value >>> (8 * (size - 1 - i))) & 255));
  if (step.patches.length > PATCHES_MAX) step.patches.splice(0, size);
}
