/*
 * udp-blast and udp-sink: how many small datagrams a second get through. iperf3 makes two system
 * calls a datagram; this pair makes one for 64. The sink counts from the first datagram to the
 * last, and ends when none came for --idle ms.
 */
#define RATE_BATCH 64
#define RATE_BYTES_MAX 1472

static int udp_blast(void) {
  uint32_t to = option_address("to", NULL);
  struct sockaddr_in remote = endpoint(to, (uint16_t)option_number("port", "7001", 1, 65535));
  size_t bytes = (size_t)option_number("bytes", "64", 1, RATE_BYTES_MAX);
  int64_t duration = option_number("seconds", "3", 1, 3600) * 1000000;
  int64_t rate = option_number("rate", "100000000", 1, 100000000);
  options_end();
  stop_by_signal();
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  if (connect(fd, (struct sockaddr *)&remote, sizeof remote) != 0) fail("connect");
  static uint8_t data[RATE_BYTES_MAX];
  struct iovec vector = {data, bytes};
  struct mmsghdr messages[RATE_BATCH];
  for (int i = 0; i < RATE_BATCH; i++)
    messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
  struct pace pace;
  pace_begin(&pace, rate);
  int64_t now = pace.started;
  while (now - pace.started < duration && !stopped) {
    int allowed = pace_allowed(&pace, now);
    if (allowed == 0) usleep(100);
    else {
      int sent = sendmmsg(fd, messages, (unsigned)allowed, 0);
      /* An ICMP error ends one call and says nothing about the next. */
      if (sent > 0) pace.done += sent;
    }
    now = now_micros();
  }
  double seconds = (double)(now - pace.started) / 1e6;
  printf("{\"sent\":%ld,\"seconds\":%.3f,\"perSecond\":%.0f}\n", (long)pace.done, seconds,
         (double)pace.done / seconds);
  return 0;
}

static int udp_sink(void) {
  uint16_t port = (uint16_t)option_number("port", "7001", 1, 65535);
  int idle_ms = (int)option_number("idle", "500", 1, 60000);
  options_end();
  stop_by_signal();
  int fd = udp_socket(port, 32 << 20);
  int set = epoll_of();
  epoll_watch(set, fd, EPOLLIN, 0);
  static uint8_t data[RATE_BATCH][RATE_BYTES_MAX];
  struct iovec vectors[RATE_BATCH];
  struct mmsghdr messages[RATE_BATCH];
  for (int i = 0; i < RATE_BATCH; i++) {
    vectors[i] = (struct iovec){data[i], RATE_BYTES_MAX};
    messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
  }
  say_ready();
  int64_t first = 0, last = 0;
  long received = 0;
  while (!stopped) {
    struct epoll_event event;
    int ready = epoll_wait(set, &event, 1, received > 0 ? idle_ms : 1000);
    if (ready == 0 && received > 0) break;
    int count;
    while ((count = recvmmsg(fd, messages, RATE_BATCH, 0, NULL)) > 0) {
      last = now_micros();
      if (received == 0) first = last;
      received += count;
    }
  }
  double seconds = (double)(last - first) / 1e6;
  printf("{\"received\":%ld,\"seconds\":%.3f,\"perSecond\":%.0f}\n", received, seconds,
         seconds > 0 ? (double)received / seconds : 0.0);
  return 0;
}
