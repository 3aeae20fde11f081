/**
 * Ends sessions that have been idle for too long.
 *
 * There is no timer wheel: `advance` visits `capacity x elapsed / 1 s` records in order and ends those whose class timer has run out.
 * Five nanoseconds a record; nothing to link or to rebuild, and a policy may change every timer at once.
 */
import { State, TIMER_MASK } from '../state.ts';
import { S_COMMIT, S_LAST_SEEN, S_OVERRIDE } from './arena.ts';
import { SESSION_SHIFT, type Sessions } from './sessions.ts';

/** The whole table is swept once in this time. */
const SWEEP_MS = 1000;
/** Records visited in one call at most, so that a late call never delays packets by more than a millisecond or two. */
const SWEEP_RECORDS_MAX = 1 << 18;

export class Sweep {
  private readonly sessions: Sessions;
  private readonly end: (session: number) => void;
  private sweptMs: number;
  private cursor = 0;

  /** @param end ends a session and gives back what it held */
  constructor(sessions: Sessions, nowMs: number, end: (session: number) => void) {
    this.sessions = sessions;
    this.sweptMs = nowMs;
    this.end = end;
  }

  /** Visits a share of the table in proportion to the time since the last call. @param timers ticks by profile, class and state */
  advance(nowMs: number, tick: number, timers: Int32Array): void {
    const { capacity } = this.sessions;
    // A clock that was set back must not stop the sweep until it has caught up.
    if (nowMs < this.sweptMs) this.sweptMs = nowMs;
    const due = Math.floor((capacity * (nowMs - this.sweptMs)) / SWEEP_MS);
    if (due < 1) return;
    this.sweptMs = nowMs;
    this.visit(Math.min(due, capacity, SWEEP_RECORDS_MAX), tick, timers);
  }

  private visit(records: number, tick: number, timers: Int32Array): void {
    const { words, capacity } = this.sessions;
    let session = this.cursor;
    for (let i = 0; i < records; i++) {
      const at = session << SESSION_SHIFT;
      const commit = words[at + S_COMMIT];
      if ((commit & 63) !== State.Free) {
        const override = words[at + S_OVERRIDE] >>> 16;
        const limit = override !== 0 ? override : timers[commit & TIMER_MASK];
        const idle = tick - words[at + S_LAST_SEEN];
        if (idle > limit) this.end(session);
        else if (idle < 0) words[at + S_LAST_SEEN] = tick;
      }
      session = session + 1 === capacity ? 0 : session + 1;
    }
    this.cursor = session;
  }
}
