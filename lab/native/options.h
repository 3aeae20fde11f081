/* Options (`--name value`), addresses, the clock and what every part of flows needs of a socket. */

static int option_count;
static char **option_words;
static unsigned char option_used[64];

static void fail(const char *what) {
  fprintf(stderr, "flows: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void options_begin(int count, char **words) {
  if (count % 2 != 0 || count > 64) {
    fprintf(stderr, "flows: options come as --name value\n");
    exit(2);
  }
  option_count = count;
  option_words = words;
}

/* The value of --NAME, or the fallback; without a fallback the option must be there. */
static const char *option_text(const char *name, const char *fallback) {
  for (int i = 0; i < option_count; i += 2) {
    if (strncmp(option_words[i], "--", 2) == 0 && strcmp(option_words[i] + 2, name) == 0) {
      option_used[i] = 1;
      return option_words[i + 1];
    }
  }
  if (fallback == NULL) {
    fprintf(stderr, "flows: --%s is missing\n", name);
    exit(2);
  }
  return fallback;
}

static long option_number(const char *name, const char *fallback, long least, long most) {
  const char *text = option_text(name, fallback);
  char *end;
  long value = strtol(text, &end, 10);
  if (*text == 0 || *end != 0 || value < least || value > most) {
    fprintf(stderr, "flows: --%s is \"%s\"; use a number from %ld to %ld\n", name, text,
            least, most);
    exit(2);
  }
  return value;
}

/* An IPv4 address in host order. */
static uint32_t option_address(const char *name, const char *fallback) {
  const char *text = option_text(name, fallback);
  struct in_addr address;
  if (inet_pton(AF_INET, text, &address) != 1) {
    fprintf(stderr, "flows: --%s is \"%s\"; use an IPv4 address\n", name, text);
    exit(2);
  }
  return ntohl(address.s_addr);
}

/* To be called when all options were read: what nobody asked for is a mistake. */
static void options_end(void) {
  for (int i = 0; i < option_count; i += 2) {
    if (option_used[i]) continue;
    fprintf(stderr, "flows: no option \"%s\" here\n", option_words[i]);
    exit(2);
  }
}

static int64_t now_micros(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static volatile sig_atomic_t stopped;

static void on_stop(int number) {
  (void)number;
  stopped = 1;
}

/* SIGTERM and SIGINT end a loop at its next turn, so that the result is still printed. */
static void stop_by_signal(void) {
  struct sigaction action = {.sa_handler = on_stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

static struct sockaddr_in endpoint(uint32_t address, uint16_t port) {
  struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons(port)};
  result.sin_addr.s_addr = htonl(address);
  return result;
}

static void set_option(int fd, int level, int name, int value, const char *what) {
  if (setsockopt(fd, level, name, &value, sizeof value) != 0) fail(what);
}

/* A non-blocking UDP socket on every local address; it reports to which one a datagram came. */
static int udp_socket(uint16_t port, int buffer_bytes) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  set_option(fd, IPPROTO_IP, IP_PKTINFO, 1, "IP_PKTINFO");
  /* Beyond rmem_max only with CAP_NET_ADMIN; without it the ordinary limit holds. */
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes) != 0)
    set_option(fd, SOL_SOCKET, SO_RCVBUF, buffer_bytes, "SO_RCVBUF");
  struct sockaddr_in any = endpoint(INADDR_ANY, port);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0) fail("bind");
  return fd;
}

static int epoll_of(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) fail("epoll_create1");
  return fd;
}

static void epoll_watch(int set, int fd, uint32_t events, uint32_t data) {
  struct epoll_event event = {.events = events, .data.u32 = data};
  if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

/* Who starts a server awaits this line. */
static void say_ready(void) {
  printf("{\"ready\":true}\n");
  fflush(stdout);
}

/* Sends no more than `rate` a second on average, and never more than BURST at once. */
#define PACE_BURST 64
struct pace {
  int64_t started;
  int64_t rate;
  int64_t done;
};

static void pace_begin(struct pace *pace, int64_t rate) {
  pace->started = now_micros();
  pace->rate = rate;
  pace->done = 0;
}

/* How many may go now, 0 to PACE_BURST. */
static int pace_allowed(const struct pace *pace, int64_t now) {
  int64_t due = (now - pace->started) * pace->rate / 1000000 + 1 - pace->done;
  return due <= 0 ? 0 : due > PACE_BURST ? PACE_BURST : (int)due;
}

/*
 * The external ports that were seen, as one bit each, printed as ranges: ["5472-5487","9568-9583"].
 */
static uint8_t port_seen[65536];

static void print_ports(void) {
  int count = 0;
  for (int port = 0; port < 65536; port++) count += port_seen[port];
  printf("\"externalPorts\":%d,\"externalPortRanges\":[", count);
  const char *separator = "";
  for (int port = 0; port < 65536; port++) {
    if (!port_seen[port]) continue;
    int first = port;
    while (port + 1 < 65536 && port_seen[port + 1]) port++;
    printf("%s\"%d-%d\"", separator, first, port);
    separator = ",";
  }
  printf("]");
}
