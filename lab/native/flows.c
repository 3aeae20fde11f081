/*
 * flows: traffic by the hundred thousand, from one small process.
 *
 *   udp-echo     answers datagrams on many ports of every local address, and says whom it saw
 *   udp-flows    opens N UDP flows from internal endpoints of their own and checks, round by round,
 *                that each is answered and seen at the same external endpoint as before
 *   tcp-server   accepts connections in several processes; answers with the endpoint it saw
 *   tcp-hold     opens N TCP connections, holds them all at once, and talks on each of them twice
 *   udp-blast    sends small datagrams as fast as it can, or at a rate
 *   udp-sink     counts them
 *   udp-spread, udp-serve, udp-pull, udp-rtt     over many flows, towards the inside, round trips
 *   raw-send     packets as they stand, from a raw socket
 *   raw-flood    the same at a rate, from as many sources as one likes
 *   first-packet opens flows at a steady rate and measures the round trip of their first packet
 *
 * A process here may hold 20,000 descriptors, so a socket speaks for one source PORT on many
 * ADDRESSES: IP_PKTINFO names the source address of each datagram, and a `local` route makes
 * thousands of addresses the host's own. Results are one line of JSON on stdout; words go to
 * stderr. Every loop is bounded by a limit that an option names.
 *
 * One translation unit on purpose: the parts share the options and the clock and nothing else.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "payload.h"
#include "udp-echo.h"
#include "udp-flows.h"
#include "tcp-server.h"
#include "tcp-hold.h"
#include "udp-rate.h"
#include "udp-measure.h"
#include "raw.h"
#include "first-packet.h"

struct command {
  const char *name;
  int (*run)(void);
  const char *options;
};

static const struct command commands[] = {
  {"udp-echo", udp_echo, "[--port 7000] [--ports 1]"},
  {"udp-flows", udp_flows,
   "--flows N --from ADDRESS --addresses A --to ADDRESS --remotes M [--port 7000]\n"
   "             [--source-port 20000] [--remotes-per-endpoint 1] [--rounds 2] [--pause SECONDS]\n"
   "             [--rate PER-SECOND] [--retries 3] [--timeout MS]"},
  {"tcp-server", tcp_server, "[--port 7000] [--processes 3]"},
  {"tcp-hold", tcp_hold,
   "--connections N --from ADDRESS --addresses A --to ADDRESS --remotes M [--port 7000]\n"
   "             [--processes 2] [--rate PER-SECOND] [--hold SECONDS] [--timeout MS]"},
  {"udp-blast", udp_blast,
   "--to ADDRESS [--port 7001] [--bytes 64] [--seconds 3] [--rate PER-SECOND]"},
  {"udp-sink", udp_sink, "[--port 7001] [--idle MS]"},
  {"udp-spread", udp_spread,
   "--flows N --from ADDRESS --addresses A --to ADDRESS --remotes M [--port 7001]\n"
   "             [--source-port 20000] [--bytes 64] [--seconds 3] [--once 0]"},
  {"udp-serve", udp_serve, "[--port 7002]"},
  {"udp-pull", udp_pull, "--to ADDRESS [--port 7002] [--bytes 64] [--seconds 3] [--idle MS]"},
  {"udp-rtt", udp_rtt,
   "--to ADDRESS [--port 7000] [--count 1000] [--interval MICROSECONDS] [--timeout MS]"},
  {"raw-send", raw_send, "< packets in hexadecimal, one a line"},
  {"raw-flood", raw_flood,
   "[--from ADDRESS --sources N] [--destinations N] [--source-ports N] [--ids 1]\n"
   "             [--rate PER-SECOND] [--count N] [--seconds N] < packets"},
  {"first-packet", first_packet,
   "--flows N --from ADDRESS --to ADDRESS [--remotes M] [--port 7000]\n"
   "             [--source-port 20000] [--rate PER-SECOND] [--timeout MS]"},
};

static int usage(void) {
  fprintf(stderr, "usage: flows COMMAND [--option value ...]\n");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    fprintf(stderr, "  %-10s %s\n", commands[i].name, commands[i].options);
  return 2;
}

int main(int argc, char **argv) {
  if (argc < 2) return usage();
  options_begin(argc - 2, argv + 2);
  signal(SIGPIPE, SIG_IGN);
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run();
  fprintf(stderr, "flows: no command \"%s\"\n", argv[1]);
  return usage();
}
