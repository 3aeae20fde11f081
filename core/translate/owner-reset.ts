/**
 * A RST from the LAN that belongs to no session.
 *
 * A SYN from outside to a port that a host owns makes no session until the host agrees. When it refuses, its RST is translated by
 * the mapping alone, so that the remote learns of it at once; no session is made, and nothing is refreshed (RFC 7857 section 7.1). A
 * RST of anybody else is about a connection that the gateway does not know, and is dropped; so is one under the 5-tuple of a guest of
 * the port, whose connection it would end.
 */
import { FRAME_LENGTH, FRAME_OFFLOAD } from '../frames.ts';
import { Drop, FORWARDED } from '../verdict.ts';
import { readU16 } from '../wire/bytes.ts';
import { addressDelta, fold, wordDelta } from '../wire/checksum.ts';
import { IPV4_SOURCE, PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { Context } from './context.ts';
import { renewIdentification } from './fragments.ts';
import { rewriteHeader, rewriteTransport } from './rewrite.ts';

/** Translates the RST at `l4`, which no session carries. Parameters as of `outbound`. */
export function resetWithoutSession(
  ctx: Context,
  descriptor: number,
  at: number,
  l4: number,
  source: number,
  destination: number,
  hops: number,
): number {
  const { bytes, descriptors } = ctx.frames;
  const { line, parts } = ctx;
  const { mappings, filter } = parts;
  if (ctx.lanOf(source) < 0) return ctx.drop(Drop.SourceNotInternal);
  const internalPort = readU16(bytes, l4);
  const mapping = mappings.find(source, internalPort, PROTOCOL_TCP);
  const isHairpin =
    destination === line.externalAddress && parts.ports.set.numberOf(readU16(bytes, l4 + 2)) >= 0;
  if (
    mapping < 0 ||
    !mappings.isOwner(mapping) ||
    !(isHairpin || filter.admits(mapping, destination))
  )
    return ctx.drop(Drop.TcpWithoutSession);

  const externalPort = mappings.externalPort(mapping);
  const external = (externalPort << 16) | (line.externalIndex << 8) | PROTOCOL_TCP;
  if (parts.sessions.findExternal(external, destination, readU16(bytes, l4 + 2)) >= 0)
    return ctx.drop(Drop.TcpWithoutSession);
  const address = addressDelta(source, line.externalAddress);
  const addressSum = fold(address);
  const fullSum = fold(address + wordDelta(internalPort, externalPort));
  const virtioFlags = descriptors[descriptor + FRAME_OFFLOAD] & 0xff;
  rewriteTransport(bytes, l4, PROTOCOL_TCP, l4, externalPort, addressSum, fullSum, virtioFlags);
  rewriteHeader(bytes, at, at + IPV4_SOURCE, line.externalAddress, addressSum, hops);
  renewIdentification(ctx, at);
  ctx.countOutbound(descriptors[descriptor + FRAME_LENGTH]);
  return FORWARDED;
}
