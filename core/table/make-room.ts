/**
 * Making room: which session ends so that another one may begin, when a remote endpoint or the session table is full.
 *
 *   every port is taken towards a remote endpoint              no record is free (or those that are left are reserved)
 *        │ the sessions in the way, port by port                    │ 64 records, drawn at random
 *        ▼                                                          ▼
 *   1. a closed TCP session whose place is safe to take         (ranks 0 … 5 below, all by the share rule)
 *   2. of anybody: unanswered for 3 s, else idle for longer
 *      than its timer under the highest pressure
 *   3. of whoever holds most there: ranks 0, 3, 4, 5, 6
 *        │                                                          │
 *        └──────────── nothing: the asker is refused ───────────────┘
 *
 *   rank   0 closed   1 unanswered (for 3 s)   2 idle beyond its shortest timer   3 idle   4 idle, but TCP established or an owner's
 *          answered session   5 in use   6 younger than 3 s               idle: no packet for 5 s, either way
 *
 * The share rule: the victim's host must hold at least two sessions more than the asker's, so that the asker never gains over a smaller
 * one and the two do not take it from each other in turn. Who holds most himself pays with his own sessions of rank 0 to 3, or is
 * refused. What is in use ends only where the victim's host holds four times what the asker would: that breaks a monopoly, and nothing
 * less. Lower ranks go first (0 to 3 together, then 4, 5, 6), among equals those of whoever holds most, then the longest idle.
 * Towards a remote a host's sessions are counted among those looked at; in the table its record knows.
 *
 * Younger than 3 s is an honest burst, and is let be. Who makes 80 new sessions a second would hold all of 240 ports by that alone, and
 * his neighbours would get none. So the very last to go, towards a remote, is a young session of a host that holds an eighth of what was
 * looked at and four times what the asker would: an eighth, since with the half three source addresses in turn would be enough. More
 * than eight in turn still are: they cannot be told from as many neighbours.
 *
 * Never ended: any other young session, so each of them for the sake of the table; a session on an owned port for the sake of a guest; a
 * session of a LAN whose profile lets nothing give way (`evictUnanswered` off: RFC 6888 REQ-11). The share rule holds where
 * `pressure.evictFrom` is a level at all: what is full is at level 3 by itself, whatever the rest of the line is.
 *
 * Sets of up to 512 ports are looked at whole, larger ones in a sample of 64 ports. What a search costs (up to 0.1 ms) is bounded by memory: the
 * remote remembers for how long searching is useless; for hosts other than the one that was refused last, and so for the share rule, a
 * few searches are made in a tick nonetheless (room-budget.ts).
 */
import { type Policy, PROFILES_MAX } from '../policy.ts';
import { COMMIT_PROFILE_SHIFT, Flag, State, TIMER_MASK } from '../state.ts';
import {
  S_COMMIT,
  S_CREATED,
  S_EXTERNAL,
  S_LAST_SEEN,
  S_MAPPING,
  S_OVERRIDE,
  S_SEQUENCE_OUT,
  S_TIMESTAMP,
} from './arena.ts';
import { Counter } from './counters.ts';
import { HOST_SESSIONS, HOST_SHIFT } from './hosts.ts';
import type { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';
import { REFUSE_TICKS_MAX } from './remotes.ts';
import { RETRY_TICKS, RoomBudget } from './room-budget.ts';
import { SESSION_SHIFT } from './sessions.ts';
import { UNANSWERED_TICKS } from './unanswered.ts';

/**
 * Sets up to this size are looked through whole, larger ones in a sample: 512 look-ups a packet were 134 µs when every port of 61,439
 * was taken and few sessions were old enough (bench/fuzz/floods).
 */
const WHOLE_SET_MAX = 512;
const PORT_SAMPLES = 64;
/** Closed TCP sessions looked at for safe reuse, and unanswered or idle ones of which one gives way. */
const TIME_WAIT_TRIES = 16;
const CANDIDATES = 16;
const RECORD_SAMPLES = 64;
/** While peers own ports, a refusal is thought over every five seconds. */
const OWNED_RETRY_TICKS = 20;

const IDLE_TICKS = 20;
const MONOPOLY = 4;
/** Young sessions are those of whoever holds at least one part of so many. */
const YOUNG_PARTS = 8;

/** Level from which `evictFrom` means never. */
const NEVER = 4;

const RANK_CLOSED = 0;
const RANK_UNANSWERED = 1;
const RANK_OVERDUE = 2;
const RANK_IDLE = 3;
const RANK_PROTECTED = 4;
const RANK_IN_USE = 5;
const RANK_YOUNG = 6;
/** The order in which ranks are taken by the share rule. */
const TURN = [0, 0, 0, 0, 1, 2, 3] as const;

export class MakeRoom {
  private readonly parts: TableParts;
  private readonly endSession: (session: number) => void;
  /** Profiles whose sessions may give way, a bit each; and the timers of the highest level. */
  private givingProfiles = 0;
  private shortestTimers: Int32Array;
  /** Whoever holds most pays. */
  private sharesOut = false;

  /** Sessions looked at, and how many of them each host has. */
  private readonly seen = new Int32Array(WHOLE_SET_MAX);
  private seenCount = 0;
  private readonly hostCounts: Uint16Array;
  private readonly budget = new RoomBudget();

  /** The best victim so far. */
  private victim = -1;
  private victimTurn = 0;
  private victimHeld = 0;
  private victimIdle = 0;

  constructor(parts: TableParts, policy: Policy, endSession: (session: number) => void) {
    this.parts = parts;
    this.endSession = endSession;
    this.shortestTimers = policy.timers[3];
    this.hostCounts = new Uint16Array(parts.hosts.capacity);
    this.setPolicy(policy);
  }

  setPolicy(policy: Policy): void {
    this.shortestTimers = policy.timers[3];
    this.givingProfiles = 0;
    for (let i = 0; i < PROFILES_MAX; i++) {
      // A profile that is not known any more is the first, as everywhere.
      const profile = policy.profiles[i] ?? policy.profiles[0];
      if (profile.evictUnanswered) this.givingProfiles |= 1 << i;
    }
    this.sharesOut = this.givingProfiles !== 0 && policy.pressure.evictFrom < NEVER;
  }

  /** True if somebody may ask anew at a remote that remembers a refusal: it may have been that of whoever holds most. */
  mayAskAgain({ remote, host }: Opening, tick: number): boolean {
    return this.sharesOut && this.budget.takeSearch(remote, host, tick);
  }

  /**
   * Ends a session of the remote endpoint and returns the number of its port, or -1 after noting how long that will stay so. Every
   * port is taken towards it.
   */
  inRemote(first: Opening, group: number, tick: number): number {
    const { ports, sessions, remotes, random, counters } = this.parts;
    const { set } = ports;
    const { remote, remoteAddress, remotePort, low, isSyn } = first;
    const { words } = sessions;
    // A session that ends tells its remote; an owner that gives its port back frees it towards all of them and tells nobody.
    let waitTicks = ports.ownedCount[group] > 0 ? OWNED_RETRY_TICKS : REFUSE_TICKS_MAX;
    if (!isSyn && this.givingProfiles === 0) {
      remotes.refuseFor(remote, tick, waitTicks);
      return -1;
    }

    this.begin();
    let closedSeen = 0;
    let candidates = 0;
    const steps = set.count <= WHOLE_SET_MAX ? set.count : PORT_SAMPLES;
    if (steps < set.count) waitTicks = RETRY_TICKS;
    let number = random.below(set.count);
    for (let i = 0; i < steps && candidates < CANDIDATES; i++) {
      const session = sessions.findExternal(
        (set.ports[number] << 16) | low,
        remoteAddress,
        remotePort,
      );
      const candidate = number;
      number = number + 1 === set.count ? 0 : number + 1;
      // A guest never takes the place of a session on an owned port.
      if (session < 0 || ports.owner(group, candidate) >= 0) continue;
      const at = session << SESSION_SHIFT;
      const rank = this.rankOf(at, tick);
      if (isSyn && isClosed(words[at + S_COMMIT] & 63) && closedSeen++ < TIME_WAIT_TRIES)
        if (this.isSafeToReuse(at, first)) {
          this.endSession(session);
          counters[Counter.TimeWaitReused]++;
          return candidate;
        }
      if (!this.mayGiveWay(words[at + S_COMMIT])) continue;
      this.seen[this.seenCount++] = session;
      if (rank === RANK_UNANSWERED || rank === RANK_OVERDUE) {
        candidates++;
        // What is worth nothing to its host is nobody's loss: the oldest, whoever holds it. To know who costs two misses each.
        this.prefer(session, rank, 0, tick - words[at + S_CREATED]);
      } else waitTicks = Math.min(waitTicks, this.ticksToWait(at, tick));
    }

    if (this.victim < 0 && this.sharesOut) {
      this.preferBySharesOf(first.host, tick);
      if (this.victim >= 0) counters[Counter.EvictedFromHeaviest]++;
      else this.budget.foundNothing(remote, first.host, tick);
    }
    if (this.victim >= 0) return this.endVictim();
    // A SYN is searched for again each second: whether reuse is safe depends on its sequence number.
    remotes.refuseFor(remote, tick, isSyn ? Math.min(waitTicks, RETRY_TICKS) : waitTicks);
    return -1;
  }

  /** Ends a session of whoever holds more than the asker, so that a record is free; false if there is none among those looked at. */
  inTable({ host }: Opening, tick: number): boolean {
    if (!this.sharesOut || !this.budget.takeTableRoom(host, tick)) return false;
    const { sessions, hosts, random, counters } = this.parts;
    const { words, capacity } = sessions;
    const asked = hosts.words[(host << HOST_SHIFT) + HOST_SESSIONS];
    this.begin();
    // An odd stride visits no record twice in a table whose size is a power of two.
    const stride = random.next() | 1;
    let session = random.next() & (capacity - 1);
    for (let i = 0; i < RECORD_SAMPLES; i++) {
      session = (session + stride) & (capacity - 1);
      const at = session << SESSION_SHIFT;
      const commit = words[at + S_COMMIT];
      if ((commit & 63) === State.Free || !this.mayGiveWay(commit)) continue;
      const owner = this.hostOf(at);
      const held = hosts.words[(owner << HOST_SHIFT) + HOST_SESSIONS];
      this.preferByShare(session, at, owner === host, held, asked, tick, false);
    }
    if (this.victim < 0) {
      this.budget.foundNoTableRoom(host, tick);
      return false;
    }
    counters[Counter.EvictedFromHeaviest]++;
    this.endVictim();
    return true;
  }

  /** Chooses among the sessions that were seen, by how many of them each host holds. */
  private preferBySharesOf(asker: number, tick: number): void {
    const { seen, seenCount, hostCounts } = this;
    for (let i = 0; i < seenCount; i++) hostCounts[this.hostOf(seen[i] << SESSION_SHIFT)]++;
    const asked = hostCounts[asker];
    for (let i = 0; i < seenCount; i++) {
      const at = seen[i] << SESSION_SHIFT;
      const host = this.hostOf(at);
      const held = hostCounts[host];
      const isLarge = held * YOUNG_PARTS >= seenCount;
      this.preferByShare(seen[i], at, host === asker, held, asked, tick, isLarge);
    }
    for (let i = 0; i < seenCount; i++) hostCounts[this.hostOf(seen[i] << SESSION_SHIFT)] = 0;
  }

  /**
   * Takes a session as the victim if the share rule lets it and it is a better one.
   * @param held by its host; @param asked by the asker's; @param mayBeYoung its host holds so much that its young ones may end
   */
  private preferByShare(
    session: number,
    at: number,
    isOwn: boolean,
    held: number,
    asked: number,
    tick: number,
    mayBeYoung: boolean,
  ): void {
    const rank = this.rankOf(at, tick);
    if (rank === RANK_YOUNG && !mayBeYoung) return;
    if (isOwn) {
      if (rank > RANK_IDLE) return;
    } else if (held < asked + 2 || (rank >= RANK_IN_USE && held < MONOPOLY * (asked + 1))) return;
    this.prefer(session, TURN[rank], held, tick - this.parts.sessions.words[at + S_LAST_SEEN]);
  }

  private prefer(session: number, turn: number, held: number, idle: number): void {
    if (this.victim >= 0) {
      if (turn > this.victimTurn) return;
      if (turn === this.victimTurn) {
        if (held < this.victimHeld) return;
        if (held === this.victimHeld && idle <= this.victimIdle) return;
      }
    }
    this.victim = session;
    this.victimTurn = turn;
    this.victimHeld = held;
    this.victimIdle = idle;
  }

  private begin(): void {
    this.victim = -1;
    this.seenCount = 0;
  }

  /** Ends the victim and returns the number of its port. */
  private endVictim(): number {
    const { sessions, ports, counters } = this.parts;
    const external = sessions.words[(this.victim << SESSION_SHIFT) + S_EXTERNAL];
    this.endSession(this.victim);
    counters[Counter.SessionsEvicted]++;
    return ports.set.numberOf(external >>> 16);
  }

  private hostOf(at: number): number {
    return this.parts.mappings.host(this.parts.sessions.words[at + S_MAPPING]);
  }

  /** True unless the profile of the session keeps RFC 6888 REQ-11. */
  private mayGiveWay(commit: number): boolean {
    return ((this.givingProfiles >>> ((commit >>> COMMIT_PROFILE_SHIFT) & 3)) & 1) !== 0;
  }

  /** How willingly a session is let go. */
  private rankOf(at: number, tick: number): number {
    const { words } = this.parts.sessions;
    const commit = words[at + S_COMMIT];
    const state = commit & 63;
    if (tick - words[at + S_CREATED] < UNANSWERED_TICKS) return RANK_YOUNG;
    if (isClosed(state)) return RANK_CLOSED;
    if (state === State.Unanswered) return RANK_UNANSWERED;
    const idle = tick - words[at + S_LAST_SEEN];
    if (idle > this.shortestTimer(at, commit)) return RANK_OVERDUE;
    if (idle < IDLE_TICKS) return RANK_IN_USE;
    const isProtected = state === State.TcpEstablished || this.isOnOwnPort(at);
    return isProtected ? RANK_PROTECTED : RANK_IDLE;
  }

  /** Ticks of silence that a session is granted at the highest level; one with a timer of its own keeps that. */
  private shortestTimer(at: number, commit: number): number {
    const override = this.parts.sessions.words[at + S_OVERRIDE] >>> 16;
    return override !== 0 ? override : this.shortestTimers[commit & TIMER_MASK];
  }

  private isOnOwnPort(at: number): boolean {
    const { sessions, mappings } = this.parts;
    const mapping = sessions.words[at + S_MAPPING];
    return (
      mappings.isOwner(mapping) &&
      mappings.externalPort(mapping) === sessions.words[at + S_EXTERNAL] >>> 16
    );
  }

  /** Ticks until a session gives way to anybody, if nothing happens to it. */
  private ticksToWait(at: number, tick: number): number {
    const { words } = this.parts.sessions;
    const commit = words[at + S_COMMIT];
    const age = tick - words[at + S_CREATED];
    if ((commit & 63) === State.Unanswered) return Math.max(1, UNANSWERED_TICKS - age);
    const overdue = this.shortestTimer(at, commit) + 1;
    const left = Math.max(overdue - (tick - words[at + S_LAST_SEEN]), UNANSWERED_TICKS - age);
    return Math.max(1, left);
  }

  /**
   * True if a new SYN may take the place of this closed session (RFC 6191, RFC 7857): the internal side closed first, so that the
   * server holds no TIME_WAIT; or the timestamp, else the sequence number, is beyond the last one that the server saw.
   */
  private isSafeToReuse(at: number, syn: Opening): boolean {
    const { words } = this.parts.sessions;
    const flags = words[at + S_COMMIT] >>> 12;
    if ((words[at + S_COMMIT] & 63) === State.TcpReset) return true;
    if ((flags & Flag.RemoteClosedFirst) === 0) return true;
    if ((flags & Flag.HasTimestamps) !== 0 && syn.hasTimestamp)
      return ((syn.timestamp - words[at + S_TIMESTAMP]) | 0) > 0;
    return ((syn.sequence - words[at + S_SEQUENCE_OUT]) | 0) > 0;
  }
}

const isClosed = (state: number): boolean => state === State.TcpClosing || state === State.TcpReset;
