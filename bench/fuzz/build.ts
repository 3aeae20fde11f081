/**
 * Builders of whole packets from numbers, and their oracle: every checksum is computed from scratch, by other code than the engine's
 * deltas. Addresses are signed 32-bit numbers, IPv6 addresses 16 bytes.
 */
export interface Head {
  from: number;
  to: number;
  ttl?: number;
  df?: boolean;
  id?: number;
  tos?: number;
  /** A multiple of 4 bytes, at most 40. */
  options?: Uint8Array;
}

export interface Ports extends Head {
  fromPort: number;
  toPort: number;
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

export const u16 = (bytes: Uint8Array, at: number): number => bytes[at] * 256 + bytes[at + 1];

export const i32 = (bytes: Uint8Array, at: number): number =>
  (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

const SLAB_BYTES = 1 << 16;
let slab = new ArrayBuffer(SLAB_BYTES);
let slabUsed = 0;

/**
 * Zeros. Small pieces are cut from a slab that is never used again: a buffer of its own for each packet was a third of a run's time.
 */
export function allocate(length: number): Uint8Array {
  if (length > SLAB_BYTES >> 3) return new Uint8Array(length);
  if (slabUsed + length > SLAB_BYTES) {
    slab = new ArrayBuffer(SLAB_BYTES);
    slabUsed = 0;
  }
  const piece = new Uint8Array(slab, slabUsed, length);
  slabUsed += length;
  return piece;
}

/** The bytes from `start` to `end`, to keep. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const copy = allocate(end - start);
  if (end - start > 512) copy.set(bytes.subarray(start, end));
  else for (let i = start; i < end; i++) copy[i - start] = bytes[i];
  return copy;
}

/** One's complement sum of bytes, folded. */
export function sum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let total = initial;
  let i = start;
  for (; i + 1 < end; i += 2) total += (bytes[i] << 8) | bytes[i + 1];
  if (i < end) total += bytes[i] << 8;
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return total;
}

export const headerBytes = (packet: Uint8Array): number => (packet[0] & 15) * 4;

/** Pseudo header of a packet whose total length is right. */
export function pseudoSum(packet: Uint8Array): number {
  const length = u16(packet, 2) - headerBytes(packet);
  return sum(packet, 12, 20, packet[9] + length);
}

/** Distance of the checksum from the transport header; -1 for other protocols. */
export const checksumOffset = (protocol: number): number =>
  protocol === 6 ? 16 : protocol === 17 ? 6 : protocol === 1 ? 2 : -1;

export function fixHeader(packet: Uint8Array): void {
  put16(packet, 10, 0);
  put16(packet, 10, ~sum(packet, 0, headerBytes(packet)) & 0xffff);
}

export function fixTransport(packet: Uint8Array): void {
  const offset = checksumOffset(packet[9]);
  const l4 = headerBytes(packet);
  if (offset < 0 || l4 + offset + 2 > packet.length) return;
  put16(packet, l4 + offset, 0);
  const initial = packet[9] === 1 ? 0 : pseudoSum(packet);
  const value = ~sum(packet, l4, u16(packet, 2), initial) & 0xffff;
  put16(packet, l4 + offset, value === 0 && packet[9] === 17 ? 0xffff : value);
}

export function ipv4(protocol: number, head: Head, payload: Uint8Array): Uint8Array {
  const packet = begin(protocol, head, payload.length);
  packet.set(payload, headerBytes(packet));
  return finished(packet);
}

export function udp(head: Ports, payload: Uint8Array): Uint8Array {
  const packet = begin(17, head, 8 + payload.length);
  const l4 = headerBytes(packet);
  put16(packet, l4, head.fromPort);
  put16(packet, l4 + 2, head.toPort);
  put16(packet, l4 + 4, 8 + payload.length);
  packet.set(payload, l4 + 8);
  return finished(packet);
}

export interface Segment extends Ports {
  flags: number;
  seq: number;
  ack: number;
  /** A multiple of 4 bytes, at most 40. */
  tcpOptions?: ArrayLike<number>;
}

export function tcp(head: Segment, payload: Uint8Array): Uint8Array {
  const options = head.tcpOptions ?? [];
  const header = 20 + options.length;
  const packet = begin(6, head, header + payload.length);
  const l4 = headerBytes(packet);
  put16(packet, l4, head.fromPort);
  put16(packet, l4 + 2, head.toPort);
  put32(packet, l4 + 4, head.seq);
  put32(packet, l4 + 8, head.ack);
  packet[l4 + 12] = (header / 4) << 4;
  packet[l4 + 13] = head.flags;
  put16(packet, l4 + 14, 65535);
  for (let i = 0; i < options.length; i++) packet[l4 + 20 + i] = options[i];
  packet.set(payload, l4 + header);
  return finished(packet);
}

/** Any ICMP message: echo has the identifier in the upper half of `word`. */
export function icmp(
  head: Head,
  type: number,
  code: number,
  word: number,
  payload: Uint8Array,
): Uint8Array {
  const packet = begin(1, head, 8 + payload.length);
  const l4 = headerBytes(packet);
  packet[l4] = type;
  packet[l4 + 1] = code;
  put32(packet, l4 + 4, word);
  packet.set(payload, l4 + 8);
  return finished(packet);
}

/** A packet of zeros behind its header, which still lacks its checksum. */
function begin(protocol: number, head: Head, transportBytes: number): Uint8Array {
  const { options } = head;
  const header = 20 + (options === undefined ? 0 : options.length);
  const packet = allocate(header + transportBytes);
  packet[0] = 0x40 + header / 4;
  packet[1] = head.tos ?? 0;
  put16(packet, 2, packet.length);
  put16(packet, 4, head.id ?? 0);
  put16(packet, 6, head.df === false ? 0 : 0x4000);
  packet[8] = head.ttl ?? 63;
  packet[9] = protocol;
  put32(packet, 12, head.from);
  put32(packet, 16, head.to);
  if (options !== undefined) packet.set(options, 20);
  return packet;
}

function finished(packet: Uint8Array): Uint8Array {
  fixHeader(packet);
  fixTransport(packet);
  return packet;
}

export function ipv6(
  next: number,
  from: Uint8Array,
  to: Uint8Array,
  payload: Uint8Array,
  trafficClass = 0,
): Uint8Array {
  const packet = allocate(40 + payload.length);
  packet[0] = 0x60 | (trafficClass >> 4);
  packet[1] = (trafficClass & 15) << 4;
  put16(packet, 4, payload.length);
  packet[6] = next;
  packet[7] = 64;
  packet.set(from, 8);
  packet.set(to, 24);
  packet.set(payload, 40);
  return packet;
}

export function icmpv6(
  from: Uint8Array,
  to: Uint8Array,
  type: number,
  word: number,
  payload: Uint8Array,
): Uint8Array {
  const message = allocate(8 + payload.length);
  message[0] = type;
  put32(message, 4, word);
  message.set(payload, 8);
  const packet = ipv6(58, from, to, message);
  put16(
    packet,
    42,
    ~sum(packet, 40, packet.length, sum(packet, 8, 40, 58 + message.length)) & 0xffff,
  );
  return packet;
}

/** The fragments of a packet, first one first, with at most `step` bytes (a multiple of 8) in each. */
export function cut(packet: Uint8Array, step: number): Uint8Array[] {
  const header = headerBytes(packet);
  const parts: Uint8Array[] = [];
  for (let at = header; at < packet.length; at += step) {
    const end = Math.min(packet.length, at + step);
    const part = allocate(header + end - at);
    part.set(packet.subarray(0, header));
    part.set(packet.subarray(at, end), header);
    put16(part, 2, part.length);
    const flags = (u16(packet, 6) & 0x4000) | (end < packet.length ? 0x2000 : 0);
    put16(part, 6, flags | ((at - header) >> 3));
    fixHeader(part);
    parts.push(part);
  }
  return parts;
}

/** True if `packet` begins with a whole IPv4 header whose lengths and checksum are right. */
export function isSoundIpv4(packet: Uint8Array): boolean {
  if (packet.length < 20 || packet[0] >> 4 !== 4) return false;
  const header = headerBytes(packet);
  const total = u16(packet, 2);
  return (
    header >= 20 && header <= total && total <= packet.length && sum(packet, 0, header) === 0xffff
  );
}

/** True if the transport checksum of a sound, whole packet is right; absent (UDP zero) and unknown protocols count as right. */
export function isTransportRight(packet: Uint8Array): boolean {
  const offset = checksumOffset(packet[9]);
  const l4 = headerBytes(packet);
  const total = u16(packet, 2);
  if (offset < 0) return true;
  if (l4 + offset + 2 > total) return false;
  if (packet[9] === 17 && u16(packet, l4 + 6) === 0) return true;
  return sum(packet, l4, total, packet[9] === 1 ? 0 : pseudoSum(packet)) === 0xffff;
}
