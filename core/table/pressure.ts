/**
 * Pressure: how short things are, as one level from 0 to 3 that the whole line goes by.
 *
 *   once a second:   fill of  table · owned ports · destinations · NAT above   ──the largest──▶   level 0 … 3
 *                                                                                              │
 *                     timers of the sweep (policy.timers[level]) · what policies see (FirstPacket.pressure) ◀─┘
 *
 *   fill 256 ┤            level n begins where the fill reaches levelAt256[n - 1], at once. It ends when the fill has been 16/256
 *            │  ▁▂▅▇▇▆▅   below that for five seconds, so that what its own short timers free does not end it at once. Levels
 *          0 ┼▁▂▃         that are over at the same time end together: a burst is over in five seconds, and not in fifteen.
 *
 * Fill, in 1/256:
 *   table         sessions of the session table
 *   owned ports   ports that peers own, of as many as they may, in the protocol that has most
 *   NAT above     as its model says (upstream.ts)
 *   destinations  ports taken towards the busiest remote endpoint among those to which a session was made in that second. But a destination is
 *                 the affair of those who talk to it, and what is full makes room by itself (make-room.ts): one alone, however full, is
 *                 worth level 1. Where sessions were refused for want of a port towards 4 destinations within the second, that is
 *                 level 2, towards 16 it is level 3. Of these only those count at which different hosts were refused: what one
 *                 host alone uses up, at however many destinations, is no reason to be short with the others.
 *
 * The destinations are counted where sessions are made and refused, by one comparison, so nothing is scanned.
 *
 * The record, in the arena's counters (counters.ts): each fill, the cause of the level, and for every level what happened while it was in
 * force. A session that ends at a level is `ended sooner` when the timers of level 0 would have kept it.
 */
import type { Policy } from '../policy.ts';
import { Drop } from '../verdict.ts';
import {
  COUNTER_DROPS,
  COUNTER_PRESSURE_CAUSE,
  COUNTER_PRESSURE_FILL,
  COUNTER_PRESSURE_RECORD,
  Counter,
  PRESSURE_RECORD_WORDS,
  PressureRecord,
} from './counters.ts';
import { Event } from './events.ts';
import type { TableParts } from './parts.ts';

/** What a level comes from. The numbers are in events. */
export const PressureCause = {
  Table: 1,
  OwnedPorts: 2,
  Destinations: 3,
  Upstream: 4,
} as const;

export const PRESSURE_LEVELS = 4;

const LEVEL_MAX = PRESSURE_LEVELS - 1;
const CHECK_MS = 1000;
const HYSTERESIS_256 = 16;
const CALM_MS = 5000;
/** Destinations that refused within one second, for levels 2 and 3. */
const REFUSING_LEVEL_2 = 4;
const REFUSING_LEVEL_3 = 16;

/** Refusing destinations that are told apart within one second; a scan touches more than that. */
const REFUSING_MAX = 64;

/** Counters that are told apart by the level in force, and where they stand in its record. */
const RECORDED: readonly (readonly [kind: number, counter: number])[] = [
  [PressureRecord.EndedSooner, Counter.EndedByPressure],
  [PressureRecord.Evicted, Counter.SessionsEvicted],
  [PressureRecord.QuicRejected, COUNTER_DROPS + Drop.QuicRejected],
  [PressureRecord.Refused, Counter.SessionsRefused],
];

export class Pressure {
  /** 0 … 3. */
  level = 0;
  /** What the level in force came from, a PressureCause; 0 at level 0. */
  cause = 0;
  /** What the level would be at this fill if no NAT stood above: for a session that opens nothing there. */
  levelBesideUpstream = 0;
  private readonly parts: TableParts;
  private policy: Policy;
  private ownedShare256 = 0;
  private checkedMs: number;
  private isFirst = true;
  /** By level: since when the fill has been clearly below its beginning; -1: it is not. */
  private readonly calmSinceMs = new Float64Array(PRESSURE_LEVELS).fill(-1);
  /** What RECORDED counters said at the last check. */
  private readonly before: Float64Array;
  /** Most sessions of a remote to which one was made since the last check. */
  private busiest = 0;
  /**
   * Destinations that refused since the last check, by a word each, and the host that was first refused there. Those at which a second
   * one was refused stand in front, `refusingCount` of them.
   */
  private readonly refusing = new Int32Array(REFUSING_MAX);
  private readonly refusedFirst = new Int32Array(REFUSING_MAX);
  private refusingKnown = 0;
  private refusingCount = 0;
  /** Where the next destination goes when the table is full: a scan must not keep out what others are refused. */
  private refusingHand = 0;

  /** @param nowMs boot-time clock */
  constructor(parts: TableParts, policy: Policy, nowMs: number) {
    this.parts = parts;
    this.policy = policy;
    this.checkedMs = nowMs;
    // Of a predecessor's arena they do not begin at zero.
    this.before = Float64Array.from(RECORDED, ([, counter]) => parts.counters[counter]);
    this.setPolicy(policy);
  }

  setPolicy(policy: Policy): void {
    this.policy = policy;
    this.ownedShare256 = policy.profiles.reduce(
      (most, { ownedShare256 }) => Math.max(most, ownedShare256),
      0,
    );
  }

  /** A session was made to a remote that now has so many. */
  made(remoteSessions: number): void {
    if (remoteSessions > this.busiest) this.busiest = remoteSessions;
  }

  /** No port was left for this host towards this destination. */
  refused(host: number, remoteAddress: number, remotePort: number): void {
    const { refusing, refusedFirst, refusingKnown, refusingCount } = this;
    if (refusingCount === REFUSING_LEVEL_3) return;
    const destination = remoteAddress ^ (remotePort << 16);
    for (let i = 0; i < refusingKnown; i++) {
      if (refusing[i] !== destination) continue;
      if (i < refusingCount || refusedFirst[i] === host) return;
      refusing[i] = refusing[refusingCount];
      refusedFirst[i] = refusedFirst[refusingCount];
      refusing[refusingCount] = destination;
      this.refusingCount = refusingCount + 1;
      return;
    }
    let at = refusingKnown;
    if (at < REFUSING_MAX) this.refusingKnown = at + 1;
    else at = refusingCount + (this.refusingHand++ % (REFUSING_MAX - refusingCount));
    refusing[at] = destination;
    refusedFirst[at] = host;
  }

  /** Looks once a second what is short. @param nowMs boot-time clock */
  advance(nowMs: number, tick: number): void {
    if (nowMs < this.checkedMs) this.checkedMs = nowMs;
    const elapsedMs = nowMs - this.checkedMs;
    if (elapsedMs < CHECK_MS && !this.isFirst) return;
    this.checkedMs = nowMs;
    this.isFirst = false;
    this.record(elapsedMs);

    const fill256 = this.measure();
    let level = 0;
    for (let n = 1; n <= LEVEL_MAX; n++) if (this.isActive(n, fill256, nowMs)) level = n;
    if (level !== this.level) this.change(level, tick);
    else if (level > 0 && fill256 >= this.policy.pressure.levelAt256[level - 1]) this.note();
    this.parts.counters[COUNTER_PRESSURE_CAUSE] = this.cause;
    this.busiest = 0;
    this.refusingKnown = 0;
    this.refusingCount = 0;
    this.refusingHand = 0;
  }

  /** True if level `n` is in force: it begins at once, and ends after a time of calm. */
  private isActive(n: number, fill256: number, nowMs: number): boolean {
    const begin = this.policy.pressure.levelAt256[n - 1];
    const { calmSinceMs } = this;
    if (fill256 >= begin) {
      calmSinceMs[n] = -1;
      return true;
    }
    if (n > this.level) return false;
    if (fill256 >= Math.max(1, begin - HYSTERESIS_256)) {
      calmSinceMs[n] = -1;
      return true;
    }
    // A clock that was set back begins the time of calm anew.
    if (calmSinceMs[n] < 0 || calmSinceMs[n] > nowMs) calmSinceMs[n] = nowMs;
    return nowMs - calmSinceMs[n] < CALM_MS;
  }

  private change(level: number, tick: number): void {
    const { counters, events } = this.parts;
    if (level > this.level) this.note();
    counters[Counter.PressureChanges]++;
    events.add(Event.PressureChanged, tick, 0, 0, 0, 0, (level << 8) | this.cause);
    for (let n = level + 1; n <= LEVEL_MAX; n++) this.calmSinceMs[n] = -1;
    this.level = level;
    counters[Counter.PressureLevel] = level;
    if (level === 0) this.cause = 0;
  }

  /** Takes the fullest of all as the cause. */
  private note(): void {
    const { counters } = this.parts;
    let cause = 1;
    for (let i = 2; i <= PressureCause.Upstream; i++)
      if (counters[COUNTER_PRESSURE_FILL + i] > counters[COUNTER_PRESSURE_FILL + cause]) cause = i;
    this.cause = cause;
  }

  /** Writes every fill to its counter and returns the largest. */
  private measure(): number {
    const { counters, sessions, upstream } = this.parts;
    const table = Math.floor((sessions.count * 256) / sessions.capacity);
    const owned = this.ownedFill();
    const destinations = this.destinationFill();
    const above = upstream === undefined ? 0 : upstream.fill256;
    counters[COUNTER_PRESSURE_FILL + PressureCause.Table] = table;
    counters[COUNTER_PRESSURE_FILL + PressureCause.OwnedPorts] = owned;
    counters[COUNTER_PRESSURE_FILL + PressureCause.Destinations] = destinations;
    counters[COUNTER_PRESSURE_FILL + PressureCause.Upstream] = above;
    const beside = Math.max(table, owned, destinations);
    this.levelBesideUpstream = 0;
    for (let n = 1; n <= LEVEL_MAX; n++)
      if (beside >= this.policy.pressure.levelAt256[n - 1]) this.levelBesideUpstream = n;
    return Math.max(beside, above);
  }

  private ownedFill(): number {
    const { ports } = this.parts;
    const most = (ports.set.count * this.ownedShare256) >> 8;
    let owned = 0;
    for (let group = 0; group < ports.groups; group++)
      owned = Math.max(owned, ports.ownedCount[group]);
    // Where nobody may own a port, none is short.
    return most === 0 ? 0 : Math.min(256, Math.floor((owned * 256) / most));
  }

  private destinationFill(): number {
    const { levelAt256 } = this.policy.pressure;
    const { refusingKnown, refusingCount } = this;
    const share = Math.floor((this.busiest * 256) / this.parts.ports.set.count);
    const busiest = refusingKnown > 0 ? 256 : Math.min(256, share);
    this.parts.counters[COUNTER_PRESSURE_FILL] = busiest;
    const one = Math.max(0, Math.min(busiest, levelAt256[1] - 1));
    if (refusingCount >= REFUSING_LEVEL_3) return Math.min(256, levelAt256[2]);
    if (refusingCount >= REFUSING_LEVEL_2) return Math.max(one, Math.min(256, levelAt256[1]));
    return one;
  }

  /** Adds what happened since the last check to the record of the level that was in force. */
  private record(elapsedMs: number): void {
    const { counters } = this.parts;
    const { before, level } = this;
    const at = COUNTER_PRESSURE_RECORD + level * PRESSURE_RECORD_WORDS;
    counters[at + PressureRecord.Seconds] += elapsedMs / 1000;
    for (let i = 0; i < RECORDED.length; i++) {
      const now = counters[RECORDED[i][1]];
      counters[at + RECORDED[i][0]] += now - before[i];
      before[i] = now;
    }
  }
}
