/*
 * first-packet: what the first packet of a flow has to wait for. Opens new UDP flows at a steady
 * rate, each from an internal address of its own, and measures the round trip to udp-echo.
 *
 *   flow n:  address  from + n      remote  to + n % remotes      one source port for all
 *
 * The clock stops when the kernel takes the answer off the wire (SO_TIMESTAMPNS), so that the wait
 * for a processor on the way back to this process is not counted. Flows that had no answer within
 * --timeout are lost; they count as infinitely late, since a quantile without them would hide them.
 */
#define FIRST_FLOWS_MAX 65536

static struct {
  int64_t sent_at; /* nanoseconds of the real-time clock, which is that of the time stamp */
  int64_t took;    /* nanoseconds, -1 while it waits */
} first_flows[FIRST_FLOWS_MAX];

static long first_answered;

static int64_t real_nanos(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void first_take(int fd, uint32_t run, long flows) {
  for (;;) {
    struct payload payload;
    struct iovec vector = {&payload, sizeof payload};
    uint8_t control[256] __attribute__((aligned(8)));
    struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
    };
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
    if (got < 0) return;
    long n = ntohl(payload.flow);
    if (got != PAYLOAD_BYTES || payload.run != run || n >= flows || first_flows[n].took >= 0)
      continue;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
      struct timespec t;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      int64_t at = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
      first_flows[n].took = at > first_flows[n].sent_at ? at - first_flows[n].sent_at : 0;
      first_answered++;
    }
  }
}

static int compare_nanos(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Microseconds; -1 for a quantile that lies among the lost. */
static double quantile(const int64_t *sorted, long count, double share) {
  int64_t value = sorted[(long)(share * (double)(count - 1) + 0.5)];
  return value == INT64_MAX ? -1 : (double)value / 1e3;
}

static int first_packet(void) {
  uint32_t from = option_address("from", NULL), to = option_address("to", NULL);
  long flows = option_number("flows", NULL, 1, FIRST_FLOWS_MAX);
  long remotes = option_number("remotes", "1", 1, 65536);
  long rate = option_number("rate", "500", 1, 100000);
  uint16_t port = (uint16_t)option_number("port", "7000", 1, 65535);
  uint16_t source_port = (uint16_t)option_number("source-port", "20000", 1, 65535);
  int64_t timeout = option_number("timeout", "1000", 1, 60000) * 1000000;
  options_end();
  stop_by_signal();
  int fd = udp_socket(source_port, 8 << 20);
  set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1, "SO_TIMESTAMPNS");
  uint32_t run = htonl((uint32_t)getpid() ^ (uint32_t)now_micros());
  int set = epoll_of();
  epoll_watch(set, fd, EPOLLIN, 0);
  int64_t started = real_nanos(), over = 0;
  for (long next = 0; first_answered < flows && !stopped;) {
    int64_t now = real_nanos(), due = started + next * 1000000000 / rate;
    if (next == flows && over == 0) over = now + timeout;
    if (over != 0 && now > over) break;
    if (next < flows && now >= due) {
      struct payload payload = {.magic = htonl(PAYLOAD_MAGIC), .run = run,
                                .flow = htonl((uint32_t)next)};
      struct sockaddr_in remote = endpoint(to + (uint32_t)(next % remotes), port);
      struct iovec vector = {&payload, sizeof payload};
      uint8_t control[CONTROL_BYTES] __attribute__((aligned(8)));
      struct msghdr message = {
        .msg_name = &remote, .msg_namelen = sizeof remote, .msg_iov = &vector, .msg_iovlen = 1,
      };
      set_source(&message, control, from + (uint32_t)next);
      first_flows[next].took = -1;
      first_flows[next].sent_at = real_nanos();
      sendmsg(fd, &message, 0);
      next++;
      continue;
    }
    int64_t wait = next < flows ? due - now : 5000000;
    struct timespec time = {.tv_nsec = wait < 5000000 ? wait : 5000000};
    struct epoll_event event;
    epoll_pwait2(set, &event, 1, &time, NULL);
    first_take(fd, run, flows);
  }
  static int64_t sorted[FIRST_FLOWS_MAX];
  for (long n = 0; n < flows; n++)
    sorted[n] = first_flows[n].took < 0 ? INT64_MAX : first_flows[n].took;
  qsort(sorted, (size_t)flows, sizeof *sorted, compare_nanos);
  printf("{\"flows\":%ld,\"answered\":%ld,\"p50Micros\":%.1f,\"p90Micros\":%.1f,\"p99Micros\":%.1f,"
         "\"maxMicros\":%.1f,\"seconds\":%.3f}\n",
         flows, first_answered, quantile(sorted, flows, 0.5), quantile(sorted, flows, 0.9),
         quantile(sorted, flows, 0.99), quantile(sorted, flows, 1),
         (double)(real_nanos() - started) / 1e9);
  return 0;
}
