/**
 * A MAP-E border relay (RFC 7597 section 8): what becomes of each packet of a batch.
 *
 *              ┌ IPv6 ──▶ from-ce.ts     checked against the rules, uncovered, and on to the Internet or to another CE
 *   classify ──┤
 *              └ IPv4 ──▶ to-ce.ts       the rules say which CE owns address and port; encapsulated to it
 *
 *   | IPv4 … |  ◀──────────── decapsulated ────────────  | IPv6 CE → BR | IPv4 … |
 *   | IPv4 … |  ────────────  encapsulated ───────────▶  | IPv6 BR → CE | IPv4 … |
 *
 * Stateless: no packet is remembered but fragments, for seconds. So a relay may be restarted at any time, and several may share an address.
 *
 * Glossary: CE customer edge, the gateway in a house; BR this relay; rule a mapping rule, from IPv4 address and port to IPv6 address.
 *
 * One TUN carries both directions, as in the gateway. Pure: bytes and numbers in, bytes and verdicts out; the clock is passed in.
 */
import {
  DESCRIPTOR_WORDS,
  FRAME_LENGTH,
  FRAME_OFFSET,
  FRAME_VERDICT,
  type Frames,
} from '../frames.ts';
import { COUNTER_DROPS } from '../table/counters.ts';
import type { CompleteChecksum } from '../translate/context.ts';
import { placePartialChecksum } from '../translate/partial.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import {
  IPV4_DESTINATION,
  IPV4_HEADER_BYTES,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  ipv4HeaderBytes,
  isMulticast,
} from '../wire/ipv4.ts';
import { RELAY_COUNTER_COUNT, RelayContext, type RelayPlan } from './context.ts';
import { RelayDrop } from './drops.ts';
import { fromTunnel } from './from-ce.ts';
import { toCe } from './to-ce.ts';

export class Relay {
  private readonly ctx: RelayContext;

  /**
   * @param frames the batch registered with the device; @param counters RELAY_COUNTER_COUNT doubles
   * @param seed of the hash by which fragments are found: a number that nobody can guess
   */
  constructor(
    plan: RelayPlan,
    frames: Frames,
    counters: Float64Array,
    seed: number,
    completeChecksum: CompleteChecksum,
  ) {
    if (counters.length < RELAY_COUNTER_COUNT) throw new RangeError('too few counters');
    this.ctx = new RelayContext(plan, frames, counters, seed, completeChecksum);
  }

  /** Gives each frame of the batch its verdict; may append frames, so the batch is `frames.count` long after it. @param nowMs boot-time clock */
  process(count: number, nowMs: number): void {
    const { ctx } = this;
    const { frames } = ctx;
    frames.begin(count);
    ctx.setClock(nowMs);
    for (let i = 0; i < count; i++) {
      const descriptor = i * DESCRIPTOR_WORDS;
      frames.descriptors[descriptor + FRAME_VERDICT] = relayed(ctx, descriptor);
    }
  }

  /** Gives up fragments that waited too long. After each batch, and when idle. */
  advance(nowMs: number): void {
    const { ctx } = this;
    ctx.setClock(nowMs);
    const lost = ctx.fragments.takeLost(ctx.tick);
    if (lost > 0) ctx.counters[COUNTER_DROPS + RelayDrop.FragmentWithoutFirst] += lost;
    const lostOuter = ctx.reassembly.takeLost(ctx.tick);
    if (lostOuter > 0) ctx.counters[COUNTER_DROPS + RelayDrop.TunnelReassembly] += lostOuter;
  }
}

/** The verdict on one frame; its bytes are rewritten in place. */
function relayed(ctx: RelayContext, descriptor: number): number {
  const { bytes, descriptors } = ctx.frames;
  const at = descriptors[descriptor + FRAME_OFFSET];
  const length = descriptors[descriptor + FRAME_LENGTH];
  if (length === 0) return ctx.drop(RelayDrop.TruncatedHeader);
  const version = bytes[at] >>> 4;
  if (version === 6) return fromTunnel(ctx, descriptor, at, length);
  if (version !== 4) return ctx.drop(RelayDrop.NotIp);
  if (length < IPV4_HEADER_BYTES) return ctx.drop(RelayDrop.TruncatedHeader);

  const header = ipv4HeaderBytes(bytes, at);
  const total = readU16(bytes, at + IPV4_TOTAL_LENGTH);
  if (header < IPV4_HEADER_BYTES || total < header || total > length)
    return ctx.drop(RelayDrop.TruncatedHeader);
  // What follows the packet's own end is padding of the link.
  if (total < length) descriptors[descriptor + FRAME_LENGTH] = total;
  placePartialChecksum(ctx.frames, descriptor, at);
  if (isMulticast(readI32(bytes, at + IPV4_DESTINATION))) return ctx.drop(RelayDrop.KernelChatter);
  // All that a CE says comes through the tunnel.
  if (ctx.ruleOf(readI32(bytes, at + IPV4_SOURCE)) >= 0) return ctx.drop(RelayDrop.SourceClaimsCe);
  return toCe(ctx, descriptor, at);
}
