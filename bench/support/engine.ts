/** An engine over plain memory with the standard policy, a fixed seed and many LAN hosts: what the benchmarks without a network stand on. */
import { randomFillSync } from 'node:crypto';
import { Engine } from '../../core/engine.ts';
import { Frames } from '../../core/frames.ts';
import type { Policy } from '../../core/policy.ts';
import { Class } from '../../core/state.ts';
import { Arena, arenaBytes, IDENTITY_WORDS } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { derivedArrays, makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import type { Line } from '../../core/translate/context.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, parseIpv4 } from '../../core/wire/ipv4.ts';
import { preferInlining } from '../../gateway/datapath/compiler.ts';
import { presetPolicy } from '../../policies/build.ts';
import { preferHugePages } from '../../tun/native.ts';
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

/** What may be otherwise than in a gateway, for a suite that compares the two. */
export interface EngineVariant {
  /** Where huge pages are asked for: behind the indexes, as the gateway does; behind the arena as well; nowhere. */
  pages: 'indexes' | 'all' | 'small';
  /** `none`: every session is allowed, of its protocol's class, without a limit. */
  policy: 'home' | 'none';
  /** `usual`: as much of the packet path in one piece of machine code as V8 does by itself. */
  inlining: 'gateway' | 'usual';
}

export const AS_IN_GATEWAY: EngineVariant = {
  pages: 'indexes',
  policy: 'home',
  inlining: 'gateway',
};

/** @param capacity a power of two; @param lineMore what the line has besides, for instance a tunnel */
export function makeEngine(
  capacity: number,
  ports = mapEPorts(),
  lineMore: Partial<Line> = {},
  variant = AS_IN_GATEWAY,
): BenchEngine {
  if (variant.inlining === 'gateway') preferInlining();
  const externalAddress = parseIpv4('203.0.113.5');
  const shape = { capacity, portCount: ports.length, externalCount: 1 };
  const memory = new ArrayBuffer(arenaBytes(shape));
  if (variant.pages === 'all') preferHugePages(new Int32Array(memory, 0, memory.byteLength >> 2));
  const arena = new Arena(memory, shape);
  arena.format(0, [externalAddress], new Int32Array(IDENTITY_WORDS));
  const random = new RandomSource((words) => randomFillSync(words));
  const parts = makeParts(arena, new PortSet(ports), random);
  if (variant.pages !== 'small') for (const words of derivedArrays(parts)) preferHugePages(words);
  const table = new NatTable(
    parts,
    variant.policy === 'none' ? noPolicy() : presetPolicy('home'),
    0,
  );
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

/** The class of the protocol and nothing else: what the policies are measured against. */
function noPolicy(): Policy {
  const home = presetPolicy('home');
  const [profile] = home.profiles;
  const unlimited = { sessionsPerHostMax: 0, newPerSecondMax: 0, unansweredPerRemoteMax: 0 };
  return {
    ...home,
    timers: [home.timers[0], home.timers[0], home.timers[0], home.timers[0]],
    profiles: [{ ...profile, ...unlimited }],
    reserveSessions: 0,
    reserveOwnSessions: 0,
    decide({ protocol }) {
      if (protocol === PROTOCOL_TCP) return Class.Tcp;
      return protocol === PROTOCOL_ICMP ? Class.Icmp : Class.Other;
    },
  };
}
