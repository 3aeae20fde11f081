/**
 * Internal hosts: what each holds, and the bucket that limits the ICMP answers to it. Touched when a session is made or ends and when
 * a packet is answered, never by an established packet.
 *
 *   Host, 16 words
 *    0 address   1 mappings   2 sessions   3 sessions, peak   4 ports owned   5 bucket: tokens<<16 | tick of the last refill
 *    6 tick of the last new session   7 sessions created   8 sessions refused   9 LAN network   10 created tick
 *   11 bytes out / 64 and 12 bytes in / 64 of ended sessions (saturating)
 *   13 thousandths of new sessions counted and not yet forgiven   14 millisecond of the last forgiving   15 in use
 *
 * A host without mappings keeps its record, so that its counters can be read, until the record is needed. When every record belongs
 * to a host with mappings, further hosts share record 0, "others": nobody is refused for being one host too many.
 *
 * Beside the records, and made anew at a start: the entries that each host holds in the table of a NAT above (upstream.ts). Entries may
 * stay when the record goes to another host, so what is counted names its host by an *owner*: the record, and how often it was given on.
 * Those of a host that has lost its record are nobody's.
 */
import { type Arena, HOST_WORDS } from './arena.ts';
import { HashIndex, hash3 } from './hash-index.ts';

export const HOST_SHIFT = 4;
export const HOST_ADDRESS = 0;
export const HOST_MAPPINGS = 1;
export const HOST_SESSIONS = 2;
export const HOST_SESSIONS_PEAK = 3;
export const HOST_OWNED = 4;
const HOST_BUCKET = 5;
export const HOST_LAST_SEEN = 6;
export const HOST_CREATED_SESSIONS = 7;
export const HOST_REFUSED = 8;
export const HOST_LAN = 9;
export const HOST_CREATED = 10;
export const HOST_BYTES_OUT = 11;
export const HOST_BYTES_IN = 12;
const HOST_BEGUN = 13;
const HOST_BEGUN_AT = 14;
export const HOST_IN_USE = 15;

/** The record that hosts share when there is no other. Its address is 0.0.0.0. */
export const HOST_OTHERS = 0;

/** ICMP answers to one host: 300 a second with an equal burst; a tick is a quarter of a second. */
const ANSWERS_PER_TICK = 75;
const ANSWERS_BURST = 300;

/**
 * One new session. A limit of N a second forgives N of these units in a millisecond: nothing is rounded, and who is at his limit gets his
 * next sessions one by one. By the tick they would come in bursts of N / 4, and all others would wait for each burst.
 */
const UNITS_PER_SESSION = 1000;

/** Records looked at when one is needed and none is free. */
const RECLAIM_STEPS_MAX = 32;

export class Hosts {
  readonly words: Int32Array;
  readonly capacity: number;
  readonly index: HashIndex;
  /** Entries in the NAT above, by host. */
  readonly above: Int32Array;
  private readonly givenOn: Uint16Array;
  private readonly seed: number;
  private readonly limit: number;
  private fresh = HOST_OTHERS + 1;
  private hand = 0;

  constructor(arena: Arena, seed: number) {
    this.words = arena.hosts;
    this.limit = Math.min(65535, Math.floor(arena.hosts.length / HOST_WORDS));
    this.capacity = this.limit;
    this.above = new Int32Array(this.limit);
    this.givenOn = new Uint16Array(this.limit);
    let slots = 1;
    while (slots < this.limit) slots *= 2;
    this.index = new HashIndex(slots);
    this.seed = seed ^ 0x38495ab5;
    this.words[(HOST_OTHERS << HOST_SHIFT) + HOST_IN_USE] = 1;
  }

  get count(): number {
    return this.index.size;
  }

  find(address: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(address, 0, 0, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const host = slots[slot * 2 + 1] - 1;
      if (host < 0) return -1;
      if (slots[slot * 2] === hash && words[(host << HOST_SHIFT) + HOST_ADDRESS] === address)
        return host;
    }
  }

  /** The host with this address, made if need be; HOST_OTHERS when every record belongs to a host with mappings. */
  findOrAdd(address: number, lan: number, tick: number): number {
    const known = this.find(address);
    if (known >= 0) return known;
    const host = this.fresh < this.limit ? this.fresh++ : this.reclaim();
    if (host === HOST_OTHERS) return host;
    const at = host << HOST_SHIFT;
    this.words.fill(0, at, at + HOST_WORDS);
    this.words[at + HOST_ADDRESS] = address;
    this.words[at + HOST_BUCKET] = (ANSWERS_BURST << 16) | (tick & 0xffff);
    this.words[at + HOST_LAN] = lan;
    this.words[at + HOST_CREATED] = tick;
    this.words[at + HOST_LAST_SEEN] = tick;
    this.words[at + HOST_IN_USE] = 1;
    this.index.insert(hash3(address, 0, 0, this.seed), host);
    return host;
  }

  /** Takes the record of a host without mappings, going round the table; HOST_OTHERS if there is none. */
  private reclaim(): number {
    for (let step = 0; step < RECLAIM_STEPS_MAX; step++) {
      const host = this.hand;
      this.hand = host + 1 === this.limit ? 0 : host + 1;
      const at = host << HOST_SHIFT;
      if (host === HOST_OTHERS || this.words[at + HOST_MAPPINGS] > 0) continue;
      this.index.remove(hash3(this.words[at + HOST_ADDRESS], 0, 0, this.seed), host);
      this.givenOn[host]++;
      this.above[host] = 0;
      return host;
    }
    return HOST_OTHERS;
  }

  /** What names the host for as long as it has its record: how often that was given on << 16 | host. */
  ownerOf(host: number): number {
    return (this.givenOn[host] << 16) | host;
  }

  /** Counts an entry in the NAT above, or one less, unless the host has lost its record since. */
  changeAbove(owner: number, change: 1 | -1): void {
    const host = owner & 0xffff;
    if (this.givenOn[host] === owner >>> 16) this.above[host] += change;
  }

  /** Takes one token for an ICMP answer; false when the host has used them up. */
  takeAnswer(host: number, tick: number): boolean {
    const at = (host << HOST_SHIFT) + HOST_BUCKET;
    const elapsed = (tick - this.words[at]) & 0xffff;
    const tokens = Math.min(ANSWERS_BURST, (this.words[at] >>> 16) + elapsed * ANSWERS_PER_TICK);
    const left = tokens > 0 ? tokens - 1 : 0;
    this.words[at] = (left << 16) | (tick & 0xffff);
    return tokens > 0;
  }

  /**
   * True if the host may begin another session: a bucket of `burst` sessions that fills by `perSecond`. The record holds what was taken
   * out, so that a record of zeros is a full bucket, and a limit may change at any time.
   * @param millisecond of the table's clock, 32 bits
   */
  mayBegin(host: number, perSecond: number, burst: number, millisecond: number): boolean {
    const { words } = this;
    const at = host << HOST_SHIFT;
    const size = Math.max(1, burst) * UNITS_PER_SESSION;
    let begun = words[at + HOST_BEGUN];
    // Of 32 bits that wrap around after 25 days; who comes later than that finds no more than his bucket as he left it. The product with
    // a rate stays exact: 2^31 times 65,535 is far below 2^53.
    const elapsed = (millisecond - words[at + HOST_BEGUN_AT]) | 0;
    if (elapsed !== 0) {
      words[at + HOST_BEGUN_AT] = millisecond;
      // What a larger burst allowed is not held against the host, nor what a damaged record says.
      begun = Math.max(0, Math.min(begun, size));
      if (elapsed > 0) begun = Math.max(0, begun - elapsed * perSecond);
      words[at + HOST_BEGUN] = begun;
    }
    return begun + UNITS_PER_SESSION <= size;
  }

  /** True if half of the bucket is taken. After mayBegin. */
  isHalfTaken(host: number, burst: number): boolean {
    const size = Math.max(1, burst) * UNITS_PER_SESSION;
    return this.words[(host << HOST_SHIFT) + HOST_BEGUN] * 2 >= size;
  }

  /** Takes one session out of the bucket. After mayBegin. */
  countBegun(host: number): void {
    this.words[(host << HOST_SHIFT) + HOST_BEGUN] += UNITS_PER_SESSION;
  }

  addSession(host: number, tick: number): void {
    const { words } = this;
    const at = host << HOST_SHIFT;
    const sessions = ++words[at + HOST_SESSIONS];
    if (sessions > words[at + HOST_SESSIONS_PEAK]) words[at + HOST_SESSIONS_PEAK] = sessions;
    words[at + HOST_CREATED_SESSIONS]++;
    words[at + HOST_LAST_SEEN] = tick;
  }

  /** @param bytesOut64, bytesIn64 what the session moved, in units of 64 bytes */
  removeSession(host: number, bytesOut64: number, bytesIn64: number): void {
    const { words } = this;
    const at = host << HOST_SHIFT;
    words[at + HOST_SESSIONS]--;
    words[at + HOST_BYTES_OUT] = Math.min(0x7fffffff, words[at + HOST_BYTES_OUT] + bytesOut64);
    words[at + HOST_BYTES_IN] = Math.min(0x7fffffff, words[at + HOST_BYTES_IN] + bytesIn64);
  }

  /** Finds the records in use again after a restart. */
  rebuild(): void {
    this.index.clear();
    this.fresh = HOST_OTHERS + 1;
    for (let host = HOST_OTHERS + 1; host < this.limit; host++) {
      const at = host << HOST_SHIFT;
      if (this.words[at + HOST_IN_USE] !== 1) continue;
      this.index.insert(hash3(this.words[at + HOST_ADDRESS], 0, 0, this.seed), host);
      this.fresh = host + 1;
    }
  }
}
