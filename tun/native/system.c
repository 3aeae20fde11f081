/*
 * Small things that Node does not offer: the boot clock, the message to the service manager, the
 * processor and the precedence of a thread, and the one sum over a payload.
 *
 * CLOCK_BOOTTIME counts while the machine sleeps and is the same for every process, so a tick
 * written by one gateway means the same to its successor; performance.now() starts anew with each
 * process.
 *
 * A partial checksum (virtio flag NEEDS_CSUM) is a checksum field that holds the folded sum of the
 * pseudo-header only. Completing it is one sum from csum_start to the end, the field included, and
 * its complement into the field.
 */
#include "addon.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"

enum { NOTIFY_BYTES_MAX = 4096 };

double bootClock(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* bootMilliseconds() → double */
static napi_value bootMilliseconds(napi_env env, napi_callback_info info) {
  return makeDouble(env, bootClock());
}

/*
 * sdNotify(socket, text): one datagram to the path, or to the abstract name when it begins with
 * '@'.
 */
static napi_value sdNotify(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[NOTIFY_BYTES_MAX];
  size_t pathLength, textLength;
  if (!readArguments(env, info, 2, arguments)) return NULL;
  char *const path = address.sun_path;
  if (!readString(env, arguments[0], path, sizeof address.sun_path, &pathLength)) return NULL;
  if (!readString(env, arguments[1], text, sizeof text, &textLength)) return NULL;
  if (path[0] == '@') path[0] = 0;

  const int channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (channel < 0) return throwErrno(env, errno, "socket");
  const size_t addressLength = offsetof(struct sockaddr_un, sun_path) + pathLength;
  const ssize_t sent = sendto(channel, text, textLength, MSG_NOSIGNAL,
                              (struct sockaddr *)&address, (socklen_t)addressLength);
  const int error = errno;
  close(channel);
  return sent < 0 ? throwErrno(env, error, "sendto") : NULL;
}

/* setAffinity(cpu): binds the calling thread, not the process. */
static napi_value setAffinity(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  int32_t cpu;
  cpu_set_t set;
  if (!readArguments(env, info, 1, arguments) || !readInt32(env, arguments[0], &cpu)) return NULL;
  if (cpu < 0 || cpu >= CPU_SETSIZE) return throwErrno(env, EINVAL, "sched_setaffinity");
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) < 0) {
    return throwErrno(env, errno, "sched_setaffinity");
  }
  return NULL;
}

/*
 * goBeforeOthers() → 0, or errno where the caller may not, or -1 where somebody has given the thread
 * a policy already, which it keeps. The calling thread goes before every ordinary thread of the
 * machine, as a kernel's own forwarding does: SCHED_RR with the lowest real-time priority; its
 * children begin without.
 */
static napi_value goBeforeOthers(napi_env env, napi_callback_info info) {
  const int policy = sched_getscheduler(0);
  if (policy < 0) return makeInt32(env, errno);
  if ((policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER) return makeInt32(env, -1);
  const struct sched_param parameters = {.sched_priority = 1};
  const int failed = sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameters);
  return makeInt32(env, failed < 0 ? errno : 0);
}

/* goWithOthers(): takes that back. The flag stays, since only a privileged thread may take it away. */
static napi_value goWithOthers(napi_env env, napi_callback_info info) {
  const struct sched_param parameters = {.sched_priority = 0};
  sched_setscheduler(0, SCHED_OTHER | SCHED_RESET_ON_FORK, &parameters);
  return NULL;
}

/* threadMilliseconds() → double, the processor time of the calling thread */
static napi_value threadMilliseconds(napi_env env, napi_callback_info info) {
  struct timespec used;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return makeDouble(env, (double)used.tv_sec * 1e3 + (double)used.tv_nsec / 1e6);
}

/*
 * The one's complement sum of the bytes as 16-bit words in memory order. Byte order does not matter
 * to it (RFC 1071), so words are added as the machine reads them and the result is stored back the
 * same way; 32 bits at a time into 64 cannot overflow below 16 GB.
 */
uint16_t sumWords(const uint8_t *bytes, size_t length) {
  uint64_t sum = 0;
  uint32_t word;
  for (; length >= sizeof word; bytes += sizeof word, length -= sizeof word) {
    memcpy(&word, bytes, sizeof word);
    sum += word;
  }
  if (length > 0) {
    word = 0;
    memcpy(&word, bytes, length);
    sum += word;
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

bool completePartial(uint8_t *packet, size_t length, size_t start, size_t field) {
  if (start + field + 2 > length) return false;
  uint8_t *const from = packet + start;
  uint16_t checksum = (uint16_t)~sumWords(from, length - start);
  /* In UDP a zero field means "no checksum", and the all-ones word is the same number. */
  if (checksum == 0 && field == UDP_CHECKSUM) checksum = 0xffff;
  memcpy(from + field, &checksum, sizeof checksum);
  return true;
}

/*
 * completeChecksum(bytes, ipOffset, csumStart, csumOffset, length) → whether the field lies inside
 * the packet. csumStart counts from the IP header and csumOffset from csumStart, as in the virtio
 * header; length is the IP packet's.
 */
static napi_value completeChecksum(napi_env env, napi_callback_info info) {
  napi_value arguments[5];
  int32_t offset, start, field, length;
  void *data;
  size_t dataLength;
  if (!readArguments(env, info, 5, arguments)) return NULL;
  if (!readTypedArray(env, arguments[0], napi_uint8_array, &data, &dataLength)) return NULL;
  if (!readInt32(env, arguments[1], &offset) || !readInt32(env, arguments[2], &start) ||
      !readInt32(env, arguments[3], &field) || !readInt32(env, arguments[4], &length)) {
    return NULL;
  }
  if (offset < 0 || start < 0 || field < 0 || length < 0) return makeBool(env, false);
  if ((int64_t)offset + length > (int64_t)dataLength) return makeBool(env, false);
  uint8_t *const packet = (uint8_t *)data + offset;
  return makeBool(env, completePartial(packet, (size_t)length, (size_t)start, (size_t)field));
}

const Export systemExports[] = {
    {"bootMilliseconds", bootMilliseconds},
    {"sdNotify", sdNotify},
    {"setAffinity", setAffinity},
    {"goBeforeOthers", goBeforeOthers},
    {"goWithOthers", goWithOthers},
    {"threadMilliseconds", threadMilliseconds},
    {"completeChecksum", completeChecksum},
    {NULL, NULL},
};
