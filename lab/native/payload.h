/*
 * What travels in a datagram of udp-flows (network order; the rest up to the length is zero):
 *
 *   0 magic u32 | 4 run u32 | 8 flow u32 | 12 round u32
 *   16 address seen u32 | 20 port seen u16 | 22 zero u16
 *
 * The echo server fills in 16 to 21. `run` tells the answers of this process from late ones of
 * another.
 */
#define PAYLOAD_MAGIC 0x50464c57u
#define PAYLOAD_BYTES 32

struct payload {
  uint32_t magic, run, flow, round, seen_address;
  uint16_t seen_port, zero;
  uint8_t rest[PAYLOAD_BYTES - 24];
};

_Static_assert(sizeof(struct payload) == PAYLOAD_BYTES, "the payload has no padding");

/* Room for the one control message that is used: IP_PKTINFO. */
#define CONTROL_BYTES CMSG_SPACE(sizeof(struct in_pktinfo))

/* The local address that a datagram was sent to, in host order; 0 if the kernel did not say. */
static uint32_t local_address_of(struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(c), sizeof info);
      return ntohl(info.ipi_addr.s_addr);
    }
  }
  return 0;
}

/* Makes `address` (host order) the source of the message. `control` has CONTROL_BYTES. */
static void set_source(struct msghdr *message, void *control, uint32_t address) {
  message->msg_control = control;
  message->msg_controllen = CONTROL_BYTES;
  memset(control, 0, CONTROL_BYTES);
  struct cmsghdr *c = CMSG_FIRSTHDR(message);
  c->cmsg_level = IPPROTO_IP;
  c->cmsg_type = IP_PKTINFO;
  c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
  struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(address)};
  memcpy(CMSG_DATA(c), &info, sizeof info);
}
