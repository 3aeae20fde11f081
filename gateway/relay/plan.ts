/** What the relay's worker is told at its start: plain values that travel to another thread. */
import type { RelayPlan } from '../../core/relay/context.ts';

export interface RelayWorkerPlan {
  tun: string;
  relay: RelayPlan;
  /** Shared words, CONTROL_… of the datapath. */
  control: SharedArrayBuffer;
  /** RELAY_COUNTER_COUNT doubles. */
  counters: SharedArrayBuffer;
}

export interface RelayWorkerReady {
  wakeToken: number;
}
