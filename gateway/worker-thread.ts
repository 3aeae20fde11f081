/**
 * A thread that forwards packets, as the main thread sees it: start it, wake it, hear of its death, stop it. What it forwards with, and what
 * it is told meanwhile, is the business of datapath/ and relay/.
 *
 *   start ──► worker.ts opens its device and sends one message, ready ──► … ──► stop: CONTROL_STOP and a wake-up, then its exit
 */
import { type Transferable, Worker } from 'node:worker_threads';
import { type WakeToken, wakeDevice } from '../tun/native.ts';
import { CONTROL_CHANGES, CONTROL_STOP } from './datapath/plan.ts';

/** A worker that does not end within this time is terminated. */
const STOP_MILLISECONDS_MAX = 2000;

export class WorkerThread<Ready extends { wakeToken: number }> {
  /** Shared words, CONTROL_…. */
  readonly control: Int32Array;
  /** What the worker said when it was ready. */
  readonly ready: Ready;
  private readonly worker: Worker;
  private readonly ended: Promise<void>;
  private isStopping = false;

  private constructor(
    name: string,
    worker: Worker,
    control: SharedArrayBuffer,
    ready: Ready,
    onDeath: (error: Error) => void,
  ) {
    this.worker = worker;
    this.control = new Int32Array(control);
    this.ready = ready;
    this.ended = new Promise((resolve) => worker.once('exit', () => resolve()));
    worker.once('error', onDeath);
    worker.once('exit', () => {
      if (!this.isStopping) onDeath(new Error(`the ${name}’s thread ended by itself`));
    });
  }

  /**
   * Starts worker.ts and waits until it has opened its device.
   * @param name for people; @param beside URL of the module that lies beside worker.ts; @param plan what the worker is told
   * @param onDeath hears of an error after the start; a stop that was asked for is none
   */
  static async start<Ready extends { wakeToken: number }>(
    name: string,
    beside: string,
    plan: { control: SharedArrayBuffer },
    transferList: Transferable[],
    onDeath: (error: Error) => void,
  ): Promise<WorkerThread<Ready>> {
    const importer = process.env.PORTFOLD_WORKER_IMPORT;
    const extension = beside.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./worker.${extension}`, beside), {
      workerData: plan,
      transferList,
      ...(importer ? { execArgv: ['--import', importer] } : {}),
    });
    const ready = await new Promise<Ready>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the ${name} ended at its start (${code})`)));
    });
    worker.removeAllListeners();
    return new WorkerThread(name, worker, plan.control, ready, onDeath);
  }

  /** Lets the loop turn although no packet came. */
  wake(): void {
    wakeDevice(this.ready.wakeToken as WakeToken);
  }

  /** Ends the loop after the batch in hand. */
  async stop(): Promise<void> {
    this.isStopping = true;
    Atomics.store(this.control, CONTROL_STOP, 1);
    Atomics.add(this.control, CONTROL_CHANGES, 1);
    this.wake();
    const timer = setTimeout(() => void this.worker.terminate(), STOP_MILLISECONDS_MAX);
    await this.ended;
    clearTimeout(timer);
  }
}
