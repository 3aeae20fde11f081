/*
 * Writing a batch: which way each frame takes, and the two places where packets end.
 *
 *   frame ──┬ as it stands ───────────────────────────┐
 *           ├ datagrams   → train.c, n frames in 1    ├─► sink: the TUN, or memory
 *           ├ ENCAPSULATE → segment.c, 1 to n packets │
 *           └ COALESCE    → coalesce.c, n frames in 1 ┘
 *
 * Every frame is tried once: a packet that the kernel refuses never holds up the next. What was
 * taken for merging is written before the batch ends, so that nothing waits for packets that may
 * not come.
 */
#include "frame.h"

#include <errno.h>
#include <string.h>

#include "addon.h"

enum { LENGTH_BYTES = 4 };

void sinkFailed(Sink *sink, int error) {
  if (error == EAGAIN || error == ENOBUFS) {
    sink->full += 1;
  } else {
    sink->errors += 1;
    sink->lastErrno = error;
  }
}

void sinkWrite(Sink *sink, const struct iovec *parts, int count) {
  sinkCount(sink, parts, count, sink->write(sink, parts, count));
}

void sinkCount(Sink *sink, const struct iovec *parts, int count, int error) {
  if (error != 0) {
    sinkFailed(sink, error);
    return;
  }
  sink->packets += 1;
  for (int i = 0; i < count; i++) sink->bytes += (double)parts[i].iov_len;
  sink->bytes -= VNET_HEADER_BYTES;
}

uint8_t *framePacket(const Batch *batch, const int32_t *word, size_t room) {
  const int64_t offset = word[FRAME_OFFSET], length = word[FRAME_LENGTH];
  if (offset < (int64_t)room || length <= 0 || length > PACKET_BYTES_MAX) return NULL;
  if (offset + length > (int64_t)batch->length) return NULL;
  return batch->bytes + offset;
}

/* A frame that cannot be one is the engine's error and counted as EFAULT. */
static void writeAsItStands(Sink *sink, const Batch *batch, const int32_t *word) {
  uint8_t *const packet = framePacket(batch, word, VNET_HEADER_BYTES);
  if (packet == NULL) {
    sinkFailed(sink, EFAULT);
    return;
  }
  const size_t length = VNET_HEADER_BYTES + (size_t)word[FRAME_LENGTH];
  const struct iovec whole = {packet - VNET_HEADER_BYTES, length};
  sinkWrite(sink, &whole, 1);
}

void writeFrames(Sink *sink, Coalescer *coalescer, const Batch *batch, const int32_t *descriptors,
                 int32_t count) {
  bool merging = false;
  const int32_t *word = descriptors;
  for (int32_t i = 0; i < count; i++, word += DESCRIPTOR_WORDS) {
    const int32_t verdict = word[FRAME_VERDICT];
    if (verdict < 0) continue;
    if (verdict < VERDICT_ENCAPSULATE) {
      const int32_t joined = sink->takesTrains ? writeTrain(sink, batch, word, count - i) : 0;
      if (joined == 0) {
        writeAsItStands(sink, batch, word);
        continue;
      }
      i += joined - 1;
      word += (ptrdiff_t)(joined - 1) * DESCRIPTOR_WORDS;
    } else if (verdict == VERDICT_ENCAPSULATE) {
      encapsulateFrame(sink, batch, word);
    } else {
      coalesceFrame(sink, coalescer, batch, word);
      merging = true;
    }
  }
  if (merging) coalesceFlush(sink, coalescer);
}

/* ---- Memory as a sink, for tests of everything behind a verdict ---- */

typedef struct {
  Sink sink;
  uint8_t *bytes;
  size_t length, used;
} MemorySink;

/* Each packet: its length in 4 bytes, little endian, then virtio header and packet. */
static int writeToMemory(Sink *sink, const struct iovec *parts, int count) {
  MemorySink *const memory = (MemorySink *)sink;
  size_t total = 0;
  for (int i = 0; i < count; i++) total += parts[i].iov_len;
  if (memory->used + LENGTH_BYTES + total > memory->length) return ENOBUFS;
  uint8_t *to = memory->bytes + memory->used;
  writeU16le(to, (uint32_t)total);
  writeU16le(to + 2, (uint32_t)(total >> 16));
  to += LENGTH_BYTES;
  for (int i = 0; i < count; i++) {
    memcpy(to, parts[i].iov_base, parts[i].iov_len);
    to += parts[i].iov_len;
  }
  memory->used += LENGTH_BYTES + total;
  return 0;
}

/*
 * writeInto(bytes, descriptors, count, output) → bytes used of the output, or less than 0: minus
 * the number of packets that could not be written. What writeBatch does, into memory.
 */
static napi_value writeInto(napi_env env, napi_callback_info info) {
  napi_value arguments[4];
  void *bytes, *descriptors, *output;
  size_t words;
  int32_t count;
  Batch batch;
  MemorySink memory = {.sink = {.write = writeToMemory, .takesTrains = true}};
  if (!readArguments(env, info, 4, arguments)) return NULL;
  if (!readTypedArray(env, arguments[0], napi_uint8_array, &bytes, &batch.length)) return NULL;
  if (!readTypedArray(env, arguments[1], napi_int32_array, &descriptors, &words)) return NULL;
  if (!readInt32(env, arguments[2], &count)) return NULL;
  if (!readTypedArray(env, arguments[3], napi_uint8_array, &output, &memory.length)) return NULL;
  if (count < 0 || (size_t)count > words / DESCRIPTOR_WORDS) {
    return throwUsage(env, "count is beyond the descriptors");
  }
  Coalescer *const coalescer = coalescerNew();
  if (coalescer == NULL) return throwErrno(env, ENOMEM, "memory for merging");
  batch.bytes = bytes;
  memory.bytes = output;
  writeFrames(&memory.sink, coalescer, &batch, descriptors, count);
  coalescerFree(coalescer);
  const double lost = memory.sink.errors + memory.sink.full;
  return makeDouble(env, lost > 0 ? -lost : (double)memory.used);
}

const Export writeExports[] = {
    {"writeInto", writeInto},
    {NULL, NULL},
};
