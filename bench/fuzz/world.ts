/**
 * The small world that the packets of a fuzz run live in: a line, two LANs, a handful of hosts and servers, so that flows meet, repeat
 * and collide; and the variants of it that a seed chooses from.
 */
import { Engine } from '../../core/engine.ts';
import { DESCRIPTOR_WORDS, Frames, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { Arena, type ArenaShape, arenaBytes, IDENTITY_WORDS } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import type { Restored } from '../../core/table/restore.ts';
import type { LanNetwork, Line } from '../../core/translate/context.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { put16, sum } from './build.ts';
import { Dice } from './dice.ts';
import type { Input } from './input.ts';
import { MESH } from './mesh.ts';
import { choosePolicy, type PolicyChoice, policyOf } from './policy-choice.ts';

export const EXTERNAL = parseIpv4('203.0.113.5');
export const CE = Uint8Array.from([
  0x24, 0x0b, 0, 0x10, 5, 0x34, 0, 0, 0, 203, 0, 113, 5, 0, 0x34, 0,
]);
export const BR = Uint8Array.from([0x24, 4, 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x64]);

export const LANS: readonly LanNetwork[] = [
  {
    address: parseIpv4('192.168.1.0'),
    mask: 0xffffff00 | 0,
    gatewayAddress: parseIpv4('192.168.1.1'),
  },
  { address: parseIpv4('10.0.0.0'), mask: 0xff000000 | 0, gatewayAddress: parseIpv4('10.0.0.1') },
];

export const isInternal = (address: number): boolean =>
  ((address ^ LANS[0].address) & LANS[0].mask) === 0 ||
  ((address ^ LANS[1].address) & LANS[1].mask) === 0;

export const isGateway = (address: number): boolean =>
  LANS.some((lan) => lan.gatewayAddress === address);

/** Room for one superpacket and some small ones; the rest is a guard that nobody may write. */
export const READ_BYTES = 1 << 17;
const FRAMES_MAX = 16;
const SPARE_BYTES = 1 << 17;
const SPARE_FRAMES = 128;
/** Milliseconds between two batches, at most. */
export const PACE_MS = 12;
/** Between the frames of a batch, in front of the first and behind the last one: looked at after each batch. */
export const GUARD_BYTES = 64;

/** What a seed chooses. */
export interface Variant extends PolicyChoice {
  ports: Uint16Array;
  capacity: number;
  line: Line;
  /** `many` are more than there are host records. */
  hosts?: 'few' | 'many' | 'one';
  /** Everybody talks to the same remote endpoint, until every port is taken towards it. */
  hasOneServer?: boolean;
  /** Milliseconds between two batches, at most. With 1 time stands still for long, and every limit of so many a second is felt. */
  paceMs?: number;
  /** Room for what the engine appends; with little of it packets cannot be cut. */
  spareBytes?: number;
  spareFrames?: number;
}

/** The 240 ports of PSID 0x34 at offset 4. */
export function psidPorts(): number[] {
  const ports: number[] = [];
  for (let block = 1; block < 16; block++)
    for (let j = 0; j < 16; j++) ports.push((block << 12) | (0x34 << 4) | j);
  return ports;
}

export const range = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

const HOST_CHOICES = ['few', 'few', 'few', 'few', 'many', 'one'] as const;

export function chooseVariant(seed: number): Variant {
  const dice = new Dice(seed ^ 0x56415249);
  const ports = dice.pick([
    psidPorts,
    psidPorts,
    () => psidPorts().slice(0, 24),
    () => range(40000, 33),
    () => range(4096, 61439),
    () => range(4096, 16384),
  ])();
  const isTunnel = dice.chance(70);
  const hasOneServer = dice.chance(20);
  // Other machines share the address on a MAP-E line, the host itself may on others.
  const isShared = dice.chance(isTunnel ? 80 : 30);
  return {
    ports: Uint16Array.from(ports),
    capacity: dice.pick([1024, 1024, 4096, 8192]),
    ...choosePolicy(new Dice(seed ^ 0x504f4c49)),
    line: {
      externalAddress: EXTERNAL,
      externalIndex: 0,
      mtu: dice.pick([1460, 1460, 1500, 1280]),
      restoreHopsOutbound: dice.below(2),
      restoreHopsInbound: dice.below(2),
      isShared,
      fragmentsHere: dice.chance(70),
      ...(isTunnel
        ? {
            ceAddress: CE,
            brAddress: BR,
            encapsulatesHere: dice.chance(50),
            ...(dice.chance(40) ? { mesh: MESH } : {}),
          }
        : { sharedWithHost: !isShared && dice.chance(70) }),
    },
    hosts: hasOneServer && dice.chance(60) ? 'many' : dice.pick(HOST_CHOICES),
    hasOneServer,
    paceMs: dice.pick([PACE_MS, PACE_MS, PACE_MS, 60, 2, 1]),
    spareBytes: dice.pick([SPARE_BYTES, SPARE_BYTES, 1 << 14]),
    spareFrames: dice.pick([SPARE_FRAMES, SPARE_FRAMES, 6]),
  };
}

/** A packet, and where it stands in the batch. */
export interface Placed {
  input: Input;
  offset: number;
}

/** What the addon does in C: sums from `start` to the end of the packet, if the field lies inside. */
export function complete(
  bytes: Uint8Array,
  ip: number,
  start: number,
  offset: number,
  length: number,
): boolean {
  if (start + offset + 2 > length) return false;
  const value = ~sum(bytes, ip + start, ip + length) & 0xffff;
  put16(bytes, ip + start + offset, value === 0 && offset === 6 ? 0xffff : value);
  return true;
}

/**
 * An engine over plain memory; `fill` is what lies around the packets. Between two batches the whole buffer holds nothing else: a batch
 * is put into it, looked at, and wiped out again, so that 300 bytes are touched per packet and not 256 KB.
 */
export class World {
  table: NatTable;
  engine: Engine;
  readonly frames: Frames;
  readonly arenaBytes: Uint8Array;
  readonly variant: Variant;
  private readonly set: PortSet;
  private readonly shape: ArenaShape;
  private readonly buffer: ArrayBuffer;
  private readonly dice: Dice;
  private readonly fill: number;
  private readonly untouched: Uint8Array;

  constructor(variant: Variant, seed: number, fill: number, nowMs: number) {
    this.variant = variant;
    const { spareBytes = SPARE_BYTES, spareFrames = SPARE_FRAMES } = variant;
    this.frames = new Frames(READ_BYTES, FRAMES_MAX, spareBytes, spareFrames);
    this.set = new PortSet(variant.ports);
    this.shape = { capacity: variant.capacity, portCount: this.set.count, externalCount: 1 };
    this.buffer = new ArrayBuffer(arenaBytes(this.shape));
    this.arenaBytes = new Uint8Array(this.buffer);
    this.dice = new Dice(seed ^ 0x454e4749);
    const arena = new Arena(this.buffer, this.shape);
    arena.format(nowMs, [EXTERNAL], new Int32Array(IDENTITY_WORDS));
    this.table = this.makeTable(arena, nowMs);
    this.engine = this.makeEngine();
    this.fill = fill;
    this.frames.bytes.fill(fill);
    this.untouched = this.frames.bytes.slice();
  }

  /** Another process over the same arena: tables and engine are made anew, as the gateway's worker does it. */
  restart(nowMs: number): Restored {
    this.table = this.makeTable(new Arena(this.buffer, this.shape), nowMs);
    const restored = this.table.restore();
    this.engine = this.makeEngine();
    return restored;
  }

  /** Puts the policy of the variant in force, as a reload of the configuration does it between two batches. */
  reload(): void {
    this.table.setPolicy(policyOf(this.variant, this.variant.capacity));
  }

  private makeTable(arena: Arena, nowMs: number): NatTable {
    const random = new RandomSource((words) => this.dice.fill(words));
    const parts = makeParts(arena, this.set, random);
    return new NatTable(parts, policyOf(this.variant, this.variant.capacity), nowMs);
  }

  private makeEngine(): Engine {
    return new Engine(this.table, this.variant.line, LANS, this.frames, complete);
  }

  /** Puts a batch into the buffer. */
  place(batch: readonly Placed[]): void {
    const { bytes, descriptors } = this.frames;
    for (let i = 0; i < batch.length; i++) {
      const { input, offset } = batch[i];
      bytes.set(input.bytes, offset);
      const virtio = offset - VNET_HEADER_BYTES;
      bytes[virtio] = input.flags;
      bytes[virtio + 1] = input.gsoType;
      bytes[virtio + 2] = 0;
      bytes[virtio + 3] = 0;
      bytes[virtio + 4] = input.gsoSize;
      bytes[virtio + 5] = input.gsoSize >> 8;
      bytes[virtio + 6] = input.csumStart;
      bytes[virtio + 7] = input.csumStart >> 8;
      bytes[virtio + 8] = input.csumOffset;
      bytes[virtio + 9] = input.csumOffset >> 8;
      bytes[virtio + 10] = 0;
      bytes[virtio + 11] = 0;
      const d = i * DESCRIPTOR_WORDS;
      descriptors[d] = offset;
      descriptors[d + 1] = input.bytes.length;
      descriptors[d + 2] = (input.gsoSize << 16) | (input.gsoType << 8) | input.flags;
      descriptors[d + 3] = 0;
    }
  }

  /** True if the guards next to the frames are what they were. */
  guardsAreIntact(batch: readonly Placed[]): boolean {
    let from = batch[0].offset - HEADROOM_BYTES - GUARD_BYTES;
    for (const { input, offset } of batch) {
      if (!this.isUntouched(from, offset - HEADROOM_BYTES)) return false;
      from = offset + input.bytes.length;
    }
    return this.isUntouched(from, from + GUARD_BYTES);
  }

  private isUntouched(from: number, to: number): boolean {
    const { fill } = this;
    const { bytes } = this.frames;
    for (let at = from; at < to; at++) if (bytes[at] !== fill) return false;
    return true;
  }

  /** Takes the batch, and what the engine appended, out of the buffer again. */
  wipe(batch: readonly Placed[]): void {
    const { bytes, descriptors, count } = this.frames;
    const last = batch[batch.length - 1];
    bytes.fill(this.fill, batch[0].offset - HEADROOM_BYTES, last.offset + last.input.bytes.length);
    let usesSpare = count > batch.length;
    for (let i = 0; i < batch.length; i++)
      if (descriptors[i * DESCRIPTOR_WORDS] >= READ_BYTES) usesSpare = true;
    if (usesSpare) bytes.fill(this.fill, READ_BYTES);
  }

  /** True if nothing was left anywhere in the buffer. Between two batches only. */
  isWiped(): boolean {
    return Buffer.compare(this.frames.bytes, this.untouched) === 0;
  }
}
