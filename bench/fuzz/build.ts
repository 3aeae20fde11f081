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

/** One's complement sum of bytes, folded. */
export function sum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let total = initial;
  for (let i = start; i < end; i++) total += (i - start) % 2 === 0 ? bytes[i] * 256 : bytes[i];
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
  const options = head.options ?? new Uint8Array(0);
  const header = 20 + options.length;
  const packet = new Uint8Array(header + payload.length);
  packet[0] = 0x40 + header / 4;
  put16(packet, 2, packet.length);
  put16(packet, 4, head.id ?? 0);
  put16(packet, 6, head.df === false ? 0 : 0x4000);
  packet[8] = head.ttl ?? 63;
  packet[9] = protocol;
  put32(packet, 12, head.from);
  put32(packet, 16, head.to);
  packet.set(options, 20);
  packet.set(payload, header);
  fixHeader(packet);
  fixTransport(packet);
  return packet;
}

export function udp(head: Ports, payload: Uint8Array): Uint8Array {
  const datagram = new Uint8Array(8 + payload.length);
  put16(datagram, 0, head.fromPort);
  put16(datagram, 2, head.toPort);
  put16(datagram, 4, datagram.length);
  datagram.set(payload, 8);
  return ipv4(17, head, datagram);
}

export interface Segment extends Ports {
  flags: number;
  seq: number;
  ack: number;
  /** A multiple of 4 bytes, at most 40. */
  tcpOptions?: Uint8Array;
}

export function tcp(head: Segment, payload: Uint8Array): Uint8Array {
  const options = head.tcpOptions ?? new Uint8Array(0);
  const segment = new Uint8Array(20 + options.length + payload.length);
  put16(segment, 0, head.fromPort);
  put16(segment, 2, head.toPort);
  put32(segment, 4, head.seq);
  put32(segment, 8, head.ack);
  segment[12] = ((20 + options.length) / 4) << 4;
  segment[13] = head.flags;
  put16(segment, 14, 65535);
  segment.set(options, 20);
  segment.set(payload, 20 + options.length);
  return ipv4(6, head, segment);
}

/** Any ICMP message: echo has the identifier in the upper half of `word`. */
export function icmp(
  head: Head,
  type: number,
  code: number,
  word: number,
  payload: Uint8Array,
): Uint8Array {
  const message = new Uint8Array(8 + payload.length);
  message[0] = type;
  message[1] = code;
  put32(message, 4, word);
  message.set(payload, 8);
  return ipv4(1, head, message);
}

export function ipv6(
  next: number,
  from: Uint8Array,
  to: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  const packet = new Uint8Array(40 + payload.length);
  packet[0] = 0x60;
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
  const message = new Uint8Array(8 + payload.length);
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
    const part = new Uint8Array(header + end - at);
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
