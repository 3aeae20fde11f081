/**
 * The datapath: one loop on one screen.
 *
 *   read a batch, asleep until there is one → the engine's verdicts → write the batch → sweep a share of the table
 *
 * The thread that runs it does nothing else and never returns to its event loop; it is told to stop, or that a change waits for it, by shared
 * words and a wake-up.
 */
import type { Engine } from '../../core/engine.ts';
import type { Device } from '../../tun/device.ts';
import { CONTROL_CHANGES, CONTROL_STOP, CONTROL_TURNS } from './plan.ts';
import type { Precedence } from './precedence.ts';

/** The sweep goes on in silence too: at most this much later. */
const IDLE_MILLISECONDS_MAX = 100;
/** There are tens of thousands of batches a second under load: too many to sweep after each. */
const ADVANCE_MILLISECONDS = 1;

/**
 * Forwards until `control[CONTROL_STOP]` is set and CONTROL_CHANGES was raised to say so.
 * @param clock boot-time milliseconds of the batch just read; @param takeChanges is called between two batches when changes wait
 * @param precedence of the thread, where it goes before others
 */
export function forward(
  device: Device,
  engine: Pick<Engine, 'process' | 'advance'>,
  control: Int32Array,
  clock: () => number,
  takeChanges: () => void,
  precedence?: Pick<Precedence, 'turn'>,
): void {
  let changesSeen = 0;
  let advancedAt = Number.NEGATIVE_INFINITY;
  for (;;) {
    const changes = Atomics.load(control, CONTROL_CHANGES);
    if (changes !== changesSeen) {
      changesSeen = changes;
      if (Atomics.load(control, CONTROL_STOP) !== 0) return;
      takeChanges();
    }
    const count = device.readBatch(IDLE_MILLISECONDS_MAX);
    const now = clock();
    if (count > 0) {
      engine.process(count, now);
      device.writeBatch();
    }
    if (now - advancedAt >= ADVANCE_MILLISECONDS) {
      engine.advance(now);
      precedence?.turn(now);
      advancedAt = now;
    }
    control[CONTROL_TURNS]++;
  }
}
