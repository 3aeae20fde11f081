/**
 * ICMP answers to an internal sender, built in place: the packet that caused it is quoted where it lies, and the two headers are
 * written into the free room in front of it.
 *
 *      headroom        | virtio 12 | IPv4 20 | ICMP 8 | quoted packet, at most 548 bytes
 *                                  ^ new offset       ^ old offset
 *
 * RFC 1812 section 4.3.2.3: as much of the packet as fits into 576 bytes. Section 4.3.2.7: never about an ICMP error, a later fragment,
 * a multicast or broadcast packet, or from an invalid source. The source is the gateway's own address in the sender's LAN, so that
 * traceroute and path MTU discovery see the gateway and not the line.
 */
import { FRAME_LENGTH, FRAME_OFFLOAD, FRAME_OFFSET, VNET_HEADER_BYTES } from '../frames.ts';
import { Counter } from '../table/counters.ts';
import { ANSWERED, Drop } from '../verdict.ts';
import { readI32, readU16, writeI32, writeU16 } from '../wire/bytes.ts';
import { adjustIcmpAt, fold, sumBytes, wordDelta } from '../wire/checksum.ts';
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_BYTES,
  ICMP_ID,
  ICMP_TIME_EXCEEDED,
  ICMP_TYPE,
  ICMP_UNREACHABLE,
  isIcmpError,
  UNREACHABLE_FRAGMENTATION_NEEDED,
  UNREACHABLE_PROHIBITED,
  UNREACHABLE_PROTOCOL,
} from '../wire/icmp.ts';
import {
  finishIpv4Header,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_BITS,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOS,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  ipv4HeaderBytes,
  isUnroutable,
  PROTOCOL_ICMP,
  setTtl,
} from '../wire/ipv4.ts';
import type { Context } from './context.ts';

const QUOTE_BYTES_MAX = 548;
const ANSWER_TTL = 64;
/** Internetwork control (RFC 1812 section 4.3.2.5). */
const ANSWER_TOS = 0xc0;

/** Answers "prohibited" (3/13): connected UDP sockets are told of it, of codes 0 and 1 they are not. */
export const answerProhibited = (ctx: Context, descriptor: number, reason: number): number =>
  answer(ctx, descriptor, reason, ICMP_UNREACHABLE, UNREACHABLE_PROHIBITED, 0);

/** Answers "protocol unreachable" (3/2). */
export const answerProtocol = (ctx: Context, descriptor: number): number =>
  answer(ctx, descriptor, Drop.ProtocolNotTranslated, ICMP_UNREACHABLE, UNREACHABLE_PROTOCOL, 0);

/** Answers "fragmentation needed" (3/4) with the next-hop MTU (RFC 1191). */
export const answerTooBig = (ctx: Context, descriptor: number, mtu: number): number =>
  answer(
    ctx,
    descriptor,
    Drop.TooBigForLine,
    ICMP_UNREACHABLE,
    UNREACHABLE_FRAGMENTATION_NEEDED,
    mtu,
  );

/** Answers "time exceeded" (11/0). */
export const answerExpired = (ctx: Context, descriptor: number): number =>
  answer(ctx, descriptor, Drop.TtlExpired, ICMP_TIME_EXCEEDED, 0, 0);

/** Answers an echo request to our own address (RFC 1122 section 3.2.2.6): the two addresses change places, the payload stays. */
export function answerEcho(ctx: Context, descriptor: number, at: number, icmp: number): number {
  const { bytes, descriptors } = ctx.frames;
  const sender = readI32(bytes, at + IPV4_SOURCE);
  if (isUnroutable(sender)) return ctx.drop(Drop.UnroutableDestination);
  // A part of an echo cannot be answered.
  if ((readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS) !== 0)
    return ctx.drop(Drop.NoSession);
  if (!ctx.mayAnswer(sender)) return ctx.drop(Drop.AnswerLimited);
  writeI32(bytes, at + IPV4_SOURCE, readI32(bytes, at + IPV4_DESTINATION));
  writeI32(bytes, at + IPV4_DESTINATION, sender);
  setTtl(bytes, at, ANSWER_TTL);
  const reply = ICMP_ECHO_REPLY << 8;
  adjustIcmpAt(bytes, icmp + ICMP_CHECKSUM, fold(wordDelta(readU16(bytes, icmp), reply)));
  writeU16(bytes, icmp, reply);
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  ctx.counters[Counter.PacketsAnswered]++;
  return ANSWERED;
}

/**
 * Turns the frame into an ICMP error about itself.
 * @param descriptor first word of the frame's descriptor; @param reason counted, and the verdict when no answer may be sent
 */
function answer(
  ctx: Context,
  descriptor: number,
  reason: number,
  type: number,
  code: number,
  parameter: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const at = descriptors[descriptor + FRAME_OFFSET];
  const sender = readI32(bytes, at + IPV4_SOURCE);
  const dropped = ctx.drop(reason);
  const lan = ctx.lanOf(sender);
  if (lan < 0 || !mayBeAnswered(bytes, at)) return dropped;
  if (ctx.isLanBroadcast(readI32(bytes, at + IPV4_DESTINATION))) return dropped;
  if (!ctx.mayAnswer(sender)) return ctx.drop(Drop.AnswerLimited);

  const quoted = Math.min(readU16(bytes, at + IPV4_TOTAL_LENGTH), QUOTE_BYTES_MAX);
  const icmp = at - ICMP_HEADER_BYTES;
  bytes[icmp + ICMP_TYPE] = type;
  bytes[icmp + ICMP_CODE] = code;
  writeI32(bytes, icmp + ICMP_ID, parameter);
  finishAnswer(ctx, descriptor, icmp, quoted, ctx.lans[lan].gatewayAddress, sender);
  return ANSWERED;
}

/**
 * Writes IPv4 header and checksums around an ICMP error whose type, code and parameter stand at `icmp`, followed by `quoted` bytes,
 * and points the descriptor to it.
 */
export function finishAnswer(
  ctx: Pick<Context, 'frames' | 'counters'>,
  descriptor: number,
  icmp: number,
  quoted: number,
  source: number,
  destination: number,
): void {
  const { bytes, descriptors } = ctx.frames;
  writeU16(bytes, icmp + ICMP_CHECKSUM, 0);
  const sum = sumBytes(bytes, icmp, ICMP_HEADER_BYTES + quoted);
  writeU16(bytes, icmp + ICMP_CHECKSUM, ~sum & 0xffff);

  const ip = icmp - IPV4_HEADER_BYTES;
  bytes.fill(0, ip - VNET_HEADER_BYTES, ip + IPV4_HEADER_BYTES);
  bytes[ip] = 0x45;
  bytes[ip + IPV4_TOS] = ANSWER_TOS;
  const length = IPV4_HEADER_BYTES + ICMP_HEADER_BYTES + quoted;
  writeU16(bytes, ip + IPV4_TOTAL_LENGTH, length);
  bytes[ip + IPV4_TTL] = ANSWER_TTL;
  bytes[ip + IPV4_PROTOCOL] = PROTOCOL_ICMP;
  writeI32(bytes, ip + IPV4_SOURCE, source);
  writeI32(bytes, ip + IPV4_DESTINATION, destination);
  finishIpv4Header(bytes, ip);

  descriptors[descriptor + FRAME_OFFSET] = ip;
  descriptors[descriptor + FRAME_LENGTH] = length;
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  ctx.counters[Counter.PacketsAnswered]++;
}

/** RFC 1122 section 3.2.2: what must never be answered with an error. */
export function mayBeAnswered(bytes: Uint8Array, at: number): boolean {
  if ((readU16(bytes, at + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0) return false;
  if (isUnroutable(readI32(bytes, at + IPV4_DESTINATION))) return false;
  if (isUnroutable(readI32(bytes, at + IPV4_SOURCE))) return false;
  return (
    bytes[at + IPV4_PROTOCOL] !== PROTOCOL_ICMP ||
    !isIcmpError(bytes[at + ipv4HeaderBytes(bytes, at)])
  );
}
