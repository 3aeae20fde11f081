/*
 * udp-flows: N flows, each answered in every round, each seen outside at one and the same endpoint.
 *
 *   endpoint e = 0 … flows / perEndpoint - 1, S sockets:
 *     address  from + e / S      port  sourcePort + e % S
 *     its j-th remote  to + (e + j × (1 + e / M % (M - 1))) % M    (as many flows for each)
 *
 * A round sends to every flow that was not refused, at a bounded rate, and collects answers
 * meanwhile. What stays unanswered for `timeout` is sent again, `retries` times. An ICMP error
 * names its flow by the address and port that it came back to and by the remote that it quotes, so
 * that no payload needs to be quoted.
 *
 * The JSON says: rounds (answered, refused, lost, sent, retries, seconds), answeredEveryRound,
 * samePort (seen at one external endpoint in all rounds), changedPort, splitEndpoints (internal
 * endpoints that different remotes saw at different external ports), sent and retries of all
 * rounds, the external ports as ranges, ICMP errors by type/code, and the slowest refusal. A retry
 * is a datagram sent again: "all answered" with many of them hides that much loss.
 */
#define FLOWS_MAX 4000000
#define SOURCE_SOCKETS_MAX 8192
#define ROUNDS_MAX 16
#define RECEIVE_BATCH 64

struct flow {
  uint32_t seen_address;
  uint32_t sent_at;         /* microseconds, wrapping: for the time that a refusal took */
  uint16_t seen_port;
  uint16_t rounds_answered; /* how many rounds */
  uint8_t round;            /* last round that it was answered in, 0 for none */
  uint8_t icmp;             /* index + 1 into icmp_kinds, 0 for none */
  uint8_t changed;
  uint8_t zero;
};

struct icmp_kind {
  uint8_t type, code;
  long flows;
};

static struct flow *flows;
static int flow_sockets[SOURCE_SOCKETS_MAX];
static struct icmp_kind icmp_kinds[32];
static int icmp_kind_count;

static struct {
  long flows, endpoints, per_endpoint, addresses, sockets, remotes;
  long rounds, rate, retries, timeout_micros;
  double pause_seconds;
  uint32_t from, to, run;
  uint16_t port, source_port;
} plan;

static long answered_now, refused_now, foreign, datagrams_sent, retries_sent;
static uint32_t refusal_slowest_micros;
static uint8_t round_now;

static uint32_t flow_remote(long flow) {
  long e = flow / plan.per_endpoint, j = flow % plan.per_endpoint, m = plan.remotes;
  long step = m > 1 ? 1 + e / m % (m - 1) : 0;
  return plan.to + (uint32_t)((e + j * step) % m);
}

static uint32_t flow_source(long flow) {
  return plan.from + (uint32_t)(flow / plan.per_endpoint / plan.sockets);
}

static int flow_socket(long flow) {
  return (int)(flow / plan.per_endpoint % plan.sockets);
}

/*
 * Sends one datagram of a flow. An error that an ICMP message left on the socket is not this
 * datagram's: once more.
 */
static void send_flow(long flow) {
  struct payload payload = {
    .magic = htonl(PAYLOAD_MAGIC), .run = htonl(plan.run),
    .flow = htonl((uint32_t)flow), .round = htonl(round_now),
  };
  struct sockaddr_in remote = endpoint(flow_remote(flow), plan.port);
  struct iovec vector = {&payload, sizeof payload};
  uint8_t control[CONTROL_BYTES] __attribute__((aligned(8)));
  struct msghdr message = {
    .msg_name = &remote, .msg_namelen = sizeof remote, .msg_iov = &vector, .msg_iovlen = 1,
  };
  set_source(&message, control, flow_source(flow));
  flows[flow].sent_at = (uint32_t)now_micros();
  for (int attempt = 0; attempt < 8; attempt++)
    if (sendmsg(flow_sockets[flow_socket(flow)], &message, 0) >= 0) break;
  datagrams_sent++;
}

static void take_answer(int socket_index, const struct payload *payload, uint32_t local,
                        uint32_t remote) {
  long flow = ntohl(payload->flow);
  if (payload->magic != htonl(PAYLOAD_MAGIC) || payload->run != htonl(plan.run) ||
      flow >= plan.flows || flow_socket(flow) != socket_index || flow_source(flow) != local ||
      flow_remote(flow) != remote) {
    foreign++;
    return;
  }
  struct flow *f = &flows[flow];
  if (ntohl(payload->round) != round_now || f->round == round_now) return; /* late or twice */
  uint32_t seen_address = ntohl(payload->seen_address);
  uint16_t seen_port = ntohs(payload->seen_port);
  int same = f->seen_address == seen_address && f->seen_port == seen_port;
  if (f->rounds_answered > 0 && !same) f->changed = 1;
  f->seen_address = seen_address;
  f->seen_port = seen_port;
  f->round = round_now;
  f->rounds_answered++;
  port_seen[seen_port] = 1;
  answered_now++;
}

static uint8_t icmp_kind_of(uint8_t type, uint8_t code) {
  for (int i = 0; i < icmp_kind_count; i++)
    if (icmp_kinds[i].type == type && icmp_kinds[i].code == code) return (uint8_t)(i + 1);
  if (icmp_kind_count == 32) return 32;
  icmp_kinds[icmp_kind_count++] = (struct icmp_kind){type, code, 0};
  return (uint8_t)icmp_kind_count;
}

/* An ICMP error: the flow from `local` at this socket to the remote that the error quotes. */
static void take_error(int socket_index, uint8_t type, uint8_t code, uint32_t local,
                       uint32_t remote) {
  long address_index = (long)local - (long)plan.from;
  long e = address_index * plan.sockets + socket_index;
  if (address_index < 0 || e >= plan.endpoints) {
    foreign++;
    return;
  }
  for (long flow = e * plan.per_endpoint; flow < (e + 1) * plan.per_endpoint; flow++) {
    struct flow *f = &flows[flow];
    if (flow_remote(flow) != remote || f->icmp != 0 || f->round == round_now) continue;
    f->icmp = icmp_kind_of(type, code);
    icmp_kinds[f->icmp - 1].flows++;
    uint32_t took = (uint32_t)now_micros() - f->sent_at;
    if (took > refusal_slowest_micros) refusal_slowest_micros = took;
    refused_now++;
    return;
  }
}

static void drain_errors(int socket_index) {
  for (;;) {
    struct sockaddr_in remote;
    struct payload quoted;
    struct iovec vector = {&quoted, sizeof quoted};
    uint8_t control[512] __attribute__((aligned(8)));
    struct msghdr message = {
      .msg_name = &remote, .msg_namelen = sizeof remote, .msg_iov = &vector, .msg_iovlen = 1,
      .msg_control = control, .msg_controllen = sizeof control,
    };
    if (recvmsg(flow_sockets[socket_index], &message, MSG_ERRQUEUE) < 0) return;
    uint32_t local = local_address_of(&message);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_RECVERR) continue;
      struct sock_extended_err error;
      memcpy(&error, CMSG_DATA(c), sizeof error);
      if (error.ee_origin == SO_EE_ORIGIN_ICMP)
        take_error(socket_index, error.ee_type, error.ee_code, local,
                   ntohl(remote.sin_addr.s_addr));
    }
  }
}

static void drain_socket(int socket_index) {
  static struct payload payloads[RECEIVE_BATCH];
  static struct sockaddr_in peers[RECEIVE_BATCH];
  static uint8_t control[RECEIVE_BATCH][CONTROL_BYTES] __attribute__((aligned(8)));
  for (;;) {
    struct mmsghdr messages[RECEIVE_BATCH];
    struct iovec vectors[RECEIVE_BATCH];
    for (int i = 0; i < RECEIVE_BATCH; i++) {
      vectors[i] = (struct iovec){&payloads[i], sizeof payloads[i]};
      messages[i].msg_hdr = (struct msghdr){
        .msg_name = &peers[i], .msg_namelen = sizeof peers[i],
        .msg_iov = &vectors[i], .msg_iovlen = 1,
        .msg_control = control[i], .msg_controllen = CONTROL_BYTES,
      };
    }
    int count = recvmmsg(flow_sockets[socket_index], messages, RECEIVE_BATCH, 0, NULL);
    /* Any other error is that of an ICMP message, which waits in the error queue. */
    if (count < 0 && errno != EAGAIN && errno != EINTR) continue;
    if (count <= 0) return;
    for (int i = 0; i < count; i++)
      if (messages[i].msg_len == PAYLOAD_BYTES)
        take_answer(socket_index, &payloads[i], local_address_of(&messages[i].msg_hdr),
                    ntohl(peers[i].sin_addr.s_addr));
  }
}

/* Takes what has arrived, waiting at most this long for the first of it. */
static void collect(int set, int timeout_ms) {
  struct epoll_event events[256];
  int count = epoll_wait(set, events, 256, timeout_ms);
  for (int i = 0; i < count; i++) {
    if (events[i].events & EPOLLERR) drain_errors((int)events[i].data.u32);
    drain_socket((int)events[i].data.u32);
  }
}

static int flow_waits(long flow) {
  return flows[flow].icmp == 0 && flows[flow].round != round_now;
}

/* One pass over the flows that wait for an answer, then a wait for the stragglers. */
static void send_pass(int set, long expected) {
  struct pace pace;
  pace_begin(&pace, plan.rate);
  for (long flow = 0; flow < plan.flows && !stopped;) {
    int allowed = pace_allowed(&pace, now_micros());
    for (; allowed > 0 && flow < plan.flows; flow++) {
      if (!flow_waits(flow)) continue;
      send_flow(flow);
      pace.done++;
      allowed--;
    }
    collect(set, allowed > 0 || pace_allowed(&pace, now_micros()) > 0 ? 0 : 1);
  }
  int64_t until = now_micros() + plan.timeout_micros;
  while (answered_now + refused_now < expected && now_micros() < until && !stopped) collect(set, 5);
}

static void run_round(int set, int round) {
  round_now = (uint8_t)round;
  answered_now = refused_now = 0;
  long sent_before = datagrams_sent, expected = 0;
  for (long flow = 0; flow < plan.flows; flow++) expected += flow_waits(flow);
  int64_t started = now_micros();
  long sent_first = 0;
  for (long attempt = 0; attempt <= plan.retries && !stopped; attempt++) {
    if (answered_now + refused_now < expected) send_pass(set, expected);
    if (attempt == 0) sent_first = datagrams_sent - sent_before;
  }
  long sent = datagrams_sent - sent_before;
  long retries = sent - sent_first;
  retries_sent += retries;
  printf("%s{\"answered\":%ld,\"refused\":%ld,\"lost\":%ld,\"sent\":%ld,\"retries\":%ld,"
         "\"seconds\":%.3f}",
         round > 1 ? "," : "", answered_now, refused_now, expected - answered_now - refused_now,
         sent, retries, (double)(now_micros() - started) / 1e6);
}

static void print_flow_totals(void) {
  long every = 0, changed = 0, split = 0;
  for (long flow = 0; flow < plan.flows; flow++) {
    every += flows[flow].rounds_answered == plan.rounds;
    changed += flows[flow].changed;
  }
  for (long e = 0; e < plan.endpoints; e++) {
    const struct flow *first = &flows[e * plan.per_endpoint];
    int differs = 0;
    for (long j = 1; j < plan.per_endpoint; j++)
      if (first->rounds_answered > 0 && first[j].rounds_answered > 0)
        differs |= first[j].seen_port != first->seen_port;
    split += differs;
  }
  long same = 0;
  for (long flow = 0; flow < plan.flows; flow++)
    same += flows[flow].rounds_answered == plan.rounds && !flows[flow].changed;
  printf("\"flows\":%ld,\"endpoints\":%ld,\"answeredEveryRound\":%ld,\"samePort\":%ld,"
         "\"changedPort\":%ld,\"splitEndpoints\":%ld,\"foreign\":%ld,\"sent\":%ld,\"retries\":%ld,",
         plan.flows, plan.endpoints, every, same, changed, split, foreign, datagrams_sent,
         retries_sent);
}

static void read_flow_plan(void) {
  plan.per_endpoint = option_number("remotes-per-endpoint", "1", 1, 64);
  plan.flows = option_number("flows", NULL, 1, FLOWS_MAX) / plan.per_endpoint * plan.per_endpoint;
  plan.endpoints = plan.flows / plan.per_endpoint;
  plan.from = option_address("from", NULL);
  plan.addresses = option_number("addresses", NULL, 1, 65536);
  plan.to = option_address("to", NULL);
  plan.remotes = option_number("remotes", "1", 1, 65536);
  plan.port = (uint16_t)option_number("port", "7000", 1, 65535);
  plan.source_port = (uint16_t)option_number("source-port", "20000", 1, 65535);
  plan.rounds = option_number("rounds", "2", 1, ROUNDS_MAX);
  plan.pause_seconds = (double)option_number("pause", "0", 0, 3600);
  plan.rate = option_number("rate", "30000", 1, 10000000);
  plan.retries = option_number("retries", "3", 0, 100);
  plan.timeout_micros = option_number("timeout", "1000", 1, 600000) * 1000;
  plan.run = (uint32_t)getpid() ^ (uint32_t)now_micros();
  plan.sockets = (plan.endpoints + plan.addresses - 1) / plan.addresses;
  options_end();
  if (plan.sockets > SOURCE_SOCKETS_MAX || plan.source_port + plan.sockets > 65536) {
    fprintf(stderr, "flows: %ld endpoints on %ld addresses need %ld source ports; %s\n",
            plan.endpoints, plan.addresses, plan.sockets, "give more --addresses");
    exit(2);
  }
}

static int udp_flows(void) {
  read_flow_plan();
  raise_descriptor_limit();
  stop_by_signal();
  flows = calloc((size_t)plan.flows, sizeof *flows);
  if (flows == NULL) fail("memory");
  int set = epoll_of();
  for (long i = 0; i < plan.sockets; i++) {
    flow_sockets[i] = udp_socket((uint16_t)(plan.source_port + i), 8 << 20);
    set_option(flow_sockets[i], IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR");
    epoll_watch(set, flow_sockets[i], EPOLLIN, (uint32_t)i);
  }
  printf("{\"rounds\":[");
  for (int round = 1; round <= plan.rounds && !stopped; round++) {
    if (round > 1) {
      int64_t until = now_micros() + (int64_t)(plan.pause_seconds * 1e6);
      while (now_micros() < until && !stopped) collect(set, 20);
    }
    run_round(set, round);
  }
  printf("],");
  print_flow_totals();
  print_ports();
  printf(",\"icmp\":{");
  for (int i = 0; i < icmp_kind_count; i++)
    printf("%s\"%d/%d\":%ld", i > 0 ? "," : "", icmp_kinds[i].type, icmp_kinds[i].code,
           icmp_kinds[i].flows);
  printf("},\"refusalSlowestMs\":%.1f}\n", refusal_slowest_micros / 1000.0);
  return 0;
}
