/** The relay's worker as the main thread sees it: a thread that forwards, and what it counts. */
import { RELAY_COUNTER_COUNT, type RelayPlan } from '../../core/relay/context.ts';
import { CONTROL_WORDS } from '../datapath/plan.ts';
import { WorkerThread } from '../worker-thread.ts';
import type { RelayWorkerPlan, RelayWorkerReady } from './plan.ts';

export class RelayThread {
  /** What the worker counts, RelayCounter and reasons. */
  readonly counters: Float64Array;
  private readonly thread: WorkerThread<RelayWorkerReady>;

  private constructor(thread: WorkerThread<RelayWorkerReady>, counters: SharedArrayBuffer) {
    this.thread = thread;
    this.counters = new Float64Array(counters);
  }

  /**
   * Starts the worker and waits until it has opened its device.
   * @param onDeath hears of an error after the start; a stop that was asked for is none
   */
  static async start(
    tun: string,
    relay: RelayPlan,
    onDeath: (error: Error) => void,
  ): Promise<RelayThread> {
    const plan: RelayWorkerPlan = {
      tun,
      relay,
      control: new SharedArrayBuffer(CONTROL_WORDS * 4),
      counters: new SharedArrayBuffer(RELAY_COUNTER_COUNT * 8),
    };
    const { url } = import.meta;
    const thread = await WorkerThread.start<RelayWorkerReady>('relay', url, plan, [], onDeath);
    return new RelayThread(thread, plan.counters);
  }

  /** Ends the loop after the batch in hand. */
  stop(): Promise<void> {
    return this.thread.stop();
  }
}
