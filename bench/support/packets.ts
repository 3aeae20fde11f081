/** Packets for the engine, written into the slots of a batch. Nothing is allocated, so that a collection during a run is the engine's. */
import { DESCRIPTOR_WORDS, HEADROOM_BYTES } from '../../core/frames.ts';
import { writeI32, writeU16 } from '../../core/wire/bytes.ts';
import { finishIpv4Header, PROTOCOL_TCP, PROTOCOL_UDP } from '../../core/wire/ipv4.ts';
import { IPV6_DESTINATION, IPV6_HEADER_BYTES, IPV6_SOURCE } from '../../core/wire/ipv6.ts';
import type { BenchEngine } from './engine.ts';

/** Bytes from slot to slot: the headers of a packet and the room in front of it. */
const SLOT_BYTES = 256;
const TTL = 63;
const TCP_SEQUENCE = 1_000_000;

/** Where the packet of slot `i` begins; a tunnel header lies in front of it. */
export const slotAt = (i: number): number => HEADROOM_BYTES + i * SLOT_BYTES;

/** @param length of the packet; only its headers are written, as only they are read */
function ipv4(
  bench: BenchEngine,
  i: number,
  source: number,
  destination: number,
  protocol: number,
  length: number,
  offload: number,
): number {
  const { bytes, descriptors } = bench.frames;
  const at = slotAt(i);
  writeI32(bytes, at, (0x4500 << 16) | length);
  writeI32(bytes, at + 4, 0x4000);
  writeI32(bytes, at + 8, (TTL << 24) | (protocol << 16));
  writeI32(bytes, at + 12, source);
  writeI32(bytes, at + 16, destination);
  finishIpv4Header(bytes, at);
  descriptors[i * DESCRIPTOR_WORDS] = at;
  descriptors[i * DESCRIPTOR_WORDS + 1] = length;
  descriptors[i * DESCRIPTOR_WORDS + 2] = offload;
  return at + 20;
}

/** UDP without a checksum. */
export function udpPacket(
  bench: BenchEngine,
  i: number,
  source: number,
  sourcePort: number,
  destination: number,
  destinationPort: number,
  length: number,
): void {
  const { bytes } = bench.frames;
  const l4 = ipv4(bench, i, source, destination, PROTOCOL_UDP, length, 0);
  writeI32(bytes, l4, (sourcePort << 16) | destinationPort);
  writeU16(bytes, l4 + 4, length - 20);
  writeU16(bytes, l4 + 6, 0);
}

/** @param flags as in the header; @param offload as in a descriptor: gsoSize << 16 | gsoType << 8 | flags */
export function tcpPacket(
  bench: BenchEngine,
  i: number,
  source: number,
  sourcePort: number,
  destination: number,
  destinationPort: number,
  flags: number,
  length: number,
  offload: number,
): void {
  const { bytes } = bench.frames;
  const l4 = ipv4(bench, i, source, destination, PROTOCOL_TCP, length, offload);
  writeI32(bytes, l4, (sourcePort << 16) | destinationPort);
  writeI32(bytes, l4 + 4, TCP_SEQUENCE);
  writeI32(bytes, l4 + 8, TCP_SEQUENCE);
  writeI32(bytes, l4 + 12, (5 << 28) | (flags << 16) | 0xffff);
  writeI32(bytes, l4 + 16, 0x12340000);
}

/** Puts the packet of slot `i` into a tunnel, as it comes from the relay. */
export function inTunnel(bench: BenchEngine, i: number, from: Uint8Array, to: Uint8Array): void {
  const { bytes, descriptors } = bench.frames;
  const at = slotAt(i) - IPV6_HEADER_BYTES;
  const length = descriptors[i * DESCRIPTOR_WORDS + 1];
  writeI32(bytes, at, 0x60000000);
  writeI32(bytes, at + 4, (length << 16) | (4 << 8) | 64);
  for (let k = 0; k < 16; k++) {
    bytes[at + IPV6_SOURCE + k] = from[k];
    bytes[at + IPV6_DESTINATION + k] = to[k];
  }
  descriptors[i * DESCRIPTOR_WORDS] = at;
  descriptors[i * DESCRIPTOR_WORDS + 1] = length + IPV6_HEADER_BYTES;
}
