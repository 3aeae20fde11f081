/**
 * What is known of IPv4 packets that come in fragments: only the first one holds ports, so the later ones follow what was decided for
 * it (RFC 4787 REQ-14: in any order, in bounded memory and time).
 *
 *   known     datagrams whose first fragment was forwarded: where their fragments go. A ring; the oldest gives way.
 *   refused   datagrams whose first fragment was not: their later ones need not wait. A ring of its own, so that a flood of refused
 *             ones cannot push out what is known, nor the other way round.
 *   waiting   later fragments that came before their first one, kept as they were. A ring of slots of their own, for the same reason.
 *
 * Key: source, destination, identification, protocol, direction, as they were before translation. A datagram is known or refused, never
 * both: known wins, for a copy of the first fragment that came too late, or was forged, must not cost what is on its way already.
 *
 *   Known and refused, 8 words:  0 source  1 destination  2 identification<<16 | protocol<<8 | direction  3 tick  4 in use
 *                                known: 5 new source  6 new destination  7 address delta<<16 | new identification
 *   Waiting, 8 words:            0 … 3 the same  4 length (0: free)
 */
import { HashIndex, hash3 } from './hash-index.ts';

const KNOWN_MAX = 1024;
const REFUSED_MAX = 1024;
const WAITING_MAX = 256;
const WORDS = 8;
/** A later fragment that is longer than this does not wait. */
export const WAITING_BYTES_MAX = 2048;
/** Reassembly gives up after 30 s (RFC 1122 allows 60 to 120, Linux takes 30); a fragment waits for 2 s. */
const DECIDED_TICKS = 120;
const WAITING_TICKS = 8;

/** Datagrams whose first fragment has its verdict; one entry for a key at most, so that an old one never stands in front of a new one. */
class Datagrams {
  readonly words: Int32Array;
  private readonly index: HashIndex;
  private readonly max: number;
  private readonly seed: number;
  private hand = 0;

  constructor(max: number, seed: number) {
    this.words = new Int32Array(max * WORDS);
    this.index = new HashIndex(max);
    this.max = max;
    this.seed = seed;
  }

  /** First word of the entry, or -1 when there is none or it is too old. */
  find(source: number, destination: number, key: number, tick: number): number {
    const at = this.entryOf(source, destination, key);
    return at < 0 || isOlder(this.words[at + 3], tick, DECIDED_TICKS) ? -1 : at;
  }

  /** The entry with this key whatever its age. */
  private entryOf(source: number, destination: number, key: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(source, destination, key, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot * 2 + 1] - 1;
      if (entry < 0) return -1;
      const at = entry * WORDS;
      if (
        slots[slot * 2] === hash &&
        words[at] === source &&
        words[at + 1] === destination &&
        words[at + 2] === key
      )
        return at;
    }
  }

  /** The entry with this key, made anew if there is none: the oldest gives way. @returns its first word */
  put(source: number, destination: number, key: number, tick: number): number {
    const { words } = this;
    let at = this.entryOf(source, destination, key);
    if (at < 0) {
      const entry = this.hand;
      this.hand = (entry + 1) % this.max;
      at = entry * WORDS;
      if (words[at + 4] !== 0) this.unlink(at);
      words[at] = source;
      words[at + 1] = destination;
      words[at + 2] = key;
      words[at + 4] = 1;
      this.index.insert(hash3(source, destination, key, this.seed), entry);
    }
    words[at + 3] = tick;
    return at;
  }

  /** Forgets the datagram, if it is here. */
  remove(source: number, destination: number, key: number): void {
    const at = this.entryOf(source, destination, key);
    if (at < 0) return;
    this.unlink(at);
    this.words[at + 4] = 0;
  }

  private unlink(at: number): void {
    const { words } = this;
    const hash = hash3(words[at], words[at + 1], words[at + 2], this.seed);
    this.index.remove(hash, at / WORDS);
  }
}

export class FragmentTable {
  private readonly known: Datagrams;
  private readonly refused: Datagrams;
  private readonly waiting = new Int32Array(WAITING_MAX * WORDS);
  private readonly waitingBytes = new Uint8Array(WAITING_MAX * WAITING_BYTES_MAX);
  private readonly waitingWords = new Int32Array(this.waitingBytes.buffer);
  /** The batch that packets are kept from, as words. */
  private batchWords: Int32Array = new Int32Array(0);
  private waitingHand = 0;
  waitingCount = 0;
  /** Waiting fragments that were given up since the last call of takeLost. */
  private lost = 0;
  private lookedAt = -1;

  constructor(seed: number) {
    this.known = new Datagrams(KNOWN_MAX, seed);
    this.refused = new Datagrams(REFUSED_MAX, seed);
  }

  /** First word of the entry of a forwarded datagram, or -1 when there is none or it is too old. */
  find(source: number, destination: number, key: number, tick: number): number {
    return this.known.find(source, destination, key, tick);
  }

  /** Remembers where the fragments of a datagram go; that another first fragment of it was refused is forgotten. */
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
    const { words } = this.known;
    const at = this.known.put(source, destination, key, tick);
    words[at + 5] = newSource;
    words[at + 6] = newDestination;
    words[at + 7] = (delta << 16) | newId;
    this.refused.remove(source, destination, key);
  }

  /** Remembers that the first fragment of a datagram was not forwarded; of no effect if another one was. */
  refuse(source: number, destination: number, key: number, tick: number): void {
    if (this.known.find(source, destination, key, tick) < 0)
      this.refused.put(source, destination, key, tick);
  }

  /** True if the first fragment of the datagram came and was not forwarded. */
  isRefused(source: number, destination: number, key: number, tick: number): boolean {
    return this.refused.find(source, destination, key, tick) >= 0;
  }

  newSource(at: number): number {
    return this.known.words[at + 5];
  }

  newDestination(at: number): number {
    return this.known.words[at + 6];
  }

  delta(at: number): number {
    return this.known.words[at + 7] >>> 16;
  }

  newId(at: number): number {
    return this.known.words[at + 7] & 0xffff;
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
