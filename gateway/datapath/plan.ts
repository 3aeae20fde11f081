/** What the datapath worker is told at its start and while it runs: plain values that travel to another thread. */
import type { MessagePort } from 'node:worker_threads';
import type { LanNetwork, Line } from '../../core/translate/context.ts';
import type { PolicyPlan } from '../../policies/build.ts';

/** What may be replaced while the worker runs. */
export interface DatapathChange {
  /** Most specific first. */
  lans: LanNetwork[];
  policy: PolicyPlan;
  /** MTU of IPv4 packets on the line; absent: as it is. */
  mtu?: number;
}

export interface DatapathPlan extends DatapathChange {
  tun: string;
  arenaPath: string;
  arenaBytes: number;
  capacity: number;
  /** Ascending. */
  ports: Uint16Array;
  line: Line;
  /** The arena holds a predecessor's records. */
  adopt: boolean;
  /** The thread is to go before ordinary ones. */
  realtime: boolean;
  /** Shared words, CONTROL_…. */
  control: SharedArrayBuffer;
  /** Brings changes; each is answered with CHANGED when it is in force. */
  changes: MessagePort;
}

/** The main thread sets it to 1 to end the loop. */
export const CONTROL_STOP = 0;
/** Turns of the loop, so that the main thread sees that it lives. */
export const CONTROL_TURNS = 1;
/** Raised when a change was sent, or the loop is to end: the one word that it looks at in every turn. */
export const CONTROL_CHANGES = 2;
export const CONTROL_WORDS = 16;

export const CHANGED = 'changed';

export interface WorkerReady {
  type: 'ready';
  wakeToken: number;
  /** The arena's pages cannot be swapped out. */
  arenaIsLocked: boolean;
  /** Why the thread may not go before ordinary ones, though it was to: for instance "EPERM". */
  realtimeRefused?: string;
  /** Sessions taken over, and those that were impossible. */
  restored: number;
  dropped: number;
}
