/*
 * The ceiling: reads packets from a TUN interface and writes them back unchanged.
 *
 *   null-forwarder NAME [--no-offload | --tunnel CE BR] [--seconds N] [--batch N]
 *
 * What a gateway on one TUN, in one thread, could reach at most on this machine: the same flags,
 * the same batches in one buffer, no translation and no JavaScript. Portfold's own figures are
 * given as a ratio to this one, run in turn.
 *
 * NAME is opened, or created when it does not exist; links, addresses and routes are the caller's.
 * --no-offload leaves out the virtio header and all offloads, so each packet fits the MTU and
 * carries a complete checksum. --tunnel wraps IPv4 into IPv6 from CE to BR, cutting superpackets,
 * and unwraps what comes back one by one (tunnel.h): the ceiling of own encapsulation. --seconds ends the run after N seconds, otherwise SIGTERM or SIGINT
 * does. --batch is the most packets read before they are written (default 256).
 *
 * Prints one line of JSON at the end:
 * {"packets":…,"bytes":…,"superpackets":…,"batches":…,"writeErrors":…,"writeFull":…,
 * "seconds":…,"userSeconds":…,"systemSeconds":…,"offload":…}. Bytes are those of IP packets; a
 * superpacket is longer than 9,000.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

enum {
  VNET_HEADER_BYTES = 12,
  HEADROOM_BYTES = 128,
  PACKET_BYTES_MAX = 65535,
  ALIGNMENT = 64,
  BUFFER_BYTES = 1 << 20,
  BATCH_DEFAULT = 256,
  BATCH_MAX = 4096,
  SUPERPACKET_BYTES = 9000,
  IDLE_MILLISECONDS_MAX = 100,
  EXIT_USAGE = 2,
};

typedef struct {
  const char *name;
  bool offload, tunnel;
  int seconds, batch;
} Options;

typedef struct {
  uint64_t packets, bytes, superpackets, batches, writeErrors, writeFull;
} Totals;

static volatile sig_atomic_t stopped;
static uint8_t buffer[BUFFER_BYTES] __attribute__((aligned(ALIGNMENT)));
static struct { uint32_t start, length; } frames[BATCH_MAX];

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static void fail(const char *step) {
  fprintf(stderr, "null-forwarder: %s: %s\n", step, strerror(errno));
  exit(1);
}

#include "tunnel.h"

static void usage(void) {
  fprintf(stderr, "usage: null-forwarder NAME [--no-offload | --tunnel CE BR] [--seconds N] "
                  "[--batch N]\n");
  exit(EXIT_USAGE);
}

static int positive(const char *text, int most) {
  char *end;
  long value = text == NULL ? 0 : strtol(text, &end, 10);
  if (value < 1 || value > most || *end != 0) usage();
  return (int)value;
}

/* The tunnel's two ends, into the header that every packet gets. */
static bool readTunnel(const char *ce, const char *br) {
  return ce != NULL && br != NULL && inet_pton(AF_INET6, ce, outerHeader + 8) == 1 &&
         inet_pton(AF_INET6, br, outerHeader + 24) == 1;
}

static Options parse(int count, char **arguments) {
  Options options = {.offload = true, .batch = BATCH_DEFAULT};
  for (int i = 1; i < count; i++) {
    const char *next = i + 1 < count ? arguments[i + 1] : NULL;
    if (strcmp(arguments[i], "--no-offload") == 0) options.offload = false;
    else if (strcmp(arguments[i], "--tunnel") == 0) {
      options.tunnel = i + 2 < count && readTunnel(next, arguments[i + 2]);
      if (!options.tunnel) usage();
      i += 2;
    } else if (strcmp(arguments[i], "--seconds") == 0) options.seconds = positive(next, 86400), i++;
    else if (strcmp(arguments[i], "--batch") == 0) options.batch = positive(next, BATCH_MAX), i++;
    else if (arguments[i][0] == '-' || options.name != NULL) usage();
    else options.name = arguments[i];
  }
  if (options.name == NULL || strlen(options.name) >= IFNAMSIZ) usage();
  if (options.tunnel && !options.offload) usage();
  return options;
}

static int openTun(const Options *options) {
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  int headerBytes = VNET_HEADER_BYTES;
  unsigned long offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  const int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) fail("/dev/net/tun");

  strcpy(request.ifr_name, options->name);
  if (options->offload) request.ifr_flags |= IFF_VNET_HDR;
  if (ioctl(tun, TUNSETIFF, &request) < 0) fail(options->name);
  /* Offloads are remembered by the interface, so an earlier run's are taken back as well. */
  if (!options->offload) {
    if (ioctl(tun, TUNSETOFFLOAD, 0UL) < 0) fail("TUNSETOFFLOAD");
    return tun;
  }
  if (ioctl(tun, TUNSETVNETHDRSZ, &headerBytes) < 0) fail("TUNSETVNETHDRSZ");
  if (ioctl(tun, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) < 0 &&
      ioctl(tun, TUNSETOFFLOAD, offload) < 0) {
    fail("TUNSETOFFLOAD");
  }
  return tun;
}

/* Packs what waits one behind the other into the buffer; returns the number of frames. */
static int readBatch(int tun, int batch, uint32_t headerBytes) {
  uint32_t cursor = 0;
  int count = 0;
  while (count < batch && cursor + HEADROOM_BYTES + PACKET_BYTES_MAX <= BUFFER_BYTES) {
    const uint32_t start = cursor + HEADROOM_BYTES - headerBytes;
    const ssize_t got = read(tun, buffer + start, headerBytes + PACKET_BYTES_MAX);
    if (got < 0 && errno == EINTR && !stopped) continue;
    if (got < 0 && errno != EAGAIN && errno != EINTR) fail("read");
    if (got < 0) break;
    if (got <= (ssize_t)headerBytes) continue;
    frames[count].start = start;
    frames[count].length = (uint32_t)got;
    count++;
    cursor = (start + (uint32_t)got + ALIGNMENT - 1) & ~(uint32_t)(ALIGNMENT - 1);
  }
  return count;
}

static void writeBatch(int tun, int count, uint32_t headerBytes, Totals *totals) {
  for (int i = 0; i < count; i++) {
    const uint32_t length = frames[i].length - headerBytes;
    if (write(tun, buffer + frames[i].start, frames[i].length) < 0) {
      if (errno == EAGAIN || errno == ENOBUFS) totals->writeFull++;
      else totals->writeErrors++;
      continue;
    }
    totals->packets++;
    totals->bytes += length;
    totals->superpackets += length > SUPERPACKET_BYTES;
  }
  totals->batches += count > 0;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double timeSeconds(struct timeval time) {
  return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void report(const Options *options, const Totals *totals, double seconds) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  printf("{\"packets\":%llu,\"bytes\":%llu,\"superpackets\":%llu,\"batches\":%llu,",
         (unsigned long long)totals->packets, (unsigned long long)totals->bytes,
         (unsigned long long)totals->superpackets, (unsigned long long)totals->batches);
  printf("\"writeErrors\":%llu,\"writeFull\":%llu,\"seconds\":%.3f,",
         (unsigned long long)totals->writeErrors, (unsigned long long)totals->writeFull, seconds);
  printf("\"userSeconds\":%.3f,\"systemSeconds\":%.3f,\"offload\":%s}\n",
         timeSeconds(used.ru_utime), timeSeconds(used.ru_stime),
         options->offload ? "true" : "false");
}

int main(int count, char **arguments) {
  const Options options = parse(count, arguments);
  const uint32_t headerBytes = options.offload ? VNET_HEADER_BYTES : 0;
  const int tun = openTun(&options);
  struct sigaction action = {.sa_handler = stop};
  Totals totals = {0};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);

  const double start = now();
  const double end = options.seconds > 0 ? start + options.seconds : 0;
  while (!stopped && (end == 0 || now() < end)) {
    const int frameCount = readBatch(tun, options.batch, headerBytes);
    if (options.tunnel) tunnelBatch(tun, frameCount, &totals);
    else writeBatch(tun, frameCount, headerBytes, &totals);
    struct pollfd source = {.fd = tun, .events = POLLIN};
    if (frameCount == 0) poll(&source, 1, IDLE_MILLISECONDS_MAX);
  }
  report(&options, &totals, now() - start);
  return 0;
}
