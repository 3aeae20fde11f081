/** The datapath worker as the main thread sees it: a thread that forwards, and that can be told of changes. */
import { once } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { WorkerThread } from '../worker-thread.ts';
import {
  CONTROL_CHANGES,
  CONTROL_WORDS,
  type DatapathChange,
  type DatapathPlan,
  type WorkerReady,
} from './plan.ts';

/** A worker that does not take a change within this time is taken for dead. */
const CHANGE_MILLISECONDS_MAX = 5000;

export class Datapath {
  private readonly thread: WorkerThread<WorkerReady>;
  private readonly changes: MessagePort;

  private constructor(thread: WorkerThread<WorkerReady>, changes: MessagePort) {
    this.thread = thread;
    this.changes = changes;
  }

  /**
   * Starts the worker and waits until it has opened its device.
   * @param onDeath hears of an error after the start; a stop that was asked for is none
   */
  static async start(
    plan: Omit<DatapathPlan, 'control' | 'changes'>,
    onDeath: (error: Error) => void,
  ): Promise<Datapath> {
    const { port1, port2 } = new MessageChannel();
    const control = new SharedArrayBuffer(CONTROL_WORDS * 4);
    const whole: DatapathPlan = { ...plan, control, changes: port2 };
    const thread = await WorkerThread.start<WorkerReady>(
      'datapath',
      import.meta.url,
      whole,
      [port2],
      onDeath,
    );
    return new Datapath(thread, port1);
  }

  /** What the worker said when it was ready. */
  get ready(): WorkerReady {
    return this.thread.ready;
  }

  /** Puts another policy and other LANs in force between two batches; resolves when they are. One change at a time. */
  async change(change: DatapathChange): Promise<void> {
    const signal = AbortSignal.timeout(CHANGE_MILLISECONDS_MAX);
    const changed = once(this.changes, 'message', { signal });
    this.changes.postMessage(change);
    Atomics.add(this.thread.control, CONTROL_CHANGES, 1);
    this.thread.wake();
    await changed;
  }

  /** Ends the loop after the batch in hand. */
  async stop(): Promise<void> {
    await this.thread.stop();
    this.changes.close();
  }
}
