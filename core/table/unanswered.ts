/**
 * Dead destinations: UDP sessions that nothing ever answered, by host and remote address, so that a program which sends from a new port
 * each time holds a handful of ports and not all of them.
 *
 *   session unanswered, and silent for more than 3 s   ──sweep──▶   list of its host and remote address   ──too long──▶ the oldest ends
 *
 *   pair (host, remote address):  oldest ─▶ … ─▶ newest        by creation; at most `unansweredPerRemoteMax` after each visit
 *
 * A session comes into its list when the sweep finds that its last packet is more than 3 s old, so within a second of that; what was
 * answered by then, and that is nearly everything, never costs a thing. Younger sessions are in no list and never counted: an honest
 * burst loses nothing. The first answer takes a session out again, as its end does.
 *
 * The list lies in words of the session that mean nothing while there is no answer:
 *
 *   word 11 (packets in)           pair + 1, or 0: in no list          Readers show 0 packets in for what is unanswered.
 *   word 12 (last inbound tick)    next newer session + 1, or 0
 *   Pair, 4 words:  0 host<<16 | sessions    1 remote address    2 oldest + 1    3 newest + 1
 *
 * Not counted:
 *   - A session that goes on sending, a stream in one direction: if it ended its next packet would bring it back, and young at that. So
 *     nothing would come free. What bounds such sessions is their host's limit (limits.ts), and making room (make-room.ts).
 *   - A session on a port that its endpoint owns, while the endpoint has others: its end would free no port, and would close the owner's
 *     filter towards a peer whose first packet is late. That is also every session that answers inbound packets. An owner's only
 *     session is counted: with it the port comes free.
 *   - Sessions of hosts that share one record, since they cannot be told apart.
 *
 * Pairs are as many as a thirty-second of the sessions. When all are in use, one with a single session is forgotten for the new one (its
 * session is found again by a later sweep); where that finds none, the new pair is not capped and `uncapped` counts it. Each session is
 * looked at every eighth second only then: with 250,000 dead destinations a second of sweeping takes 9 ms instead of 32 (4 without lists).
 * Derived: after a restart the first sweep makes the lists anew.
 */
import { State } from '../state.ts';
import { PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  M_SESSIONS,
  S_COMMIT,
  S_CREATED,
  S_EXTERNAL,
  S_LAST_INBOUND,
  S_MAPPING,
  S_PACKETS_IN,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';
import { HOST_OTHERS } from './hosts.ts';
import { MAPPING_SHIFT, type Mappings } from './mappings.ts';
import { SESSION_SHIFT, type Sessions } from './sessions.ts';

/** A UDP session is held to be unanswered for good when 3 s have gone by. */
export const UNANSWERED_TICKS = 12;

/** The most that a profile may allow: to take a session out, its list is walked. */
export const UNANSWERED_PER_REMOTE_LIMIT = 255;

const PAIRS_MIN = 256;
/** Pairs looked at for one with a single session. */
const FORGET_TRIES = 8;
/** When every pair is in use a session is looked at once in so many sweeps, less one: a mask. */
const FULL_TURNS = 7;

const PAIR_SHIFT = 2;
const PAIR_COUNT = 0;
const PAIR_ADDRESS = 1;
const PAIR_OLDEST = 2;
const PAIR_NEWEST = 3;

/** Words of a session that lead through its list. */
const S_PAIR = S_PACKETS_IN;
const S_NEWER = S_LAST_INBOUND;

export class Unanswered {
  /** Visits of sessions that found no room for their pair. */
  uncapped = 0;
  private readonly sessions: Sessions;
  private readonly mappings: Mappings;
  private readonly words: Int32Array;
  private readonly index: HashIndex;
  private readonly free: FreeList;
  private readonly capacity: number;
  private readonly seed: number;
  private hand = 0;

  constructor(sessions: Sessions, mappings: Mappings, seed: number) {
    this.sessions = sessions;
    this.mappings = mappings;
    this.capacity = Math.max(PAIRS_MIN, sessions.capacity >> 5);
    this.words = new Int32Array(this.capacity << PAIR_SHIFT);
    this.index = new HashIndex(this.capacity);
    this.free = new FreeList(this.words, 1 << PAIR_SHIFT);
    this.seed = seed ^ 0x7feb352d;
    this.clear();
  }

  /** Hosts and remote addresses with a list now. */
  get pairs(): number {
    return this.index.size;
  }

  /**
   * Enters a UDP session that has been unanswered for too long into its list, if it is not there.
   * @param turn changes with every sweep
   * @returns the session that gives way, since its list is longer than `most`; or -1
   */
  visit(session: number, most: number, turn: number): number {
    const { words } = this.sessions;
    const at = session << SESSION_SHIFT;
    let pair = words[at + S_PAIR] - 1;
    if (pair < 0) {
      if (this.free.length === 0 && ((session + turn) & FULL_TURNS) !== 0) return -1;
      const mapping = words[at + S_MAPPING];
      const host = this.mappings.host(mapping);
      if (host === HOST_OTHERS || this.holdsOwnPort(mapping, at)) return -1;
      pair = this.pairFor(host, words[at + S_REMOTE_ADDRESS]);
      if (pair < 0) {
        this.uncapped++;
        return -1;
      }
      this.enter(pair, session);
    }
    const p = pair << PAIR_SHIFT;
    return (this.words[p + PAIR_COUNT] & 0xffff) > Math.min(most, UNANSWERED_PER_REMOTE_LIMIT)
      ? this.words[p + PAIR_OLDEST] - 1
      : -1;
  }

  /** True if the endpoint owns the session's port and keeps it without this session. */
  private holdsOwnPort(mapping: number, at: number): boolean {
    const { mappings, sessions } = this;
    return (
      mappings.words[(mapping << MAPPING_SHIFT) + M_SESSIONS] > 1 &&
      mappings.isOwner(mapping) &&
      mappings.externalPort(mapping) === sessions.words[at + S_EXTERNAL] >>> 16
    );
  }

  /** Takes a session out of its list, if it is in one: it was answered, or it ends. */
  leave(session: number): void {
    const { words } = this.sessions;
    const at = session << SESSION_SHIFT;
    if ((words[at + S_COMMIT] & 63) !== State.Unanswered) return;
    const pair = words[at + S_PAIR] - 1;
    if (pair < 0) return;
    const p = pair << PAIR_SHIFT;
    const newer = words[at + S_NEWER];
    words[at + S_PAIR] = 0;
    words[at + S_NEWER] = 0;
    if ((--this.words[p + PAIR_COUNT] & 0xffff) === 0) {
      this.drop(pair);
      return;
    }
    let older = this.words[p + PAIR_OLDEST] - 1;
    if (older === session) {
      this.words[p + PAIR_OLDEST] = newer;
      return;
    }
    while (words[(older << SESSION_SHIFT) + S_NEWER] !== session + 1)
      older = words[(older << SESSION_SHIFT) + S_NEWER] - 1;
    words[(older << SESSION_SHIFT) + S_NEWER] = newer;
    if (newer === 0) this.words[p + PAIR_NEWEST] = older + 1;
  }

  /** Puts a session into a list, where its age belongs. */
  private enter(pair: number, session: number): void {
    const { words } = this.sessions;
    const at = session << SESSION_SHIFT;
    const p = pair << PAIR_SHIFT;
    const created = words[at + S_CREATED];
    words[at + S_PAIR] = pair + 1;
    this.words[p + PAIR_COUNT]++;

    // The sweep comes by record and not by age, but mostly what it brings is the newest.
    const newest = this.words[p + PAIR_NEWEST] - 1;
    if (newest < 0) {
      words[at + S_NEWER] = 0;
      this.words[p + PAIR_OLDEST] = session + 1;
      this.words[p + PAIR_NEWEST] = session + 1;
      return;
    }
    if (!this.isOlder(created, newest)) {
      words[at + S_NEWER] = 0;
      words[(newest << SESSION_SHIFT) + S_NEWER] = session + 1;
      this.words[p + PAIR_NEWEST] = session + 1;
      return;
    }
    let before = -1;
    let behind = this.words[p + PAIR_OLDEST] - 1;
    while (!this.isOlder(created, behind)) {
      before = behind;
      behind = words[(behind << SESSION_SHIFT) + S_NEWER] - 1;
    }
    words[at + S_NEWER] = behind + 1;
    if (before < 0) this.words[p + PAIR_OLDEST] = session + 1;
    else words[(before << SESSION_SHIFT) + S_NEWER] = session + 1;
  }

  /** True if what was created at that tick is older than `session`. */
  private isOlder(created: number, session: number): boolean {
    return created - this.sessions.words[(session << SESSION_SHIFT) + S_CREATED] < 0;
  }

  private find(host: number, address: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(host, address, 0, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const pair = slots[slot * 2 + 1] - 1;
      if (pair < 0) return -1;
      if (slots[slot * 2] !== hash) continue;
      const p = pair << PAIR_SHIFT;
      if (words[p + PAIR_ADDRESS] === address && words[p + PAIR_COUNT] >>> 16 === host) return pair;
    }
  }

  /** The pair of a host and a remote address, made if need be; -1 if there is no room. */
  private pairFor(host: number, address: number): number {
    const known = this.find(host, address);
    if (known >= 0) return known;
    if (this.free.length === 0) this.forget();
    const pair = this.free.take();
    if (pair < 0) return -1;
    const p = pair << PAIR_SHIFT;
    this.words[p + PAIR_COUNT] = host << 16;
    this.words[p + PAIR_ADDRESS] = address;
    this.words[p + PAIR_OLDEST] = 0;
    this.words[p + PAIR_NEWEST] = 0;
    this.index.insert(hash3(host, address, 0, this.seed), pair);
    return pair;
  }

  /** Forgets a pair with a single session, if there is one among the next few. */
  private forget(): void {
    for (let i = 0; i < FORGET_TRIES; i++) {
      const pair = this.hand;
      this.hand = pair + 1 === this.capacity ? 0 : pair + 1;
      const p = pair << PAIR_SHIFT;
      if ((this.words[p + PAIR_COUNT] & 0xffff) !== 1) continue;
      this.leave(this.words[p + PAIR_OLDEST] - 1);
      return;
    }
  }

  private drop(pair: number): void {
    const p = pair << PAIR_SHIFT;
    const host = this.words[p + PAIR_COUNT] >>> 16;
    this.index.remove(hash3(host, this.words[p + PAIR_ADDRESS], 0, this.seed), pair);
    this.words[p + PAIR_COUNT] = 0;
    this.free.give(pair);
  }

  /** Forgets every list; the words of the sessions are the caller's to clear. */
  clear(): void {
    this.index.clear();
    this.free.clear();
    this.words.fill(0);
    for (let pair = this.capacity - 1; pair >= 0; pair--) this.free.give(pair);
  }

  /** Sessions of a host to an address that are in their list. */
  count(host: number, address: number): number {
    const pair = this.find(host, address);
    return pair < 0 ? 0 : this.words[(pair << PAIR_SHIFT) + PAIR_COUNT] & 0xffff;
  }

  /** What is wrong with the lists, in words. For checks. */
  selfCheck(): string[] {
    const problems: string[] = [];
    const { words, capacity } = this.sessions;
    let listed = 0;
    for (let session = 0; session < capacity; session++) {
      const at = session << SESSION_SHIFT;
      if ((words[at + S_COMMIT] & 63) !== State.Unanswered || words[at + S_PAIR] === 0) continue;
      listed++;
      const address = words[at + S_REMOTE_ADDRESS];
      const pair = this.find(this.mappings.host(words[at + S_MAPPING]), address);
      if (pair !== words[at + S_PAIR] - 1)
        problems.push(`unanswered session ${session} is not in the list of its host and remote`);
      if ((words[at + S_EXTERNAL] & 0xff) !== PROTOCOL_UDP)
        problems.push(`session ${session} is in a list of unanswered ones and is not UDP`);
    }
    const { slots } = this.index;
    let walked = 0;
    for (let slot = 0; slot * 2 < slots.length; slot++) {
      const pair = slots[slot * 2 + 1] - 1;
      if (pair >= 0) walked += this.checkList(pair, problems);
    }
    if (walked !== listed)
      problems.push(`the lists of unanswered sessions hold ${walked} sessions, ${listed} say so`);
    return problems;
  }

  /** Walks one list, at most as far as it says that it is long; what it holds. */
  private checkList(pair: number, problems: string[]): number {
    const { words } = this.sessions;
    const p = pair << PAIR_SHIFT;
    const count = this.words[p + PAIR_COUNT] & 0xffff;
    let walked = 0;
    let last = -1;
    for (let session = this.words[p + PAIR_OLDEST] - 1; session >= 0 && walked < count; walked++) {
      const at = session << SESSION_SHIFT;
      if (words[at + S_PAIR] !== pair + 1)
        problems.push(`session ${session} is in list ${pair} and does not know`);
      if (last >= 0 && this.isOlder(words[at + S_CREATED], last))
        problems.push(`list ${pair} is not in order of age at session ${session}`);
      last = session;
      session = words[at + S_NEWER] - 1;
    }
    const isWhole = last >= 0 && words[(last << SESSION_SHIFT) + S_NEWER] === 0;
    if (walked !== count || count === 0 || !isWhole || this.words[p + PAIR_NEWEST] - 1 !== last)
      problems.push(`list ${pair} says ${count} sessions and has ${walked}, or ends elsewhere`);
    return walked;
  }
}
