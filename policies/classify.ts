/**
 * What a session is for, by its first packet.
 *
 *   TCP, ICMP ──▶ by protocol number, nothing is looked at
 *   UDP ──▶ DNS, QUIC, STUN ──▶ what a fixed word or length gives away ──▶ what ports must vouch for
 *           (nine of ten)       DTLS, WireGuard, IKE, OpenVPN, DHT, SIP     NTP, uTP, ESP, RTP
 *
 * The order matters twice. What is common comes first: the first test that succeeds is the last one
 * made, and a test that fails mostly fails at its first byte. And what is certain comes before what
 * is a guess, so that no guess takes it away: a QUIC packet could be RTP by its first bits, ESP
 * could be anything. Each file in core/wire says how often random bytes would pass; a datagram of
 * random bytes is `other` with a probability of 99.8 %, but on the ports 123 and 4500.
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

/** The class (a number of `Class`) of the session that this packet would begin. */
export function classify(first: FirstPacket): number {
  if (first.protocol === PROTOCOL_TCP) return Class.Tcp;
  if (first.protocol === PROTOCOL_UDP) return classifyUdp(first);
  return first.protocol === PROTOCOL_ICMP ? Class.Icmp : Class.Other;
}

function classifyUdp(first: FirstPacket): number {
  const { bytes, payloadAt: at, payloadBytes: length, remotePort, internalPort } = first;
  if (isDns(bytes, at, length, remotePort, internalPort)) return Class.Dns;
  if (isQuic(bytes, at, length)) return Class.Quic;
  if (isStun(bytes, at, length, remotePort)) return Class.Stun;
  if (isDtls(bytes, at, length)) return Class.Dtls;
  if (isWireguard(bytes, at, length)) return Class.Wireguard;
  if (isIke(bytes, at, length)) return Class.Ike;
  if (isOpenvpn(bytes, at, length)) return Class.Openvpn;
  if (isDht(bytes, at, length)) return Class.Dht;
  if (isSip(bytes, at, length)) return Class.Sip;
  if (isNtp(bytes, at, length, remotePort, internalPort)) return Class.Ntp;
  if (isUtp(bytes, at, length, remotePort)) return Class.Utp;
  if (isEspInUdp(bytes, at, length, remotePort, internalPort)) return Class.EspInUdp;
  if (isRtp(bytes, at, length, remotePort)) return Class.Rtp;
  return Class.Other;
}
