/*
 * udp-echo: one socket a port, each on every local address; the answer leaves from the address that
 * was asked. Batches of recvmmsg and sendmmsg; an answer that does not fit the socket is lost, and
 * counted.
 */
#define ECHO_BATCH 64
#define ECHO_BYTES_MAX 2048
#define ECHO_SOCKETS_MAX 1024

static int echo_sockets[ECHO_SOCKETS_MAX];
static uint8_t echo_bytes[ECHO_BATCH][ECHO_BYTES_MAX];
static struct sockaddr_in echo_peers[ECHO_BATCH];
static uint8_t echo_control[ECHO_BATCH][CONTROL_BYTES] __attribute__((aligned(8)));

/* Answers one batch of a socket; returns how many datagrams were answered, -1 when none waited. */
static int echo_batch(int fd) {
  struct mmsghdr messages[ECHO_BATCH];
  struct iovec vectors[ECHO_BATCH];
  for (int i = 0; i < ECHO_BATCH; i++) {
    vectors[i] = (struct iovec){echo_bytes[i], ECHO_BYTES_MAX};
    messages[i].msg_hdr = (struct msghdr){
      .msg_name = &echo_peers[i], .msg_namelen = sizeof echo_peers[i],
      .msg_iov = &vectors[i], .msg_iovlen = 1,
      .msg_control = echo_control[i], .msg_controllen = CONTROL_BYTES,
    };
  }
  int count = recvmmsg(fd, messages, ECHO_BATCH, 0, NULL);
  if (count <= 0) return -1;
  for (int i = 0; i < count; i++) {
    struct msghdr *message = &messages[i].msg_hdr;
    struct payload *payload = (struct payload *)echo_bytes[i];
    if (messages[i].msg_len >= PAYLOAD_BYTES && payload->magic == htonl(PAYLOAD_MAGIC)) {
      payload->seen_address = echo_peers[i].sin_addr.s_addr;
      payload->seen_port = echo_peers[i].sin_port;
    }
    vectors[i].iov_len = messages[i].msg_len;
    set_source(message, echo_control[i], local_address_of(message));
  }
  int sent = sendmmsg(fd, messages, count, 0);
  return sent < 0 ? 0 : sent;
}

static int udp_echo(void) {
  long first = option_number("port", "7000", 1, 65535);
  long ports = option_number("ports", "1", 1, ECHO_SOCKETS_MAX);
  options_end();
  raise_descriptor_limit();
  stop_by_signal();
  int set = epoll_of();
  for (long i = 0; i < ports; i++) {
    echo_sockets[i] = udp_socket((uint16_t)(first + i), 32 << 20);
    epoll_watch(set, echo_sockets[i], EPOLLIN, (uint32_t)i);
  }
  say_ready();
  long answered = 0;
  while (!stopped) {
    struct epoll_event events[64];
    int count = epoll_wait(set, events, 64, 1000);
    for (int i = 0; i < count; i++) {
      int done;
      while ((done = echo_batch(echo_sockets[events[i].data.u32])) >= 0) answered += done;
    }
  }
  printf("{\"answered\":%ld}\n", answered);
  return 0;
}
