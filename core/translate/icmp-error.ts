/**
 * ICMP errors, with the packet inside them (RFC 5508 section 4).
 *
 *   inbound error     outer: router → EXTERNAL      quoted: EXTERNAL:port → remote      (a packet that we sent)
 *                     outer: router → internal      quoted: internal:port → remote
 *
 *   outbound error    outer: host → remote          quoted: remote → internal:port      (a packet that we delivered)
 *                     outer: EXTERNAL → remote      quoted: remote → EXTERNAL:port
 *
 * The quoted packet is found in the table by its own 5-tuple, whoever sends the error. An error neither refreshes nor ends a session
 * (REQ-6, RFC 4787 REQ-12). A wrong ICMP checksum or a wrong header checksum of the quoted packet drops it (REQ-3); the quoted
 * transport checksum is not checked but kept consistent, as far as it was quoted at all.
 */
import { S_EXTERNAL, S_INTERNAL_ADDRESS, S_PORTS } from '../table/arena.ts';
import { Counter } from '../table/counters.ts';
import { SESSION_SHIFT } from '../table/sessions.ts';
import { Drop, FORWARDED } from '../verdict.ts';
import { readI32, readU16, writeU16 } from '../wire/bytes.ts';
import { addressDelta, adjust, adjustAt, fold, sumBytes, wordDelta } from '../wire/checksum.ts';
import {
  ICMP_CHECKSUM,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_ID,
  isTranslatedError,
} from '../wire/icmp.ts';
import {
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  ipv4HeaderBytes,
  ipv4HeaderIsSound,
  isUnroutable,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM } from '../wire/udp.ts';
import type { Context } from './context.ts';
import { renewIdentification } from './fragments.ts';
import { rewriteHeader } from './rewrite.ts';

/** Of the quoted transport header, ports and identifiers lie in the first 8 bytes. */
const QUOTED_TRANSPORT_BYTES = 8;

/** An error from the WAN about a packet that we sent. */
export function errorInbound(ctx: Context, at: number, icmp: number, icmpBytes: number): number {
  const { bytes } = ctx.frames;
  const bad = checkError(ctx, icmp, icmpBytes);
  if (bad !== 0) return bad;
  const quote = icmp + ICMP_HEADER_BYTES;
  const session = findQuotedOutbound(ctx, quote);
  if (session < 0) return ctx.drop(Drop.IcmpErrorWithoutSession);

  const { words } = ctx.parts.sessions;
  const s = session << SESSION_SHIFT;
  const internalAddress = words[s + S_INTERNAL_ADDRESS];
  const { line } = ctx;
  const end = icmp + icmpBytes;
  rewriteQuote(bytes, quote, end, IPV4_SOURCE, internalAddress, words[s + S_PORTS] >>> 16, icmp);
  rewriteHeader(
    bytes,
    at,
    at + IPV4_DESTINATION,
    internalAddress,
    fold(addressDelta(line.externalAddress, internalAddress)),
    line.restoreHopsInbound,
  );
  ctx.counters[Counter.IcmpErrorsTranslated]++;
  ctx.countInbound(end - at);
  return FORWARDED;
}

/**
 * The session of a quoted packet that we sent, or -1. The caller has checked the quote.
 * @param quote offset of the quoted IPv4 header
 */
export function findQuotedOutbound(ctx: Context, quote: number): number {
  const { bytes } = ctx.frames;
  const { line } = ctx;
  if (readI32(bytes, quote + IPV4_SOURCE) !== line.externalAddress) return -1;
  if (isLaterFragment(bytes, quote)) return -1;
  const protocol = bytes[quote + IPV4_PROTOCOL];
  const l4 = quote + ipv4HeaderBytes(bytes, quote);
  let externalPort = readU16(bytes, l4);
  let remotePort = readU16(bytes, l4 + 2);
  if (protocol === PROTOCOL_ICMP) {
    if (bytes[l4] !== ICMP_ECHO_REQUEST) return -1;
    externalPort = readU16(bytes, l4 + ICMP_ID);
    remotePort = 0;
  } else if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return -1;
  const external = (externalPort << 16) | (line.externalIndex << 8) | protocol;
  return ctx.parts.sessions.findExternal(
    external,
    readI32(bytes, quote + IPV4_DESTINATION),
    remotePort,
  );
}

/** True if the quoted packet has no transport header: what stands in its place is payload. */
const isLaterFragment = (bytes: Uint8Array, quote: number): boolean =>
  (readU16(bytes, quote + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0;

/** An error from the LAN about a packet that we delivered. @param hops to give back */
export function errorOutbound(
  ctx: Context,
  at: number,
  icmp: number,
  icmpBytes: number,
  hops: number,
): number {
  const { bytes } = ctx.frames;
  const { line } = ctx;
  const source = readI32(bytes, at + IPV4_SOURCE);
  if (ctx.lanOf(source) < 0) return ctx.drop(Drop.SourceNotInternal);
  const destination = readI32(bytes, at + IPV4_DESTINATION);
  if (isUnroutable(destination) || ctx.lanOf(destination) >= 0)
    return ctx.drop(Drop.UnroutableDestination);
  const bad = checkError(ctx, icmp, icmpBytes);
  if (bad !== 0) return bad;
  const quote = icmp + ICMP_HEADER_BYTES;
  const externalPort = findQuotedInbound(ctx, quote);
  if (externalPort < 0) return ctx.drop(Drop.IcmpErrorWithoutSession);

  const end = icmp + icmpBytes;
  rewriteQuote(bytes, quote, end, IPV4_DESTINATION, line.externalAddress, externalPort, icmp);
  rewriteHeader(
    bytes,
    at,
    at + IPV4_SOURCE,
    line.externalAddress,
    fold(addressDelta(source, line.externalAddress)),
    hops,
  );
  renewIdentification(ctx, at);
  ctx.counters[Counter.IcmpErrorsTranslated]++;
  ctx.countOutbound(end - at);
  return FORWARDED;
}

/**
 * The external port of a quoted packet that we delivered: by its session, else by the owner's mapping; -1 if there is neither. What
 * comes in under the 5-tuple of a guest of the port is not delivered to its owner.
 */
function findQuotedInbound(ctx: Context, quote: number): number {
  const { bytes } = ctx.frames;
  const { sessions, mappings } = ctx.parts;
  if (isLaterFragment(bytes, quote)) return -1;
  const protocol = bytes[quote + IPV4_PROTOCOL];
  const l4 = quote + ipv4HeaderBytes(bytes, quote);
  let remotePort = readU16(bytes, l4);
  let internalPort = readU16(bytes, l4 + 2);
  if (protocol === PROTOCOL_ICMP) {
    if (bytes[l4] !== ICMP_ECHO_REPLY) return -1;
    internalPort = readU16(bytes, l4 + ICMP_ID);
    remotePort = 0;
  } else if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP) return -1;
  const internal = readI32(bytes, quote + IPV4_DESTINATION);
  const remote = readI32(bytes, quote + IPV4_SOURCE);
  const ports = (internalPort << 16) | remotePort;
  const session = sessions.findInternal(internal, remote, ports, protocol);
  if (session >= 0) return sessions.words[(session << SESSION_SHIFT) + S_EXTERNAL] >>> 16;
  const mapping = mappings.find(internal, internalPort, protocol);
  if (mapping < 0 || !mappings.isOwner(mapping)) return -1;
  const externalPort = mappings.externalPort(mapping);
  const external = (externalPort << 16) | (ctx.line.externalIndex << 8) | protocol;
  return sessions.findExternal(external, remote, remotePort) < 0 ? externalPort : -1;
}

/** 0 if the error is sound and its quote is long enough; otherwise the verdict. */
function checkError(ctx: Context, icmp: number, icmpBytes: number): number {
  const { bytes } = ctx.frames;
  if (!isTranslatedError(bytes[icmp])) return ctx.drop(Drop.IcmpTypeNotTranslated);
  if (!isQuoteSound(bytes, icmp + ICMP_HEADER_BYTES, icmp + icmpBytes))
    return ctx.drop(Drop.IcmpBadQuote);
  if (sumBytes(bytes, icmp, icmpBytes) !== 0xffff) return ctx.drop(Drop.IcmpBadChecksum);
  return 0;
}

/** True if a whole IPv4 header with a right checksum and the first 8 transport bytes lie before `end`. */
export function isQuoteSound(bytes: Uint8Array, quote: number, end: number): boolean {
  if (quote + IPV4_HEADER_BYTES > end || bytes[quote] >>> 4 !== 4) return false;
  const header = ipv4HeaderBytes(bytes, quote);
  if (header < IPV4_HEADER_BYTES || quote + header + QUOTED_TRANSPORT_BYTES > end) return false;
  return ipv4HeaderIsSound(bytes, quote);
}

/**
 * Gives the quoted packet another address and port, and keeps three checksums true: its header's, its transport's as far as quoted,
 * and that of the ICMP message around it.
 * @param addressField IPV4_SOURCE or IPV4_DESTINATION: the port is on the same side
 */
export function rewriteQuote(
  bytes: Uint8Array,
  quote: number,
  end: number,
  addressField: number,
  address: number,
  port: number,
  icmp: number,
): void {
  const protocol = bytes[quote + IPV4_PROTOCOL];
  const l4 = quote + ipv4HeaderBytes(bytes, quote);
  const before = readI32(bytes, quote + addressField);
  const isEcho = protocol === PROTOCOL_ICMP;
  const portAt = isEcho ? l4 + ICMP_ID : addressField === IPV4_SOURCE ? l4 : l4 + 2;
  const addressSum = addressDelta(before, address);
  const portSum = wordDelta(readU16(bytes, portAt), port);

  const headerSum = fold(addressSum);
  setWord(bytes, quote + addressField, address >>> 16, icmp);
  setWord(bytes, quote + addressField + 2, address & 0xffff, icmp);
  const headerAt = quote + IPV4_CHECKSUM;
  setWord(bytes, headerAt, adjust(readU16(bytes, headerAt), headerSum), icmp);
  setWord(bytes, portAt, port, icmp);

  const checksumAt =
    l4 + (isEcho ? ICMP_CHECKSUM : protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
  if (checksumAt + 2 > end) return;
  const checksum = readU16(bytes, checksumAt);
  if (protocol === PROTOCOL_UDP && checksum === 0) return;
  const adjusted = adjust(checksum, fold(isEcho ? portSum : addressSum + portSum));
  // A computed zero is sent as all ones (RFC 768).
  setWord(bytes, checksumAt, protocol === PROTOCOL_UDP && adjusted === 0 ? 0xffff : adjusted, icmp);
}

/** Writes a 16-bit word at an even distance from the ICMP header and adjusts the ICMP checksum. */
function setWord(bytes: Uint8Array, at: number, value: number, icmp: number): void {
  adjustAt(bytes, icmp + ICMP_CHECKSUM, fold(wordDelta(readU16(bytes, at), value)));
  writeU16(bytes, at, value);
}
