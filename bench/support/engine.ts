/** An engine over plain memory with the standard policy, a fixed seed and many LAN hosts: what the benchmarks without a network stand on. */
import { randomFillSync } from 'node:crypto';
import { Engine } from '../../core/engine.ts';
import { Frames } from '../../core/frames.ts';
import { Arena, arenaBytes, IDENTITY_WORDS } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import type { Line } from '../../core/translate/context.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { standardPolicy } from '../../policies/standard.ts';
import { mapEPorts, seeded } from './seeded.ts';

export { mapEPorts, seeded };

const BATCH_BYTES = 1 << 21;
const BATCH_FRAMES = 256;

export interface BenchEngine {
  engine: Engine;
  table: NatTable;
  frames: Frames;
  externalAddress: number;
}

/** @param capacity a power of two; @param lineMore what the line has besides, for instance a tunnel */
export function makeEngine(
  capacity: number,
  ports = mapEPorts(),
  lineMore: Partial<Line> = {},
): BenchEngine {
  const externalAddress = parseIpv4('203.0.113.5');
  const shape = { capacity, portCount: ports.length, externalCount: 1 };
  const arena = new Arena(new ArrayBuffer(arenaBytes(shape)), shape);
  arena.format(0, [externalAddress], new Int32Array(IDENTITY_WORDS));
  const random = new RandomSource((words) => randomFillSync(words));
  const parts = makeParts(arena, new PortSet(ports), random);
  const table = new NatTable(parts, standardPolicy('home'), 0);
  const frames = new Frames(BATCH_BYTES, BATCH_FRAMES, 1 << 18, BATCH_FRAMES);
  const line = {
    externalAddress,
    externalIndex: 0,
    mtu: 1500,
    restoreHopsOutbound: 0,
    restoreHopsInbound: 0,
    isShared: true,
    fragmentsHere: false,
    ...lineMore,
  };
  const lan = {
    address: parseIpv4('10.0.0.0'),
    mask: -1 << 24,
    gatewayAddress: parseIpv4('10.0.0.1'),
  };
  const engine = new Engine(table, line, [lan], frames, () => false);
  return { engine, table, frames, externalAddress };
}
