/**
 * The datapath: one loop on one screen.
 *
 *   read a batch → the engine's verdicts → write the batch → sweep a share of the table → sleep if there was nothing
 *
 * The thread that runs it does nothing else and never returns to its event loop; it is told to stop, or that a change waits for it, by shared
 * words and a wake-up.
 */
import type { Engine } from '../../core/engine.ts';
import type { Device } from '../../tun/device.ts';
import { CONTROL_CHANGES, CONTROL_STOP, CONTROL_TURNS } from './plan.ts';

/** The sweep goes on in silence too: at most this much later. */
const IDLE_MILLISECONDS_MAX = 100;

/**
 * Forwards until `control[CONTROL_STOP]` is set.
 * @param clock boot-time milliseconds; @param takeChanges is called between two batches when changes wait
 */
export function forward(
  device: Device,
  engine: Pick<Engine, 'process' | 'advance'>,
  control: Int32Array,
  clock: () => number,
  takeChanges: () => void,
): void {
  let changesSeen = 0;
  while (Atomics.load(control, CONTROL_STOP) === 0) {
    const changes = Atomics.load(control, CONTROL_CHANGES);
    if (changes !== changesSeen) {
      changesSeen = changes;
      takeChanges();
    }
    const count = device.readBatch();
    const now = clock();
    if (count > 0) {
      engine.process(count, now);
      device.writeBatch();
    }
    engine.advance(now);
    control[CONTROL_TURNS]++;
    if (count === 0) device.wait(IDLE_MILLISECONDS_MAX);
  }
}
