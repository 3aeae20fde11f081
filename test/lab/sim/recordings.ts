/** Recordings as tests need them: packets by their ends, written as pcap and pcapng files. */
import { parseIpv4 } from '../../../core/wire/ipv4.ts';

export interface Packet {
  ms: number;
  from: [address: string, port: number];
  to: [address: string, port: number];
  protocol?: 'tcp' | 'udp' | 'echo' | 'reply';
  flags?: number;
  /** Of a UDP packet; eight bytes unless told. */
  payloadBytes?: number;
}

/** An IPv4 packet with a payload behind its transport header. */
export function ipv4({ from, to, protocol = 'udp', flags = 0, payloadBytes = 8 }: Packet): Buffer {
  const header = protocol === 'tcp' ? 20 : 8;
  const bytes = Buffer.alloc(20 + header + payloadBytes);
  bytes[0] = 0x45;
  bytes.writeUInt16BE(bytes.length, 2);
  bytes[8] = 64;
  bytes[9] = { tcp: 6, udp: 17, echo: 1, reply: 1 }[protocol];
  bytes.writeInt32BE(parseIpv4(from[0]), 12);
  bytes.writeInt32BE(parseIpv4(to[0]), 16);
  if (protocol === 'echo') bytes[20] = 8;
  if (protocol === 'tcp' || protocol === 'udp') {
    bytes.writeUInt16BE(from[1], 20);
    bytes.writeUInt16BE(to[1], 22);
  }
  if (protocol === 'udp') bytes.writeUInt16BE(8 + payloadBytes, 24);
  if (protocol === 'tcp') {
    bytes[32] = 0x50;
    bytes[33] = flags;
  }
  bytes.fill(0xab, 20 + header);
  return bytes;
}

export const ethernet = (packet: Buffer, tag = Buffer.alloc(0)): Buffer =>
  Buffer.concat([Buffer.alloc(12), tag, Buffer.of(8, 0), packet]);

/** A pcap file in either byte order, with fractions of a second in micro- or nanoseconds. */
export function pcap(
  packets: Packet[],
  littleEndian: boolean,
  nanoseconds: boolean,
  link = 1,
): Buffer {
  const word = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    if (littleEndian) bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const magic = nanoseconds ? 0xa1b23c4d : 0xa1b2c3d4;
  const parts = [word(magic), word(0), word(0), word(0), word(65_535), word(link)];
  for (const packet of packets) {
    const bytes = link === 1 ? ethernet(ipv4(packet)) : ipv4(packet);
    const fraction = (packet.ms % 1000) * (nanoseconds ? 1e6 : 1e3);
    parts.push(word(Math.floor(packet.ms / 1000)), word(fraction), word(bytes.length));
    parts.push(word(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

/** A pcapng file: a section, an interface whose time is in milliseconds, and a block of each packet. */
export function pcapng(packets: Packet[]): Buffer {
  const block = (type: number, body: Buffer): Buffer => {
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
    const head = Buffer.alloc(8);
    head.writeUInt32LE(type);
    head.writeUInt32LE(padded.length + 12, 4);
    return Buffer.concat([head, padded, head.subarray(4)]);
  };
  const section = Buffer.alloc(16, 0xff);
  section.writeUInt32LE(0x1a2b3c4d);
  const resolution = Buffer.of(9, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0);
  const link = Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 0, 0, 0), resolution]);
  const blocks = packets.map((packet) => {
    const bytes = ethernet(ipv4(packet));
    const head = Buffer.alloc(20);
    head.writeUInt32LE(packet.ms, 8);
    head.writeUInt32LE(bytes.length, 12);
    head.writeUInt32LE(bytes.length, 16);
    return block(6, Buffer.concat([head, bytes]));
  });
  return Buffer.concat([block(0x0a0d0d0a, section), block(1, link), ...blocks]);
}
