/*
 * tcp-hold: N TCP connections at once, spread over processes, each bound to a source address of its
 * own turn (IP_BIND_ADDRESS_NO_PORT leaves the port to connect(), so that 4-tuples and not ports
 * are what must differ).
 *
 * Phases, with a barrier after each: connect (at a bounded rate), talk, hold, talk again, close.
 * Results lie in shared memory: one record a connection.
 */
#define HOLD_MAX 200000
#define HOLD_PROCESSES_MAX 16

struct held {
  uint32_t seen_address;
  uint16_t seen_port;
  uint8_t state; /* 0 connecting, 1 connected, 2 failed */
  uint8_t answers;
  uint8_t changed, zero;
  uint16_t error;
};

struct hold_shared {
  volatile int arrived[8];
  int64_t connect_micros;
  struct held held[];
};

static struct {
  long connections, addresses, remotes, processes, rate, hold_seconds, timeout_micros;
  uint32_t from, to;
  uint16_t port;
} hold_plan;

static struct hold_shared *hold;
static int hold_sockets[HOLD_MAX / HOLD_PROCESSES_MAX * HOLD_PROCESSES_MAX];

/* Waits until every process has come to this point. */
static void hold_barrier(int phase) {
  __sync_fetch_and_add(&hold->arrived[phase], 1);
  while (hold->arrived[phase] < hold_plan.processes && !stopped) usleep(2000);
}

static void hold_fail(long index, int error) {
  hold->held[index].state = 2;
  hold->held[index].error = (uint16_t)error;
  if (hold_sockets[index] >= 0) close(hold_sockets[index]);
  hold_sockets[index] = -1;
}

static void hold_connect(int set, long index) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  hold_sockets[index] = fd;
  if (fd < 0) {
    hold_fail(index, errno);
    return;
  }
  uint32_t from = hold_plan.from + (uint32_t)(index / hold_plan.remotes % hold_plan.addresses);
  uint32_t to = hold_plan.to + (uint32_t)(index % hold_plan.remotes);
  struct sockaddr_in local = endpoint(from, 0), remote = endpoint(to, hold_plan.port);
  set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1, "IP_BIND_ADDRESS_NO_PORT");
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
  if (bind(fd, (struct sockaddr *)&local, sizeof local) != 0 ||
      (connect(fd, (struct sockaddr *)&remote, sizeof remote) != 0 && errno != EINPROGRESS)) {
    hold_fail(index, errno);
    return;
  }
  epoll_watch(set, fd, EPOLLOUT, (uint32_t)index);
}

/* Takes finished connects; returns how many ended, well or not. */
static long hold_collect_connects(int set, int timeout_ms) {
  struct epoll_event events[256];
  int count = epoll_wait(set, events, 256, timeout_ms);
  long done = 0;
  for (int i = 0; i < count; i++) {
    long index = events[i].data.u32;
    int error = 0;
    socklen_t length = sizeof error;
    if (hold->held[index].state != 0) continue;
    getsockopt(hold_sockets[index], SOL_SOCKET, SO_ERROR, &error, &length);
    done++;
    if (error != 0) {
      hold_fail(index, error);
      continue;
    }
    hold->held[index].state = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)index};
    epoll_ctl(set, EPOLL_CTL_MOD, hold_sockets[index], &event);
  }
  return done;
}

static void hold_connect_all(int set, long first, long end) {
  struct pace pace;
  pace_begin(&pace, hold_plan.rate / hold_plan.processes + 1);
  long done = 0, next = first;
  int64_t until = 0;
  while (done < end - first && !stopped) {
    for (int allowed = pace_allowed(&pace, now_micros()); allowed > 0 && next < end; allowed--) {
      hold_connect(set, next);
      if (hold->held[next].state == 2) done++;
      next++;
      pace.done++;
    }
    done += hold_collect_connects(set, 1);
    if (next == end && until == 0) until = now_micros() + hold_plan.timeout_micros;
    if (until != 0 && now_micros() > until) break;
  }
  for (long i = first; i < end; i++)
    if (hold->held[i].state == 0) hold_fail(i, ETIMEDOUT);
}

static void hold_take_answer(long index, const uint8_t *answer, int turn) {
  struct held *held = &hold->held[index];
  uint32_t address;
  uint16_t port;
  memcpy(&address, answer, 4);
  memcpy(&port, answer + 4, 2);
  int same = held->seen_address == ntohl(address) && held->seen_port == ntohs(port);
  if (turn > 1 && held->answers > 0 && !same) held->changed = 1;
  held->seen_address = ntohl(address);
  held->seen_port = ntohs(port);
  held->answers++;
}

/* A byte to each, and six bytes from each. */
static void hold_talk(int set, long first, long end, int turn) {
  struct pace pace;
  /* Four times the rate of connecting: a byte is less work than a connection. */
  pace_begin(&pace, 4 * hold_plan.rate / hold_plan.processes + 1);
  long open = 0, done = 0, next = first;
  for (long i = first; i < end; i++) open += hold->held[i].state == 1;
  int64_t until = 0;
  while (done < open && !stopped) {
    for (int allowed = pace_allowed(&pace, now_micros()); allowed > 0 && next < end; next++) {
      if (hold->held[next].state != 1) continue;
      if (send(hold_sockets[next], "?", 1, 0) != 1) {
        hold_fail(next, errno);
        done++;
      }
      pace.done++;
      allowed--;
    }
    if (next == end && until == 0) until = now_micros() + hold_plan.timeout_micros;
    if (until != 0 && now_micros() > until) break;
    struct epoll_event events[256];
    int count = epoll_wait(set, events, 256, 1);
    for (int i = 0; i < count; i++) {
      long index = events[i].data.u32;
      uint8_t answer[64];
      if (hold->held[index].state != 1) continue;
      ssize_t got = recv(hold_sockets[index], answer, sizeof answer, 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      done++;
      if (got == TCP_ANSWER_BYTES) hold_take_answer(index, answer, turn);
      else hold_fail(index, got < 0 ? errno : ECONNRESET);
    }
  }
}

static void hold_process(long number) {
  long first = hold_plan.connections * number / hold_plan.processes;
  long end = hold_plan.connections * (number + 1) / hold_plan.processes;
  int set = epoll_of();
  int64_t started = now_micros();
  hold_connect_all(set, first, end);
  hold_barrier(0);
  if (number == 0) hold->connect_micros = now_micros() - started;
  hold_talk(set, first, end, 1);
  hold_barrier(1);
  int64_t until = now_micros() + (int64_t)hold_plan.hold_seconds * 1000000;
  while (now_micros() < until && !stopped) usleep(10000);
  hold_talk(set, first, end, 2);
  hold_barrier(2);
}

static void print_hold(void) {
  long connected = 0, answered = 0, same = 0, failed = 0, errors[256] = {0};
  for (long i = 0; i < hold_plan.connections; i++) {
    const struct held *held = &hold->held[i];
    connected += held->state == 1 || held->answers > 0;
    answered += held->answers >= 1;
    same += held->answers == 2 && held->state == 1 && !held->changed;
    failed += held->state == 2;
    if (held->state == 2) errors[held->error & 255]++;
    if (held->answers > 0) port_seen[held->seen_port] = 1;
  }
  printf("{\"connections\":%ld,\"connected\":%ld,\"answered\":%ld,\"answeredTwice\":%ld,"
         "\"failed\":%ld,\"connectSeconds\":%.3f,",
         hold_plan.connections, connected, answered, same, failed,
         (double)hold->connect_micros / 1e6);
  print_ports();
  printf(",\"errors\":{");
  const char *separator = "";
  for (int i = 0; i < 256; i++) {
    if (errors[i] == 0) continue;
    printf("%s\"%s\":%ld", separator, strerrorname_np(i), errors[i]);
    separator = ",";
  }
  printf("}}\n");
}

static int tcp_hold(void) {
  hold_plan.connections = option_number("connections", NULL, 1, HOLD_MAX);
  hold_plan.from = option_address("from", NULL);
  hold_plan.addresses = option_number("addresses", NULL, 1, 65536);
  hold_plan.to = option_address("to", NULL);
  hold_plan.remotes = option_number("remotes", "1", 1, 65536);
  hold_plan.port = (uint16_t)option_number("port", "7000", 1, 65535);
  hold_plan.processes = option_number("processes", "2", 1, HOLD_PROCESSES_MAX);
  hold_plan.rate = option_number("rate", "5000", 1, 1000000);
  hold_plan.hold_seconds = option_number("hold", "0", 0, 3600);
  hold_plan.timeout_micros = option_number("timeout", "15000", 1, 600000) * 1000;
  options_end();
  raise_descriptor_limit();
  stop_by_signal();
  size_t bytes = sizeof *hold + sizeof(struct held) * (size_t)hold_plan.connections;
  hold = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (hold == MAP_FAILED) fail("mmap");
  pid_t children[HOLD_PROCESSES_MAX];
  for (long i = 0; i < hold_plan.processes; i++) {
    pid_t child = children[i] = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      hold_process(i);
      exit(0);
    }
  }
  /* A process that died would leave the others at the barrier. */
  int status;
  for (pid_t ended; (ended = wait(&status)) > 0 || errno == EINTR;)
    if (ended > 0 && status != 0)
      for (long i = 0; i < hold_plan.processes; i++) kill(children[i], SIGTERM);
  print_hold();
  return 0;
}
