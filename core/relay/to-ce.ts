/**
 * IPv4 to a CE: from the Internet, from another CE, or an answer of the relay itself.
 *
 *   destination, port ──rule──▶ the CE's IPv6 address ──▶ | outer IPv6 | IPv4 … |
 *
 * The port is the destination port; of an ICMP query its identifier; of an ICMP error the source port of the packet that it quotes
 * (RFC 7597 sections 8.1 and 8.2). A port that no CE can own is answered with 3/1. What is too big for the tunnel is answered with 3/4, or cut
 * before it is encapsulated (section 8.3.1).
 *
 * Later fragments have no port: they follow their first one, in any order (RFC 7597 section 8.3.2), and wait for it if it has not come. They
 * are dropped with it as well, so that those of a refused packet take no room in which others wait. Where addresses are not shared nothing of
 * that is needed.
 */
import {
  DESCRIPTOR_WORDS,
  FRAME_LENGTH,
  FRAME_OFFLOAD,
  FRAME_OFFSET,
  FRAME_VERDICT,
  GSO_NONE,
  GSO_UDP_L4,
} from '../frames.ts';
import { putOuterHeader } from '../translate/encapsulate.ts';
import { cutToMtu } from '../translate/fragments.ts';
import { ENCAPSULATE, FORWARDED } from '../verdict.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import {
  ICMP_UNREACHABLE,
  UNREACHABLE_FRAGMENTATION_NEEDED,
  UNREACHABLE_HOST,
} from '../wire/icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_FLAG_DF,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_BITS,
  IPV4_ID,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  ipv4HeaderBytes,
} from '../wire/ipv4.ts';
import { portOfDestination } from '../wire/ports.ts';
import { tcpHeaderBytes } from '../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { answer } from './answer.ts';
import { Answer, type RelayContext, RelayCounter } from './context.ts';
import { RelayDrop } from './drops.ts';

/** The verdict on the IPv4 packet in the frame, whose header was checked. */
export function toCe(ctx: RelayContext, descriptor: number, at: number): number {
  const { bytes, descriptors } = ctx.frames;
  const destination = readI32(bytes, at + IPV4_DESTINATION);
  const rule = ctx.ruleOf(destination);
  if (rule < 0) return ctx.drop(RelayDrop.DestinationOutsideRules);
  if (!ctx.isShared(rule)) return toOwner(ctx, descriptor, at, rule, destination, 0);

  const fragment = readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS;
  if ((fragment & IPV4_OFFSET_BITS) !== 0)
    return laterFragment(ctx, descriptor, at, rule, destination);
  const port = portOfDestination(bytes, at, at + descriptors[descriptor + FRAME_LENGTH]);
  if (fragment === 0) return toPort(ctx, descriptor, at, rule, destination, port);

  const source = readI32(bytes, at + IPV4_SOURCE);
  const key = keyOf(bytes, at);
  const verdict = toPort(ctx, descriptor, at, rule, destination, port);
  // What was cut or encapsulated went to a CE; anything else is an answer or a drop.
  const isOnItsWay = verdict === ENCAPSULATE && descriptors[descriptor + FRAME_OFFSET] === at;
  if (isOnItsWay)
    ctx.fragments.remember(source, destination, key, ctx.tick, source, destination, 0, port);
  else ctx.fragments.refuse(source, destination, key, ctx.tick);
  if (ctx.fragments.waitingCount > 0)
    releaseWaiting(ctx, source, destination, key, rule, isOnItsWay);
  return verdict;
}

function toPort(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  rule: number,
  destination: number,
  port: number,
): number {
  if (port < 0) return ctx.drop(RelayDrop.DestinationWithoutPort);
  return toOwner(ctx, descriptor, at, rule, destination, port);
}

function toOwner(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  rule: number,
  destination: number,
  port: number,
): number {
  if (ctx.findOwner(rule, destination, port)) return send(ctx, descriptor, at);
  const { DestinationUnassigned } = RelayDrop;
  const { Unassigned } = Answer;
  return answer(
    ctx,
    descriptor,
    DestinationUnassigned,
    Unassigned,
    ICMP_UNREACHABLE,
    UNREACHABLE_HOST,
    0,
  );
}

/** Identification and protocol: with source and destination they tell datagrams apart. */
const keyOf = (bytes: Uint8Array, at: number): number =>
  (readU16(bytes, at + IPV4_ID) << 16) | (bytes[at + IPV4_PROTOCOL] << 8);

function laterFragment(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  rule: number,
  destination: number,
): number {
  const { fragments, tick } = ctx;
  const { bytes, descriptors } = ctx.frames;
  const source = readI32(bytes, at + IPV4_SOURCE);
  const key = keyOf(bytes, at);
  const entry = fragments.find(source, destination, key, tick);
  if (entry >= 0) return toOwner(ctx, descriptor, at, rule, destination, fragments.newId(entry));
  if (fragments.isRefused(source, destination, key, tick))
    return ctx.drop(RelayDrop.FragmentOfDropped);
  // Not counted now: it is when nothing comes, or when it has to give way.
  const length = descriptors[descriptor + FRAME_LENGTH];
  const waits = fragments.wait(bytes, at, length, source, destination, key, tick);
  return waits ? ~RelayDrop.FragmentWithoutFirst : ctx.drop(RelayDrop.FragmentRoom);
}

/** Lets those follow that waited for the first fragment, or drops them with it. */
function releaseWaiting(
  ctx: RelayContext,
  source: number,
  destination: number,
  key: number,
  rule: number,
  isOnItsWay: boolean,
): void {
  const { fragments, frames } = ctx;
  const { bytes, descriptors } = frames;
  let slot = fragments.nextWaiting(0, source, destination, key);
  for (; slot >= 0; slot = fragments.nextWaiting(slot + 1, source, destination, key)) {
    const appended = isOnItsWay ? frames.append(fragments.waitingLength(slot)) : -1;
    if (appended < 0) {
      fragments.free(slot);
      ctx.drop(isOnItsWay ? RelayDrop.FragmentRoom : RelayDrop.FragmentOfDropped);
      continue;
    }
    const at = descriptors[appended + FRAME_OFFSET];
    fragments.release(slot, bytes, at);
    descriptors[appended + FRAME_VERDICT] = laterFragment(ctx, appended, at, rule, destination);
  }
}

/** Sends the packet in the frame to the CE that `findOwner` found. */
function send(ctx: RelayContext, descriptor: number, at: number): number {
  const { frames, counters, plan } = ctx;
  const { bytes, descriptors } = frames;
  const length = descriptors[descriptor + FRAME_LENGTH];
  const offload = descriptors[descriptor + FRAME_OFFLOAD];
  if (length > plan.mtu && !fitsTunnel(bytes, at, length, offload, plan.mtu))
    return answer(
      ctx,
      descriptor,
      RelayDrop.TooBigForTunnel,
      Answer.Other,
      ICMP_UNREACHABLE,
      UNREACHABLE_FRAGMENTATION_NEEDED,
      plan.mtu,
    );
  counters[RelayCounter.PacketsInbound]++;
  counters[RelayCounter.BytesInbound] += length;
  if (length > plan.mtu && gsoType(offload) === GSO_NONE) {
    const before = frames.count;
    const verdict = cutToMtu(ctx.cutting, descriptor);
    if (verdict !== FORWARDED) return verdict;
    for (let i = before; i < frames.count; i++) {
      const part = i * DESCRIPTOR_WORDS;
      descriptors[part + FRAME_VERDICT] = encapsulate(ctx, descriptors[part + FRAME_OFFSET]);
    }
  }
  return encapsulate(ctx, at);
}

const gsoType = (offload: number): number => (offload >>> 8) & 0x7f;

/** True for a superpacket whose segments fit, and for what may be cut. */
function fitsTunnel(
  bytes: Uint8Array,
  at: number,
  length: number,
  offload: number,
  mtu: number,
): boolean {
  const type = gsoType(offload);
  if (type === GSO_NONE)
    return length <= mtu || (readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FLAG_DF) === 0;
  const header = ipv4HeaderBytes(bytes, at);
  const l4Bytes = type === GSO_UDP_L4 ? UDP_HEADER_BYTES : tcpHeaderBytes(bytes, at + header);
  return header + l4Bytes + (offload >>> 16) <= mtu;
}

/** Prepares the outer header, to the CE that `findOwner` found; the device fills in the length. */
export function encapsulate(ctx: RelayContext, at: number): number {
  putOuterHeader(ctx.frames.bytes, at, ctx.outerHeader);
  return ENCAPSULATE;
}
