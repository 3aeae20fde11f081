/**
 * The engine: what becomes of each packet of a batch.
 *
 *              ┌ IPv6 ──────────────▶ tunnelPacket       IPv4 in a tunnel (then once more from the start), ICMPv6, the kernel's chatter
 *   classify ──┤ to EXTERNAL ───────▶ inbound            WAN to LAN
 *              └ else ──────────────▶ outbound           LAN to WAN
 *
 * One TUN carries both directions: the destination tells them apart. A packet from our own external address is a loop, unless the address is
 * shared and the port a neighbour's. Lengths are checked here, once; the functions behind rely on it.
 * Pure: bytes and numbers in, bytes and verdicts out; the clock is passed in.
 */
import {
  DESCRIPTOR_WORDS,
  FRAME_LENGTH,
  FRAME_OFFSET,
  FRAME_VERDICT,
  type Frames,
} from './frames.ts';
import { COUNTER_DROPS, Counter } from './table/counters.ts';
import type { NatTable } from './table/nat-table.ts';
import { type CompleteChecksum, Context, type LanNetwork, type Line } from './translate/context.ts';
import {
  DECAPSULATED,
  encapsulateBatch,
  encapsulateForNeighbours,
  makeOuterHeader,
} from './translate/encapsulate.ts';
import { afterFirst, beforeFirst, laterFragment } from './translate/fragments.ts';
import { towardsOwnAddress } from './translate/hairpin.ts';
import { orTheHosts } from './translate/host.ts';
import { inbound } from './translate/inbound.ts';
import { outbound } from './translate/outbound.ts';
import { placePartialChecksum } from './translate/partial.ts';
import { tunnelPacket } from './translate/tunnel-error.ts';
import { COALESCE, Drop, FORWARDED } from './verdict.ts';
import { readI32, readU16 } from './wire/bytes.ts';
import { ICMP_HEADER_BYTES } from './wire/icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_BITS,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  ipv4HeaderBytes,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './wire/ipv4.ts';
import { IPV6_ADDRESS_BYTES } from './wire/ipv6.ts';
import { NO_PORT, portOfSource } from './wire/ports.ts';
import { TCP_HEADER_BYTES, tcpHeaderBytes } from './wire/tcp.ts';
import { UDP_HEADER_BYTES } from './wire/udp.ts';

export class Engine {
  readonly table: NatTable;
  private readonly ctx: Context;
  /** On a line whose packets for the relay are encapsulated here. */
  private readonly outerHeader: Uint8Array | undefined;
  /** On a line in a mesh: the same for neighbours, without their address. */
  private readonly neighbourHeader: Uint8Array | undefined;

  /** @param frames the batch registered with the device; @param lans most specific first */
  constructor(
    table: NatTable,
    line: Line,
    lans: readonly LanNetwork[],
    frames: Frames,
    completeChecksum: CompleteChecksum,
  ) {
    this.table = table;
    this.ctx = new Context(table, line, lans, completeChecksum);
    this.ctx.frames = frames;
    const { ceAddress, brAddress } = line;
    if (line.encapsulatesHere && ceAddress !== undefined && brAddress !== undefined)
      this.outerHeader = makeOuterHeader(ceAddress, brAddress);
    if (this.ctx.mesh !== undefined && ceAddress !== undefined)
      this.neighbourHeader = makeOuterHeader(ceAddress, new Uint8Array(IPV6_ADDRESS_BYTES));
  }

  /** Gives each frame of the batch its verdict; may append frames, so the batch is `frames.count` long after it. @param nowMs boot-time clock */
  process(count: number, nowMs: number): void {
    const { ctx } = this;
    const { descriptors } = ctx.frames;
    ctx.frames.begin(count);
    this.table.setClock(nowMs);
    for (let i = 0; i < count; i++) {
      const descriptor = i * DESCRIPTOR_WORDS;
      descriptors[descriptor + FRAME_VERDICT] = translate(ctx, descriptor);
    }
    if (ctx.mesh !== undefined && this.neighbourHeader !== undefined)
      encapsulateForNeighbours(ctx, ctx.mesh, this.neighbourHeader);
    if (this.outerHeader !== undefined) encapsulateBatch(ctx, this.outerHeader);
    ctx.counters[Counter.Batches]++;
  }

  /** Sweeps a share of the table. After each batch, and when idle. */
  advance(nowMs: number): void {
    this.table.advance(nowMs);
    const lost = this.ctx.fragments.takeLost(this.table.tick);
    if (lost > 0) this.ctx.counters[COUNTER_DROPS + Drop.FragmentWithoutFirst] += lost;
    const { reassembly, mesh } = this.ctx;
    let lostOuter = reassembly?.takeLost(this.table.tick) ?? 0;
    lostOuter += mesh?.reassembly.takeLost(this.table.tick) ?? 0;
    if (lostOuter > 0) this.ctx.counters[COUNTER_DROPS + Drop.TunnelReassembly] += lostOuter;
  }
}

/** The verdict on one frame; its bytes are rewritten in place. */
function translate(ctx: Context, descriptor: number): number {
  const { bytes, descriptors } = ctx.frames;
  const at = descriptors[descriptor + FRAME_OFFSET];
  const length = descriptors[descriptor + FRAME_LENGTH];
  if (length === 0) return ctx.drop(Drop.TruncatedHeader);
  const version = bytes[at] >>> 4;
  if (version === 6) return fromTunnel(ctx, descriptor, at, length);
  if (version !== 4) return ctx.drop(Drop.NotIp);
  if (length < IPV4_HEADER_BYTES) return ctx.drop(Drop.TruncatedHeader);

  const header = ipv4HeaderBytes(bytes, at);
  const total = readU16(bytes, at + IPV4_TOTAL_LENGTH);
  if (header < IPV4_HEADER_BYTES || total < header || total > length)
    return ctx.drop(Drop.TruncatedHeader);
  // What follows the packet's own end is padding of the link.
  if (total < length) descriptors[descriptor + FRAME_LENGTH] = total;
  placePartialChecksum(ctx.frames, descriptor, at);

  const { line } = ctx;
  const source = readI32(bytes, at + IPV4_SOURCE);
  const toUs = readI32(bytes, at + IPV4_DESTINATION) === line.externalAddress;
  if (source === line.externalAddress && !(toUs && isNeighbours(ctx, at, total)))
    return ctx.drop(Drop.LoopedOwnSource);
  const isInbound = toUs && ctx.lanOf(source) < 0;

  const fragment = readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS;
  if ((fragment & IPV4_OFFSET_BITS) !== 0) return laterFragment(ctx, descriptor, at, isInbound);
  const l4 = at + header;
  const l4Bytes = total - header;
  if (fragment !== 0) beforeFirst(ctx, at, isInbound);

  let verdict: number;
  if (!hasTransportHeader(bytes, at, l4, l4Bytes)) verdict = ctx.drop(Drop.TruncatedHeader);
  else if (isInbound) verdict = orTheHosts(ctx, at, inbound(ctx, descriptor, at, l4, l4Bytes));
  else if (toUs) verdict = towardsOwnAddress(ctx, descriptor, at, l4, l4Bytes);
  else verdict = outbound(ctx, descriptor, at, l4, l4Bytes, line.mtu, line.restoreHopsOutbound);
  if (fragment !== 0) afterFirst(ctx, descriptor, verdict, isInbound);
  return verdict;
}

/** True if a packet from our external address is a neighbour's, who shares it: its port is not ours, or it is a fragment without one. */
function isNeighbours(ctx: Context, at: number, total: number): boolean {
  const { bytes } = ctx.frames;
  if (!ctx.line.isShared) return false;
  if ((readU16(bytes, at + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0) return true;
  const port = portOfSource(bytes, at, at + total);
  return port !== NO_PORT && ctx.parts.ports.set.numberOf(port) < 0;
}

/** The verdict on an IPv6 packet; what was inside is an IPv4 packet to us, and the engine begins anew with it. */
function fromTunnel(ctx: Context, descriptor: number, at: number, length: number): number {
  const verdict = tunnelPacket(ctx, descriptor, at, length);
  if (verdict !== DECAPSULATED) return verdict;
  const inner = translate(ctx, descriptor);
  return inner === FORWARDED ? COALESCE : inner;
}

/** True if the fixed part of the transport header lies within the packet, and a TCP header as a whole. */
function hasTransportHeader(bytes: Uint8Array, at: number, l4: number, l4Bytes: number): boolean {
  switch (bytes[at + IPV4_PROTOCOL]) {
    case PROTOCOL_TCP: {
      if (l4Bytes < TCP_HEADER_BYTES) return false;
      const header = tcpHeaderBytes(bytes, l4);
      return header >= TCP_HEADER_BYTES && header <= l4Bytes;
    }
    case PROTOCOL_UDP:
      return l4Bytes >= UDP_HEADER_BYTES;
    case PROTOCOL_ICMP:
      return l4Bytes >= ICMP_HEADER_BYTES;
    default:
      return true;
  }
}
