/** What the datapath worker is told at its start: plain values that travel to another thread. */
import type { LanNetwork, Line } from '../../core/translate/context.ts';

export interface DatapathPlan {
  tun: string;
  arenaPath: string;
  arenaBytes: number;
  capacity: number;
  /** Ascending. */
  ports: Uint16Array;
  line: Line;
  lans: LanNetwork[];
  preset: 'home' | 'rfc';
  /** The arena holds a predecessor's records. */
  adopt: boolean;
  /** Shared words, CONTROL_…. */
  control: SharedArrayBuffer;
}

/** The main thread sets it to 1 to end the loop. */
export const CONTROL_STOP = 0;
/** Turns of the loop, so that the main thread sees that it lives. */
export const CONTROL_TURNS = 1;
export const CONTROL_WORDS = 16;

export interface WorkerReady {
  type: 'ready';
  wakeToken: number;
  /** The arena's pages cannot be swapped out. */
  arenaIsLocked: boolean;
  /** Sessions taken over, and those that were impossible. */
  restored: number;
  dropped: number;
}
