/** The relay's worker as the main thread sees it: start it, hear of its death, stop it. */
import { Worker } from 'node:worker_threads';
import { RELAY_COUNTER_COUNT, type RelayPlan } from '../../core/relay/context.ts';
import { type WakeToken, wakeDevice } from '../../tun/native.ts';
import { CONTROL_STOP, CONTROL_WORDS } from '../datapath/plan.ts';
import type { RelayWorkerPlan, RelayWorkerReady } from './plan.ts';

/** A worker that does not end within this time is terminated. */
const STOP_MILLISECONDS_MAX = 2000;

export class RelayThread {
  /** What the worker counts, RelayCounter and reasons. */
  readonly counters: Float64Array;
  private readonly worker: Worker;
  private readonly control: Int32Array;
  private readonly wakeToken: WakeToken;
  private readonly ended: Promise<void>;
  private isStopping = false;

  private constructor(
    worker: Worker,
    plan: RelayWorkerPlan,
    ready: RelayWorkerReady,
    onDeath: (error: Error) => void,
  ) {
    this.worker = worker;
    this.control = new Int32Array(plan.control);
    this.counters = new Float64Array(plan.counters);
    this.wakeToken = ready.wakeToken as WakeToken;
    this.ended = new Promise((resolve) => worker.once('exit', () => resolve()));
    worker.once('error', onDeath);
    worker.once('exit', () => {
      if (!this.isStopping) onDeath(new Error('the relay’s thread ended by itself'));
    });
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
    const importer = process.env.PORTFOLD_WORKER_IMPORT;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), {
      workerData: plan,
      ...(importer ? { execArgv: ['--import', importer] } : {}),
    });
    const ready = await new Promise<RelayWorkerReady>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the relay ended at its start (${code})`)));
    });
    worker.removeAllListeners();
    return new RelayThread(worker, plan, ready, onDeath);
  }

  /** Ends the loop after the batch in hand. */
  async stop(): Promise<void> {
    this.isStopping = true;
    Atomics.store(this.control, CONTROL_STOP, 1);
    wakeDevice(this.wakeToken);
    const timer = setTimeout(() => void this.worker.terminate(), STOP_MILLISECONDS_MAX);
    await this.ended;
    clearTimeout(timer);
  }
}
