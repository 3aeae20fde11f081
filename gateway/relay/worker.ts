/** The relay's worker thread: opens the device and relays until it is told to stop. It holds nothing that outlives it but counters. */
import { randomFillSync } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { Frames } from '../../core/frames.ts';
import { Relay } from '../../core/relay/relay.ts';
import { completeChecksum } from '../../tun/native.ts';
import { TunDevice } from '../../tun/tun-device.ts';
import { preferInlining } from '../datapath/compiler.ts';
import { forward } from '../datapath/loop.ts';
import type { RelayWorkerPlan, RelayWorkerReady } from './plan.ts';

/** Room for 31 superpackets, or 256 small packets. */
const BATCH_BYTES = 1 << 21;
const BATCH_FRAMES = 256;
/** For fragments that the relay makes, and tunnel packets that it makes whole. */
const SPARE_BYTES = 1 << 20;
const SPARE_FRAMES = 512;

preferInlining();
const plan = workerData as RelayWorkerPlan;
const frames = new Frames(BATCH_BYTES, BATCH_FRAMES, SPARE_BYTES, SPARE_FRAMES);
const [seed] = randomFillSync(new Int32Array(1));
const counters = new Float64Array(plan.counters);
const relay = new Relay(plan.relay, frames, counters, seed, completeChecksum);
const tun = new TunDevice(plan.tun, { persist: true });
tun.register(frames);
const ready: RelayWorkerReady = { wakeToken: tun.wakeToken };
parentPort?.postMessage(ready);

forward(
  tun,
  relay,
  new Int32Array(plan.control),
  () => tun.readAt,
  () => {},
);
tun.close();
