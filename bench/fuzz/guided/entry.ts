/** What the guided fuzzer needs of the engine: bundled with counters, without, and with planted faults (variant builds of load.ts). */
export { Engine } from '../../../core/engine.ts';
export { Frames } from '../../../core/frames.ts';
export { Arena, arenaBytes, IDENTITY_WORDS } from '../../../core/table/arena.ts';
export { NatTable } from '../../../core/table/nat-table.ts';
export { makeParts } from '../../../core/table/parts.ts';
export { PortSet } from '../../../core/table/port-set.ts';
export { RandomSource } from '../../../core/table/random.ts';
export { selfCheck } from '../../../core/table/self-check.ts';
export { policyOf } from '../policy-choice.ts';
