/**
 * What is known of IPv4 packets that come in fragments: only the first one holds ports, so the later ones follow what was decided for
 * it (RFC 4787 REQ-14: in any order, in bounded memory and time).
 *
 *   known     datagrams whose first fragment was forwarded: where their fragments go. A ring; the oldest gives way.
 *   waiting   later fragments that came before their first one, kept as they were. A ring of slots of their own, so that a flood of
 *             fragments without a first one cannot push out what is known.
 *
 * Key: source, destination, identification, protocol, direction, as they were before translation.
 *
 *   Known, 8 words:    0 source  1 destination  2 identification<<16 | protocol<<8 | direction  3 tick
 *                      4 new source  5 new destination  6 address delta<<16 | new identification  7 in use
 *   Waiting, 8 words:  0 … 3 the same  4 length (0: free)
 */
import { HashIndex, hash3 } from './hash-index.ts';

const KNOWN_MAX = 1024;
const WAITING_MAX = 256;
const WORDS = 8;
/** A later fragment that is longer than this does not wait. */
export const WAITING_BYTES_MAX = 2048;
/** Reassembly gives up after 30 s (RFC 1122 allows 60 to 120, Linux takes 30); a fragment waits for 2 s. */
const KNOWN_TICKS = 120;
const WAITING_TICKS = 8;

export class FragmentTable {
  private readonly known = new Int32Array(KNOWN_MAX * WORDS);
  private readonly index = new HashIndex(KNOWN_MAX);
  private readonly waiting = new Int32Array(WAITING_MAX * WORDS);
  private readonly waitingBytes = new Uint8Array(WAITING_MAX * WAITING_BYTES_MAX);
  private readonly waitingWords = new Int32Array(this.waitingBytes.buffer);
  /** The batch that packets are kept from, as words. */
  private batchWords: Int32Array = new Int32Array(0);
  private readonly seed: number;
  private knownHand = 0;
  private waitingHand = 0;
  waitingCount = 0;
  /** Waiting fragments that were given up since the last call of takeLost. */
  private lost = 0;
  private lookedAt = -1;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** First word of the entry of a forwarded datagram, or -1 when there is none or it is too old. */
  find(source: number, destination: number, key: number, tick: number): number {
    const at = this.entryOf(source, destination, key);
    return at < 0 || isOlder(this.known[at + 3], tick, KNOWN_TICKS) ? -1 : at;
  }

  /** The entry with this key whatever its age: there is one at most, so that an old one never stands in front of a new one. */
  private entryOf(source: number, destination: number, key: number): number {
    const { known } = this;
    const { slots, mask } = this.index;
    const hash = hash3(source, destination, key, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot * 2 + 1] - 1;
      if (entry < 0) return -1;
      const at = entry * WORDS;
      if (
        slots[slot * 2] === hash &&
        known[at] === source &&
        known[at + 1] === destination &&
        known[at + 2] === key
      )
        return at;
    }
  }

  /** Remembers where the fragments of a datagram go. */
  remember(
    source: number,
    destination: number,
    key: number,
    tick: number,
    newSource: number,
    newDestination: number,
    delta: number,
    newId: number,
  ): void {
    const { known, seed } = this;
    let at = this.entryOf(source, destination, key);
    if (at < 0) {
      const entry = this.knownHand;
      this.knownHand = (entry + 1) % KNOWN_MAX;
      at = entry * WORDS;
      if (known[at + 7] !== 0)
        this.index.remove(hash3(known[at], known[at + 1], known[at + 2], seed), entry);
      known[at] = source;
      known[at + 1] = destination;
      known[at + 2] = key;
      known[at + 7] = 1;
      this.index.insert(hash3(source, destination, key, seed), entry);
    }
    known[at + 3] = tick;
    known[at + 4] = newSource;
    known[at + 5] = newDestination;
    known[at + 6] = (delta << 16) | newId;
  }

  newSource(at: number): number {
    return this.known[at + 4];
  }

  newDestination(at: number): number {
    return this.known[at + 5];
  }

  delta(at: number): number {
    return this.known[at + 6] >>> 16;
  }

  newId(at: number): number {
    return this.known[at + 6] & 0xffff;
  }

  /** Keeps a later fragment until its first one comes; false if it is too long. The oldest gives way. */
  wait(
    bytes: Uint8Array,
    from: number,
    length: number,
    source: number,
    destination: number,
    key: number,
    tick: number,
  ): boolean {
    if (length > WAITING_BYTES_MAX) return false;
    const slot = this.waitingHand;
    this.waitingHand = (slot + 1) % WAITING_MAX;
    const { waiting } = this;
    const at = slot * WORDS;
    if (waiting[at + 4] !== 0) this.lost++;
    else this.waitingCount++;
    waiting[at] = source;
    waiting[at + 1] = destination;
    waiting[at + 2] = key;
    waiting[at + 3] = tick;
    waiting[at + 4] = length;
    this.keep(bytes, from, length, slot * WAITING_BYTES_MAX);
    return true;
  }

  /**
   * Copies a packet to `waitingBytes`. By words, since packets of a device begin at a multiple of 64: 1,020 bytes take 0.6 µs, and 2.3 byte
   * by byte, which is what a flood of fragments without a first one costs.
   */
  private keep(bytes: Uint8Array, from: number, length: number, to: number): void {
    const { waitingBytes, waitingWords } = this;
    if (this.batchWords.buffer !== bytes.buffer)
      this.batchWords = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2);
    const { batchWords } = this;
    const start = bytes.byteOffset + from;
    const words = (start & 3) === 0 ? length >> 2 : 0;
    for (let i = 0; i < words; i++) waitingWords[(to >> 2) + i] = batchWords[(start >> 2) + i];
    for (let i = words << 2; i < length; i++) waitingBytes[to + i] = bytes[from + i];
  }

  /** The next slot from `slot` on that waits for this datagram, or -1. */
  nextWaiting(slot: number, source: number, destination: number, key: number): number {
    const { waiting } = this;
    for (let i = slot; i < WAITING_MAX; i++) {
      const at = i * WORDS;
      if (
        waiting[at + 4] !== 0 &&
        waiting[at] === source &&
        waiting[at + 1] === destination &&
        waiting[at + 2] === key
      )
        return i;
    }
    return -1;
  }

  waitingLength(slot: number): number {
    return this.waiting[slot * WORDS + 4];
  }

  /** Copies a waiting fragment to `bytes` at `to` and frees its slot. */
  release(slot: number, bytes: Uint8Array, to: number): void {
    const length = this.waitingLength(slot);
    const from = slot * WAITING_BYTES_MAX;
    for (let i = 0; i < length; i++) bytes[to + i] = this.waitingBytes[from + i];
    this.free(slot);
  }

  free(slot: number): void {
    this.waiting[slot * WORDS + 4] = 0;
    this.waitingCount--;
  }

  /** Gives up what waited too long; how many fragments were lost since the last call. */
  takeLost(tick: number): number {
    // A look at all of them once a tick: a flood comes in thousands of small batches.
    if (this.waitingCount > 0 && tick !== this.lookedAt)
      for (let slot = 0; slot < WAITING_MAX; slot++) {
        const at = slot * WORDS;
        if (this.waiting[at + 4] !== 0 && isOlder(this.waiting[at + 3], tick, WAITING_TICKS)) {
          this.free(slot);
          this.lost++;
        }
      }
    this.lookedAt = tick;
    const { lost } = this;
    this.lost = 0;
    return lost;
  }
}

/** True if `since` is more than `ticks` ago, or in the future: then the clock was set back and nothing is known of its age. */
const isOlder = (since: number, tick: number, ticks: number): boolean =>
  (tick - since) >>> 0 > ticks;
