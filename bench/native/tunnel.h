/*
 * IPv4 in IPv6 for the null forwarder: what own encapsulation costs in C, without translation.
 *
 *   out   an IPv4 packet or TCP superpacket from the TUN leaves as one IPv6 packet a segment, with
 *         complete checksums: no virtio header can say "segments inside IPv4 in IPv6"
 *   in    an IPv6 packet with an IPv4 packet inside leaves as that IPv4 packet, one by one: nothing
 *         is merged
 *
 * Written without a look at the gateway's own segmentation, so that neither's mistakes are the
 * other's. Headers are built on the stack, the payload is written from where it lies. Only TCP is
 * ever cut; what else is larger than its MTU does not come up in a measurement, and is counted.
 */
enum {
  OUTER_BYTES = 40,
  INNER_HEADERS_MAX = 120,
  VNET_NEEDS_CSUM = 1,
  VNET_TCPV4 = 1,
  NEXT_HEADER_IPV4 = 4,
  HOP_LIMIT = 64,
  CSUM_START = 6,
  CSUM_OFFSET = 8,
};

static uint8_t outerHeader[OUTER_BYTES] = {0x60, 0, 0, 0, 0, 0, NEXT_HEADER_IPV4, HOP_LIMIT};

static void put16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

/* One's complement sum of 16-bit words in memory order, eight bytes at a time. */
static uint32_t sumOf(const uint8_t *bytes, size_t length) {
  uint64_t sum = 0;
  for (; length >= 8; bytes += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    sum += word;
    sum += sum < word;
  }
  if (length > 0) {
    uint64_t word = 0;
    memcpy(&word, bytes, length);
    sum += word;
    sum += sum < word;
  }
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint32_t)((sum & 0xffff) + (sum >> 16));
}

static uint16_t checksumOf(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~((sum & 0xffff) + (sum >> 16));
}

/* The pseudo-header's sum lies in the field already; what is missing is the payload's. */
static void completeChecksum(uint8_t *packet, size_t length, size_t start, size_t offset) {
  if (start + offset + 2 > length) return;
  const uint16_t checksum = checksumOf(sumOf(packet + start, length - start));
  memcpy(packet + start + offset, &checksum, 2);
}

static void writeParts(int tun, struct iovec *parts, int count, Totals *totals) {
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += parts[i].iov_len;
  if (writev(tun, parts, count) < 0) {
    if (errno == EAGAIN || errno == ENOBUFS) totals->writeFull++;
    else totals->writeErrors++;
    return;
  }
  totals->packets++;
  totals->bytes += bytes - VNET_HEADER_BYTES;
}

/* Writes one segment: virtio header, outer header and inner headers as a block, then payload. */
static void writeSegment(int tun, const uint8_t *packet, size_t headers, size_t done, size_t size,
                         uint32_t number, bool last, Totals *totals) {
  uint8_t block[VNET_HEADER_BYTES + OUTER_BYTES + INNER_HEADERS_MAX] = {0};
  uint8_t *outer = block + VNET_HEADER_BYTES, *ip = outer + OUTER_BYTES;
  const size_t ipBytes = (size_t)(packet[0] & 15) * 4;
  uint8_t *tcp = ip + ipBytes;
  memcpy(outer, outerHeader, OUTER_BYTES);
  memcpy(ip, packet, headers);
  put16(outer + 4, (uint32_t)(headers + size));
  put16(ip + 2, (uint32_t)(headers + size));
  put16(ip + 4, get16(packet + 4) + number);
  memset(ip + 10, 0, 2);
  const uint16_t ipChecksum = checksumOf(sumOf(ip, ipBytes));
  memcpy(ip + 10, &ipChecksum, 2);

  uint32_t sequence;
  memcpy(&sequence, tcp + 4, 4);
  sequence = htonl(ntohl(sequence) + (uint32_t)done);
  memcpy(tcp + 4, &sequence, 4);
  if (!last) tcp[13] &= (uint8_t)~0x09; /* FIN and PSH belong to the last */
  if (done > 0) tcp[13] &= (uint8_t)~0x80; /* CWR to the first */
  memset(tcp + 16, 0, 2);
  uint8_t pseudo[4] = {0, ip[9], 0, 0};
  put16(pseudo + 2, (uint32_t)(headers - ipBytes + size));
  const uint16_t checksum =
      checksumOf(sumOf(ip + 12, 8) + sumOf(pseudo, 4) + sumOf(tcp, headers - ipBytes) +
                 sumOf(packet + headers + done, size));
  memcpy(tcp + 16, &checksum, 2);
  struct iovec parts[] = {{block, VNET_HEADER_BYTES + OUTER_BYTES + headers},
                          {(void *)(packet + headers + done), size}};
  writeParts(tun, parts, 2, totals);
}

static void encapsulate(int tun, uint8_t *virtio, size_t length, Totals *totals) {
  uint8_t *packet = virtio + VNET_HEADER_BYTES;
  uint16_t segment, start, offset;
  memcpy(&segment, virtio + 4, 2);
  memcpy(&start, virtio + CSUM_START, 2);
  memcpy(&offset, virtio + CSUM_OFFSET, 2);
  const size_t ipBytes = (size_t)(packet[0] & 15) * 4;
  if ((virtio[1] & 0x7f) == VNET_TCPV4 && segment > 0 && ipBytes + 20 < length) {
    const size_t headers = ipBytes + (size_t)(packet[ipBytes + 12] >> 4) * 4;
    uint32_t number = 0;
    for (size_t done = 0; headers + done < length; done += segment, number++) {
      const size_t left = length - headers - done;
      const size_t size = left < segment ? left : segment;
      writeSegment(tun, packet, headers, done, size, number, left <= segment, totals);
    }
    totals->superpackets += length > SUPERPACKET_BYTES;
    return;
  }
  if ((virtio[0] & VNET_NEEDS_CSUM) != 0) completeChecksum(packet, length, start, offset);
  uint8_t block[VNET_HEADER_BYTES + OUTER_BYTES] = {0};
  memcpy(block + VNET_HEADER_BYTES, outerHeader, OUTER_BYTES);
  put16(block + VNET_HEADER_BYTES + 4, (uint32_t)length);
  struct iovec parts[] = {{block, sizeof block}, {packet, length}};
  writeParts(tun, parts, 2, totals);
}

/* The virtio header moves up over the outer one; where the checksum starts moves with it. */
static void decapsulate(int tun, uint8_t *virtio, size_t length, Totals *totals) {
  uint8_t *moved = virtio + OUTER_BYTES;
  uint8_t header[VNET_HEADER_BYTES];
  memcpy(header, virtio, VNET_HEADER_BYTES);
  uint16_t start, headerBytes;
  memcpy(&start, header + CSUM_START, 2);
  memcpy(&headerBytes, header + 2, 2);
  if ((header[0] & VNET_NEEDS_CSUM) != 0) start = (uint16_t)(start - OUTER_BYTES);
  if (headerBytes >= OUTER_BYTES) headerBytes = (uint16_t)(headerBytes - OUTER_BYTES);
  memcpy(header + CSUM_START, &start, 2);
  memcpy(header + 2, &headerBytes, 2);
  memcpy(moved, header, VNET_HEADER_BYTES);
  struct iovec whole = {moved, VNET_HEADER_BYTES + length - OUTER_BYTES};
  writeParts(tun, &whole, 1, totals);
}

/* What waits in the batch, out or in by its version. Other IPv6 is the kernel's chatter. */
static void tunnelBatch(int tun, int count, Totals *totals) {
  for (int i = 0; i < count; i++) {
    uint8_t *virtio = buffer + frames[i].start;
    const uint8_t *packet = virtio + VNET_HEADER_BYTES;
    const size_t length = frames[i].length - VNET_HEADER_BYTES;
    if (length > 20 && packet[0] >> 4 == 4) encapsulate(tun, virtio, length, totals);
    else if (length > OUTER_BYTES + 20 && packet[6] == NEXT_HEADER_IPV4)
      decapsulate(tun, virtio, length, totals);
  }
  totals->batches += count > 0;
}
