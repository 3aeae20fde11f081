/**
 * IPv4 fragments through the gateway, and packets cut to the line's MTU.
 *
 *   first fragment    translated like a whole packet; what became of its addresses is remembered, or that it was not forwarded, and
 *                     what waited for it follows
 *   later fragment    follows what is remembered, or is dropped with it; else waits for its first one; else is dropped by name
 *
 * Everything outbound that may be fragmented (DF clear) gets an identification of the gateway's own: two hosts may use the same one
 * towards the same server (RFC 6864 section 5.3.1), and the receiver would mix their fragments.
 *
 * RFC 1858, RFC 3128: a later fragment that would overwrite the ports or flags of a TCP header is dropped.
 */
import {
  DESCRIPTOR_WORDS,
  FRAME_LENGTH,
  FRAME_OFFLOAD,
  FRAME_OFFSET,
  FRAME_VERDICT,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
} from '../frames.ts';
import { Drop, FORWARDED } from '../verdict.ts';
import { readI32, readU16, readU16le, writeI32, writeU16 } from '../wire/bytes.ts';
import { addressDelta, fold, replaceWord } from '../wire/checksum.ts';
import {
  finishIpv4Header,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FLAG_DF,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_BITS,
  IPV4_ID,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  ipv4HeaderBytes,
  PROTOCOL_TCP,
} from '../wire/ipv4.ts';
import { TCP_HEADER_BYTES } from '../wire/tcp.ts';
import type { Context } from './context.ts';
import { rewriteHeader } from './rewrite.ts';

const IPV4_MORE_FRAGMENTS = 0x2000;
const INBOUND = 1;

/** Source, destination and key of the packet in hand, as they were before translation. */
interface FragmentKey {
  source: number;
  destination: number;
  key: number;
}

/** What cutting a packet needs of its context. */
export interface Cutting extends Pick<Context, 'frames' | 'completeChecksum' | 'drop'> {
  readonly line: { readonly mtu: number };
}

/** Scratch of `noteKey`, valid until its next call. */
const noted: FragmentKey = { source: 0, destination: 0, key: 0 };

function noteKey(bytes: Uint8Array, at: number, isInbound: boolean): void {
  noted.source = readI32(bytes, at + IPV4_SOURCE);
  noted.destination = readI32(bytes, at + IPV4_DESTINATION);
  const direction = isInbound ? INBOUND : 0;
  noted.key = (readU16(bytes, at + IPV4_ID) << 16) | (bytes[at + IPV4_PROTOCOL] << 8) | direction;
}

/** Before a first fragment is translated: notes its key. Its identification is the one that the whole datagram gets. */
export function beforeFirst(ctx: Context, at: number, isInbound: boolean): void {
  noteKey(ctx.frames.bytes, at, isInbound);
}

/** After a first fragment got its `verdict`: remembers its way, or that it has none, and lets those follow that waited for it. */
export function afterFirst(
  ctx: Context,
  descriptor: number,
  verdict: number,
  isInbound: boolean,
): void {
  const { fragments, table, frames } = ctx;
  const { bytes, descriptors } = frames;
  const { source, destination, key } = noted;
  const at = descriptors[descriptor + FRAME_OFFSET];
  if (verdict === FORWARDED) {
    const newSource = readI32(bytes, at + IPV4_SOURCE);
    const newDestination = readI32(bytes, at + IPV4_DESTINATION);
    const delta = fold(addressDelta(source, newSource) + addressDelta(destination, newDestination));
    const newId = readU16(bytes, at + IPV4_ID);
    fragments.remember(
      source,
      destination,
      key,
      table.tick,
      newSource,
      newDestination,
      delta,
      newId,
    );
  } else fragments.refuse(source, destination, key, table.tick);
  if (fragments.waitingCount === 0) return;
  let slot = fragments.nextWaiting(0, source, destination, key);
  for (; slot >= 0; slot = fragments.nextWaiting(slot + 1, source, destination, key)) {
    const length = fragments.waitingLength(slot);
    const appended = verdict === FORWARDED ? frames.append(length) : -1;
    if (appended < 0) {
      fragments.free(slot);
      ctx.drop(verdict === FORWARDED ? Drop.FragmentRoom : Drop.FragmentOfDropped);
      continue;
    }
    fragments.release(slot, bytes, descriptors[appended + FRAME_OFFSET]);
    descriptors[appended + FRAME_VERDICT] = laterFragment(
      ctx,
      appended,
      descriptors[appended + FRAME_OFFSET],
      isInbound,
    );
  }
}

/** A fragment that is not the first of its packet. */
export function laterFragment(
  ctx: Context,
  descriptor: number,
  at: number,
  isInbound: boolean,
): number {
  const { fragments, frames, table, line } = ctx;
  const { bytes, descriptors } = frames;
  const offset = (readU16(bytes, at + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) * 8;
  if (bytes[at + IPV4_PROTOCOL] === PROTOCOL_TCP && offset < TCP_HEADER_BYTES)
    return ctx.drop(Drop.FragmentOverlapsHeader);

  noteKey(bytes, at, isInbound);
  const { source, destination, key } = noted;
  const length = descriptors[descriptor + FRAME_LENGTH];
  const entry = fragments.find(source, destination, key, table.tick);
  if (entry < 0) {
    if (fragments.isRefused(source, destination, key, table.tick))
      return ctx.drop(Drop.FragmentOfDropped);
    // Not counted now: it is when nothing comes, or when it has to give way.
    const waits = fragments.wait(bytes, at, length, source, destination, key, table.tick);
    return waits ? ~Drop.FragmentWithoutFirst : ctx.drop(Drop.FragmentRoom);
  }

  // Both addresses are written: in a hairpin both change, else one stays what it was.
  const newDestination = fragments.newDestination(entry);
  writeI32(bytes, at + IPV4_DESTINATION, newDestination);
  const isHairpin = !isInbound && newDestination !== destination;
  const hops = isInbound || isHairpin ? line.restoreHopsInbound : line.restoreHopsOutbound;
  const newSource = fragments.newSource(entry);
  rewriteHeader(bytes, at, at + IPV4_SOURCE, newSource, fragments.delta(entry), hops);
  if (isInbound) {
    ctx.countInbound(length);
    return FORWARDED;
  }
  setIdentification(bytes, at, fragments.newId(entry));
  ctx.countOutbound(length);
  const isCut = length > line.mtu && line.fragmentsHere && !isHairpin;
  return isCut ? cutToMtu(ctx, descriptor) : FORWARDED;
}

/**
 * Gives an outbound packet an identification of the gateway's own, unless it is atomic: neither a fragment nor to become one. A
 * fragment may have DF too, so the bit alone does not say it (RFC 6864 section 4).
 */
export function renewIdentification(ctx: Context, at: number): void {
  const { bytes } = ctx.frames;
  const word = readU16(bytes, at + IPV4_FRAGMENT);
  if ((word & IPV4_FLAG_DF) === 0 || (word & IPV4_FRAGMENT_BITS) !== 0)
    setIdentification(bytes, at, ctx.nextIdentification());
}

function setIdentification(bytes: Uint8Array, at: number, id: number): void {
  replaceWord(bytes, at + IPV4_ID, id, at + IPV4_CHECKSUM, at);
}

/**
 * Cuts a translated packet, or fragment, to the line's MTU: the first part stays in its frame, the others are appended (RFC 791
 * section 3.2). For lines whose kernel does not do it behind us.
 */
export function cutToMtu(ctx: Cutting, descriptor: number): number {
  const { frames, line } = ctx;
  const { bytes, descriptors } = frames;
  const at = descriptors[descriptor + FRAME_OFFSET];
  completePartialChecksum(ctx, descriptor, at);
  const header = ipv4HeaderBytes(bytes, at);
  const dataBytes = readU16(bytes, at + IPV4_TOTAL_LENGTH) - header;
  const step = (line.mtu - header) & ~7;
  const word = readU16(bytes, at + IPV4_FRAGMENT);

  const framesBefore = frames.count;
  for (let done = step; done < dataBytes; done += step) {
    const size = Math.min(step, dataBytes - done);
    const part = frames.append(header + size);
    if (part < 0) {
      // Half a packet is of no use to anybody.
      for (let i = framesBefore; i < frames.count; i++)
        descriptors[i * DESCRIPTOR_WORDS + FRAME_VERDICT] = ~Drop.FragmentRoom;
      return ctx.drop(Drop.FragmentRoom);
    }
    const to = descriptors[part + FRAME_OFFSET];
    bytes.copyWithin(to, at, at + header);
    bytes.copyWithin(to + header, at + header + done, at + header + done + size);
    const isLast = done + size === dataBytes;
    const more = isLast ? word & IPV4_MORE_FRAGMENTS : IPV4_MORE_FRAGMENTS;
    finishPart(bytes, to, header + size, (word & IPV4_OFFSET_BITS) + (done >> 3), more);
  }
  finishPart(bytes, at, header + step, word & IPV4_OFFSET_BITS, IPV4_MORE_FRAGMENTS);
  descriptors[descriptor + FRAME_LENGTH] = header + step;
  return FORWARDED;
}

function finishPart(
  bytes: Uint8Array,
  at: number,
  length: number,
  offset: number,
  more: number,
): void {
  writeU16(bytes, at + IPV4_TOTAL_LENGTH, length);
  writeU16(bytes, at + IPV4_FRAGMENT, more | offset);
  finishIpv4Header(bytes, at);
}

/** A part of a packet cannot be completed by the network card any more. */
function completePartialChecksum(ctx: Cutting, descriptor: number, at: number): void {
  const { bytes, descriptors } = ctx.frames;
  if ((descriptors[descriptor + FRAME_OFFLOAD] & VNET_NEEDS_CSUM) === 0) return;
  const virtio = at - VNET_HEADER_BYTES;
  ctx.completeChecksum(
    bytes,
    at,
    readU16le(bytes, virtio + VNET_CSUM_START),
    readU16le(bytes, virtio + VNET_CSUM_OFFSET),
    descriptors[descriptor + FRAME_LENGTH],
  );
  for (let i = virtio; i < at; i++) bytes[i] = 0;
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
}
