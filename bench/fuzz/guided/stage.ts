/**
 * Where a case is played: an engine over plain memory that is put back to its first state before each case, and the lines that it may
 * stand on. Capacities are small, so that full tables are near.
 *
 * All stages of one build share the bytes of a batch: only one of them plays at a time.
 */
import { DESCRIPTOR_WORDS, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../../core/frames.ts';
import { Dice } from '../dice.ts';
import type { Input } from '../input.ts';
import {
  chooseVariant,
  complete,
  EXTERNAL,
  LANS,
  psidPorts,
  range,
  type Variant,
} from '../world.ts';
import type { Core } from './load.ts';
import { Snapshot } from './snapshot.ts';

export const START_MS = 1_000_000;
export const VARIANTS = 32;
/** Between two frames of a batch, and behind the last one. */
const GUARD_BYTES = 64;
const READ_BYTES = 3 << 16;
const SPARE_BYTES = 1 << 17;
const FRAMES_MAX = 16;
const SPARE_FRAMES = 64;
/** Stores of waiting fragments and of tunnel packets: half a megabyte and more. */
const STORE_BYTES = 1 << 19;

export type Frames = InstanceType<Core['Frames']>;
type Table = InstanceType<Core['NatTable']>;

/** Line and tables of a number from 0 to VARIANTS - 1: those of the random fuzzer's worlds, with fewer ports and records. */
export function variantOf(number: number): Variant {
  const dice = new Dice(number ^ 0x47554944);
  const ports = [psidPorts(), psidPorts().slice(0, 12), range(40000, 33)][number % 3];
  return {
    ...chooseVariant(number),
    ports: Uint16Array.from(ports),
    capacity: dice.pick([16, 64, 64, 256]),
    refuses: false,
  };
}

const policyOf = (core: Core, variant: Variant): ReturnType<Core['policyOf']> =>
  core.policyOf(variant, variant.capacity);

export function makeFrames(core: Core, fill: number): Frames {
  const frames = new core.Frames(READ_BYTES, FRAMES_MAX, SPARE_BYTES, SPARE_FRAMES);
  frames.bytes.fill(fill);
  return frames;
}

export class Stage {
  readonly variant: Variant;
  readonly frames: Frames;
  readonly arenaBytes: Uint8Array;
  table: Table;
  now = START_MS;
  private engine: InstanceType<Core['Engine']>;
  private readonly core: Core;
  private readonly fill: number;
  private readonly buffer: ArrayBuffer;
  private readonly shape: { capacity: number; portCount: number; externalCount: number };
  private readonly random: InstanceType<Core['RandomSource']>;
  private readonly set: InstanceType<Core['PortSet']>;
  private readonly first: { table: Table; engine: InstanceType<Core['Engine']> };
  private readonly snapshot: Snapshot;
  /** Where the frames of the last batch lay: begin and end of each. */
  private readonly places: number[] = [];

  /** @param frames shared by all stages of one build; @param fill what lies around the packets in it */
  constructor(core: Core, number: number, frames: Frames, fill: number) {
    this.core = core;
    this.variant = variantOf(number);
    this.frames = frames;
    this.fill = fill;
    this.set = new core.PortSet(this.variant.ports);
    this.shape = {
      capacity: this.variant.capacity,
      portCount: this.set.count,
      externalCount: 1,
    };
    this.buffer = new ArrayBuffer(core.arenaBytes(this.shape));
    this.arenaBytes = new Uint8Array(this.buffer);
    const dice = new Dice(number ^ 0x454e4749);
    this.random = new core.RandomSource((words) => dice.fill(words));
    const arena = new core.Arena(this.buffer, this.shape);
    arena.format(START_MS, [EXTERNAL], new Int32Array(core.IDENTITY_WORDS));
    const parts = core.makeParts(arena, this.set, this.random);
    this.table = new core.NatTable(parts, policyOf(core, this.variant), START_MS);
    this.engine = new core.Engine(this.table, this.variant.line, LANS, frames, complete);
    this.first = { table: this.table, engine: this.engine };
    this.snapshot = new Snapshot([this.engine, dice], this.constants());
  }

  /** Back to the state of a gateway that has just started with an empty arena. */
  reset(): void {
    this.snapshot.restore();
    this.table = this.first.table;
    this.engine = this.first.engine;
    this.now = START_MS;
  }

  /** A new process over the same arena. @returns sessions that it did not take over */
  restart(): number {
    const { core, variant } = this;
    const arena = new core.Arena(this.buffer, this.shape);
    const parts = core.makeParts(arena, this.set, this.random);
    this.table = new core.NatTable(parts, policyOf(core, variant), this.now);
    const { dropped } = this.table.restore();
    this.engine = new core.Engine(this.table, variant.line, LANS, this.frames, complete);
    return dropped;
  }

  /** Puts a batch into the buffer. */
  place(batch: readonly Input[]): void {
    const { frames, fill, places } = this;
    const { bytes, descriptors } = frames;
    let at = GUARD_BYTES;
    places.length = 0;
    batch.forEach((input, i) => {
      const begin = at;
      const offset = (begin + HEADROOM_BYTES + 3) & ~3;
      at = offset + input.bytes.length;
      bytes.fill(fill, begin - GUARD_BYTES, offset);
      bytes.fill(fill, at, at + GUARD_BYTES);
      bytes.set(input.bytes, offset);
      this.placeVirtio(input, offset - VNET_HEADER_BYTES);
      places.push(offset - HEADROOM_BYTES, at);
      const d = i * DESCRIPTOR_WORDS;
      descriptors[d] = offset;
      descriptors[d + 1] = input.bytes.length;
      descriptors[d + 2] = (input.gsoSize << 16) | (input.gsoType << 8) | input.flags;
      descriptors[d + 3] = 0;
      at += GUARD_BYTES;
    });
  }

  private placeVirtio(input: Input, at: number): void {
    const { bytes } = this.frames;
    bytes.fill(0, at, at + VNET_HEADER_BYTES);
    bytes[at] = input.flags;
    bytes[at + 1] = input.gsoType;
    for (const [offset, value] of [
      [4, input.gsoSize],
      [6, input.csumStart],
      [8, input.csumOffset],
    ]) {
      bytes[at + offset] = value;
      bytes[at + offset + 1] = value >> 8;
    }
  }

  process(count: number): void {
    this.engine.process(count, this.now);
  }

  advance(milliseconds: number): void {
    this.now = Math.max(START_MS, this.now + milliseconds);
    this.engine.advance(this.now);
  }

  /** True if nobody wrote directly in front of a frame's headroom or directly behind the frame. */
  isUntouched(): boolean {
    const { places } = this;
    for (let i = 0; i < places.length; i += 2)
      if (!this.isFilled(places[i] - GUARD_BYTES, places[i])) return false;
    for (let i = 1; i < places.length; i += 2)
      if (!this.isFilled(places[i], places[i] + GUARD_BYTES)) return false;
    return true;
  }

  /** True if bytes `from` … `to` lie in the frame with this number and its headroom, or in the room for what the engine makes. */
  isWithin(number: number, from: number, to: number): boolean {
    const { places, frames } = this;
    const isMade = from >= frames.readBytes && to <= frames.bytes.length;
    return isMade || (from >= places[2 * number] && to <= places[2 * number + 1]);
  }

  private isFilled(from: number, to: number): boolean {
    const { bytes } = this.frames;
    for (let at = from; at < to; at++) if (bytes[at] !== this.fill) return false;
    return true;
  }

  /** Buffers that hold nothing once the rest is as it was, or that nobody writes. */
  private constants(): ArrayBufferLike[] {
    const { frames, set, table } = this;
    const found: ArrayBufferLike[] = [frames.bytes.buffer, frames.descriptors.buffer];
    found.push(set.ports.buffer, ...table.policy.timers.map((timers) => timers.buffer));
    const walk = (object: object, depth: number): void => {
      for (const value of Object.values(object))
        if (ArrayBuffer.isView(value)) {
          const { buffer } = value;
          if (buffer.byteLength >= STORE_BYTES && buffer !== this.buffer) found.push(buffer);
        } else if (typeof value === 'object' && value !== null && depth > 0) walk(value, depth - 1);
    };
    walk(this.engine, 3);
    const { numbers } = set as unknown as { numbers: Int32Array };
    return [...found, numbers.buffer];
  }
}
