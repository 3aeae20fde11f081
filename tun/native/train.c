/*
 * Datagrams of one flow that follow each other in a batch are written as one superpacket: a train.
 *
 *   | IPv4 | UDP | payload 1 |  | IPv4 | UDP | payload 2 |  | IPv4 | UDP | payload 3 |
 *        └────────────────────────── one writev ───────────────────────────┘
 *   | virtio: UDP_L4, size | IPv4 | UDP | payload 1 | payload 2 | payload 3 |
 *
 * write() runs the kernel's whole way from the TUN to the next interface, so a train of QUIC or of
 * a tunnel costs little more than one of its datagrams. Whoever is behind makes the datagrams again
 * (the network card, or the kernel before it), with the same bytes:
 *
 *   same      addresses, ports, TOS, TTL, DF
 *   next      identification where DF is clear (with DF it means nothing, RFC 6864)
 *   size      that of the first, or less for the last one
 *   sound     the kernel has said that the checksum is right or is still to be made; a datagram
 *             without one stays alone, for in a train each gets one
 *   never     IPv4 options, fragments, superpackets
 *
 * Only neighbours are taken, so no packet passes another.
 */
#include "frame.h"

#include <errno.h>
#include <string.h>

enum {
  /* The kernel's own bound on the segments of a UDP superpacket (UDP_MAX_SEGMENTS) in every version. */
  CARS_MAX = 64,
  HEADER_BYTES = IPV4_HEADER_BYTES + UDP_HEADER_BYTES,
  /* Addresses, ports. */
  FLOW_BYTES = 12,
};

/* A datagram that may be part of a train. */
static bool isCar(const uint8_t *packet, size_t length) {
  if (length <= HEADER_BYTES || packet[0] != 0x45 || packet[IPV4_PROTOCOL] != PROTOCOL_UDP) {
    return false;
  }
  const uint8_t *const virtio = packet - VNET_HEADER_BYTES;
  const uint8_t *const udp = packet + IPV4_HEADER_BYTES;
  if (virtio[VNET_GSO_TYPE] != GSO_NONE || readU16(packet + IPV4_TOTAL_LENGTH) != length ||
      (readU16(packet + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS) != 0 ||
      readU16(udp + UDP_LENGTH) != length - IPV4_HEADER_BYTES) {
    return false;
  }
  if ((virtio[VNET_FLAGS] & VNET_NEEDS_CSUM) != 0) {
    return readU16le(virtio + VNET_CSUM_START) == IPV4_HEADER_BYTES &&
           readU16le(virtio + VNET_CSUM_OFFSET) == UDP_CHECKSUM;
  }
  return (virtio[VNET_FLAGS] & VNET_DATA_VALID) != 0 && readU16(udp + UDP_CHECKSUM) != 0;
}

/* True if `packet`, number `index` behind the first, may stand there. Both can be cars. */
static bool follows(const uint8_t *first, const uint8_t *packet, uint32_t index) {
  if (memcmp(packet + IPV4_SOURCE, first + IPV4_SOURCE, FLOW_BYTES) != 0) return false;
  /* TOS; flags and fragment offset, TTL, protocol. */
  if (packet[1] != first[1] || memcmp(packet + IPV4_FRAGMENT, first + IPV4_FRAGMENT, 4) != 0) {
    return false;
  }
  const bool hasDf = (readU16(packet + IPV4_FRAGMENT) & IPV4_FLAG_DF) != 0;
  return hasDf || readU16(packet + IPV4_ID) == (uint16_t)(readU16(first + IPV4_ID) + index);
}

/* Turns the first datagram's headers into those of the superpacket. */
static void finishHeaders(uint8_t *ipv4, size_t payloadBytes, size_t carBytes) {
  uint8_t *const udp = ipv4 + IPV4_HEADER_BYTES;
  writeU16(ipv4 + IPV4_TOTAL_LENGTH, (uint32_t)(HEADER_BYTES + payloadBytes));
  memset(ipv4 + IPV4_CHECKSUM, 0, 2);
  const uint16_t header = (uint16_t)~sumWords(ipv4, IPV4_HEADER_BYTES);
  memcpy(ipv4 + IPV4_CHECKSUM, &header, sizeof header);

  /* A partial checksum is the pseudo-header's sum, not complemented. */
  const uint32_t udpBytes = (uint32_t)(UDP_HEADER_BYTES + payloadBytes);
  writeU16(udp + UDP_LENGTH, udpBytes);
  uint8_t tail[4] = {0, PROTOCOL_UDP, 0, 0};
  writeU16(tail + 2, udpBytes);
  uint32_t sum = (uint32_t)sumWords(ipv4 + IPV4_SOURCE, 8) + sumWords(tail, sizeof tail);
  sum = (sum & 0xffff) + (sum >> 16);
  const uint16_t partial = (uint16_t)sum;
  memcpy(udp + UDP_CHECKSUM, &partial, sizeof partial);

  uint8_t *const virtio = ipv4 - VNET_HEADER_BYTES;
  memset(virtio, 0, VNET_HEADER_BYTES);
  virtio[VNET_FLAGS] = VNET_NEEDS_CSUM;
  virtio[VNET_GSO_TYPE] = GSO_UDP_L4;
  writeU16le(virtio + VNET_HDR_LEN, HEADER_BYTES);
  writeU16le(virtio + VNET_GSO_SIZE, (uint32_t)carBytes);
  writeU16le(virtio + VNET_CSUM_START, IPV4_HEADER_BYTES);
  writeU16le(virtio + VNET_CSUM_OFFSET, UDP_CHECKSUM);
}

int32_t writeTrain(Sink *sink, const Batch *batch, const int32_t *word, int32_t left) {
  uint8_t *const first = framePacket(batch, word, VNET_HEADER_BYTES);
  const size_t length = (size_t)word[FRAME_LENGTH];
  if (first == NULL || left < 2 || !isCar(first, length)) return 0;

  const size_t carBytes = length - HEADER_BYTES;
  struct iovec parts[CARS_MAX];
  parts[0] = (struct iovec){first - VNET_HEADER_BYTES, VNET_HEADER_BYTES + length};
  size_t payloadBytes = carBytes;
  int32_t count = 1;
  while (count < left && count < CARS_MAX) {
    const int32_t *const next = word + (ptrdiff_t)count * DESCRIPTOR_WORDS;
    if (next[FRAME_VERDICT] != word[FRAME_VERDICT]) break;
    uint8_t *const packet = framePacket(batch, next, VNET_HEADER_BYTES);
    const size_t nextLength = (size_t)next[FRAME_LENGTH];
    if (packet == NULL || nextLength > length || !isCar(packet, nextLength)) break;
    const size_t size = nextLength - HEADER_BYTES;
    if (HEADER_BYTES + payloadBytes + size > PACKET_BYTES_MAX) break;
    if (!follows(first, packet, (uint32_t)count)) break;
    parts[count++] = (struct iovec){packet + HEADER_BYTES, size};
    payloadBytes += size;
    if (size < carBytes) break;
  }
  if (count == 1) return 0;

  uint8_t asItCame[VNET_HEADER_BYTES + HEADER_BYTES];
  memcpy(asItCame, first - VNET_HEADER_BYTES, sizeof asItCame);
  finishHeaders(first, payloadBytes, carBytes);
  const int error = sink->write(sink, parts, count);
  if (error == EINVAL) {
    /* A kernel that takes none: one by one, for the rest of this batch. */
    memcpy(first - VNET_HEADER_BYTES, asItCame, sizeof asItCame);
    sink->takesTrains = false;
    return 0;
  }
  sinkCount(sink, parts, count, error);
  return count;
}
