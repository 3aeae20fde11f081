/** The datapath worker as the main thread sees it: start it, change it, hear of its death, stop it. */
import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { type WakeToken, wakeDevice } from '../../tun/native.ts';
import {
  CONTROL_CHANGES,
  CONTROL_STOP,
  CONTROL_WORDS,
  type DatapathChange,
  type DatapathPlan,
  type WorkerReady,
} from './plan.ts';

/** A worker that does not end within this time is terminated. */
const STOP_MILLISECONDS_MAX = 2000;
/** A worker that does not take a change within this time is taken for dead. */
const CHANGE_MILLISECONDS_MAX = 5000;

export class Datapath {
  private readonly worker: Worker;
  private readonly control: Int32Array;
  private readonly changes: MessagePort;
  private readonly wakeToken: WakeToken;
  private readonly ended: Promise<void>;
  private isStopping = false;
  /** What the worker said when it was ready. */
  readonly ready: WorkerReady;

  private constructor(
    worker: Worker,
    control: Int32Array,
    changes: MessagePort,
    ready: WorkerReady,
  ) {
    this.worker = worker;
    this.control = control;
    this.changes = changes;
    this.wakeToken = ready.wakeToken as WakeToken;
    this.ready = ready;
    this.ended = new Promise((resolve) => worker.once('exit', () => resolve()));
  }

  /**
   * Starts the worker and waits until it has opened its device.
   * @param onDeath hears of an error after the start; a stop that was asked for is none
   */
  static async start(
    plan: Omit<DatapathPlan, 'control' | 'changes'>,
    onDeath: (error: Error) => void,
  ): Promise<Datapath> {
    const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
    const { port1, port2 } = new MessageChannel();
    const importer = process.env.PORTFOLD_WORKER_IMPORT;
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
    const worker = new Worker(new URL(`./worker.${extension}`, import.meta.url), {
      workerData: { ...plan, control: control.buffer, changes: port2 },
      transferList: [port2],
      ...(importer ? { execArgv: ['--import', importer] } : {}),
    });
    const ready = await new Promise<WorkerReady>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the datapath ended at its start (${code})`)));
    });
    worker.removeAllListeners();
    const datapath = new Datapath(worker, control, port1, ready);
    worker.once('error', (error: Error) => onDeath(error));
    worker.once('exit', () => {
      if (!datapath.isStopping) onDeath(new Error('the datapath thread ended by itself'));
    });
    return datapath;
  }

  /** Puts another policy and other LANs in force between two batches; resolves when they are. One change at a time. */
  async change(change: DatapathChange): Promise<void> {
    const signal = AbortSignal.timeout(CHANGE_MILLISECONDS_MAX);
    const changed = once(this.changes, 'message', { signal });
    this.changes.postMessage(change);
    Atomics.add(this.control, CONTROL_CHANGES, 1);
    wakeDevice(this.wakeToken);
    await changed;
  }

  /** Ends the loop after the batch in hand. */
  async stop(): Promise<void> {
    this.isStopping = true;
    Atomics.store(this.control, CONTROL_STOP, 1);
    wakeDevice(this.wakeToken);
    const timer = setTimeout(() => void this.worker.terminate(), STOP_MILLISECONDS_MAX);
    await this.ended;
    clearTimeout(timer);
    this.changes.close();
  }
}
