/*
 * raw-send and raw-flood: IPv4 packets as they stand, from a raw socket, whatever their source,
 * their fragment bits or their checksums say. Both read packets from stdin, one in hexadecimal a
 * line; the kernel fills in the header checksum and nothing else.
 *
 *   raw-send     each packet once, in the order of the lines
 *   raw-flood    the lines again and again at a rate, each time with other numbers in them:
 *                  source       first of --sources addresses from --from on (as it stands if 0)
 *                  destination  first of --destinations addresses from that of the packet on
 *                  source port  --source-ports from that of the packet on
 *                  IP id        counts up, with --ids 1
 *
 * Numbers change without a new transport checksum: give UDP with checksum zero, or ICMP, whose
 * checksum covers no address. A flood goes on for --seconds or until --count packets were sent; the
 * rate that was reached is part of the result, since a busy machine sends less than it was asked
 * for.
 */
#define RAW_PACKETS_MAX 1024
#define RAW_BYTES_MAX 1500
#define RAW_BATCH 32

static uint8_t raw_packets[RAW_PACKETS_MAX][RAW_BYTES_MAX];
static size_t raw_lengths[RAW_PACKETS_MAX];

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads the packets; returns how many. What is no packet ends the program. */
static long read_packets(void) {
  static char line[2 * RAW_BYTES_MAX + 2];
  long count = 0;
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t digits = strcspn(line, "\n");
    int sound = digits % 2 == 0 && digits >= 40 && line[digits] == '\n' && count < RAW_PACKETS_MAX;
    for (size_t i = 0; sound && i < digits; i += 2) {
      int high = hex_digit(line[i]), low = hex_digit(line[i + 1]);
      sound = high >= 0 && low >= 0;
      if (sound) raw_packets[count][i / 2] = (uint8_t)(high << 4 | low);
    }
    if (!sound) {
      fprintf(stderr, "flows: line %ld must be a packet of 20 to %d bytes as hex; %d at most\n",
              count + 1, RAW_BYTES_MAX, RAW_PACKETS_MAX);
      exit(2);
    }
    raw_lengths[count++] = digits / 2;
  }
  if (count == 0) {
    fprintf(stderr, "flows: no packet on stdin\n");
    exit(2);
  }
  return count;
}

static int raw_socket(void) {
  int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  if (fd < 0) fail("raw socket");
  int bytes = 8 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  return fd;
}

static uint32_t get32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(uint8_t *at, uint32_t value) {
  uint32_t wire = htonl(value);
  memcpy(at, &wire, 4);
}

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static int raw_send(void) {
  options_end();
  long count = read_packets();
  int fd = raw_socket();
  for (long i = 0; i < count; i++) {
    struct sockaddr_in to = endpoint(get32(raw_packets[i] + 16), 0);
    if (sendto(fd, raw_packets[i], raw_lengths[i], 0, (struct sockaddr *)&to, sizeof to) < 0)
      fail("send");
  }
  printf("{\"sent\":%ld}\n", count);
  return 0;
}

static struct {
  uint32_t from;
  long sources, destinations, source_ports, ids, packets;
} flood_plan;

/* Makes packet number n of the flood in `bytes`; returns its length. */
static size_t flood_packet(long n, uint8_t *bytes, struct sockaddr_in *to) {
  long line = n % flood_plan.packets;
  memcpy(bytes, raw_packets[line], raw_lengths[line]);
  if (flood_plan.sources > 0)
    put32(bytes + 12, flood_plan.from + (uint32_t)(n % flood_plan.sources));
  uint32_t destination = get32(bytes + 16) + (uint32_t)(n % flood_plan.destinations);
  put32(bytes + 16, destination);
  *to = endpoint(destination, 0);
  if (flood_plan.ids) put16(bytes + 4, (uint32_t)(n % 65535 + 1));
  if (flood_plan.source_ports > 1) {
    uint8_t *port = bytes + (bytes[0] & 15) * 4;
    /* The next port once every source has had this one. */
    long turn = flood_plan.sources > 0 ? n / flood_plan.sources : n;
    put16(port, (uint32_t)(port[0] << 8 | port[1]) + (uint32_t)(turn % flood_plan.source_ports));
  }
  return raw_lengths[line];
}

static int raw_flood(void) {
  flood_plan.from = option_address("from", "0.0.0.0");
  flood_plan.sources = option_number("sources", "0", 0, 16777216);
  flood_plan.destinations = option_number("destinations", "1", 1, 65536);
  flood_plan.source_ports = option_number("source-ports", "1", 1, 65536);
  flood_plan.ids = option_number("ids", "0", 0, 1);
  int64_t rate = option_number("rate", "100000", 1, 10000000);
  int64_t most = option_number("count", "1000000000", 1, 1000000000);
  int64_t duration = option_number("seconds", "3600", 1, 3600) * 1000000;
  options_end();
  flood_plan.packets = read_packets();
  stop_by_signal();
  int fd = raw_socket();
  static uint8_t bytes[RAW_BATCH][RAW_BYTES_MAX];
  static struct sockaddr_in to[RAW_BATCH];
  struct iovec vectors[RAW_BATCH];
  struct mmsghdr messages[RAW_BATCH];
  say_ready();
  struct pace pace;
  pace_begin(&pace, rate);
  long failed = 0;
  int64_t now = pace.started;
  while (now - pace.started < duration && pace.done < most && !stopped) {
    int allowed = pace_allowed(&pace, now);
    if (allowed > RAW_BATCH) allowed = RAW_BATCH;
    if (allowed > most - pace.done) allowed = (int)(most - pace.done);
    if (allowed == 0) usleep(50);
    for (int i = 0; i < allowed; i++) {
      vectors[i] = (struct iovec){bytes[i], flood_packet(pace.done + i, bytes[i], &to[i])};
      messages[i] = (struct mmsghdr){.msg_hdr = {
        .msg_name = &to[i], .msg_namelen = sizeof to[i], .msg_iov = &vectors[i], .msg_iovlen = 1,
      }};
    }
    if (allowed > 0) {
      int sent = sendmmsg(fd, messages, (unsigned)allowed, 0);
      /* A queue on the way was full: that one is lost, the others go on. */
      if (sent < 0) failed++;
      pace.done += sent < 0 ? 1 : sent;
    }
    now = now_micros();
  }
  double seconds = (double)(now - pace.started) / 1e6;
  printf("{\"sent\":%ld,\"failed\":%ld,\"seconds\":%.3f,\"perSecond\":%.0f}\n",
         (long)pace.done - failed, failed, seconds, (double)(pace.done - failed) / seconds);
  return 0;
}
