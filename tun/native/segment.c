/*
 * IPv4 into IPv6: the packets that a frame with the verdict ENCAPSULATE becomes.
 *
 *   frame:     | outer IPv6 40 | virtio 12 | IPv4 | TCP | payload ............................ |
 *
 *   packets:   | virtio, all zero | outer | IPv4 | TCP | payload 1 |
 *              | virtio, all zero | outer | IPv4 | TCP | payload 2 |  …
 *
 * No virtio header can say "segments inside IPv4 in IPv6", so a superpacket is cut here, and no
 * checksum is left partial: there is nobody behind who would complete it. The engine has prepared
 * the outer header (addresses, traffic class, hop limit); its payload length is written here.
 *
 * What differs from segment to segment (as the kernel's own tcp_gso_segment does it):
 *   IPv4   total length; identification, counted up; header checksum
 *   TCP    sequence number; FIN and PSH only on the last; CWR only on the first; checksum
 *   UDP    length, checksum: each segment is a datagram (UDP_L4)
 *
 * The headers are built in a block on the stack; the payload is written from where it lies.
 */
#include "frame.h"

#include <errno.h>
#include <string.h>

enum {
  ROOM_BYTES = IPV6_HEADER_BYTES + VNET_HEADER_BYTES,
  /* 64 KB in segments of 32 bytes: a guest may ask for smaller ones, to make us write all day. */
  SEGMENTS_MAX = 2048,
};

/* The header block of a segment; its parts as offsets into it. */
enum {
  BLOCK_OUTER = VNET_HEADER_BYTES,
  BLOCK_IPV4 = BLOCK_OUTER + IPV6_HEADER_BYTES,
  BLOCK_BYTES_MAX = BLOCK_IPV4 + IPV4_HEADER_BYTES_MAX + TCP_HEADER_BYTES_MAX,
};

typedef struct {
  uint8_t *packet;
  size_t length;
  /* Bytes of the IPv4 header, and of both. */
  size_t ipBytes, headerBytes;
  size_t segmentBytes;
  uint8_t protocol;
} Superpacket;

static uint8_t noOffload[VNET_HEADER_BYTES];

static uint16_t fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* Sum of the pseudo-header, in memory order. */
static uint32_t sumPseudoHeader(const uint8_t *ipv4, uint8_t protocol, size_t length) {
  uint8_t tail[4] = {0, protocol, 0, 0};
  writeU16(tail + 2, (uint32_t)length);
  return (uint32_t)sumWords(ipv4 + IPV4_SOURCE, 8) + sumWords(tail, sizeof tail);
}

/* One packet in its tunnel header. A checksum that is still partial is completed first. */
static void encapsulateWhole(Sink *sink, uint8_t *packet, size_t length) {
  uint8_t *const virtio = packet - VNET_HEADER_BYTES;
  uint8_t *const outer = virtio - IPV6_HEADER_BYTES;
  if ((virtio[VNET_FLAGS] & VNET_NEEDS_CSUM) != 0) {
    const size_t start = readU16le(virtio + VNET_CSUM_START);
    const size_t field = readU16le(virtio + VNET_CSUM_OFFSET);
    if (!completePartial(packet, length, start, field)) {
      sinkFailed(sink, EINVAL);
      return;
    }
  }
  writeU16(outer + IPV6_PAYLOAD_LENGTH, (uint32_t)length);
  const struct iovec parts[] = {
      {noOffload, VNET_HEADER_BYTES},
      {outer, IPV6_HEADER_BYTES},
      {packet, length},
  };
  sinkWrite(sink, parts, 3);
}

/* Writes what differs in the transport header at `l4`, and its checksum. */
static void finishTransport(const Superpacket *super, uint8_t *ipv4, size_t done, size_t size,
                            const uint8_t *payload, bool isFirst, bool isLast) {
  uint8_t *const l4 = ipv4 + super->ipBytes;
  const size_t l4Header = super->headerBytes - super->ipBytes;
  size_t field = UDP_CHECKSUM;
  if (super->protocol == PROTOCOL_TCP) {
    const uint8_t *const original = super->packet + super->ipBytes;
    field = TCP_CHECKSUM;
    writeU32(l4 + TCP_SEQUENCE, readU32(original + TCP_SEQUENCE) + (uint32_t)done);
    uint8_t flags = original[TCP_FLAGS];
    if (!isLast) flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (!isFirst) flags &= (uint8_t)~TCP_CWR;
    l4[TCP_FLAGS] = flags;
  } else {
    writeU16(l4 + UDP_LENGTH, (uint32_t)(l4Header + size));
  }
  memset(l4 + field, 0, 2);
  const uint32_t sum = sumPseudoHeader(ipv4, super->protocol, l4Header + size) +
                       sumWords(l4, l4Header) + sumWords(payload, size);
  uint16_t checksum = (uint16_t)~fold(sum);
  /* In UDP a zero field means "no checksum", and the all-ones word is the same number. */
  if (checksum == 0 && super->protocol == PROTOCOL_UDP) checksum = 0xffff;
  memcpy(l4 + field, &checksum, sizeof checksum);
}

static void encapsulateSegments(Sink *sink, const Superpacket *super) {
  uint8_t block[BLOCK_BYTES_MAX] = {0};
  const uint8_t *const outer = super->packet - ROOM_BYTES;
  memcpy(block + BLOCK_OUTER, outer, IPV6_HEADER_BYTES);
  memcpy(block + BLOCK_IPV4, super->packet, super->headerBytes);

  uint8_t *const ipv4 = block + BLOCK_IPV4;
  uint32_t id = readU16(ipv4 + IPV4_ID);
  uint8_t *const payload = super->packet + super->headerBytes;
  const size_t payloadBytes = super->length - super->headerBytes;
  for (size_t done = 0; done < payloadBytes; done += super->segmentBytes, id++) {
    const size_t left = payloadBytes - done;
    const bool isLast = left <= super->segmentBytes;
    const size_t size = isLast ? left : super->segmentBytes;
    const uint32_t total = (uint32_t)(super->headerBytes + size);

    writeU16(block + BLOCK_OUTER + IPV6_PAYLOAD_LENGTH, total);
    writeU16(ipv4 + IPV4_TOTAL_LENGTH, total);
    writeU16(ipv4 + IPV4_ID, id);
    memset(ipv4 + IPV4_CHECKSUM, 0, 2);
    const uint16_t checksum = (uint16_t)~sumWords(ipv4, super->ipBytes);
    memcpy(ipv4 + IPV4_CHECKSUM, &checksum, sizeof checksum);
    finishTransport(super, ipv4, done, size, payload + done, done == 0, isLast);

    const struct iovec parts[] = {
        {block, BLOCK_IPV4 + super->headerBytes},
        {payload + done, size},
    };
    sinkWrite(sink, parts, 2);
  }
}

/* Reads the lengths of a superpacket's headers; false if they cannot be. */
static bool readSuperpacket(Superpacket *super, uint8_t *packet, size_t length, uint8_t type) {
  super->packet = packet;
  super->length = length;
  super->segmentBytes = readU16le(packet - VNET_HEADER_BYTES + VNET_GSO_SIZE);
  super->ipBytes = (size_t)(packet[0] & 15) << 2;
  super->protocol = packet[IPV4_PROTOCOL];
  if (super->segmentBytes == 0 || super->ipBytes < IPV4_HEADER_BYTES) return false;
  if (type == GSO_UDP_L4) {
    super->headerBytes = super->ipBytes + UDP_HEADER_BYTES;
    return super->protocol == PROTOCOL_UDP && super->headerBytes < length;
  }
  if (super->protocol != PROTOCOL_TCP || super->ipBytes + TCP_HEADER_BYTES > length) return false;
  const size_t tcpBytes = (size_t)(packet[super->ipBytes + TCP_DATA_OFFSET] >> 4) << 2;
  super->headerBytes = super->ipBytes + tcpBytes;
  return tcpBytes >= TCP_HEADER_BYTES && super->headerBytes < length;
}

void encapsulateFrame(Sink *sink, const Batch *batch, const int32_t *word) {
  uint8_t *const packet = framePacket(batch, word, ROOM_BYTES);
  const size_t length = (size_t)word[FRAME_LENGTH];
  if (packet == NULL || length < IPV4_HEADER_BYTES) {
    sinkFailed(sink, EFAULT);
    return;
  }
  const uint8_t type = packet[VNET_GSO_TYPE - VNET_HEADER_BYTES] & GSO_TYPE_BITS;
  if (type == GSO_NONE) {
    encapsulateWhole(sink, packet, length);
    return;
  }
  Superpacket super;
  const bool isKnown = type == GSO_TCPV4 || type == GSO_UDP_L4;
  if (isKnown && readSuperpacket(&super, packet, length, type) &&
      (length - super.headerBytes) / super.segmentBytes < SEGMENTS_MAX) {
    encapsulateSegments(sink, &super);
  } else {
    sinkFailed(sink, EINVAL);
  }
}
