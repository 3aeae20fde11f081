/*
 * tcp-server: several processes on one port (SO_REUSEPORT), since one may hold 20,000 descriptors
 * only. Each byte that arrives is answered with the endpoint that it came from: address u32, port
 * u16, network order. No state per connection.
 */
#define TCP_ANSWER_BYTES 6

static void tcp_answer(int fd) {
  uint8_t bytes[64], answer[TCP_ANSWER_BYTES];
  struct sockaddr_in peer;
  socklen_t length = sizeof peer;
  ssize_t got = recv(fd, bytes, sizeof bytes, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0 || getpeername(fd, (struct sockaddr *)&peer, &length) != 0) {
    close(fd);
    return;
  }
  memcpy(answer, &peer.sin_addr.s_addr, 4);
  memcpy(answer + 4, &peer.sin_port, 2);
  if (send(fd, answer, sizeof answer, 0) != (ssize_t)sizeof answer) close(fd);
}

static void tcp_serve(uint16_t port, int ready) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
  set_option(listener, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT");
  struct sockaddr_in any = endpoint(INADDR_ANY, port);
  if (bind(listener, (struct sockaddr *)&any, sizeof any) != 0) fail("bind");
  if (listen(listener, 4096) != 0) fail("listen");
  int set = epoll_of();
  epoll_watch(set, listener, EPOLLIN, (uint32_t)listener);
  if (write(ready, "r", 1) != 1) fail("write");
  while (!stopped) {
    struct epoll_event events[256];
    int count = epoll_wait(set, events, 256, 1000);
    for (int i = 0; i < count; i++) {
      int fd = (int)events[i].data.u32;
      if (fd != listener) {
        tcp_answer(fd);
        continue;
      }
      int accepted;
      while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        epoll_watch(set, accepted, EPOLLIN, (uint32_t)accepted);
    }
  }
}

static int tcp_server(void) {
  uint16_t port = (uint16_t)option_number("port", "7000", 1, 65535);
  long processes = option_number("processes", "3", 1, 32);
  options_end();
  raise_descriptor_limit();
  stop_by_signal();
  int ready[2];
  if (pipe(ready) != 0) fail("pipe");
  pid_t children[32];
  for (long i = 0; i < processes; i++) {
    children[i] = fork();
    if (children[i] < 0) fail("fork");
    if (children[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      close(ready[0]);
      tcp_serve(port, ready[1]);
      exit(0);
    }
  }
  close(ready[1]);
  char byte;
  for (long i = 0; i < processes; i++)
    if (read(ready[0], &byte, 1) != 1) {
      fprintf(stderr, "flows: a server process ended at once\n");
      return 1;
    }
  say_ready();
  while (!stopped && waitpid(-1, NULL, 0) < 0 && errno == EINTR) {}
  for (long i = 0; i < processes; i++) kill(children[i], SIGTERM);
  while (wait(NULL) > 0) {}
  return 0;
}
