/** The datapath worker as the main thread sees it: start it, hear of its death, stop it. */
import { Worker } from 'node:worker_threads';
import { type WakeToken, wakeDevice } from '../../tun/native.ts';
import { CONTROL_STOP, CONTROL_WORDS, type DatapathPlan, type WorkerReady } from './plan.ts';

/** A worker that does not end within this time is terminated. */
const STOP_MILLISECONDS_MAX = 2000;

export class Datapath {
  private readonly worker: Worker;
  private readonly control: Int32Array;
  private readonly wakeToken: WakeToken;
  private readonly ended: Promise<void>;
  private isStopping = false;
  /** What the worker said when it was ready. */
  readonly ready: WorkerReady;

  private constructor(worker: Worker, control: Int32Array, ready: WorkerReady) {
    this.worker = worker;
    this.control = control;
    this.wakeToken = ready.wakeToken as WakeToken;
    this.ready = ready;
    this.ended = new Promise((resolve) => worker.once('exit', () => resolve()));
  }

  /**
   * Starts the worker and waits until it has opened its device.
   * @param onDeath hears of an error after the start; a stop that was asked for is none
   */
  static async start(
    plan: Omit<DatapathPlan, 'control'>,
    onDeath: (error: Error) => void,
  ): Promise<Datapath> {
    const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
    const importer = process.env.PORTFOLD_WORKER_IMPORT;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), {
      workerData: { ...plan, control: control.buffer },
      ...(importer ? { execArgv: ['--import', importer] } : {}),
    });
    const ready = await new Promise<WorkerReady>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the datapath ended at its start (${code})`)));
    });
    worker.removeAllListeners();
    const datapath = new Datapath(worker, control, ready);
    worker.once('error', (error: Error) => onDeath(error));
    worker.once('exit', () => {
      if (!datapath.isStopping) onDeath(new Error('the datapath thread ended by itself'));
    });
    return datapath;
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
