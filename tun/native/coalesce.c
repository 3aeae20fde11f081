/*
 * TCP segments that follow each other are written as one superpacket (frames with the verdict
 * COALESCE: what came out of a tunnel, where the kernel could not merge them).
 *
 *   | IPv4 | TCP | payload 1 |   | IPv4 | TCP | payload 2 |   | IPv4 | TCP | payload 3 |
 *        └────────────────────────────── one writev ─────────────────────────────┘
 *   | virtio: TCPV4, size | IPv4 | TCP | payload 1 | payload 2 | payload 3 |
 *
 * Writing is the dear half of forwarding, so this is worth more than it costs. A segment joins if a
 * receiver could not tell the difference after the kernel has cut the superpacket again:
 *
 *   same      addresses, ports, TOS, TTL, DF, acknowledgement, window, TCP options
 *   next      sequence number; identification too where DF is clear (with DF it means nothing)
 *   size      that of the first, or less for the last one
 *   flags     ACK, and PSH on the last one only
 *   sound     IPv4 header and TCP checksum are right: merging hands the checksum to the kernel,
 *             which would bless what was corrupt
 *   never     IPv4 options, fragments, superpackets
 *
 * Order within a flow is kept: what cannot join lets go first what waits of its flow. Several flows
 * wait side by side; when there are too many, the one whose turn it is has to go.
 *
 * Invariants: a group with count 0 is free; nothing waits between two batches.
 */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  GROUPS_MAX = 8,
  /* 64 KB of segments of 1,024 bytes; with smaller ones a superpacket is smaller. */
  PARTS_MAX = 64,
  /* Addresses, and ports behind a header without options. */
  FLOW_AT = IPV4_SOURCE,
  FLOW_BYTES = 12,
  ADDRESSES_BYTES = 8,
};

typedef struct {
  /* The first segment; its headers become those of all. */
  uint8_t *packet;
  size_t headerBytes;
  size_t segmentBytes, payloadBytes;
  uint32_t nextSequence;
  uint16_t nextId;
  /* The last segment was short or had PSH: nothing may follow. */
  bool isClosed, hasPush;
  int count;
  struct iovec parts[PARTS_MAX];
} Group;

struct Coalescer {
  Group groups[GROUPS_MAX];
  /* Whose turn it is to go when all are taken. */
  int hand;
};

Coalescer *coalescerNew(void) { return calloc(1, sizeof(Coalescer)); }

void coalescerFree(Coalescer *coalescer) { free(coalescer); }

/* Turns the first segment's headers into those of the superpacket. */
static void finishHeaders(Group *group) {
  uint8_t *const ipv4 = group->packet;
  uint8_t *const tcp = ipv4 + IPV4_HEADER_BYTES;
  const size_t total = group->headerBytes + group->payloadBytes;
  writeU16(ipv4 + IPV4_TOTAL_LENGTH, (uint32_t)total);
  memset(ipv4 + IPV4_CHECKSUM, 0, 2);
  const uint16_t header = (uint16_t)~sumWords(ipv4, IPV4_HEADER_BYTES);
  memcpy(ipv4 + IPV4_CHECKSUM, &header, sizeof header);
  if (group->hasPush) tcp[TCP_FLAGS] |= TCP_PSH;

  /* A partial checksum is the pseudo-header's sum, not complemented. */
  uint8_t tail[4] = {0, PROTOCOL_TCP, 0, 0};
  writeU16(tail + 2, (uint32_t)(total - IPV4_HEADER_BYTES));
  uint32_t sum = (uint32_t)sumWords(ipv4 + IPV4_SOURCE, 8) + sumWords(tail, sizeof tail);
  sum = (sum & 0xffff) + (sum >> 16);
  const uint16_t partial = (uint16_t)sum;
  memcpy(tcp + TCP_CHECKSUM, &partial, sizeof partial);

  uint8_t *const virtio = ipv4 - VNET_HEADER_BYTES;
  memset(virtio, 0, VNET_HEADER_BYTES);
  virtio[VNET_FLAGS] = VNET_NEEDS_CSUM;
  virtio[VNET_GSO_TYPE] = GSO_TCPV4;
  writeU16le(virtio + VNET_HDR_LEN, (uint32_t)group->headerBytes);
  writeU16le(virtio + VNET_GSO_SIZE, (uint32_t)group->segmentBytes);
  writeU16le(virtio + VNET_CSUM_START, IPV4_HEADER_BYTES);
  writeU16le(virtio + VNET_CSUM_OFFSET, TCP_CHECKSUM);
}

/* Writes what waits of a flow; a segment that stayed alone goes as it came. */
static void letGo(Sink *sink, Group *group) {
  if (group->count > 1) finishHeaders(group);
  if (group->count > 0) sinkWrite(sink, group->parts, group->count);
  group->count = 0;
}

/*
 * Header bytes of a segment that may be merged, or 0. `packet` is TCP without IPv4 options, and
 * not a fragment.
 */
static size_t mergeable(uint8_t *packet, size_t length) {
  uint8_t *const tcp = packet + IPV4_HEADER_BYTES;
  const uint8_t *const virtio = packet - VNET_HEADER_BYTES;
  const size_t headerBytes = IPV4_HEADER_BYTES + ((size_t)(tcp[TCP_DATA_OFFSET] >> 4) << 2);
  if (headerBytes < IPV4_HEADER_BYTES + TCP_HEADER_BYTES || headerBytes >= length) return 0;
  if ((tcp[TCP_FLAGS] & (uint8_t)~TCP_PSH) != TCP_ACK) return 0;
  if (virtio[VNET_GSO_TYPE] != GSO_NONE || readU16(packet + IPV4_TOTAL_LENGTH) != length) return 0;
  if (sumWords(packet, IPV4_HEADER_BYTES) != 0xffff) return 0;

  /* A partial checksum vouches for nothing on a wire: the payload never left this machine. */
  if ((virtio[VNET_FLAGS] & VNET_NEEDS_CSUM) != 0) {
    const bool isTcp = readU16le(virtio + VNET_CSUM_START) == IPV4_HEADER_BYTES &&
                       readU16le(virtio + VNET_CSUM_OFFSET) == TCP_CHECKSUM;
    return isTcp ? headerBytes : 0;
  }
  const size_t tcpBytes = length - IPV4_HEADER_BYTES;
  uint8_t tail[4] = {0, PROTOCOL_TCP, 0, 0};
  writeU16(tail + 2, (uint32_t)tcpBytes);
  uint32_t sum = (uint32_t)sumWords(packet + IPV4_SOURCE, 8) + sumWords(tail, sizeof tail) +
                 sumWords(tcp, tcpBytes);
  sum = (sum & 0xffff) + (sum >> 16);
  return ((sum & 0xffff) + (sum >> 16)) == 0xffff ? headerBytes : 0;
}

/* True if the segment may stand behind what waits. The flow is the same. */
static bool continues(const Group *group, const uint8_t *packet, size_t length,
                      size_t headerBytes) {
  const uint8_t *const first = group->packet;
  const size_t size = length - headerBytes;
  if (group->isClosed || group->count == PARTS_MAX || headerBytes != group->headerBytes ||
      size > group->segmentBytes ||
      group->headerBytes + group->payloadBytes + size > PACKET_BYTES_MAX) {
    return false;
  }
  /* TOS; flags and fragment offset, TTL, protocol. */
  if (packet[1] != first[1] || memcmp(packet + IPV4_FRAGMENT, first + IPV4_FRAGMENT, 4) != 0) {
    return false;
  }
  const bool hasDf = (readU16(packet + IPV4_FRAGMENT) & IPV4_FLAG_DF) != 0;
  if (!hasDf && readU16(packet + IPV4_ID) != group->nextId) return false;

  const uint8_t *const tcp = packet + IPV4_HEADER_BYTES;
  const uint8_t *const firstTcp = first + IPV4_HEADER_BYTES;
  return readU32(tcp + TCP_SEQUENCE) == group->nextSequence &&
         readU32(tcp + TCP_ACKNOWLEDGEMENT) == readU32(firstTcp + TCP_ACKNOWLEDGEMENT) &&
         readU16(tcp + TCP_WINDOW) == readU16(firstTcp + TCP_WINDOW) &&
         memcmp(tcp + TCP_HEADER_BYTES, firstTcp + TCP_HEADER_BYTES,
                headerBytes - IPV4_HEADER_BYTES - TCP_HEADER_BYTES) == 0;
}

/* Notes a segment as the last one of its group; `part` is what is written of it. */
static void join(Group *group, const uint8_t *packet, size_t size, struct iovec part) {
  const uint8_t *const tcp = packet + IPV4_HEADER_BYTES;
  group->parts[group->count++] = part;
  group->payloadBytes += size;
  group->nextSequence = readU32(tcp + TCP_SEQUENCE) + (uint32_t)size;
  group->nextId = (uint16_t)(readU16(packet + IPV4_ID) + 1);
  group->hasPush = (tcp[TCP_FLAGS] & TCP_PSH) != 0;
  group->isClosed = group->hasPush || size < group->segmentBytes;
}

static void begin(Group *group, uint8_t *packet, size_t length, size_t headerBytes) {
  group->packet = packet;
  group->headerBytes = headerBytes;
  group->segmentBytes = length - headerBytes;
  group->payloadBytes = 0;
  const struct iovec whole = {packet - VNET_HEADER_BYTES, VNET_HEADER_BYTES + length};
  join(group, packet, length - headerBytes, whole);
}

/* The group in which this flow waits, or NULL. */
static Group *groupOf(Coalescer *coalescer, const uint8_t *packet) {
  for (int i = 0; i < GROUPS_MAX; i++) {
    Group *const group = &coalescer->groups[i];
    if (group->count > 0 && memcmp(group->packet + FLOW_AT, packet + FLOW_AT, FLOW_BYTES) == 0) {
      return group;
    }
  }
  return NULL;
}

/*
 * Lets go what waits between the two addresses of a packet whose flow cannot be told from here: a
 * fragment, or one with IPv4 options.
 */
static void letGoBetween(Sink *sink, Coalescer *coalescer, const uint8_t *packet) {
  for (int i = 0; i < GROUPS_MAX; i++) {
    Group *const group = &coalescer->groups[i];
    if (group->count > 0 &&
        memcmp(group->packet + FLOW_AT, packet + FLOW_AT, ADDRESSES_BYTES) == 0) {
      letGo(sink, group);
    }
  }
}

/* A free group; if there is none, one that waits has to go. */
static Group *freeGroup(Sink *sink, Coalescer *coalescer) {
  for (int i = 0; i < GROUPS_MAX; i++) {
    if (coalescer->groups[i].count == 0) return &coalescer->groups[i];
  }
  Group *const group = &coalescer->groups[coalescer->hand];
  coalescer->hand = (coalescer->hand + 1) % GROUPS_MAX;
  letGo(sink, group);
  return group;
}

void coalesceFrame(Sink *sink, Coalescer *coalescer, const Batch *batch, const int32_t *word) {
  uint8_t *const packet = framePacket(batch, word, VNET_HEADER_BYTES);
  const size_t length = (size_t)word[FRAME_LENGTH];
  if (packet == NULL) {
    sinkFailed(sink, EFAULT);
    return;
  }

  const bool isSegment = length >= IPV4_HEADER_BYTES + TCP_HEADER_BYTES && packet[0] == 0x45 &&
                         packet[IPV4_PROTOCOL] == PROTOCOL_TCP &&
                         (readU16(packet + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS) == 0;
  Group *group = isSegment ? groupOf(coalescer, packet) : NULL;
  const size_t headerBytes = isSegment ? mergeable(packet, length) : 0;
  if (headerBytes == 0) {
    if (!isSegment && length >= IPV4_HEADER_BYTES && packet[IPV4_PROTOCOL] == PROTOCOL_TCP) {
      letGoBetween(sink, coalescer, packet);
    }
    if (group != NULL) letGo(sink, group);
    const struct iovec whole = {packet - VNET_HEADER_BYTES, VNET_HEADER_BYTES + length};
    sinkWrite(sink, &whole, 1);
    return;
  }

  if (group != NULL && continues(group, packet, length, headerBytes)) {
    const struct iovec payload = {packet + headerBytes, length - headerBytes};
    join(group, packet, length - headerBytes, payload);
    return;
  }
  if (group != NULL) letGo(sink, group);
  else group = freeGroup(sink, coalescer);
  begin(group, packet, length, headerBytes);
}

void coalesceFlush(Sink *sink, Coalescer *coalescer) {
  for (int i = 0; i < GROUPS_MAX; i++) letGo(sink, &coalescer->groups[i]);
}
