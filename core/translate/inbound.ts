/**
 * WAN to LAN: the exact 5-tuple; else the owner of the port, if its filter admits the remote address; else dropped by name.
 *
 * A packet to an owner makes no session: it is translated by the mapping alone until the internal host answers, so that a flood of
 * sources costs nothing.
 */
import { FRAME_LENGTH, FRAME_OFFLOAD } from '../frames.ts';
import { Flag, State } from '../state.ts';
import {
  M_INTERNAL_ADDRESS,
  M_PORTS,
  S_BYTES_IN,
  S_COMMIT,
  S_DELTAS,
  S_INTERNAL_ADDRESS,
  S_LAST_INBOUND,
  S_LAST_SEEN,
  S_PACKETS_IN,
  S_PORTS,
} from '../table/arena.ts';
import { Counter } from '../table/counters.ts';
import { MAPPING_SHIFT } from '../table/mappings.ts';
import { SESSION_SHIFT } from '../table/sessions.ts';
import { Drop, FORWARDED } from '../verdict.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import { addressDelta, fold, inverse, wordDelta } from '../wire/checksum.ts';
import { ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, ICMP_ID, isTranslatedError } from '../wire/icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { TCP_FLAGS, TCP_SYN } from '../wire/tcp.ts';
import { answerEcho } from './answer.ts';
import type { Context } from './context.ts';
import { errorInbound } from './icmp-error.ts';
import { clampMss } from './mss.ts';
import { rewriteHeader, rewriteTransport } from './rewrite.ts';
import { isClosed, trackInbound } from './tcp-state.ts';

/** Translates one packet whose destination is the line's external address. Parameters as of `outbound`. */
export function inbound(
  ctx: Context,
  descriptor: number,
  at: number,
  l4: number,
  l4Bytes: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const { line } = ctx;
  const protocol = bytes[at + IPV4_PROTOCOL];
  const source = readI32(bytes, at + IPV4_SOURCE);

  let externalPort: number;
  let remotePort = 0;
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
    remotePort = readU16(bytes, l4);
    externalPort = readU16(bytes, l4 + 2);
  } else if (protocol !== PROTOCOL_ICMP) return ctx.drop(Drop.ProtocolNotTranslated);
  else if (bytes[l4] === ICMP_ECHO_REPLY) externalPort = readU16(bytes, l4 + ICMP_ID);
  else if (isTranslatedError(bytes[l4])) return errorInbound(ctx, at, l4, l4Bytes);
  else if (bytes[l4] === ICMP_ECHO_REQUEST) return answerEcho(ctx, descriptor, at, l4);
  else return ctx.drop(Drop.IcmpTypeNotTranslated);

  const { sessions } = ctx.parts;
  const external = (externalPort << 16) | (line.externalIndex << 8) | protocol;
  const session = sessions.findExternal(external, source, remotePort);
  if (session < 0) return toOwner(ctx, descriptor, at, l4, protocol, source, externalPort);

  const { words } = sessions;
  const s = session << SESSION_SHIFT;
  const { tick } = ctx.table;
  const virtioFlags = descriptors[descriptor + FRAME_OFFLOAD] & 0xff;
  // The remote cannot keep a closed connection alive.
  let refreshes = true;
  if (protocol === PROTOCOL_TCP) {
    refreshes = !isClosed(words[s + S_COMMIT] & 63);
    clampSyn(ctx, l4, virtioFlags);
    trackInbound(words, s, bytes, l4, l4Bytes);
  } else {
    const commit = words[s + S_COMMIT];
    if ((commit & 63) === State.Unanswered) {
      // Before the first packet is counted: the list of unanswered sessions leads through these words.
      ctx.parts.unanswered.leave(session);
      words[s + S_COMMIT] = (commit & ~63) | State.Answered | (Flag.Answered << 12);
    }
    words[s + S_PACKETS_IN]++;
    words[s + S_LAST_INBOUND] = tick;
  }

  const deltas = words[s + S_DELTAS];
  const addressSum = inverse(deltas >>> 16);
  const internalPort = words[s + S_PORTS] >>> 16;
  rewriteTransport(
    bytes,
    l4,
    protocol,
    l4 + 2,
    internalPort,
    addressSum,
    inverse(deltas & 0xffff),
    virtioFlags,
  );
  rewriteHeader(
    bytes,
    at,
    at + IPV4_DESTINATION,
    words[s + S_INTERNAL_ADDRESS],
    addressSum,
    line.restoreHopsInbound,
  );

  if (refreshes) words[s + S_LAST_SEEN] = tick;
  const length = descriptors[descriptor + FRAME_LENGTH];
  const units = words[s + S_BYTES_IN] + ((length + (bytes[at + 11] & 63)) >> 6);
  words[s + S_BYTES_IN] = Math.min(units, 0x7fffffff);
  ctx.countInbound(length);
  return FORWARDED;
}

/** Clamps the MSS of the segment at `tcp` if it is a SYN. */
function clampSyn(ctx: Context, tcp: number, virtioFlags: number): void {
  const { bytes } = ctx.frames;
  if ((bytes[tcp + TCP_FLAGS] & TCP_SYN) !== 0 && clampMss(bytes, tcp, ctx.line.mtu, virtioFlags))
    ctx.counters[Counter.MssClamped]++;
}

/** No session: the port's owner gets the packet if its filter admits that address. */
function toOwner(
  ctx: Context,
  descriptor: number,
  at: number,
  l4: number,
  protocol: number,
  source: number,
  externalPort: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const { ports, mappings, filter, upstream } = ctx.parts;
  const { line } = ctx;
  const number = ports.set.numberOf(externalPort);
  if (number < 0) return ctx.drop(Drop.NotInPortSet);
  // The NAT above has let it in, and begins its time anew.
  if (upstream !== undefined) {
    const remotePort = protocol === PROTOCOL_ICMP ? 0 : readU16(bytes, l4);
    const external = (externalPort << 16) | (line.externalIndex << 8) | protocol;
    upstream.heard(external, source, remotePort, ctx.table.tick);
  }
  const owner = ports.owner(ports.group(line.externalIndex, protocol), number);
  if (owner < 0) return ctx.drop(Drop.NoSession);
  // A hairpin comes from an endpoint of ours, and hosts of the LAN are let in. Other ports of a shared address are a neighbour's.
  const isHairpin =
    source === line.externalAddress &&
    protocol !== PROTOCOL_ICMP &&
    ports.set.numberOf(readU16(bytes, l4)) >= 0;
  if (!isHairpin && !filter.admits(owner, source)) return ctx.drop(Drop.FilteredByOwner);

  const m = owner << MAPPING_SHIFT;
  const internalAddress = mappings.words[m + M_INTERNAL_ADDRESS];
  const internalPort = mappings.words[m + M_PORTS] >>> 16;
  const address = addressDelta(line.externalAddress, internalAddress);
  const port = wordDelta(externalPort, internalPort);
  const addressSum = fold(address);
  const fullSum = fold(protocol === PROTOCOL_ICMP ? port : address + port);
  const virtioFlags = descriptors[descriptor + FRAME_OFFLOAD] & 0xff;
  if (protocol === PROTOCOL_TCP) clampSyn(ctx, l4, virtioFlags);
  rewriteTransport(bytes, l4, protocol, l4 + 2, internalPort, addressSum, fullSum, virtioFlags);
  rewriteHeader(
    bytes,
    at,
    at + IPV4_DESTINATION,
    internalAddress,
    addressSum,
    line.restoreHopsInbound,
  );
  ctx.counters[Counter.OwnerPackets]++;
  ctx.countInbound(descriptors[descriptor + FRAME_LENGTH]);
  return FORWARDED;
}
