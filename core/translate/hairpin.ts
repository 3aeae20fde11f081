/**
 * From the LAN to our own external address (RFC 4787 REQ-9, RFC 5382 REQ-8).
 *
 *   A:pa → EXT:pe     outbound   EXT:pa' → EXT:pe     inbound   EXT:pa' → B:pb
 *
 * Two complete translations and two sessions: the receiver sees the external endpoint of the sender, and its answer comes back the same
 * way. A port that somebody owns lets hosts of the LAN in whatever its filter says of remotes. ICMP errors take both steps too (RFC 5508
 * REQ-7): their source becomes the external address.
 *
 * On a shared address a port outside our set is a neighbour's: a packet to it, or an error about one from it, goes out like any other. A
 * ping of the address itself is answered here.
 */
import { Drop, FORWARDED } from '../verdict.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import { ICMP_ECHO_REQUEST, isTranslatedError } from '../wire/icmp.ts';
import {
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { NO_PORT, portOfDestination } from '../wire/ports.ts';
import { answerEcho, answerProtocol } from './answer.ts';
import type { Context } from './context.ts';
import { errorInbound, errorOutbound } from './icmp-error.ts';
import { inbound } from './inbound.ts';
import { outbound } from './outbound.ts';

/** A hairpin never meets the line's MTU. */
const NO_MTU = 65535;

/** Deals with a packet from the LAN whose destination is the line's external address. Parameters as of `outbound`. */
export function towardsOwnAddress(
  ctx: Context,
  descriptor: number,
  at: number,
  l4: number,
  l4Bytes: number,
): number {
  const { bytes } = ctx.frames;
  const { line, parts } = ctx;
  const protocol = bytes[at + IPV4_PROTOCOL];
  if (protocol === PROTOCOL_ICMP) return icmpTowardsOwnAddress(ctx, descriptor, at, l4, l4Bytes);
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP)
    return answerProtocol(ctx, descriptor);

  const destinationPort = readU16(bytes, l4 + 2);
  const number = parts.ports.set.numberOf(destinationPort);
  if (number < 0) {
    if (!line.isShared) return ctx.drop(Drop.NotInPortSet);
    return outbound(ctx, descriptor, at, l4, l4Bytes, line.mtu, line.restoreHopsOutbound);
  }
  if (!leadsSomewhere(ctx, at, l4, protocol, destinationPort, number))
    return ctx.drop(Drop.NoSession);
  const verdict = outbound(ctx, descriptor, at, l4, l4Bytes, NO_MTU, 0);
  return verdict === FORWARDED ? inbound(ctx, descriptor, at, l4, l4Bytes) : verdict;
}

/**
 * True if the second step will find a receiver: the port's owner, or a session of its holder with the sender's external endpoint. Asked
 * first, so that packets to nobody make no session.
 */
function leadsSomewhere(
  ctx: Context,
  at: number,
  l4: number,
  protocol: number,
  destinationPort: number,
  number: number,
): boolean {
  const { bytes } = ctx.frames;
  const { line, parts } = ctx;
  const { ports, mappings, sessions } = parts;
  if (ports.owner(ports.group(line.externalIndex, protocol), number) >= 0) return true;
  const sender = mappings.find(readI32(bytes, at + IPV4_SOURCE), readU16(bytes, l4), protocol);
  if (sender < 0) return false;
  const external = (destinationPort << 16) | (line.externalIndex << 8) | protocol;
  return sessions.findExternal(external, line.externalAddress, mappings.externalPort(sender)) >= 0;
}

function icmpTowardsOwnAddress(
  ctx: Context,
  descriptor: number,
  at: number,
  icmp: number,
  icmpBytes: number,
): number {
  const type = ctx.frames.bytes[icmp];
  if (type === ICMP_ECHO_REQUEST) return answerEcho(ctx, descriptor, at, icmp);
  if (!isTranslatedError(type)) return ctx.drop(Drop.IcmpTypeNotTranslated);
  const { line, parts } = ctx;
  const port = portOfDestination(ctx.frames.bytes, at, icmp + icmpBytes);
  if (line.isShared && port !== NO_PORT && parts.ports.set.numberOf(port) < 0)
    return errorOutbound(ctx, at, icmp, icmpBytes, line.restoreHopsOutbound);
  const verdict = errorOutbound(ctx, at, icmp, icmpBytes, 0);
  return verdict === FORWARDED ? errorInbound(ctx, at, icmp, icmpBytes) : verdict;
}
