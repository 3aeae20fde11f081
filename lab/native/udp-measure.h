/*
 * Measurements by datagram, for what udp-blast and udp-sink cannot do.
 *
 *   udp-spread   sends as fast as it can over N flows (endpoints and remotes as in udp-flows, one
 *                remote each): in random order over and over, or each flow once and then no more
 *   udp-serve    sends to whoever asks, as long as asked
 *   udp-pull     asks, and counts what comes: traffic towards the inside, through a NAT
 *   udp-rtt      one datagram at a time to an echo, and how long each took
 */
#define PULL_MAGIC 0x50465055u
#define PULL_RETRY_MS 200
#define PULL_TRIES 25
#define RTT_SAMPLES_MAX 1000000

struct pull_request {
  uint32_t magic, bytes, millis;
};

static struct mmsghdr measure_messages[RATE_BATCH];
static struct iovec measure_vectors[RATE_BATCH];
static struct sockaddr_in measure_peers[RATE_BATCH];
static uint8_t measure_control[RATE_BATCH][CONTROL_BYTES] __attribute__((aligned(8)));
static uint8_t measure_data[RATE_BATCH][RATE_BYTES_MAX];

static uint64_t measure_random(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void measure_begin(size_t bytes) {
  for (int i = 0; i < RATE_BATCH; i++) {
    measure_vectors[i] = (struct iovec){measure_data[i], bytes};
    measure_messages[i].msg_hdr = (struct msghdr){
      .msg_name = &measure_peers[i], .msg_namelen = sizeof measure_peers[i],
      .msg_iov = &measure_vectors[i], .msg_iovlen = 1,
    };
  }
}

static void measure_print(const char *what, long count, int64_t micros) {
  double seconds = (double)micros / 1e6;
  printf("{\"%s\":%ld,\"seconds\":%.3f,\"perSecond\":%.0f}\n", what, count, seconds,
         seconds > 0 ? (double)count / seconds : 0.0);
}

static int udp_spread(void) {
  long count = option_number("flows", NULL, 1, FLOWS_MAX);
  long addresses = option_number("addresses", NULL, 1, 65536);
  uint32_t from = option_address("from", NULL), to = option_address("to", NULL);
  long remotes = option_number("remotes", "1", 1, 65536);
  uint16_t port = (uint16_t)option_number("port", "7001", 1, 65535);
  uint16_t source_port = (uint16_t)option_number("source-port", "20000", 1, 65535);
  size_t bytes = (size_t)option_number("bytes", "64", 1, RATE_BYTES_MAX);
  int64_t duration = option_number("seconds", "3", 1, 3600) * 1000000;
  int once = (int)option_number("once", "0", 0, 1);
  options_end();
  stop_by_signal();
  raise_descriptor_limit();
  long sockets = (count + addresses - 1) / addresses, per_socket = count / sockets;
  if (sockets > SOURCE_SOCKETS_MAX || source_port + sockets > 65536) {
    fprintf(stderr, "flows: %ld flows on %ld addresses need %ld source ports; %s\n", count,
            addresses, sockets, "give more --addresses");
    exit(2);
  }
  static int fds[SOURCE_SOCKETS_MAX];
  for (long i = 0; i < sockets; i++) fds[i] = udp_socket((uint16_t)(source_port + i), 1 << 16);
  measure_begin(bytes);
  uint64_t random = 20261122;
  int64_t started = now_micros(), now = started;
  long sent = 0, turn = 0;
  while (now - started < duration && !stopped) {
    long s = turn % sockets, row = turn / sockets * RATE_BATCH;
    if (once && row >= per_socket) break;
    int messages = once && per_socket - row < RATE_BATCH ? (int)(per_socket - row) : RATE_BATCH;
    for (int i = 0; i < messages; i++) {
      long k = once ? row + i : (long)(measure_random(&random) % (uint64_t)per_socket);
      long e = k * sockets + s;
      measure_peers[i] = endpoint(to + (uint32_t)(e % remotes), port);
      set_source(&measure_messages[i].msg_hdr, measure_control[i], from + (uint32_t)k);
    }
    int done = sendmmsg(fds[s], measure_messages, (unsigned)messages, 0);
    if (done > 0) sent += done;
    turn++;
    now = now_micros();
  }
  measure_print("sent", sent, now - started);
  return 0;
}

/* Sends to the peer of `request`, from the address that it asked, until the time is over. */
static void serve_one(int fd, const struct pull_request *request, struct sockaddr_in peer,
                      uint32_t local) {
  measure_begin(request->bytes);
  for (int i = 0; i < RATE_BATCH; i++) {
    measure_peers[i] = peer;
    set_source(&measure_messages[i].msg_hdr, measure_control[i], local);
  }
  int64_t until = now_micros() + (int64_t)request->millis * 1000;
  while (now_micros() < until && !stopped) sendmmsg(fd, measure_messages, RATE_BATCH, 0);
}

static int udp_serve(void) {
  int fd = udp_socket((uint16_t)option_number("port", "7002", 1, 65535), 1 << 20);
  options_end();
  stop_by_signal();
  int set = epoll_of();
  epoll_watch(set, fd, EPOLLIN, 0);
  say_ready();
  while (!stopped) {
    struct pull_request request;
    struct sockaddr_in peer;
    uint8_t control[CONTROL_BYTES] __attribute__((aligned(8)));
    struct iovec vector = {&request, sizeof request};
    struct msghdr message = {
      .msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &vector, .msg_iovlen = 1,
      .msg_control = control, .msg_controllen = sizeof control,
    };
    struct epoll_event event;
    if (epoll_wait(set, &event, 1, 1000) <= 0) continue;
    if (recvmsg(fd, &message, 0) != sizeof request || request.magic != PULL_MAGIC) continue;
    if (request.bytes < 1 || request.bytes > RATE_BYTES_MAX || request.millis > 60000) continue;
    serve_one(fd, &request, peer, local_address_of(&message));
    /* Asked again meanwhile, since the first answer was slow: that is not another wish. */
    while (recv(fd, &request, sizeof request, 0) >= 0) continue;
  }
  return 0;
}

static int udp_pull(void) {
  uint32_t to = option_address("to", NULL);
  struct sockaddr_in remote = endpoint(to, (uint16_t)option_number("port", "7002", 1, 65535));
  struct pull_request request = {.magic = PULL_MAGIC};
  request.bytes = (uint32_t)option_number("bytes", "64", 1, RATE_BYTES_MAX);
  request.millis = (uint32_t)option_number("seconds", "3", 1, 60) * 1000;
  int idle_ms = (int)option_number("idle", "500", 1, 60000);
  options_end();
  stop_by_signal();
  int fd = udp_socket(0, 32 << 20);
  if (connect(fd, (struct sockaddr *)&remote, sizeof remote) != 0) fail("connect");
  int set = epoll_of();
  epoll_watch(set, fd, EPOLLIN, 0);
  measure_begin(RATE_BYTES_MAX);
  for (int i = 0; i < RATE_BATCH; i++) measure_messages[i].msg_hdr.msg_namelen = 0;
  int64_t first = 0, last = 0;
  long received = 0;
  for (int tries = 0; !stopped && tries < PULL_TRIES;) {
    if (received == 0 && tries++ >= 0 && send(fd, &request, sizeof request, 0) < 0) continue;
    struct epoll_event event;
    if (epoll_wait(set, &event, 1, received > 0 ? idle_ms : PULL_RETRY_MS) == 0 && received > 0)
      break;
    int count;
    while ((count = recvmmsg(fd, measure_messages, RATE_BATCH, 0, NULL)) > 0) {
      last = now_micros();
      if (received == 0) first = last;
      received += count;
    }
  }
  measure_print("received", received, last - first);
  return 0;
}

static int rtt_order(const void *a, const void *b) {
  int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return x < y ? -1 : x > y;
}

static int64_t rtt_nanos(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int udp_rtt(void) {
  uint32_t to = option_address("to", NULL);
  struct sockaddr_in remote = endpoint(to, (uint16_t)option_number("port", "7000", 1, 65535));
  long count = option_number("count", "1000", 1, RTT_SAMPLES_MAX);
  long interval = option_number("interval", "1000", 0, 1000000);
  int timeout_ms = (int)option_number("timeout", "1000", 1, 60000);
  options_end();
  stop_by_signal();
  int fd = udp_socket(0, 1 << 16);
  if (connect(fd, (struct sockaddr *)&remote, sizeof remote) != 0) fail("connect");
  int set = epoll_of();
  epoll_watch(set, fd, EPOLLIN, 0);
  int32_t *nanos = calloc((size_t)count, sizeof *nanos);
  if (nanos == NULL) fail("memory");
  long answered = 0, lost = 0;
  for (long i = 0; i < count && !stopped; i++) {
    struct payload payload = {.round = htonl((uint32_t)i)}, answer;
    int64_t sent_at = rtt_nanos(), until = sent_at + (int64_t)timeout_ms * 1000000;
    int here = 0;
    if (send(fd, &payload, sizeof payload, 0) < 0 && errno != ECONNREFUSED) fail("send");
    while (!here && rtt_nanos() < until) {
      struct epoll_event event;
      if (epoll_wait(set, &event, 1, timeout_ms) <= 0) break;
      while (recv(fd, &answer, sizeof answer, 0) == sizeof answer)
        here |= answer.round == payload.round;
    }
    if (here) nanos[answered++] = (int32_t)(rtt_nanos() - sent_at);
    else lost++;
    if (interval > 0) usleep((useconds_t)interval);
  }
  qsort(nanos, (size_t)answered, sizeof *nanos, rtt_order);
  double p50 = answered > 0 ? nanos[answered / 2] / 1e3 : 0;
  double p99 = answered > 0 ? nanos[answered * 99 / 100] / 1e3 : 0;
  printf("{\"answered\":%ld,\"lost\":%ld,\"p50Micros\":%.1f,\"p99Micros\":%.1f}\n", answered, lost,
         p50, p99);
  return 0;
}
