/**
 * What the relay says to senders: ICMP to those of IPv4 packets, ICMPv6 to CEs about their tunnel packets. Built in place, in the room in
 * front of the packet that caused it.
 *
 *   ICMP       from the relay's IPv4 address. To the Internet as it stands; to a CE through the tunnel, to the owner of the port in the
 *              quoted packet, as any ICMP error that comes from the Internet
 *   ICMPv6     from the relay's IPv6 address: type 1 code 5 for a packet whose source is not the CE's own (RFC 7597 section 8.1), and
 *              echo replies, since `ping` of the relay is how a CE's operator begins
 */
import { FRAME_LENGTH, FRAME_OFFLOAD, FRAME_OFFSET, VNET_HEADER_BYTES } from '../frames.ts';
import { finishAnswer, mayBeAnswered } from '../translate/answer.ts';
import { ANSWERED } from '../verdict.ts';
import { readI32, readU16, writeI32, writeU16 } from '../wire/bytes.ts';
import { replaceWord, sumBytes } from '../wire/checksum.ts';
import { ICMP_CODE, ICMP_HEADER_BYTES, ICMP_ID, ICMP_TYPE } from '../wire/icmp.ts';
import {
  ICMPV6_CHECKSUM,
  ICMPV6_CODE,
  ICMPV6_HEADER_BYTES,
  ICMPV6_MTU,
  ICMPV6_TYPE,
  ICMPV6_UNREACHABLE,
} from '../wire/icmpv6.ts';
import { IPV4_SOURCE, IPV4_TOTAL_LENGTH } from '../wire/ipv4.ts';
import {
  IPV6_ADDRESS_BYTES,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_MTU_MIN,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  NEXT_HEADER_ICMPV6,
} from '../wire/ipv6.ts';
import { portOfDestination } from '../wire/ports.ts';
import { Answer, type RelayContext, RelayCounter } from './context.ts';
import { RelayDrop } from './drops.ts';
import { encapsulate } from './to-ce.ts';

/** RFC 1812 section 4.3.2.3: as much of the packet as fits into 576 bytes. */
const QUOTE_BYTES_MAX = 548;
/** RFC 4443 section 2.4: as much as fits into the smallest MTU. */
const TUNNEL_QUOTE_BYTES_MAX = IPV6_MTU_MIN - IPV6_HEADER_BYTES - ICMPV6_HEADER_BYTES;
/** 64 on the wire: the kernel takes one when it forwards from the TUN. */
const HOP_LIMIT = 65;
const FAILED_POLICY = 5;
const ECHO_REPLY = 129;

/**
 * Turns the IPv4 packet in the frame into an ICMP error about itself.
 * @param kind one of Answer; @param reason counted, and the verdict when no answer may be sent
 */
export function answer(
  ctx: RelayContext,
  descriptor: number,
  reason: number,
  kind: number,
  type: number,
  code: number,
  parameter: number,
): number {
  const at = ctx.frames.descriptors[descriptor + FRAME_OFFSET];
  const dropped = ctx.drop(reason);
  const length = readU16(ctx.frames.bytes, at + IPV4_TOTAL_LENGTH);
  const said = answerAbout(ctx, descriptor, at, length, kind, type, code, parameter);
  return said < 0 ? dropped : said;
}

/**
 * Makes the frame an ICMP error to the sender of the IPv4 packet at `at`, of which `length` bytes are there.
 * @returns a negative number when it may not be sent
 */
export function answerAbout(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  length: number,
  kind: number,
  type: number,
  code: number,
  parameter: number,
): number {
  const { bytes } = ctx.frames;
  const { ipv4Address } = ctx.plan;
  const sender = readI32(bytes, at + IPV4_SOURCE);
  if (sender === ipv4Address || !mayBeAnswered(bytes, at)) return -1;
  if (!ctx.mayAnswer(kind)) return ctx.drop(RelayDrop.AnswerLimited);

  const icmp = at - ICMP_HEADER_BYTES;
  bytes[icmp + ICMP_TYPE] = type;
  bytes[icmp + ICMP_CODE] = code;
  writeI32(bytes, icmp + ICMP_ID, parameter);
  finishAnswer(ctx, descriptor, icmp, Math.min(length, QUOTE_BYTES_MAX), ipv4Address, sender);
  return towards(ctx, descriptor, sender);
}

/** The way of an answer that is ready: into the tunnel if it is for a CE. */
function towards(ctx: RelayContext, descriptor: number, destination: number): number {
  const rule = ctx.ruleOf(destination);
  if (rule < 0) return ANSWERED;
  const { bytes, descriptors } = ctx.frames;
  const at = descriptors[descriptor + FRAME_OFFSET];
  const end = at + descriptors[descriptor + FRAME_LENGTH];
  const port = ctx.isShared(rule) ? portOfDestination(bytes, at, end) : 0;
  if (port < 0 || !ctx.findOwner(rule, destination, port)) return -1;
  return encapsulate(ctx, at);
}

/**
 * Turns a tunnel packet into the ICMPv6 error that its source was refused.
 * @param at offset of its IPv6 header; @param length of the whole packet
 */
export function answerSpoofed(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  length: number,
  reason: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const dropped = ctx.drop(reason);
  // Multicast, and the address that is none (RFC 4443 section 2.4).
  if (bytes[at + IPV6_SOURCE] === 0xff || readI32(bytes, at + IPV6_SOURCE) === 0) return dropped;
  if (!ctx.mayAnswer(Answer.Tunnel)) return ctx.drop(RelayDrop.AnswerLimited);

  const quoted = Math.min(length, TUNNEL_QUOTE_BYTES_MAX);
  const message = ICMPV6_HEADER_BYTES + quoted;
  const icmpv6 = at - ICMPV6_HEADER_BYTES;
  const ip = icmpv6 - IPV6_HEADER_BYTES;
  for (let i = ip - VNET_HEADER_BYTES; i < at; i++) bytes[i] = 0;
  bytes[ip] = 0x60;
  writeU16(bytes, ip + IPV6_PAYLOAD_LENGTH, message);
  bytes[ip + IPV6_NEXT_HEADER] = NEXT_HEADER_ICMPV6;
  bytes[ip + IPV6_HOP_LIMIT] = HOP_LIMIT;
  for (let i = 0; i < IPV6_ADDRESS_BYTES; i++) {
    bytes[ip + IPV6_SOURCE + i] = ctx.plan.address[i];
    bytes[ip + IPV6_DESTINATION + i] = bytes[at + IPV6_SOURCE + i];
  }
  bytes[icmpv6 + ICMPV6_TYPE] = ICMPV6_UNREACHABLE;
  bytes[icmpv6 + ICMPV6_CODE] = FAILED_POLICY;
  writeI32(bytes, icmpv6 + ICMPV6_MTU, 0);
  const pseudo = sumBytes(bytes, ip + IPV6_SOURCE, IPV6_ADDRESS_BYTES * 2);
  const sum = sumBytes(bytes, icmpv6, message, pseudo + message + NEXT_HEADER_ICMPV6);
  writeU16(bytes, icmpv6 + ICMPV6_CHECKSUM, ~sum & 0xffff);

  descriptors[descriptor + FRAME_OFFSET] = ip;
  descriptors[descriptor + FRAME_LENGTH] = IPV6_HEADER_BYTES + message;
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  ctx.counters[RelayCounter.PacketsAnswered]++;
  return ANSWERED;
}

/** Answers an ICMPv6 echo request to the relay: the addresses change places, which the checksum does not notice. */
export function answerEcho6(
  ctx: RelayContext,
  descriptor: number,
  at: number,
  payload: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const icmpv6 = at + IPV6_HEADER_BYTES;
  if (bytes[at + IPV6_SOURCE] === 0xff) return ctx.drop(RelayDrop.TunnelPacketNotAccepted);
  if (!ctx.mayAnswer(Answer.Tunnel)) return ctx.drop(RelayDrop.AnswerLimited);
  for (let i = 0; i < IPV6_ADDRESS_BYTES; i++) {
    bytes[at + IPV6_DESTINATION + i] = bytes[at + IPV6_SOURCE + i];
    bytes[at + IPV6_SOURCE + i] = ctx.plan.address[i];
  }
  bytes[at + IPV6_HOP_LIMIT] = HOP_LIMIT;
  replaceWord(bytes, icmpv6, ECHO_REPLY << 8, icmpv6 + ICMPV6_CHECKSUM, icmpv6);
  for (let i = at - VNET_HEADER_BYTES; i < at; i++) bytes[i] = 0;
  // What follows the packet's own end is padding of the link.
  descriptors[descriptor + FRAME_LENGTH] = IPV6_HEADER_BYTES + payload;
  descriptors[descriptor + FRAME_OFFLOAD] = 0;
  ctx.counters[RelayCounter.PacketsAnswered]++;
  return ANSWERED;
}
