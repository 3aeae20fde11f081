/**
 * The small world that the packets of a fuzz run live in: a line, two LANs, a handful of hosts and servers, so that flows meet, repeat
 * and collide; and the variants of it that a seed chooses from.
 */
import { Engine } from '../../core/engine.ts';
import { Frames } from '../../core/frames.ts';
import { Arena, arenaBytes, IDENTITY_WORDS } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import type { LanNetwork, Line } from '../../core/translate/context.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { standardPolicy } from '../../policies/standard.ts';
import { put16, sum } from './build.ts';
import { Dice } from './dice.ts';

export const EXTERNAL = parseIpv4('203.0.113.5');
export const CE = Uint8Array.from([
  0x24, 0x0b, 0, 0x10, 0x12, 0x34, 0x56, 0, 0, 203, 0, 113, 5, 0, 0x34, 0,
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
  LANS.some((lan) => ((address ^ lan.address) & lan.mask) === 0);

export const isGateway = (address: number): boolean =>
  LANS.some((lan) => lan.gatewayAddress === address);

/** What a seed chooses. */
export interface Variant {
  ports: Uint16Array;
  capacity: number;
  preset: 'home' | 'rfc';
  line: Line;
}

/** The 240 ports of PSID 0x34 at offset 4. */
export function psidPorts(): number[] {
  const ports: number[] = [];
  for (let block = 1; block < 16; block++)
    for (let j = 0; j < 16; j++) ports.push((block << 12) | (0x34 << 4) | j);
  return ports;
}

const range = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i);

export function chooseVariant(seed: number): Variant {
  const dice = new Dice(seed ^ 0x56415249);
  const ports = dice.pick([
    psidPorts,
    psidPorts,
    () => psidPorts().slice(0, 24),
    () => range(40000, 33),
    () => range(4096, 61439),
  ])();
  const isTunnel = dice.chance(70);
  return {
    ports: Uint16Array.from(ports),
    capacity: dice.pick([1024, 1024, 4096]),
    preset: dice.chance(80) ? 'home' : 'rfc',
    line: {
      externalAddress: EXTERNAL,
      externalIndex: 0,
      mtu: dice.pick([1460, 1460, 1500, 1280]),
      restoreHopsOutbound: dice.below(2),
      restoreHopsInbound: dice.below(2),
      isShared: dice.chance(70),
      fragmentsHere: dice.chance(70),
      ...(isTunnel ? { ceAddress: CE, brAddress: BR } : {}),
    },
  };
}

/** Room for one superpacket and some small ones; the rest is a guard that nobody may write. */
export const READ_BYTES = 1 << 17;
const SPARE_BYTES = 1 << 17;
const FRAMES_MAX = 16;
const SPARE_FRAMES = 128;

/** What the addon does in C: sums from `start` to the end of the packet, if the field lies inside. */
function complete(
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

/** An engine over plain memory; `fill` is what lies around the packets. */
export class World {
  readonly table: NatTable;
  readonly engine: Engine;
  readonly frames = new Frames(READ_BYTES, FRAMES_MAX, SPARE_BYTES, SPARE_FRAMES);
  readonly arenaBytes: Uint8Array;
  readonly fill: number;

  constructor(variant: Variant, seed: number, fill: number, nowMs: number) {
    const set = new PortSet(variant.ports);
    const shape = { capacity: variant.capacity, portCount: set.count, externalCount: 1 };
    const buffer = new ArrayBuffer(arenaBytes(shape));
    const arena = new Arena(buffer, shape);
    arena.format(nowMs, [EXTERNAL], new Int32Array(IDENTITY_WORDS));
    const dice = new Dice(seed ^ 0x454e4749);
    const parts = makeParts(arena, set, new RandomSource((words) => dice.fill(words)));
    this.table = new NatTable(parts, standardPolicy(variant.preset), nowMs);
    this.engine = new Engine(this.table, variant.line, LANS, this.frames, complete);
    this.arenaBytes = new Uint8Array(buffer);
    this.fill = fill;
    this.frames.bytes.fill(fill);
  }
}
