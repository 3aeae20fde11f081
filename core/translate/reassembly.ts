/**
 * Tunnel packets that the way from the relay has cut into IPv6 fragments (RFC 8200 section 4.5), made whole before they are decapsulated
 * (RFC 2473 section 7, RFC 7597 section 8.3). Also where the kernel decapsulates: it leaves fragments to us.
 *
 *   fragment:   | IPv6 40 | next header 4, 0, offset<<3 | M, identification | part of the IPv4 packet |
 *
 *   slot:       65,535 bytes, a bit for each 8 of them, and 12 words:
 *               0 state  1 identification  2 tick of the first  3 length of the whole (-1: not known)  4 bytes here
 *               5 fragments here  6 ECN of all together  7 end of the farthest one  8 … 11 source address
 *
 * Fixed in memory and time: 16 slots for 10 s each; a seventeenth packet takes the place of the oldest. The destination is always the CE,
 * so source and identification are the key. Neighbours in a mesh have slots of their own: what they send takes none from the relay.
 *
 * RFC 5722: when two fragments overlap, the packet is discarded with all that still comes of it. An atomic fragment (RFC 6946) needs no
 * slot. ECN of the whole (RFC 3168 section 5.3): congestion if one fragment has it.
 */
import { FRAME_LENGTH, FRAME_OFFLOAD, FRAME_OFFSET, VNET_HEADER_BYTES } from '../frames.ts';
import { TICKS_PER_SECOND } from '../state.ts';
import { Drop } from '../verdict.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import {
  FRAGMENT_HEADER_BYTES,
  FRAGMENT_ID,
  FRAGMENT_MORE,
  FRAGMENT_OFFSET,
  FRAGMENT_OFFSET_BITS,
  IPV6_ADDRESS_BYTES,
  IPV6_HEADER_BYTES,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  ipv6Ecn,
  NEXT_HEADER_IPV4,
} from '../wire/ipv6.ts';
import type { Context } from './context.ts';
import { acceptInner, FROM_RELAY } from './encapsulate.ts';

export const SLOTS = 16;
const TIMEOUT_TICKS = 10 * TICKS_PER_SECOND;
const WHOLE_BYTES_MAX = 65535;
const SLOT_BYTES = 1 << 16;
const UNIT_BYTES = 8;
const UNIT_WORDS = SLOT_BYTES / UNIT_BYTES / 32;
const CONGESTION = 3;

const WORDS = 12;
const STATE = 0;
const ID = 1;
const TICK = 2;
const WHOLE = 3;
const HERE = 4;
const FRAGMENTS = 5;
const ECN = 6;
const FARTHEST = 7;
const SOURCE = 8;
const SOURCE_WORDS = IPV6_ADDRESS_BYTES / 4;

const FREE = 0;
const COLLECTING = 1;
/** Found wrong; what still comes of it is dropped too. */
const DISCARDED = 2;

/** What `add` answers besides a slot. */
export const HELD = -1;
export const REFUSED = -2;

export class Reassembly {
  private readonly words = new Int32Array(SLOTS * WORDS);
  private readonly units = new Int32Array(SLOTS * UNIT_WORDS);
  private readonly bytes = new Uint8Array(SLOTS * SLOT_BYTES);
  /** Slots that are not free. */
  private used = 0;
  /** Fragments that were held and then given up, since the last call of takeLost. */
  private lost = 0;

  /**
   * Takes the part of a packet: `length` bytes at `from`, which stand at `offset` of the whole.
   * @param source where the IPv6 source address stands in `bytes`
   * @returns the slot if the packet is whole now (to be released by `take`), HELD, or REFUSED
   */
  add(
    bytes: Uint8Array,
    source: number,
    from: number,
    length: number,
    id: number,
    offset: number,
    isLast: boolean,
    ecn: number,
    tick: number,
  ): number {
    const slot = this.slotOf(bytes, source, id, tick);
    const { words } = this;
    const w = slot * WORDS;
    const end = offset + length;
    if (words[w + STATE] === DISCARDED) return REFUSED;
    if (!this.fits(w, end, isLast, length) || !this.markUnits(slot, offset, length)) {
      this.discard(w);
      return REFUSED;
    }
    const to = slot * SLOT_BYTES + offset;
    for (let i = 0; i < length; i++) this.bytes[to + i] = bytes[from + i];
    if (isLast) words[w + WHOLE] = end;
    words[w + HERE] += length;
    words[w + FRAGMENTS]++;
    words[w + FARTHEST] = Math.max(words[w + FARTHEST], end);
    if (words[w + ECN] < 0 || ecn === CONGESTION) words[w + ECN] = ecn;
    return words[w + HERE] === words[w + WHOLE] ? slot : HELD;
  }

  /** Length of the whole packet in `slot`. */
  wholeLength(slot: number): number {
    return this.words[slot * WORDS + WHOLE];
  }

  ecn(slot: number): number {
    return this.words[slot * WORDS + ECN];
  }

  /** Copies the whole packet to `bytes` at `to`. */
  copy(slot: number, bytes: Uint8Array, to: number): void {
    const length = this.wholeLength(slot);
    const from = slot * SLOT_BYTES;
    for (let i = 0; i < length; i++) bytes[to + i] = this.bytes[from + i];
  }

  free(slot: number): void {
    this.words[slot * WORDS + STATE] = FREE;
    this.used--;
  }

  /** Gives up what waited too long; how many fragments were lost since the last call. */
  takeLost(tick: number): number {
    if (this.used > 0)
      for (let slot = 0; slot < SLOTS; slot++)
        if (this.isOld(slot * WORDS, tick)) this.giveUp(slot);
    const { lost } = this;
    this.lost = 0;
    return lost;
  }

  /** The slot in which this packet is collected; a new one if there is none. */
  private slotOf(bytes: Uint8Array, source: number, id: number, tick: number): number {
    const { words } = this;
    let best = 0;
    for (let slot = 0; slot < SLOTS; slot++) {
      const w = slot * WORDS;
      if (
        words[w + STATE] !== FREE &&
        words[w + ID] === id &&
        !this.isOld(w, tick) &&
        this.isFrom(w, bytes, source)
      )
        return slot;
      const b = best * WORDS;
      if (words[b + STATE] === FREE) continue;
      if (words[w + STATE] === FREE || words[w + TICK] < words[b + TICK]) best = slot;
    }
    if (words[best * WORDS + STATE] !== FREE) this.giveUp(best);
    const w = best * WORDS;
    words[w + STATE] = COLLECTING;
    words[w + ID] = id;
    words[w + TICK] = tick;
    words[w + WHOLE] = -1;
    words[w + HERE] = 0;
    words[w + FRAGMENTS] = 0;
    words[w + ECN] = -1;
    words[w + FARTHEST] = 0;
    for (let i = 0; i < SOURCE_WORDS; i++) words[w + SOURCE + i] = readI32(bytes, source + i * 4);
    const first = best * UNIT_WORDS;
    for (let i = 0; i < UNIT_WORDS; i++) this.units[first + i] = 0;
    this.used++;
    return best;
  }

  private isFrom(w: number, bytes: Uint8Array, source: number): boolean {
    for (let i = 0; i < SOURCE_WORDS; i++)
      if (this.words[w + SOURCE + i] !== readI32(bytes, source + i * 4)) return false;
    return true;
  }

  /** True if a fragment that ends at `end` agrees with what is known of the length. */
  private fits(w: number, end: number, isLast: boolean, length: number): boolean {
    const whole = this.words[w + WHOLE];
    if (length === 0 || end > WHOLE_BYTES_MAX) return false;
    if (!isLast) return length % UNIT_BYTES === 0 && (whole < 0 || end < whole);
    return whole < 0 && end >= this.words[w + FARTHEST];
  }

  /** Marks the units of a fragment as here; false if one of them was. */
  private markUnits(slot: number, offset: number, length: number): boolean {
    const { units } = this;
    const first = slot * UNIT_WORDS;
    const last = (offset + length - 1) >> 3;
    for (let unit = offset >> 3; unit <= last; unit++) {
      const word = first + (unit >> 5);
      const bit = 1 << (unit & 31);
      if ((units[word] & bit) !== 0) return false;
      units[word] |= bit;
    }
    return true;
  }

  private discard(w: number): void {
    this.lost += this.words[w + FRAGMENTS];
    this.words[w + FRAGMENTS] = 0;
    this.words[w + STATE] = DISCARDED;
  }

  private giveUp(slot: number): void {
    this.lost += this.words[slot * WORDS + FRAGMENTS];
    this.free(slot);
  }

  private isOld(w: number, tick: number): boolean {
    return this.words[w + STATE] !== FREE && tick - this.words[w + TICK] > TIMEOUT_TICKS;
  }
}

/**
 * Deals with an outer fragment to us.
 * @param at offset of the IPv6 header; @param length bytes of the frame; @param neighbour as of `decapsulate`
 * @returns DECAPSULATED when the frame holds the whole IPv4 packet, else a verdict
 */
export function reassemble(
  ctx: Context,
  descriptor: number,
  at: number,
  length: number,
  neighbour: number,
): number {
  const { frames, table, mesh } = ctx;
  const { bytes, descriptors } = frames;
  const payload = readU16(bytes, at + IPV6_PAYLOAD_LENGTH);
  const size = payload - FRAGMENT_HEADER_BYTES;
  if (size < 0 || IPV6_HEADER_BYTES + payload > length) return ctx.drop(Drop.TruncatedHeader);
  const header = at + IPV6_HEADER_BYTES;
  // Strangers get no slot: what they send is told from a neighbour's before it is kept.
  if (neighbour !== FROM_RELAY && mesh?.mayBeNeighbour(bytes, neighbour) !== true)
    return ctx.drop(Drop.TunnelSourceSpoofed);
  const reassembly = neighbour === FROM_RELAY ? ctx.reassembly : mesh?.reassembly;
  if (bytes[header] !== NEXT_HEADER_IPV4 || reassembly === undefined)
    return ctx.drop(Drop.TunnelPacketNotAccepted);

  const word = readU16(bytes, header + FRAGMENT_OFFSET);
  const offset = word & FRAGMENT_OFFSET_BITS;
  const isLast = (word & FRAGMENT_MORE) === 0;
  const part = header + FRAGMENT_HEADER_BYTES;
  const ecn = ipv6Ecn(bytes, at);
  // A fragment's transport checksum is complete: the virtio header says nothing of use.
  if (offset === 0 && isLast) {
    for (let i = part - VNET_HEADER_BYTES; i < part; i++) bytes[i] = 0;
    return uncover(ctx, descriptor, part, size, ecn, neighbour);
  }

  const id = readI32(bytes, header + FRAGMENT_ID);
  const source = at + IPV6_SOURCE;
  const slot = reassembly.add(bytes, source, part, size, id, offset, isLast, ecn, table.tick);
  if (slot === REFUSED) return ctx.drop(Drop.TunnelReassembly);
  // Not counted now: it is when the rest does not come.
  if (slot === HELD) return ~Drop.TunnelReassembly;
  const whole = reassembly.wholeLength(slot);
  const to = frames.reserve(whole);
  const ecnOfAll = reassembly.ecn(slot);
  if (to >= 0) reassembly.copy(slot, bytes, to);
  reassembly.free(slot);
  if (to < 0) return ctx.drop(Drop.TunnelReassembly);
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  return uncover(ctx, descriptor, to, whole, ecnOfAll, neighbour);
}

function uncover(
  ctx: Context,
  descriptor: number,
  at: number,
  size: number,
  ecn: number,
  neighbour: number,
): number {
  const { descriptors } = ctx.frames;
  descriptors[descriptor + FRAME_OFFSET] = at;
  descriptors[descriptor + FRAME_LENGTH] = size;
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  return acceptInner(ctx, descriptor, ecn, neighbour);
}
