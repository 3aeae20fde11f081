/**
 * What a session is for, by its first packet.
 *
 *   TCP, ICMP ──▶ by protocol number, nothing is looked at
 *   UDP ──▶ DNS ──▶ QUIC, STUN ──▶ what a fixed word or length gives away ──▶ what ports vouch for
 *                                  DTLS, WireGuard, DHT, SIP, OpenVPN, IKE   NTP, uTP, ESP, RTP
 *
 * What is certain comes before what is a guess, so that no guess takes it away: a QUIC packet could
 * be RTP by its first bits, ESP could be anything. Most protocols fix their first byte in part (RFC
 * 7983 keeps some of them apart by it), so that one look into a table spares most of the questions:
 * a datagram that is none of them costs some 25 ns.
 *
 * Each file in core/wire says how often random bytes would pass: a datagram of random bytes is
 * `other` in 499 of 500 cases, but on the ports 123 and 4500.
 *
 * A session keeps the class of its first packet. An internal endpoint may have sessions of several
 * classes: the socket of a torrent client begins with the DHT and goes on with uTP.
 */
import type { FirstPacket } from '../core/policy.ts';
import { Class } from '../core/state.ts';
import { isDht } from '../core/wire/dht.ts';
import { isDns } from '../core/wire/dns.ts';
import { isDtls } from '../core/wire/dtls.ts';
import { isEspInUdp, isIke } from '../core/wire/ike.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../core/wire/ipv4.ts';
import { isNtp } from '../core/wire/ntp.ts';
import { isOpenvpn } from '../core/wire/openvpn.ts';
import { isQuic } from '../core/wire/quic.ts';
import { isRtp } from '../core/wire/rtp.ts';
import { isSip } from '../core/wire/sip.ts';
import { isStun } from '../core/wire/stun.ts';
import { isUtp } from '../core/wire/utp.ts';
import { isWireguard } from '../core/wire/wireguard.ts';

/** Bit n: this first byte may begin a message of class n. What is not here has any first byte. */
const MAY_BEGIN = new Uint16Array(256);
begins(Class.Stun, 0x00, 0x3f);
begins(Class.Wireguard, 1, 4);
begins(Class.Dtls, 20, 26);
for (const opcode of [7, 8, 10]) begins(Class.Openvpn, opcode << 3, opcode << 3);
// A method in capitals, and "sip/2.0" in small letters.
begins(Class.Sip, 0x41, 0x5a);
begins(Class.Sip, 0x73, 0x73);
begins(Class.Dht, 0x64, 0x64);
for (let type = 0; type <= 4; type++) begins(Class.Utp, (type << 4) | 1, (type << 4) | 1);
begins(Class.Quic, 0x80, 0xff);
begins(Class.Rtp, 0x80, 0xbf);

const QUIC = 1 << Class.Quic;
const STUN = 1 << Class.Stun;
const UTP = 1 << Class.Utp;
const RTP = 1 << Class.Rtp;
const RARER =
  (1 << Class.Wireguard) |
  (1 << Class.Dtls) |
  (1 << Class.Openvpn) |
  (1 << Class.Sip) |
  (1 << Class.Dht);

/** The class (a number of `Class`) of the session that this packet would begin. */
export function classify(first: FirstPacket): number {
  if (first.protocol === PROTOCOL_TCP) return Class.Tcp;
  if (first.protocol === PROTOCOL_UDP) return classifyUdp(first);
  return first.protocol === PROTOCOL_ICMP ? Class.Icmp : Class.Other;
}

function classifyUdp(first: FirstPacket): number {
  const { bytes, payloadAt: at, payloadBytes: length, remotePort, internalPort } = first;
  if (length === 0) return Class.Other;
  if (isDns(bytes, at, length, remotePort, internalPort)) return Class.Dns;
  const may = MAY_BEGIN[bytes[at]];
  if ((may & QUIC) !== 0 && isQuic(bytes, at, length)) return Class.Quic;
  if ((may & STUN) !== 0 && isStun(bytes, at, length, remotePort)) return Class.Stun;
  if ((may & RARER) !== 0) {
    const rarer = rarerClass(bytes, at, length);
    if (rarer !== Class.Other) return rarer;
  }
  if (isIke(bytes, at, length)) return Class.Ike;
  if (isNtp(bytes, at, length, remotePort, internalPort)) return Class.Ntp;
  if ((may & UTP) !== 0 && isUtp(bytes, at, length, remotePort)) return Class.Utp;
  if (isEspInUdp(bytes, at, length, remotePort, internalPort)) return Class.EspInUdp;
  if ((may & RTP) !== 0 && isRtp(bytes, at, length, remotePort)) return Class.Rtp;
  return Class.Other;
}

function rarerClass(bytes: Uint8Array, at: number, length: number): number {
  if (isDtls(bytes, at, length)) return Class.Dtls;
  if (isWireguard(bytes, at, length)) return Class.Wireguard;
  if (isDht(bytes, at, length)) return Class.Dht;
  if (isSip(bytes, at, length)) return Class.Sip;
  return isOpenvpn(bytes, at, length) ? Class.Openvpn : Class.Other;
}

function begins(sessionClass: number, first: number, last: number): void {
  for (let lead = first; lead <= last; lead++) MAY_BEGIN[lead] |= 1 << sessionClass;
}
