/*
 * How a frame lies in a batch, and where written packets go: what device.c, write.c, segment.c,
 * coalesce.c and train.c share. core/frames.ts describes the same for the engine.
 *
 *   bytes:        | ... room ... | outer IPv6 40 | virtio 12 | IP packet ....... |
 *                                  only ENCAPSULATE            ^ offset
 *   descriptor:   offset | length | gsoSize << 16 | gsoType << 8 | flags | verdict
 *
 *   verdict       < 0   not written
 *                 0, 1  written as it stands, virtio header first; datagrams that follow each other as
 *                       one superpacket (train.c)
 *                 2     ENCAPSULATE: written behind the outer header that the engine has prepared,
 *                       with complete checksums, one packet a segment (segment.c)
 *                 3     COALESCE: may be merged with its successors (coalesce.c)
 *
 * A sink is a TUN, or memory for tests. A packet goes to it in parts, so that payload is never
 * copied on the way: the kernel gathers it with one writev.
 */
#ifndef PORTFOLD_FRAME_H
#define PORTFOLD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
  DESCRIPTOR_WORDS = 4,
  FRAME_OFFSET = 0,
  FRAME_LENGTH = 1,
  FRAME_VERDICT = 3,
  VERDICT_ENCAPSULATE = 2,
  VERDICT_COALESCE = 3,
  PACKET_BYTES_MAX = 65535,
};

/* virtio_net_hdr, 12 bytes, little endian. */
enum {
  VNET_HEADER_BYTES = 12,
  VNET_FLAGS = 0,
  VNET_GSO_TYPE = 1,
  VNET_HDR_LEN = 2,
  VNET_GSO_SIZE = 4,
  VNET_CSUM_START = 6,
  VNET_CSUM_OFFSET = 8,
  VNET_NEEDS_CSUM = 1,
  VNET_DATA_VALID = 2,
  /* The type without the bit for ECN, and its values. */
  GSO_TYPE_BITS = 0x7f,
  GSO_NONE = 0,
  GSO_TCPV4 = 1,
  GSO_UDP_L4 = 5,
};

enum {
  IPV6_HEADER_BYTES = 40,
  IPV6_PAYLOAD_LENGTH = 4,
  IPV4_HEADER_BYTES = 20,
  IPV4_HEADER_BYTES_MAX = 60,
  IPV4_TOTAL_LENGTH = 2,
  IPV4_ID = 4,
  IPV4_FRAGMENT = 6,
  IPV4_PROTOCOL = 9,
  IPV4_CHECKSUM = 10,
  IPV4_SOURCE = 12,
  IPV4_FLAG_DF = 0x4000,
  /* More Fragments and the offset. */
  IPV4_FRAGMENT_BITS = 0x3fff,
  PROTOCOL_TCP = 6,
  PROTOCOL_UDP = 17,
  TCP_HEADER_BYTES = 20,
  TCP_HEADER_BYTES_MAX = 60,
  TCP_SEQUENCE = 4,
  TCP_ACKNOWLEDGEMENT = 8,
  TCP_DATA_OFFSET = 12,
  TCP_FLAGS = 13,
  TCP_WINDOW = 14,
  TCP_CHECKSUM = 16,
  TCP_FIN = 0x01,
  TCP_PSH = 0x08,
  TCP_ACK = 0x10,
  TCP_CWR = 0x80,
  UDP_HEADER_BYTES = 8,
  UDP_LENGTH = 4,
  UDP_CHECKSUM = 6,
};

/* Where written packets go, and what became of them. */
typedef struct Sink Sink;
struct Sink {
  /* Writes one packet, virtio header first; returns 0 or an errno. */
  int (*write)(Sink *sink, const struct iovec *parts, int count);
  double packets, bytes, full, errors;
  int lastErrno;
  /* UDP superpackets are taken (kernel 6.2 and later). */
  bool takesTrains;
};

/* Writes one packet and counts it. */
void sinkWrite(Sink *sink, const struct iovec *parts, int count);

/* Counts a packet that was written, or was not for `error`. */
void sinkCount(Sink *sink, const struct iovec *parts, int count, int error);

/* Counts a packet that could not be written for `error`. */
void sinkFailed(Sink *sink, int error);

/* The bytes of one batch. */
typedef struct {
  uint8_t *bytes;
  size_t length;
} Batch;

/*
 * The IP packet of a frame with `room` bytes in front of it, or NULL when it lies outside or is
 * longer than a packet can be.
 */
uint8_t *framePacket(const Batch *batch, const int32_t *word, size_t room);

/* Writes every frame whose verdict says so; each is tried once. */
typedef struct Coalescer Coalescer;
void writeFrames(Sink *sink, Coalescer *coalescer, const Batch *batch, const int32_t *descriptors,
                 int32_t count);

/*
 * Writes the frame and those of the `left` frames from it on that make a train with it, as one
 * superpacket; returns how many these were, or 0 when it stands alone and nothing was written.
 */
int32_t writeTrain(Sink *sink, const Batch *batch, const int32_t *word, int32_t left);

/* Writes one frame with the verdict ENCAPSULATE. */
void encapsulateFrame(Sink *sink, const Batch *batch, const int32_t *word);

/* Takes one frame with the verdict COALESCE: it is written now, or by the next flush. */
void coalesceFrame(Sink *sink, Coalescer *coalescer, const Batch *batch, const int32_t *word);
void coalesceFlush(Sink *sink, Coalescer *coalescer);
Coalescer *coalescerNew(void);
void coalescerFree(Coalescer *coalescer);

/*
 * The one's complement sum of the bytes as 16-bit words in memory order, for checksums; below
 * 16 GB. Defined in system.c.
 */
uint16_t sumWords(const uint8_t *bytes, size_t length);

/*
 * Completes a partial checksum of `packet`; false if its field is not inside. Defined in system.c.
 */
bool completePartial(uint8_t *packet, size_t length, size_t start, size_t field);

static inline uint16_t readU16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }

static inline uint32_t readU32(const uint8_t *at) {
  return (uint32_t)readU16(at) << 16 | readU16(at + 2);
}

static inline uint16_t readU16le(const uint8_t *at) { return (uint16_t)(at[1] << 8 | at[0]); }

static inline void writeU16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static inline void writeU32(uint8_t *at, uint32_t value) {
  writeU16(at, value >> 16);
  writeU16(at + 2, value);
}

static inline void writeU16le(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)value;
  at[1] = (uint8_t)(value >> 8);
}

#endif
