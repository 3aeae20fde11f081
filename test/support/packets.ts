/** One-line builders of whole packets, with every checksum computed from scratch: the oracle that incremental updates are held against. */
import { readU16, writeI32, writeU16 } from '../../core/wire/bytes.ts';
import { sumBytes } from '../../core/wire/checksum.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';

export interface Endpoints {
  /** "address:port"; for ICMP the port is the identifier and stands at `from`. */
  from: string;
  to: string;
  ttl?: number;
  df?: boolean;
  id?: number;
  /** IPv4 options, a multiple of 4 bytes. */
  ipOptions?: number[];
}

const split = (endpoint: string): [address: number, port: number] => {
  const [address, port] = endpoint.split(':');
  return [parseIpv4(address), Number(port ?? 0)];
};

/** Puts an IPv4 header in front of `payload`. */
export function ipv4(protocol: number, packet: Endpoints, payload: Uint8Array): Uint8Array {
  const options = packet.ipOptions ?? [];
  const header = 20 + options.length;
  const bytes = new Uint8Array(header + payload.length);
  bytes[0] = 0x40 | (header >> 2);
  writeU16(bytes, 2, bytes.length);
  writeU16(bytes, 4, packet.id ?? 0);
  writeU16(bytes, 6, packet.df === false ? 0 : 0x4000);
  bytes[8] = packet.ttl ?? 63;
  bytes[9] = protocol;
  writeI32(bytes, 12, split(packet.from)[0]);
  writeI32(bytes, 16, split(packet.to)[0]);
  bytes.set(options, 20);
  writeU16(bytes, 10, ~sumBytes(bytes, 0, header) & 0xffff);
  bytes.set(payload, header);
  return bytes;
}

/** The right transport checksum of an IPv4 packet whose checksum field is zero. */
export function transportSum(packet: Uint8Array): number {
  const header = (packet[0] & 15) * 4;
  const protocol = packet[9];
  const length = packet.length - header;
  let sum = 0;
  if (protocol !== 1) {
    sum = protocol + length;
    for (let i = 12; i < 20; i += 2) sum += readU16(packet, i);
  }
  return ~sumBytes(packet, header, length, sum) & 0xffff;
}

function finish(packet: Uint8Array, checksumAt: number): Uint8Array {
  const sum = transportSum(packet);
  writeU16(packet, checksumAt, sum === 0 && packet[9] === 17 ? 0xffff : sum);
  return packet;
}

export function udp4(packet: Endpoints & { payload?: Uint8Array; checksum?: 0 }): Uint8Array {
  const payload = packet.payload ?? new Uint8Array([1, 2, 3]);
  const datagram = new Uint8Array(8 + payload.length);
  writeU16(datagram, 0, split(packet.from)[1]);
  writeU16(datagram, 2, split(packet.to)[1]);
  writeU16(datagram, 4, datagram.length);
  datagram.set(payload, 8);
  const bytes = ipv4(17, packet, datagram);
  if (packet.checksum === 0) return bytes;
  return finish(bytes, (bytes[0] & 15) * 4 + 6);
}

export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

export interface Segment extends Endpoints {
  flags: number;
  seq?: number;
  ack?: number;
  mss?: number;
  /** TSval of a timestamps option. */
  timestamp?: number;
  payload?: Uint8Array;
}

export function tcp4(packet: Segment): Uint8Array {
  const options: number[] = [];
  if (packet.mss !== undefined) options.push(2, 4, packet.mss >> 8, packet.mss & 255);
  if (packet.timestamp !== undefined) {
    const t = packet.timestamp;
    options.push(1, 1, 8, 10, t >>> 24, (t >>> 16) & 255, (t >>> 8) & 255, t & 255, 0, 0, 0, 0);
  }
  const payload = packet.payload ?? new Uint8Array(0);
  const header = 20 + options.length;
  const segment = new Uint8Array(header + payload.length);
  writeU16(segment, 0, split(packet.from)[1]);
  writeU16(segment, 2, split(packet.to)[1]);
  writeI32(segment, 4, packet.seq ?? 1000);
  writeI32(segment, 8, packet.ack ?? 0);
  segment[12] = (header >> 2) << 4;
  segment[13] = packet.flags;
  writeU16(segment, 14, 65535);
  segment.set(options, 20);
  segment.set(payload, header);
  const bytes = ipv4(6, packet, segment);
  return finish(bytes, (bytes[0] & 15) * 4 + 16);
}

/** ICMP echo; type 8 takes the identifier from `from`, type 0 (reply) from `to`. */
export function echo4(
  packet: Endpoints & { type?: 0 | 8; sequence?: number; size?: number },
): Uint8Array {
  const type = packet.type ?? 8;
  const message = new Uint8Array(8 + (packet.size ?? 8));
  message[0] = type;
  writeU16(message, 4, split(type === 8 ? packet.from : packet.to)[1]);
  writeU16(message, 6, packet.sequence ?? 1);
  const bytes = ipv4(1, packet, message);
  return finish(bytes, (bytes[0] & 15) * 4 + 2);
}

/** An ICMP error that quotes `quoted`, or its first bytes. */
export function error4(
  packet: Endpoints & { type: number; code: number; parameter?: number; quoted: Uint8Array },
): Uint8Array {
  const message = new Uint8Array(8 + packet.quoted.length);
  message[0] = packet.type;
  message[1] = packet.code;
  writeI32(message, 4, packet.parameter ?? 0);
  message.set(packet.quoted, 8);
  const bytes = ipv4(1, packet, message);
  return finish(bytes, (bytes[0] & 15) * 4 + 2);
}

/** Problems with the checksums of a packet, in words; empty when all are right. */
export function checksumProblems(packet: Uint8Array): string[] {
  const problems: string[] = [];
  const header = (packet[0] & 15) * 4;
  if (sumBytes(packet, 0, header) !== 0xffff) problems.push('IPv4 header checksum');
  const protocol = packet[9];
  if (protocol === 17 && readU16(packet, header + 6) === 0) return problems;
  if (protocol === 1 || protocol === 6 || protocol === 17) {
    if (transportSum(packet) !== 0) problems.push(`transport checksum of protocol ${protocol}`);
  }
  return problems;
}

/** The packet with another DSCP and ECN, and the header checksum that goes with it. */
export function withTos(packet: Uint8Array, tos: number): Uint8Array {
  const copy = packet.slice();
  copy[1] = tos;
  writeU16(copy, 10, 0);
  writeU16(copy, 10, ~sumBytes(copy, 0, (copy[0] & 15) * 4) & 0xffff);
  return copy;
}

/** The fragments of a packet for an MTU, first one first. */
export function cutPacket(packet: Uint8Array, mtu: number): Uint8Array[] {
  const header = (packet[0] & 15) * 4;
  const step = (mtu - header) & ~7;
  const parts: Uint8Array[] = [];
  for (let at = header; at < packet.length; at += step) {
    const end = Math.min(packet.length, at + step);
    const part = new Uint8Array(header + end - at);
    part.set(packet.subarray(0, header));
    part.set(packet.subarray(at, end), header);
    writeU16(part, 2, part.length);
    writeU16(part, 6, (end < packet.length ? 0x2000 : 0) | ((at - header) >> 3));
    writeU16(part, 10, 0);
    writeU16(part, 10, ~sumBytes(part, 0, header) & 0xffff);
    parts.push(part);
  }
  return parts;
}

/** The packet that fragments make, or an error when they do not make one. */
export function joinFragments(parts: Uint8Array[]): Uint8Array {
  const offset = (part: Uint8Array): number => (readU16(part, 6) & 0x1fff) * 8;
  const sorted = [...parts].sort((a, b) => offset(a) - offset(b));
  const keys = new Set(
    parts.map((part) => [...part.slice(4, 6), ...part.slice(9, 10), ...part.slice(12, 20)].join()),
  );
  if (keys.size !== 1) throw new Error(`fragments of ${keys.size} packets`);
  const data: number[] = [];
  for (const part of sorted) {
    if (offset(part) !== data.length) throw new Error(`a hole or an overlap at ${data.length}`);
    data.push(...part.slice((part[0] & 15) * 4));
    const isLast = part === sorted[sorted.length - 1];
    if (((readU16(part, 6) & 0x2000) === 0) !== isLast) throw new Error('a wrong More Fragments');
  }
  const header = sorted[0].slice(0, (sorted[0][0] & 15) * 4);
  const whole = new Uint8Array(header.length + data.length);
  whole.set(header);
  whole.set(data, header.length);
  writeU16(whole, 2, whole.length);
  writeU16(whole, 6, 0);
  writeU16(whole, 10, 0);
  writeU16(whole, 10, ~sumBytes(whole, 0, header.length) & 0xffff);
  return whole;
}
