/**
 * Partial checksums: where they are completed is said here, never believed.
 *
 *   | virtio: flags, csum_start, csum_offset | IPv4 | TCP or UDP |        start = IPv4 header, offset = 16 or 6
 *
 * Whoever completes the checksum, the addon when a packet is cut or the kernel behind the TUN, writes two bytes to the place that the
 * virtio header names. A guest machine on the LAN chooses that place itself, and the kernel checks only that it lies within the
 * packet: it could be the source port, after translation. A packet of TCP or UDP has one right place; in anything else, fragments
 * included, there is nothing to complete.
 */
import {
  FRAME_OFFLOAD,
  type Frames,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_HEADER_BYTES,
  VNET_NEEDS_CSUM,
} from '../frames.ts';
import { readU16 } from '../wire/bytes.ts';
import {
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_BITS,
  IPV4_PROTOCOL,
  ipv4HeaderBytes,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../wire/ipv4.ts';
import { TCP_CHECKSUM } from '../wire/tcp.ts';
import { UDP_CHECKSUM } from '../wire/udp.ts';

/** Makes the virtio header of the IPv4 packet at `at` name the right place. The caller has checked the IPv4 header. */
export function placePartialChecksum(frames: Frames, descriptor: number, at: number): void {
  const { bytes, descriptors } = frames;
  if ((descriptors[descriptor + FRAME_OFFLOAD] & VNET_NEEDS_CSUM) === 0) return;
  const virtio = at - VNET_HEADER_BYTES;
  const protocol = bytes[at + IPV4_PROTOCOL];
  const isWhole = (readU16(bytes, at + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS) === 0;
  if (!isWhole || (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP)) {
    bytes[virtio + VNET_FLAGS] &= ~VNET_NEEDS_CSUM;
    descriptors[descriptor + FRAME_OFFLOAD] &= ~VNET_NEEDS_CSUM;
    return;
  }
  // Little endian; both numbers are below 256.
  bytes[virtio + VNET_CSUM_START] = ipv4HeaderBytes(bytes, at);
  bytes[virtio + VNET_CSUM_START + 1] = 0;
  bytes[virtio + VNET_CSUM_OFFSET] = protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
  bytes[virtio + VNET_CSUM_OFFSET + 1] = 0;
}
