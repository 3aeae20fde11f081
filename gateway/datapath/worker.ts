/** The worker thread: opens the device, makes the tables over the mapped arena, and forwards until it is told to stop. */
import { randomFillSync } from 'node:crypto';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Engine } from '../../core/engine.ts';
import { DESCRIPTOR_WORDS, Frames, HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../core/frames.ts';
import { Arena } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { derivedArrays, makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import { buildPolicy } from '../../policies/build.ts';
import * as device from '../../tun/device.ts';
import {
  bootMilliseconds,
  completeChecksum,
  goBeforeOthers,
  goWithOthers,
  mapArena,
  preferHugePages,
  threadMilliseconds,
} from '../../tun/native.ts';
import { TunDevice } from '../../tun/tun-device.ts';
import { preferInlining } from './compiler.ts';
import { forward } from './loop.ts';
import { CHANGED, type DatapathChange, type DatapathPlan, type WorkerReady } from './plan.ts';
import { Precedence } from './precedence.ts';

/** Room for 31 superpackets, or 256 small packets. */
const BATCH_BYTES = 1 << 21;
const BATCH_FRAMES = 256;
/** For fragments that the engine makes: five packets of 64 KB cut to 1,280 bytes. */
const SPARE_BYTES = 1 << 19;
const SPARE_FRAMES = 256;

if (
  device.DESCRIPTOR_WORDS !== DESCRIPTOR_WORDS ||
  device.HEADROOM_BYTES !== HEADROOM_BYTES ||
  device.VNET_HEADER_BYTES !== VNET_HEADER_BYTES
)
  throw new Error('device and engine disagree about the layout of a batch');

preferInlining();
const plan = workerData as DatapathPlan;
const set = new PortSet(plan.ports);
const shape = { capacity: plan.capacity, portCount: set.count, externalCount: 1 };
const { buffer, locked } = mapArena(plan.arenaPath, plan.arenaBytes, {
  create: false,
  resident: true,
});
const random = new RandomSource((words) => randomFillSync(words));
const parts = makeParts(new Arena(buffer, shape), set, random);
// New sessions are a third faster with a million present (docs/performance.md, `portfold bench pages`).
for (const words of derivedArrays(parts)) preferHugePages(words);
const table = new NatTable(parts, buildPolicy(plan.policy), bootMilliseconds());
const restored = plan.adopt ? table.restore() : undefined;

const frames = new Frames(BATCH_BYTES, BATCH_FRAMES, SPARE_BYTES, SPARE_FRAMES);
// The engine reads this very array and this very line, so that a change needs no other engine.
const { lans, line } = plan;
const engine = new Engine(table, line, lans, frames, completeChecksum);
const tun = new TunDevice(plan.tun, { persist: true });
tun.register(frames);
const went = plan.realtime ? goBeforeOthers() : 'kept';
const precedence =
  went === 'before'
    ? new Precedence(
        { goBeforeOthers: () => goBeforeOthers() === 'before', goWithOthers, threadMilliseconds },
        bootMilliseconds(),
      )
    : undefined;
const ready: WorkerReady = {
  type: 'ready',
  wakeToken: tun.wakeToken,
  arenaIsLocked: locked,
  realtimeRefused: ['before', 'kept'].includes(went) ? undefined : went,
  restored: restored?.sessions ?? 0,
  dropped: restored?.dropped ?? 0,
};
parentPort?.postMessage(ready);

forward(tun, engine, new Int32Array(plan.control), () => tun.readAt, takeChanges, precedence);
tun.close();

/** Puts what the main thread has sent into force, and says so. This thread has no event loop that could receive a message. */
function takeChanges(): void {
  for (
    let received = receiveMessageOnPort(plan.changes);
    received !== undefined;
    received = receiveMessageOnPort(plan.changes)
  ) {
    const change = received.message as DatapathChange;
    table.setPolicy(buildPolicy(change.policy));
    line.mtu = change.mtu ?? line.mtu;
    lans.splice(0, lans.length, ...change.lans);
    plan.changes.postMessage(CHANGED);
  }
}
