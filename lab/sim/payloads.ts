/**
 * The payloads that simulated packets carry, by number, so that what reads bytes (the classes of Portfold) sees what it would see on a
 * wire. A recorded capture adds its own.
 *
 * Only the first bytes of a payload tell what it is; it is as long as it must be for that, and no longer.
 */
import { STUN_MAGIC_COOKIE } from '../../core/wire/stun.ts';

/** Numbers of the payloads that are always there. */
export const Payload = {
  None: 0,
  DnsQuery: 1,
  DnsAnswer: 2,
  /** A padded Initial of QUIC version 1 from a client, the server's, and a packet with a short header. */
  QuicInitial: 3,
  QuicAnswer: 4,
  QuicShort: 5,
  StunRequest: 6,
  StunAnswer: 7,
  /** The handshake of WireGuard, its answer, and data. */
  WireguardInitiation: 8,
  WireguardResponse: 9,
  WireguardData: 10,
  Rtp: 11,
  DtlsHello: 12,
  Ntp: 13,
  /** Of no known kind. */
  Unknown: 14,
} as const;

const bytesOf = (length: number, ...head: number[]): Uint8Array => {
  const bytes = new Uint8Array(length);
  bytes.set(head);
  return bytes;
};

const name = [...'example'].map((letter) => letter.charCodeAt(0));
const question = [7, ...name, 3, 0x6f, 0x72, 0x67, 0, 0, 1, 0, 1];
const cookie = [24, 16, 8, 0].map((shift) => (STUN_MAGIC_COOKIE >>> shift) & 0xff);
const transaction = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
/** Long header, version 1, both connection identifiers of eight bytes, no token. */
const quicLong = [0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1, 0];
const QUIC_DATAGRAM_BYTES = 1200;

/** In the order of `Payload`. */
const BUILT_IN: readonly Uint8Array[] = [
  new Uint8Array(0),
  bytesOf(29, 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...question),
  bytesOf(29, 0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, ...question),
  bytesOf(QUIC_DATAGRAM_BYTES, ...quicLong, 0x44, 0x96),
  bytesOf(QUIC_DATAGRAM_BYTES, ...quicLong, 0x44, 0x96),
  bytesOf(64, 0x41, 1, 2, 3, 4, 5, 6, 7, 8),
  bytesOf(20, 0, 1, 0, 0, ...cookie, ...transaction),
  bytesOf(32, 1, 1, 0, 12, ...cookie, ...transaction, 0, 0x20, 0, 8, 0, 1),
  bytesOf(148, 1, 0, 0, 0, 9, 9, 9, 9),
  bytesOf(92, 2, 0, 0, 0, 8, 8, 8, 8),
  bytesOf(96, 4, 0, 0, 0, 8, 8, 8, 8),
  bytesOf(172, 0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4),
  bytesOf(120, 22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 107, 1, 0, 0, 95),
  bytesOf(48, 0x23),
  bytesOf(40, 0xff, 0xee, 0xdd, 0xcc, 0xbb),
];

/** The payloads of one run. */
export class Payloads {
  private readonly list: Uint8Array[] = [...BUILT_IN];

  /** Adds the bytes of a recorded packet and returns their number. */
  add(bytes: Uint8Array): number {
    return this.list.push(bytes) - 1;
  }

  at(payload: number): Uint8Array {
    return this.list[payload];
  }
}

if (BUILT_IN.length !== Object.keys(Payload).length) throw new Error('every payload needs bytes');
