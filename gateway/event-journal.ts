/**
 * What the log says of events: enough to know, and no flood of words. A host that is refused a thousand times a second is one line now and
 * one every ten seconds, for as long as it goes on.
 *
 *   first event of a host, kind and reason   its sentence, at once
 *   the same again within ten seconds        counted; then one line: how many more, and the last of them
 *   ten seconds without                      the next one is a first one again
 *
 * The reason counts too: a host that is refused private destinations all day long may begin to send mail, and that is to be seen.
 *
 * `portfold events` and the control API have every event of the ring.
 */
import type { EventItem } from './control/api.ts';

const WINDOW_MILLISECONDS = 10_000;
/** Hosts, kinds and reasons that are told apart; beyond them, kinds and reasons only. */
const STREAKS_MAX = 256;

/** What is needed of a Logger. */
interface Warning {
  warn(fields: object, text: string): void;
}

/** Events of one host, kind and reason since the last line about them. */
interface Streak {
  saidAtMs: number;
  more: number;
  suppressed: number;
  last: EventItem;
}

export class EventJournal {
  private readonly logger: Warning;
  private readonly streaks = new Map<string, Streak>();

  constructor(logger: Warning) {
    this.logger = logger;
  }

  /** Writes down what is new, and what was counted for long enough. @param nowMs any clock that goes forward */
  note(items: readonly EventItem[], nowMs: number): void {
    for (const item of items) this.take(item, nowMs);
    for (const [key, streak] of this.streaks) {
      if (nowMs - streak.saidAtMs < WINDOW_MILLISECONDS) continue;
      if (streak.more === 0) this.streaks.delete(key);
      else this.sayMore(streak, nowMs);
    }
  }

  /** Writes down what was counted and not yet said. */
  end(nowMs: number): void {
    for (const streak of this.streaks.values()) if (streak.more > 0) this.sayMore(streak, nowMs);
    this.streaks.clear();
  }

  private take(item: EventItem, nowMs: number): void {
    const streak = this.streaks.get(this.keyOf(item));
    if (streak !== undefined) {
      streak.more++;
      streak.suppressed += item.suppressed;
      streak.last = item;
      return;
    }
    const { kind, reason, sequence, suppressed, text } = item;
    this.logger.warn({ event: kind, reason, sequence, suppressed }, text);
    // Pressure is nobody's, and each change counts.
    if (item.internal !== undefined)
      this.streaks.set(this.keyOf(item), { saidAtMs: nowMs, more: 0, suppressed: 0, last: item });
  }

  private keyOf({ kind, reason = '', internal }: EventItem): string {
    const what = `${kind} ${reason}`;
    const key = `${what} ${internal?.split(':')[0]}`;
    return this.streaks.has(key) || this.streaks.size < STREAKS_MAX ? key : what;
  }

  private sayMore(streak: Streak, nowMs: number): void {
    const { more, suppressed, last } = streak;
    const seconds = Math.max(1, Math.round((nowMs - streak.saidAtMs) / 1000));
    this.logger.warn(
      { event: last.kind, reason: last.reason, sequence: last.sequence, suppressed, more },
      `${more} more within ${seconds} s; the last: ${last.text}`,
    );
    streak.saidAtMs = nowMs;
    streak.more = 0;
    streak.suppressed = 0;
  }
}
