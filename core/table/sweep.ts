/**
 * Ends sessions that have been idle for too long.
 *
 * There is no timer wheel: `advance` visits `capacity x elapsed / 1 s` records in order and ends those whose class timer has run out.
 * Five nanoseconds a record; nothing to link or to rebuild, and a policy may change every timer at once.
 *
 * A session of class Dns whose queries are all answered ends sooner, two seconds after its last packet. What the packet path counts
 * anyway is enough: as many answers as queries, and the last packet was an answer. A retry makes the queries more again; an answer
 * that comes twice makes the answers more, so a query after it counts as unanswered until something comes in. Several queries may
 * share a socket. Where the timer of the class is that of RFC 4787 REQ-5, two minutes or more, this holds for port 53 only: REQ-5a allows
 * it for the application that the port is registered for.
 *
 * UDP sessions that stayed unanswered and silent for more than 3 s are counted on the way, by host and remote address; where they are too many
 * the oldest gives way (unanswered.ts).
 */
import type { Policy } from '../policy.ts';
import {
  CLASS_MASK,
  Class,
  COMMIT_CLASS_SHIFT,
  COMMIT_PROFILE_SHIFT,
  STATES_MAX,
  State,
  TICKS_PER_SECOND,
  TIMER_MASK,
} from '../state.ts';
import { DNS_PORT } from '../wire/dns.ts';
import { PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  S_COMMIT,
  S_CREATED,
  S_EXTERNAL,
  S_LAST_INBOUND,
  S_LAST_SEEN,
  S_OVERRIDE,
  S_PACKETS_IN,
  S_PACKETS_OUT,
  S_PORTS,
} from './arena.ts';
import { Counter } from './counters.ts';
import type { TableParts } from './parts.ts';
import { SESSION_SHIFT } from './sessions.ts';
import { UNANSWERED_TICKS } from './unanswered.ts';

/** The whole table is swept once in this time. */
const SWEEP_MS = 1000;
/** Records visited in one call at most, so that a late call never delays packets by more than a millisecond or two. */
const SWEEP_RECORDS_MAX = 1 << 18;
/** A DNS session lives on for so long behind its last answer, for late duplicates. */
const DNS_END_TICKS = 2 * TICKS_PER_SECOND;
/** RFC 4787 REQ-5: no UDP timer is shorter. */
const REQUIRED_TICKS = 120 * TICKS_PER_SECOND;
/** Class and state of a DNS session over UDP that something was answered to; and the bits of the commit word that hold them. */
const DNS_ANSWERED = (Class.Dns << COMMIT_CLASS_SHIFT) | State.Answered;
const CLASS_AND_STATE = (CLASS_MASK << COMMIT_CLASS_SHIFT) | (STATES_MAX - 1);

export class Sweep {
  private readonly parts: TableParts;
  private readonly end: (session: number) => void;
  private sweptMs: number;
  private cursor = 0;

  /** @param end ends a session and gives back what it held */
  constructor(parts: TableParts, nowMs: number, end: (session: number) => void) {
    this.parts = parts;
    this.sweptMs = nowMs;
    this.end = end;
  }

  /** Visits a share of the table in proportion to the time since the last call. @param level of pressure, which chooses the timers */
  advance(nowMs: number, tick: number, policy: Policy, level: number): void {
    const { capacity } = this.parts.sessions;
    // A clock that was set back must not stop the sweep until it has caught up.
    if (nowMs < this.sweptMs) this.sweptMs = nowMs;
    const due = Math.floor((capacity * (nowMs - this.sweptMs)) / SWEEP_MS);
    if (due < 1) return;
    this.sweptMs = nowMs;
    this.visit(Math.min(due, capacity, SWEEP_RECORDS_MAX), tick, policy, level);
  }

  private visit(records: number, tick: number, policy: Policy, level: number): void {
    const { words, capacity } = this.parts.sessions;
    const timers = policy.timers[level];
    let session = this.cursor;
    for (let i = 0; i < records; i++) {
      const at = session << SESSION_SHIFT;
      const commit = words[at + S_COMMIT];
      if ((commit & 63) !== State.Free) {
        const override = words[at + S_OVERRIDE] >>> 16;
        const limit = override !== 0 ? override : timers[commit & TIMER_MASK];
        const idle = tick - words[at + S_LAST_SEEN];
        if (idle > limit) {
          if (level > 0 && override === 0 && idle <= policy.timers[0][commit & TIMER_MASK])
            this.parts.counters[Counter.EndedByPressure]++;
          this.end(session);
        } else if (idle > DNS_END_TICKS && isDnsDone(words, at, commit, limit)) this.end(session);
        else if (idle < 0) words[at + S_LAST_SEEN] = tick;
        else if (
          (commit & 63) === State.Unanswered &&
          tick - words[at + S_CREATED] > UNANSWERED_TICKS &&
          (words[at + S_EXTERNAL] & 0xff) === PROTOCOL_UDP
        )
          this.countUnanswered(session, commit, policy, tick);
      }
      session = session + 1 === capacity ? 0 : session + 1;
    }
    this.cursor = session;
  }

  /** Lets the oldest of the session's host and remote address give way, if they are too many. */
  private countUnanswered(
    session: number,
    commit: number,
    { profiles }: Policy,
    tick: number,
  ): void {
    const profile = profiles[(commit >>> COMMIT_PROFILE_SHIFT) & 3] ?? profiles[0];
    if (profile.unansweredPerRemoteMax === 0) return;
    const { unanswered, counters } = this.parts;
    if (this.goesOnSending(session, tick)) {
      unanswered.leave(session);
      return;
    }
    const turn = Math.floor(tick / TICKS_PER_SECOND);
    const oldest = unanswered.visit(session, profile.unansweredPerRemoteMax, turn);
    if (oldest < 0) return;
    if (this.goesOnSending(oldest, tick)) {
      unanswered.leave(oldest);
      return;
    }
    counters[Counter.UnansweredGaveWay]++;
    this.end(oldest);
  }

  /** True if the last packet of an unanswered session is no more than three seconds old. */
  private goesOnSending(session: number, tick: number): boolean {
    const { words } = this.parts.sessions;
    return tick - words[(session << SESSION_SHIFT) + S_LAST_SEEN] <= UNANSWERED_TICKS;
  }
}

/** True if the session is one of DNS, and every query that it has carried was answered. */
const isDnsDone = (words: Int32Array, at: number, commit: number, limit: number): boolean =>
  (commit & CLASS_AND_STATE) === DNS_ANSWERED &&
  (limit < REQUIRED_TICKS || (words[at + S_PORTS] & 0xffff) === DNS_PORT) &&
  words[at + S_PACKETS_IN] >= words[at + S_PACKETS_OUT] &&
  words[at + S_LAST_INBOUND] === words[at + S_LAST_SEEN];
