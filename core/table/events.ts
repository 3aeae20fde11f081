/**
 * Events: what a person should hear of, in a ring in the arena that the control thread reads.
 *
 *   Event, 8 words
 *    0 sequence (written last)   1 tick   2 kind<<24 | suppressed   3 internal address   4 remote address
 *    5 internalPort<<16 | remotePort   6 externalPort<<16 | protocol   7 detail
 *
 * Events are limited, since a flood of refusals must not become a flood of words: 48 a second with a burst of 200. What was left
 * out is counted in the next event. So that the flood of one host does not hide what happens to another, or to itself for another
 * reason, the first event of a host and reason in each second passes the limit; host and reason share one of 64 slots, which is the
 * most that passes so.
 */
import { TICKS_PER_SECOND } from '../state.ts';
import { EVENT_CAPACITY, EVENT_WORDS } from './arena.ts';

export const Event = {
  /** No port was left towards the remote endpoint. */
  SessionRefused: 1,
  /** A table is full; detail is the drop reason. */
  TableFull: 2,
  /** A peer found no port to own. */
  PeerWithoutPort: 3,
  /** A policy refused a session; detail is the drop reason. */
  PolicyRefused: 4,
  /** Pressure rose or fell; detail is level << 8 | its cause. */
  PressureChanged: 5,
  /** A host reached a limit of its own; detail is the drop reason. */
  HostLimited: 6,
} as const;

export const EVENT_NAMES: readonly string[] = [
  '',
  'session-refused',
  'table-full',
  'peer-without-port',
  'policy-refused',
  'pressure-changed',
  'host-limited',
];

const EVENTS_PER_TICK = 12;
const EVENTS_BURST = 200;
const SLOT_BITS = 6;
const TICKS_BETWEEN_FIRSTS = TICKS_PER_SECOND;

export class Events {
  private readonly words: Int32Array;
  private sequence = 0;
  private tokens = EVENTS_BURST;
  private refilled = 0;
  private suppressed = 0;
  /** Tick of the latest event of each slot, + 1; 0 if there was none. */
  private readonly slots = new Int32Array(1 << SLOT_BITS);
  /** Events left out since the start. */
  suppressedTotal = 0;

  constructor(words: Int32Array) {
    this.words = words;
    for (let at = 0; at < EVENT_CAPACITY * EVENT_WORDS; at += EVENT_WORDS)
      if (words[at] > this.sequence) this.sequence = words[at];
  }

  /** Records an event, or counts it as suppressed. */
  add(
    kind: number,
    tick: number,
    internalAddress: number,
    remoteAddress: number,
    ports: number,
    external: number,
    detail: number,
  ): void {
    if (tick !== this.refilled) {
      const refill = Math.max(0, tick - this.refilled) * EVENTS_PER_TICK;
      this.tokens = Math.min(EVENTS_BURST, this.tokens + refill);
      this.refilled = tick;
    }
    const slot =
      (Math.imul(internalAddress, 0x9e3779b1) ^ Math.imul((kind << 8) | detail, 0x85ebca6b)) >>>
      (32 - SLOT_BITS);
    const isFirst = this.slots[slot] === 0 || tick + 1 - this.slots[slot] >= TICKS_BETWEEN_FIRSTS;
    if (this.tokens <= 0 && !isFirst) {
      this.suppressed = Math.min(this.suppressed + 1, 0xffffff);
      this.suppressedTotal++;
      return;
    }
    if (this.tokens > 0) this.tokens--;
    this.slots[slot] = tick + 1;
    const { words } = this;
    const sequence = ++this.sequence;
    const at = (sequence % EVENT_CAPACITY) * EVENT_WORDS;
    Atomics.store(words, at, 0);
    words[at + 1] = tick;
    words[at + 2] = (kind << 24) | this.suppressed;
    words[at + 3] = internalAddress;
    words[at + 4] = remoteAddress;
    words[at + 5] = ports;
    words[at + 6] = external;
    words[at + 7] = detail;
    Atomics.store(words, at, sequence);
    this.suppressed = 0;
  }
}
