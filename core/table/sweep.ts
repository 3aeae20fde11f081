/**
 * Ends sessions that have been idle for too long.
 *
 * There is no timer wheel: `advance` visits `capacity x elapsed / 1 s` records in order and ends those whose class timer has run out.
 * Five nanoseconds a record; nothing to link or to rebuild, and a policy may change every timer at once.
 *
 * A session of class Dns whose queries are all answered ends sooner, two seconds after its last packet. What the packet path counts
 * anyway is enough: as many answers as queries, and the last packet was an answer. A retry makes the queries more again; an answer
 * that comes twice makes the answers more, so a query after it counts as unanswered until something comes in. Several queries may
 * share a socket.
 */
import {
  CLASS_MASK,
  Class,
  COMMIT_CLASS_SHIFT,
  STATES_MAX,
  State,
  TICKS_PER_SECOND,
  TIMER_MASK,
} from '../state.ts';
import {
  S_COMMIT,
  S_LAST_INBOUND,
  S_LAST_SEEN,
  S_OVERRIDE,
  S_PACKETS_IN,
  S_PACKETS_OUT,
} from './arena.ts';
import { SESSION_SHIFT, type Sessions } from './sessions.ts';

/** The whole table is swept once in this time. */
const SWEEP_MS = 1000;
/** Records visited in one call at most, so that a late call never delays packets by more than a millisecond or two. */
const SWEEP_RECORDS_MAX = 1 << 18;
/** A DNS session lives on for so long behind its last answer, for late duplicates. */
const DNS_END_TICKS = 2 * TICKS_PER_SECOND;
/** Class and state of a DNS session over UDP that something was answered to; and the bits of the commit word that hold them. */
const DNS_ANSWERED = (Class.Dns << COMMIT_CLASS_SHIFT) | State.Answered;
const CLASS_AND_STATE = (CLASS_MASK << COMMIT_CLASS_SHIFT) | (STATES_MAX - 1);

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
        else if (idle > DNS_END_TICKS && isDnsDone(words, at, commit)) this.end(session);
        else if (idle < 0) words[at + S_LAST_SEEN] = tick;
      }
      session = session + 1 === capacity ? 0 : session + 1;
    }
    this.cursor = session;
  }
}

/** True if the session is one of DNS, and every query that it has carried was answered. */
const isDnsDone = (words: Int32Array, at: number, commit: number): boolean =>
  (commit & CLASS_AND_STATE) === DNS_ANSWERED &&
  words[at + S_PACKETS_IN] >= words[at + S_PACKETS_OUT] &&
  words[at + S_LAST_INBOUND] === words[at + S_LAST_SEEN];
