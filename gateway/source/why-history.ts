/**
 * Since when: what grew lately, from the arena's counters, looked at every few seconds by the control thread.
 *
 *   sample ──▶ for each watched counter: did it grow?  ──▶ streak: since, last, how often, how often in the last minute
 *          ──▶ minute: figures of one minute, kept for an hour
 *          ──▶ mark, every five minutes, of which three are kept: sessions made so far, by class and by host
 *
 * A streak ends when nothing happened for five minutes. All of it is bounded and made at the start.
 */
import { CLASS_NAMES, CLASSES_MAX } from '../../core/state.ts';
import { type Arena, HOST_WORDS } from '../../core/table/arena.ts';
import { COUNTER_CLASS_CREATED, COUNTER_DROPS, Counter } from '../../core/table/counters.ts';
import { HOST_ADDRESS, HOST_CREATED_SESSIONS } from '../../core/table/hosts.ts';
import { DROP_COUNT } from '../../core/verdict.ts';
import type { WhyMinute } from '../control/api.ts';
import type { Streak } from './why-facts.ts';

export const SAMPLE_MILLISECONDS = 5_000;
/** What did not happen for so long has ended. */
export const STREAK_QUIET_MS = 300_000;

const MINUTE_MS = 60_000;
const MINUTES_KEPT = 60;
const SAMPLES_KEPT = MINUTE_MS / SAMPLE_MILLISECONDS;
const MARK_MS = 300_000;
const MARKS_KEPT = 3;

/** Counters watched besides the drop reasons, in this order; the last is no counter of the arena. */
const WATCHED = [
  Counter.UnansweredGaveWay,
  Counter.EvictedFromHeaviest,
  Counter.EndedByPressure,
  Counter.PeersWithoutOwnPort,
] as const;
const LOST_AT_TUN = WATCHED.length;
const REASONS = LOST_AT_TUN + 1;
const SERIES = REASONS + DROP_COUNT;

interface Mark {
  atMs: number;
  byClass: Float64Array;
  hosts: Int32Array;
  created: Int32Array;
}

interface Sample {
  atMs: number;
  values: Float64Array;
}

export class WhyHistory {
  private readonly arena: Arena;
  private readonly lostAtTun: () => number;
  private readonly sinceMs = new Float64Array(SERIES);
  private readonly lastMs = new Float64Array(SERIES);
  /** Value when the streak began. */
  private readonly base = new Float64Array(SERIES);
  private latest: Sample;
  /** Oldest first, one for each sample of the last minute and the one before it. */
  private readonly samples: Sample[] = [];
  private readonly minutesKept: WhyMinute[] = [];
  private minute: { atMs: number; counters: Float64Array };
  private readonly marks: Mark[] = [];
  private readonly highSince = new Map<string, number>();
  private sessionsMax = 0;
  private pressureMax = 0;

  /** @param lostAtTun packets lost before the gateway, since the start */
  constructor(arena: Arena, lostAtTun: () => number, nowMs: number) {
    this.arena = arena;
    this.lostAtTun = lostAtTun;
    this.latest = this.read(nowMs);
    this.samples.push(this.latest);
    this.minute = this.beginMinute(nowMs);
    this.marks.push(this.mark(nowMs));
  }

  /** Takes what the counters say now. Every five seconds, and before an answer. */
  sample(nowMs: number): void {
    const before = this.latest;
    const now = this.read(nowMs);
    for (let i = 0; i < SERIES; i++) {
      // A counter that fell belongs to another life of the gateway.
      if (now.values[i] < before.values[i]) this.sinceMs[i] = 0;
      if (now.values[i] <= before.values[i]) continue;
      if (this.sinceMs[i] === 0 || nowMs - this.lastMs[i] > STREAK_QUIET_MS) {
        this.sinceMs[i] = before.atMs;
        this.base[i] = before.values[i];
      }
      this.lastMs[i] = nowMs;
    }
    this.latest = now;
    const newest = this.samples[this.samples.length - 1];
    if (nowMs - newest.atMs >= SAMPLE_MILLISECONDS - 500) this.samples.push(now);
    while (this.samples.length > SAMPLES_KEPT + 1) this.samples.shift();

    const { counters } = this.arena;
    this.sessionsMax = Math.max(this.sessionsMax, counters[Counter.SessionsNow]);
    this.pressureMax = Math.max(this.pressureMax, counters[Counter.PressureLevel]);
    if (nowMs - this.minute.atMs >= MINUTE_MS) {
      this.minutesKept.push(this.figures(nowMs));
      if (this.minutesKept.length > MINUTES_KEPT) this.minutesKept.shift();
      this.minute = this.beginMinute(nowMs);
    }
    if (nowMs - this.marks[this.marks.length - 1].atMs >= MARK_MS) {
      this.marks.push(this.mark(nowMs));
      if (this.marks.length > MARKS_KEPT) this.marks.shift();
    }
  }

  /** What happened lately for a drop reason; undefined if it did not. @param reason a number of Drop */
  refusals(reason: number): Streak | undefined {
    return this.streak(REASONS + reason);
  }

  get gaveWay(): Streak | undefined {
    return this.streak(0);
  }

  get evicted(): Streak | undefined {
    return this.streak(1);
  }

  get endedByPressure(): Streak | undefined {
    return this.streak(2);
  }

  get peersWithoutPort(): Streak | undefined {
    return this.streak(3);
  }

  get lost(): Streak | undefined {
    return this.streak(LOST_AT_TUN);
  }

  private streak(index: number): Streak | undefined {
    if (this.sinceMs[index] === 0) return undefined;
    const { atMs, values } = this.latest;
    if (atMs - this.lastMs[index] > STREAK_QUIET_MS) return undefined;
    const [oldest] = this.samples;
    return {
      sinceMs: this.sinceMs[index],
      lastMs: this.lastMs[index],
      count: values[index] - this.base[index],
      lastMinute: values[index] - Math.max(oldest.values[index], this.base[index]),
    };
  }

  /** Since when something is so, as far as it was asked; undefined if it is not. To be asked at each sample. */
  since(what: string, isSo: boolean, nowMs: number): number | undefined {
    if (!isSo) {
      this.highSince.delete(what);
      return undefined;
    }
    const known = this.highSince.get(what) ?? nowMs;
    this.highSince.set(what, known);
    return known;
  }

  /** The minutes that are over, and the one that goes on. */
  minutes(nowMs: number): WhyMinute[] {
    return [...this.minutesKept, this.figures(nowMs)];
  }

  /** How long ago the oldest mark was made: what "lately" means of the two below. */
  recentSeconds(nowMs: number): number {
    return (nowMs - this.marks[0].atMs) / 1000;
  }

  /** New sessions by class since then, most first. */
  createdByClass(): { class: string; sessions: number }[] {
    const [{ byClass }] = this.marks;
    const { counters } = this.arena;
    return CLASS_NAMES.map((name, i) => ({
      class: name,
      sessions: counters[COUNTER_CLASS_CREATED + i] - byClass[i],
    }))
      .filter(({ sessions }) => sessions > 0)
      .sort((a, b) => b.sessions - a.sessions);
  }

  /** New sessions of a host since then; all of them if its record was another host's. */
  createdRecently(host: number, address: number, created: number): number {
    const [mark] = this.marks;
    if (mark.hosts[host] !== address) return created;
    return Math.max(0, created - mark.created[host]);
  }

  private read(atMs: number): Sample {
    const { counters } = this.arena;
    const values = new Float64Array(SERIES);
    WATCHED.forEach((counter, i) => {
      values[i] = counters[counter];
    });
    values[LOST_AT_TUN] = this.lostAtTun();
    for (let reason = 0; reason < DROP_COUNT; reason++)
      values[REASONS + reason] = counters[COUNTER_DROPS + reason];
    return { atMs, values };
  }

  private beginMinute(atMs: number): WhyHistory['minute'] {
    const { counters } = this.arena;
    this.sessionsMax = counters[Counter.SessionsNow];
    this.pressureMax = counters[Counter.PressureLevel];
    return { atMs, counters: counters.slice(0, COUNTER_DROPS) };
  }

  private figures(nowMs: number): WhyMinute {
    const { counters } = this.arena;
    const before = this.minute.counters;
    const grown = (counter: number): number => counters[counter] - before[counter];
    return {
      time: new Date(this.minute.atMs).toISOString(),
      seconds: (nowMs - this.minute.atMs) / 1000,
      sessionsCreated: grown(Counter.SessionsCreated),
      sessionsRefused: grown(Counter.SessionsRefused),
      unansweredGaveWay: grown(Counter.UnansweredGaveWay),
      sessionsEvicted: grown(Counter.SessionsEvicted),
      sessions: Math.max(this.sessionsMax, counters[Counter.SessionsNow]),
      pressure: Math.max(this.pressureMax, counters[Counter.PressureLevel]),
    };
  }

  private mark(atMs: number): Mark {
    const { hosts, counters } = this.arena;
    const count = hosts.length / HOST_WORDS;
    const mark = {
      atMs,
      byClass: counters.slice(COUNTER_CLASS_CREATED, COUNTER_CLASS_CREATED + CLASSES_MAX),
      hosts: new Int32Array(count),
      created: new Int32Array(count),
    };
    for (let host = 0; host < count; host++) {
      mark.hosts[host] = hosts[host * HOST_WORDS + HOST_ADDRESS];
      mark.created[host] = hosts[host * HOST_WORDS + HOST_CREATED_SESSIONS];
    }
    return mark;
  }
}
