/**
 * The rewrite itself: one address, one port or identifier, the checksums by delta, the hop count.
 *
 *   outbound   source address and port become the external ones      deltas of the session as they are
 *   inbound    destination address and port become the internal ones  their complements
 */
import { VNET_NEEDS_CSUM } from '../frames.ts';
import { readU16, writeI32, writeU16 } from '../wire/bytes.ts';
import { adjust, adjustAt, adjustIcmpAt, adjustUdpAt, fold, wordDelta } from '../wire/checksum.ts';
import { ICMP_CHECKSUM, ICMP_ID } from '../wire/icmp.ts';
import { IPV4_CHECKSUM, IPV4_TTL, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM } from '../wire/udp.ts';

/**
 * Writes `address` at `addressAt`, gives back `hops` of the TTL, and adjusts the header checksum by `delta` (folded address delta).
 */
export function rewriteHeader(
  bytes: Uint8Array,
  ip: number,
  addressAt: number,
  address: number,
  delta: number,
  hops: number,
): void {
  writeI32(bytes, addressAt, address);
  let sum = delta;
  if (hops !== 0) {
    const before = readU16(bytes, ip + IPV4_TTL);
    bytes[ip + IPV4_TTL] = Math.min(255, bytes[ip + IPV4_TTL] + hops);
    sum = fold(sum + wordDelta(before, readU16(bytes, ip + IPV4_TTL)));
  }
  const checksumAt = ip + IPV4_CHECKSUM;
  writeU16(bytes, checksumAt, adjust(readU16(bytes, checksumAt), sum));
}

/**
 * Writes the port at `portAt` (ICMP: the identifier) and adjusts the transport checksum.
 * @param addressSum, fullSum folded deltas of the address, and of address and port (ICMP: identifier only)
 */
export function rewriteTransport(
  bytes: Uint8Array,
  l4: number,
  protocol: number,
  portAt: number,
  port: number,
  addressSum: number,
  fullSum: number,
  virtioFlags: number,
): void {
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
    writeU16(bytes, portAt, port);
    const checksumAt = l4 + (protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
    if ((virtioFlags & VNET_NEEDS_CSUM) !== 0)
      writeU16(bytes, checksumAt, fold(readU16(bytes, checksumAt) + addressSum));
    else if (protocol === PROTOCOL_TCP) adjustAt(bytes, checksumAt, fullSum);
    else adjustUdpAt(bytes, checksumAt, fullSum);
  } else {
    writeU16(bytes, l4 + ICMP_ID, port);
    adjustIcmpAt(bytes, l4 + ICMP_CHECKSUM, fullSum);
  }
}
