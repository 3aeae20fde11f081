/**
 * LAN to WAN: find or make the session, give the packet its external source, let it go.
 *
 * Order of decisions, so that an answer always quotes the packet as its sender made it:
 *
 *   protocol → TTL → size → session (found, or opened by policy and allocator) → MSS → rewrite → state and counters
 */
import { FRAME_LENGTH, FRAME_OFFLOAD, GSO_NONE, GSO_UDP_L4 } from '../frames.ts';
import { Flag, State } from '../state.ts';
import {
  S_BYTES_OUT,
  S_COMMIT,
  S_DELTAS,
  S_EXTERNAL,
  S_LAST_SEEN,
  S_PACKETS_OUT,
} from '../table/arena.ts';
import { Counter } from '../table/counters.ts';
import { REFUSED_SILENTLY } from '../table/refusals.ts';
import { SESSION_SHIFT } from '../table/sessions.ts';
import { Drop, FORWARDED } from '../verdict.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import { ICMP_ECHO_REQUEST, ICMP_HEADER_BYTES, ICMP_ID, isIcmpError } from '../wire/icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_FLAG_DF,
  IPV4_FRAGMENT,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TTL,
  isUnroutable,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import {
  findTimestamp,
  TCP_ACK,
  TCP_FLAGS,
  TCP_RST,
  TCP_SEQUENCE,
  TCP_SYN,
  tcpHeaderBytes,
} from '../wire/tcp.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { answerExpired, answerProhibited, answerProtocol, answerTooBig } from './answer.ts';
import type { Context } from './context.ts';
import { cutToMtu, renewIdentification } from './fragments.ts';
import { errorOutbound } from './icmp-error.ts';
import { clampMss } from './mss.ts';
import { resetWithoutSession } from './owner-reset.ts';
import { rewriteHeader, rewriteTransport } from './rewrite.ts';
import { isClosed, trackOutbound } from './tcp-state.ts';

/**
 * Translates one packet from the LAN side.
 * @param descriptor first word of its descriptor; @param at offset of the IP header; @param l4 of the transport header
 * @param l4Bytes transport header and payload; lengths were checked by the engine
 * @param mtu of the way that the packet takes; @param hops to give back
 */
export function outbound(
  ctx: Context,
  descriptor: number,
  at: number,
  l4: number,
  l4Bytes: number,
  mtu: number,
  hops: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const { line } = ctx;
  const protocol = bytes[at + IPV4_PROTOCOL];
  const source = readI32(bytes, at + IPV4_SOURCE);
  const destination = readI32(bytes, at + IPV4_DESTINATION);

  let ports: number;
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) ports = readI32(bytes, l4);
  else if (protocol !== PROTOCOL_ICMP) return refuseProtocol(ctx, descriptor, source, destination);
  else if (bytes[l4] === ICMP_ECHO_REQUEST) ports = readU16(bytes, l4 + ICMP_ID) << 16;
  else if (isIcmpError(bytes[l4])) return errorOutbound(ctx, at, l4, l4Bytes, hops);
  else return ctx.drop(Drop.IcmpTypeNotTranslated);

  if (bytes[at + IPV4_TTL] === 0) return answerExpired(ctx, descriptor);
  const offload = descriptors[descriptor + FRAME_OFFLOAD];
  const length = descriptors[descriptor + FRAME_LENGTH];
  if (length > mtu && !fitsLine(bytes, at, l4, length, offload, mtu))
    return answerTooBig(ctx, descriptor, mtu);

  const { sessions } = ctx.parts;
  let session = sessions.findInternal(source, destination, ports, protocol);
  if (session < 0) {
    if (protocol === PROTOCOL_TCP && (bytes[l4 + TCP_FLAGS] & TCP_RST) !== 0)
      return resetWithoutSession(ctx, descriptor, at, l4, source, destination, hops);
    session = open(ctx, l4, l4Bytes, protocol, source, destination, ports);
    if (session < 0) return openRefused(ctx, descriptor, ~session);
  }

  const { words } = sessions;
  const s = session << SESSION_SHIFT;
  const virtioFlags = offload & 0xff;
  // A RST that answers what still comes in to a closed connection does not keep it (RFC 7857 section 7.1).
  let refreshes = true;
  if (protocol === PROTOCOL_TCP) {
    refreshes = (bytes[l4 + TCP_FLAGS] & TCP_RST) === 0 || !isClosed(words[s + S_COMMIT] & 63);
    if ((bytes[l4 + TCP_FLAGS] & TCP_SYN) !== 0 && clampMss(bytes, l4, mtu, virtioFlags))
      ctx.counters[Counter.MssClamped]++;
    trackOutbound(words, s, bytes, l4, l4Bytes);
  } else words[s + S_PACKETS_OUT]++;

  const deltas = words[s + S_DELTAS];
  const addressSum = deltas >>> 16;
  const externalPort = words[s + S_EXTERNAL] >>> 16;
  rewriteTransport(bytes, l4, protocol, l4, externalPort, addressSum, deltas & 0xffff, virtioFlags);
  rewriteHeader(bytes, at, at + IPV4_SOURCE, line.externalAddress, addressSum, hops);

  if (refreshes) words[s + S_LAST_SEEN] = ctx.table.tick;
  // Rounded by noise from the header checksum, so that small packets are counted without bias.
  const units = words[s + S_BYTES_OUT] + ((length + (bytes[at + 11] & 63)) >> 6);
  words[s + S_BYTES_OUT] = Math.min(units, 0x7fffffff);
  ctx.countOutbound(length);
  renewIdentification(ctx, at);
  const isSuperpacket = ((offload >>> 8) & 0x7f) !== GSO_NONE;
  return length > mtu && line.fragmentsHere && !isSuperpacket
    ? cutToMtu(ctx, descriptor)
    : FORWARDED;
}

/**
 * True if the packet may go on although it is longer than the line's MTU: a superpacket whose segments fit, or one without DF, which
 * is fragmented.
 */
function fitsLine(
  bytes: Uint8Array,
  at: number,
  l4: number,
  length: number,
  offload: number,
  mtu: number,
): boolean {
  const gsoType = (offload >>> 8) & 0x7f;
  if (gsoType !== GSO_NONE) {
    const header = gsoType === GSO_UDP_L4 ? UDP_HEADER_BYTES : tcpHeaderBytes(bytes, l4);
    return l4 - at + header + (offload >>> 16) <= mtu;
  }
  return length <= mtu || (readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FLAG_DF) === 0;
}

/** Asks the policy and the allocator for a session; ~reason when there is none. */
function open(
  ctx: Context,
  l4: number,
  l4Bytes: number,
  protocol: number,
  source: number,
  destination: number,
  ports: number,
): number {
  const { bytes } = ctx.frames;
  const lan = ctx.lanOf(source);
  if (lan < 0) return ~Drop.SourceNotInternal;
  // LAN to LAN is the kernel's; here it would take an external port and come out with the line's address.
  if (isUnroutable(destination) || ctx.lanOf(destination) >= 0) return ~Drop.UnroutableDestination;

  const first = ctx.table.opening;
  first.begin(protocol, source, ports >>> 16, destination, ports & 0xffff, lan);
  // The SYN came in to a port that the host owns, and made no session: its answer does.
  let isAnswer = false;
  let headerBytes = protocol === PROTOCOL_UDP ? UDP_HEADER_BYTES : ICMP_HEADER_BYTES;
  if (protocol === PROTOCOL_TCP) {
    const control = bytes[l4 + TCP_FLAGS] & (TCP_SYN | TCP_ACK);
    isAnswer = control === (TCP_SYN | TCP_ACK) && ownsPort(ctx, source, ports >>> 16, protocol);
    if (control !== TCP_SYN && !isAnswer) return ~Drop.TcpWithoutSession;
    headerBytes = tcpHeaderBytes(bytes, l4);
    const timestamp = findTimestamp(bytes, l4, l4 + headerBytes);
    first.isSyn = true;
    first.sequence = readI32(bytes, l4 + TCP_SEQUENCE);
    first.hasTimestamp = timestamp >= 0;
    first.timestamp = timestamp >= 0 ? readI32(bytes, timestamp) : 0;
  }
  first.bytes = bytes;
  first.payloadAt = l4 + headerBytes;
  first.payloadBytes = l4Bytes - headerBytes;
  first.isGateway = source === ctx.lans[lan].gatewayAddress;
  const session = ctx.table.open(first, ctx.line.externalAddress, ctx.line.externalIndex);
  if (isAnswer && session >= 0) ctx.table.setState(session, State.TcpInit, Flag.CreatedInbound);
  return session;
}

/** True if the internal endpoint owns its external port. */
function ownsPort(ctx: Context, address: number, port: number, protocol: number): boolean {
  const { mappings } = ctx.parts;
  const mapping = mappings.find(address, port, protocol);
  return mapping >= 0 && mappings.isOwner(mapping);
}

/** What the sender is told when no session was made. @param reason may hold REFUSED_SILENTLY */
function openRefused(ctx: Context, descriptor: number, reason: number): number {
  switch (reason) {
    case Drop.SourceNotInternal:
    case Drop.UnroutableDestination:
    case Drop.TcpWithoutSession:
      return ctx.drop(reason);
    default:
      return (reason & REFUSED_SILENTLY) === 0
        ? answerProhibited(ctx, descriptor, reason)
        : ctx.drop(reason & ~REFUSED_SILENTLY);
  }
}

/** A protocol without ports cannot share an address: refused, never leaked. */
function refuseProtocol(
  ctx: Context,
  descriptor: number,
  source: number,
  destination: number,
): number {
  if (isUnroutable(destination)) return ctx.drop(Drop.UnroutableDestination);
  if (ctx.lanOf(source) < 0) return ctx.drop(Drop.SourceNotInternal);
  return answerProtocol(ctx, descriptor);
}
