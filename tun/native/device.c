/*
 * The TUN device: one queue, read and written in batches.
 *
 * A TUN descriptor gives one packet a read and takes one a write; there is no call for many. A
 * batch is therefore a loop inside one call from JavaScript, and its buffers are registered once,
 * so that a batch of any size costs one crossing.
 *
 *   bytes:        | headroom 116 | virtio 12 | IP packet ....... | to 64 | headroom | virtio | IP ...
 *                                            ^ offset, a multiple of 64
 *   descriptor:   offset | length | gsoSize << 16 | gsoType << 8 | flags | verdict
 *
 * IFF_VNET_HDR and TUNSETOFFLOAD let the kernel hand over TCP superpackets of up to 64 KB as they
 * stand, with a checksum that may still be partial, and take them back the same way. The virtio
 * header is little endian on every host (TUNSETVNETLE) and 12 bytes long (TUNSETVNETHDRSZ), which
 * keeps the IP header aligned.
 *
 * wait() sleeps on the TUN and on an eventfd, which other threads reach through wake.c.
 *
 * Invariants: a device is used by the thread that opened it (wake excepted); the arrays are
 * referenced until close, and their memory does not move; counters only grow.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "frame.h"

/* Younger than the headers of some distributions that we build on. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
  HEADROOM_BYTES = 128,
  ALIGNMENT = 64,
  INTERRUPTIONS_MAX = 8,
};

/* Rows of the counters array; tun/native.ts names the same. */
enum {
  PACKETS_IN,
  PACKETS_OUT,
  WRITE_ERRORS,
  WRITE_FULL,
  BYTES_IN,
  BYTES_OUT,
  LAST_WRITE_ERRNO,
  SHORT_READS,
  /* Boot-time clock when the last batch was read, in milliseconds. */
  CLOCK_MILLISECONDS,
  COUNTERS,
};

enum { READY_PACKET = 1, READY_WAKE = 2, READY_ERROR = 4 };

typedef struct {
  int tun, event;
  uint32_t token;
  uint8_t *bytes;
  size_t bytesLength;
  int32_t *descriptors;
  uint32_t capacity;
  /* What reading may use of the two. */
  size_t readBytes;
  uint32_t readFrames;
  double *counters;
  bool takesTrains;
  Coalescer *coalescer;
  napi_ref references[3];
} Device;

static const napi_type_tag DEVICE_TAG = {0x9d1f6e2c5ab04471u, 0x8c3371d0e64f92abu};

/* ---- Life of a device ---- */

static void deviceClose(napi_env env, Device *device) {
  if (device->tun < 0) return;
  wakeForget(device->token);
  close(device->tun);
  close(device->event);
  device->tun = device->event = -1;
  for (int i = 0; i < 3; i++) {
    if (device->references[i] != NULL) napi_delete_reference(env, device->references[i]);
    device->references[i] = NULL;
  }
  device->bytes = NULL;
  device->descriptors = NULL;
  device->counters = NULL;
}

/*
 * The device whose handle this thread has checked last. A pointer that equals it is that device,
 * since the memory is freed with the handle only; comparing it saves the look-up of the tag.
 */
static _Thread_local Device *checkedDevice;

static void deviceFinalize(napi_env env, void *data, void *hint) {
  if (checkedDevice == data) checkedDevice = NULL;
  deviceClose(env, data);
  coalescerFree(((Device *)data)->coalescer);
  free(data);
}

/* The device behind a handle, open or closed, or NULL after a throw. */
static Device *readHandle(napi_env env, napi_value handle) {
  napi_valuetype type;
  bool ours = false;
  void *data = NULL;
  if (checkedDevice != NULL && napi_get_value_external(env, handle, &data) == napi_ok &&
      data == checkedDevice) {
    return data;
  }
  /* The type comes first: asking undefined for its tag throws an error of V8's own. */
  if (napi_typeof(env, handle, &type) != napi_ok || type != napi_external ||
      napi_check_object_type_tag(env, handle, &DEVICE_TAG, &ours) != napi_ok || !ours ||
      napi_get_value_external(env, handle, &data) != napi_ok) {
    throwUsage(env, "a device handle was expected");
    return NULL;
  }
  checkedDevice = data;
  return data;
}

/* The open device behind a handle, or NULL after a throw. */
static Device *deviceOf(napi_env env, napi_value handle) {
  Device *device = readHandle(env, handle);
  if (device == NULL) return NULL;
  if (device->tun < 0) {
    throwErrno(env, EBADF, "use of a closed device");
    return NULL;
  }
  return device;
}

/* Turns what the kernel can offload on; returns the flags that it took, or -1 with errno. */
static int enableOffload(int tun) {
  const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  const unsigned all = tcp | TUN_F_USO4 | TUN_F_USO6;
  if (ioctl(tun, TUNSETOFFLOAD, (unsigned long)all) == 0) return (int)all;
  /* Kernels before 6.2 know no UDP segmentation here and refuse the whole set. */
  if (errno == EINVAL && ioctl(tun, TUNSETOFFLOAD, (unsigned long)tcp) == 0) return (int)tcp;
  return -1;
}

/* openTun(name, persist) → { handle, name, token, offload, adopted } */
static napi_value openTun(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct ifreq request;
  bool persist;
  memset(&request, 0, sizeof request);
  if (!readArguments(env, info, 2, arguments)) return NULL;
  if (!readString(env, arguments[0], request.ifr_name, IFNAMSIZ, NULL)) return NULL;
  if (!readBool(env, arguments[1], &persist)) return NULL;

  const bool adopted = if_nametoindex(request.ifr_name) != 0;
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) return throwErrno(env, errno, "open /dev/net/tun");

  const char *step = "TUNSETIFF";
  int headerBytes = VNET_HEADER_BYTES, littleEndian = 1, offload = 0, event = -1, error;
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(tun, TUNSETIFF, &request) < 0) goto failed;
  step = "TUNSETVNETHDRSZ";
  if (ioctl(tun, TUNSETVNETHDRSZ, &headerBytes) < 0) goto failed;
  step = "TUNSETVNETLE";
  if (ioctl(tun, TUNSETVNETLE, &littleEndian) < 0) goto failed;
  step = "TUNSETOFFLOAD";
  if ((offload = enableOffload(tun)) < 0) goto failed;
  step = "TUNSETPERSIST";
  if (ioctl(tun, TUNSETPERSIST, (unsigned long)persist) < 0) goto failed;
  step = "eventfd";
  if ((event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) goto failed;

  Device *device = calloc(1, sizeof *device);
  errno = ENOMEM;
  step = "device memory";
  if (device == NULL) goto failed;
  device->coalescer = coalescerNew();
  if (device->coalescer == NULL) {
    free(device);
    errno = ENOMEM;
    goto failed;
  }
  device->tun = tun;
  device->event = event;
  device->takesTrains = (offload & TUN_F_USO4) != 0;
  device->token = wakeRegister(event);
  if (device->token == 0) {
    coalescerFree(device->coalescer);
    free(device);
    errno = EMFILE;
    step = "wake table";
    goto failed;
  }

  napi_value handle, name, result;
  napi_create_external(env, device, deviceFinalize, NULL, &handle);
  napi_type_tag_object(env, handle, &DEVICE_TAG);
  napi_create_string_utf8(env, request.ifr_name, NAPI_AUTO_LENGTH, &name);
  napi_create_object(env, &result);
  setProperty(env, result, "handle", handle);
  setProperty(env, result, "name", name);
  setProperty(env, result, "token", makeInt32(env, (int32_t)device->token));
  setProperty(env, result, "offload", makeInt32(env, offload));
  setProperty(env, result, "adopted", makeBool(env, adopted));
  return result;

failed:
  error = errno;
  if (event >= 0) close(event);
  close(tun);
  return throwErrno(env, error, step);
}

/* closeTun(handle): closing twice is allowed, since both an error path and a finally may do it. */
static napi_value closeTun(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  if (!readArguments(env, info, 1, arguments)) return NULL;
  Device *device = readHandle(env, arguments[0]);
  if (device != NULL) deviceClose(env, device);
  return NULL;
}

/* setPersist(handle, on) */
static napi_value setPersist(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  bool persist;
  if (!readArguments(env, info, 2, arguments)) return NULL;
  Device *device = deviceOf(env, arguments[0]);
  if (device == NULL || !readBool(env, arguments[1], &persist)) return NULL;
  if (ioctl(device->tun, TUNSETPERSIST, (unsigned long)persist) < 0) {
    return throwErrno(env, errno, "TUNSETPERSIST");
  }
  return NULL;
}

/*
 * registerBuffers(handle, bytes Uint8Array, descriptors Int32Array, counters Float64Array,
 *                 readBytes, readFrames), once. Reading uses that much of the first two; the rest
 *                 is for frames that others append.
 */
static napi_value registerBuffers(napi_env env, napi_callback_info info) {
  napi_value arguments[6];
  void *bytes, *descriptors, *counters;
  size_t bytesLength, words, rows;
  double readBytes, readFrames;
  if (!readArguments(env, info, 6, arguments)) return NULL;
  Device *device = deviceOf(env, arguments[0]);
  if (device == NULL) return NULL;
  if (device->bytes != NULL) return throwUsage(env, "the device has its buffers already");
  if (!readTypedArray(env, arguments[1], napi_uint8_array, &bytes, &bytesLength)) return NULL;
  if (!readTypedArray(env, arguments[2], napi_int32_array, &descriptors, &words)) return NULL;
  if (!readTypedArray(env, arguments[3], napi_float64_array, &counters, &rows)) return NULL;
  if (!readDouble(env, arguments[4], &readBytes)) return NULL;
  if (!readDouble(env, arguments[5], &readFrames)) return NULL;
  if (!(readBytes >= HEADROOM_BYTES + PACKET_BYTES_MAX) || !(readBytes <= (double)bytesLength) ||
      bytesLength > INT32_MAX) {
    return throwUsage(env, "the buffer must hold a packet of 65,535 bytes with its headroom");
  }
  if (!(readFrames >= 1) || !(readFrames <= (double)(words / DESCRIPTOR_WORDS)) ||
      rows < COUNTERS) {
    return throwUsage(env, "descriptors or counters are too few");
  }

  for (int i = 0; i < 3; i++) {
    if (napi_create_reference(env, arguments[i + 1], 1, &device->references[i]) != napi_ok) {
      return throwErrno(env, ENOMEM, "reference to a buffer");
    }
  }
  device->bytes = bytes;
  device->bytesLength = bytesLength;
  device->descriptors = descriptors;
  device->capacity = (uint32_t)(words / DESCRIPTOR_WORDS);
  device->readBytes = (size_t)readBytes;
  device->readFrames = (uint32_t)readFrames;
  device->counters = counters;
  return NULL;
}

/* The handle of a call on the datapath, registered; NULL after a throw. */
static Device *registeredDevice(napi_env env, napi_value handle) {
  Device *device = deviceOf(env, handle);
  if (device != NULL && device->bytes == NULL) {
    throwUsage(env, "the device has no buffers yet: register them first");
    return NULL;
  }
  return device;
}

/* ---- The datapath ---- */

/* What a read of the whole queue brought. */
typedef struct {
  uint32_t count;
  double bytes;
  int error;
} Reading;

/* Reads until nothing waits, the descriptors are used up or no superpacket would fit. */
static Reading readQueue(Device *device) {
  uint8_t *const bytes = device->bytes;
  const size_t cursorMax = device->readBytes - HEADROOM_BYTES - PACKET_BYTES_MAX;
  int32_t *word = device->descriptors;
  size_t cursor = 0;
  uint32_t interruptions = 0;
  Reading reading = {0, 0, 0};

  while (reading.count < device->readFrames && cursor <= cursorMax) {
    const size_t offset = cursor + HEADROOM_BYTES;
    uint8_t *const header = bytes + offset - VNET_HEADER_BYTES;
    const ssize_t got = read(device->tun, header, VNET_HEADER_BYTES + PACKET_BYTES_MAX);
    if (got <= 0) {
      if (got < 0 && errno == EINTR && ++interruptions < INTERRUPTIONS_MAX) continue;
      if (got < 0 && errno != EAGAIN && errno != EINTR) reading.error = errno;
      break;
    }
    if (got <= VNET_HEADER_BYTES) {
      device->counters[SHORT_READS] += 1;
      continue;
    }
    const int32_t length = (int32_t)(got - VNET_HEADER_BYTES);
    word[0] = (int32_t)offset;
    word[1] = length;
    word[2] = (int32_t)((uint32_t)header[VNET_GSO_SIZE + 1] << 24 |
                        (uint32_t)header[VNET_GSO_SIZE] << 16 |
                        (uint32_t)header[VNET_GSO_TYPE] << 8 | header[VNET_FLAGS]);
    word[3] = 0;
    word += DESCRIPTOR_WORDS;
    reading.count++;
    reading.bytes += length;
    cursor = (offset + (size_t)length + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
  }
  return reading;
}

/*
 * Sleeps until a packet waits, the device is woken or the time is over; returns bits: 1 a packet
 * waits, 2 woken, 4 the interface is in trouble (the next read says which), or -1 with errno.
 */
static int32_t waitReady(const Device *device, int32_t timeout) {
  struct pollfd sources[2] = {
      {.fd = device->tun, .events = POLLIN},
      {.fd = device->event, .events = POLLIN},
  };
  int32_t ready = 0;
  /* A signal ends the wait early; the loop around it looks at everything again anyhow. */
  if (poll(sources, 2, timeout) < 0) return errno == EINTR ? 0 : -1;
  if (sources[0].revents & POLLIN) ready |= READY_PACKET;
  if (sources[0].revents & (POLLERR | POLLHUP | POLLNVAL)) ready |= READY_ERROR;
  if (sources[1].revents & POLLIN) {
    uint64_t times;
    if (read(device->event, &times, sizeof times) == (ssize_t)sizeof times) ready |= READY_WAKE;
  }
  return ready;
}

/*
 * readBatch(handle, timeoutMs) → count. Reads what waits; where nothing does, sleeps first until
 * something comes, the device is woken or the time is over. One call for all that, since the way
 * into the addon is paid for each. Leaves the boot-time clock in its counter row.
 */
static napi_value readBatch(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t timeout;
  if (!readArguments(env, info, 2, arguments)) return NULL;
  Device *device = registeredDevice(env, arguments[0]);
  if (device == NULL || !readInt32(env, arguments[1], &timeout)) return NULL;

  Reading reading = readQueue(device);
  if (reading.count == 0 && reading.error == 0 && timeout > 0) {
    const int32_t ready = waitReady(device, timeout);
    if (ready < 0) return throwErrno(env, errno, "poll");
    if (ready & (READY_PACKET | READY_ERROR)) reading = readQueue(device);
  }
  device->counters[PACKETS_IN] += reading.count;
  device->counters[BYTES_IN] += reading.bytes;
  device->counters[CLOCK_MILLISECONDS] = bootClock();
  /*
   * What was read before the error is delivered; the error itself comes back with the next, then
   * empty, batch.
   */
  if (reading.error != 0 && reading.count == 0) return throwErrno(env, reading.error, "read");
  return makeInt32(env, (int32_t)reading.count);
}

typedef struct {
  Sink sink;
  int tun;
} TunSink;

/* Writes one packet to the TUN; the kernel gathers its parts. */
static int writeToTun(Sink *sink, const struct iovec *parts, int count) {
  const int tun = ((TunSink *)sink)->tun;
  for (int attempt = 0; attempt < INTERRUPTIONS_MAX; attempt++) {
    const ssize_t put = count == 1 ? write(tun, parts->iov_base, parts->iov_len)
                                   : writev(tun, parts, count);
    if (put >= 0) return 0;
    if (errno != EINTR) return errno;
  }
  return EINTR;
}

/* writeBatch(handle, count) → packets written; write.c says what becomes of each frame. */
static napi_value writeBatch(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t count;
  if (!readArguments(env, info, 2, arguments)) return NULL;
  Device *device = registeredDevice(env, arguments[0]);
  if (device == NULL || !readInt32(env, arguments[1], &count)) return NULL;
  if (count < 0 || (uint32_t)count > device->capacity) {
    return throwUsage(env, "count is beyond the descriptors");
  }

  const Batch batch = {device->bytes, device->bytesLength};
  TunSink out = {.sink = {.write = writeToTun, .takesTrains = device->takesTrains}, .tun = device->tun};
  writeFrames(&out.sink, device->coalescer, &batch, device->descriptors, count);

  double *const counters = device->counters;
  counters[PACKETS_OUT] += out.sink.packets;
  counters[BYTES_OUT] += out.sink.bytes;
  counters[WRITE_FULL] += out.sink.full;
  counters[WRITE_ERRORS] += out.sink.errors;
  if (out.sink.lastErrno != 0) counters[LAST_WRITE_ERRNO] = out.sink.lastErrno;
  return makeInt32(env, (int32_t)out.sink.packets);
}

/* wait(handle, timeoutMs) → bits of waitReady. */
static napi_value waitDevice(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  int32_t timeout;
  if (!readArguments(env, info, 2, arguments)) return NULL;
  Device *device = deviceOf(env, arguments[0]);
  if (device == NULL || !readInt32(env, arguments[1], &timeout)) return NULL;
  const int32_t ready = waitReady(device, timeout);
  return ready < 0 ? throwErrno(env, errno, "poll") : makeInt32(env, ready);
}

const Export deviceExports[] = {
    {"openTun", openTun},
    {"closeTun", closeTun},
    {"setPersist", setPersist},
    {"registerBuffers", registerBuffers},
    {"readBatch", readBatch},
    {"writeBatch", writeBatch},
    {"wait", waitDevice},
    {NULL, NULL},
};
