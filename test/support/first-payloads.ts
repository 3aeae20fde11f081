/**
 * First payloads of UDP sessions as real programs sent them, each with its origin and the ports at
 * which it was sent.
 *
 * Where a program fills a datagram with ciphertext or keys, only what stands in front of them is
 * kept and the rest is zeros up to the length: no recogniser looks there.
 */
import { Class } from '../../core/state.ts';

export interface FirstPayload {
  origin: string;
  /** A number of `Class`. */
  is: number;
  payload: Uint8Array;
  remotePort: number;
  internalPort: number;
}

export const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

export const text = (words: string): Uint8Array => Uint8Array.from(Buffer.from(words, 'latin1'));

/** The bytes with zeros behind them, or cut, so that there are `length`. */
export function ofLength(bytes: Uint8Array, length: number): Uint8Array {
  const whole = new Uint8Array(length);
  whole.set(bytes.subarray(0, length));
  return whole;
}

export function joined(...parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

const EPHEMERAL = 50_000;

const from =
  (is: number, remotePort: number, internalPort = EPHEMERAL) =>
  (origin: string, payload: Uint8Array): FirstPayload => ({
    origin,
    is,
    payload,
    remotePort,
    internalPort,
  });

const dns = from(Class.Dns, 53);
const quic = from(Class.Quic, 443);
const stun = from(Class.Stun, 3478);
const dtls = from(Class.Dtls, 4433);
const wireguard = from(Class.Wireguard, 51820);
const openvpn = from(Class.Openvpn, 1194);
const sip = from(Class.Sip, 5060);
const dht = from(Class.Dht, 6881);

export const QUIC_V1_INITIAL = ofLength(
  hex('c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11'),
  1200,
);
export const QUIC_V2_INITIAL = ofLength(
  hex('d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485'),
  1200,
);
export const CHROMIUM_INITIAL = ofLength(
  hex('cd000000010820e5edc49c6ef91b000044d02b589ff9d26ca2142feb4cf0fc13'),
  1250,
);

const DIG = '1bcd0120000100000000000103777777076578616d706c6503636f6d00001c0001';
const CLIENT_HELLO =
  '16feff000000000000000000c0010000b400000000000000b4fefd02f051f8addf1bc91486ca09ccb2fadc72584510';
const TLS_CRYPT =
  '38e3d63757270519ab000000016b02a92b069de12fa5233c09ae106e98b2e5b5d590bd78219f074188e601caf91122' +
  '9e9b3526aa0077';
const TLS_AUTH_SHA512 =
  '385173414b138602ae' +
  'f3aa02ac94e5a85e3e1a062b52e18d7688af484ef5d56c16e946051ab34908c4' +
  'cbabdfa248025d3e60d3d20d6c5c87cd5251fe3a73284c2272479c175985dac8' +
  '000000016b02a9290000000000';

export const FIRST_PAYLOADS: readonly FirstPayload[] = [
  dns('dig 9.18', hex(`${DIG}00002904d000000000000c000a00089b88df492a50ffd9`)),
  dns(
    'dig 9.18 +noedns',
    hex('17bd0120000100000000000003777777076578616d706c6503636f6d0000010001'),
  ),
  quic('RFC 9001 A.2', QUIC_V1_INITIAL),
  quic('RFC 9369 A.2', QUIC_V2_INITIAL),
  quic('Chromium 156', CHROMIUM_INITIAL),
  stun('coturn 4.6 turnutils_stunclient', hex('000100002112a442b550ef5353eb333d669194ed')),
  from(Class.Ntp, 123)(
    'chrony 4.3',
    hex(
      '23000620000000000000000000000000000000000000000000000000000000000000000000000000dec7a732cf41a012',
    ),
  ),
  dtls('openssl 3.0 s_client -dtls1_2', ofLength(hex(CLIENT_HELLO), 205)),
  wireguard('wireguard-go', ofLength(hex('01000000d4a999bd132006572892211c59fb0556'), 148)),
  from(Class.Ike, 500)(
    'ike-scan 1.9, IKEv1 main mode',
    ofLength(hex('26f7b255207c2b24000000000000000001100200000000000000015000000134'), 336),
  ),
  from(Class.Ike, 500)(
    'ike-scan 1.9, IKEv2',
    ofLength(hex('e0a2133c6e713449000000000000000021202208000000000000012822'), 296),
  ),
  from(Class.Ike, 4500)(
    'ike-scan 1.9, IKEv2 behind the non-ESP marker',
    ofLength(hex('000000001059cfc4c16765cf000000000000000021202208000000000000012822'), 300),
  ),
  from(Class.EspInUdp, 4500)('RFC 3948 section 2.3, keep-alive', hex('ff')),
  from(Class.EspInUdp, 4500)('RFC 3948 section 2.1', ofLength(hex('c8a3190e00000001'), 100)),
  openvpn('OpenVPN 2.6, plain', hex('383b714c65f550feb50000000000')),
  openvpn(
    'OpenVPN 2.6, tls-auth with SHA-1',
    hex('387d3e8dae53285132eaabb03aa5f69142eca1f59f62313c0c26939464000000016b02a9240000000000'),
  ),
  openvpn('OpenVPN 2.6, tls-auth with SHA-512', hex(TLS_AUTH_SHA512)),
  openvpn('OpenVPN 2.6, tls-crypt', hex(TLS_CRYPT)),
  openvpn(
    'OpenVPN 2.6, tls-crypt-v2',
    joined(
      ofLength(hex('505dc8ef00952122820f0000016b02a92e5087d16d3a925f29e9c2'), 351),
      hex('012b'),
    ),
  ),
  sip(
    'sipsak 0.9',
    text(
      'OPTIONS sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:55943;rport;alias\r\n' +
        'From: sip:sipsak@192.0.2.2:55943;tag=53f87996\r\nCSeq: 1 OPTIONS\r\n\r\n',
    ),
  ),
  from(Class.Rtp, 16_384)(
    'scapy 2.5, 20 ms of PCMU',
    joined(hex('80801267000000a0decafbad'), new Uint8Array(160).fill(0xff)),
  ),
  dht(
    'libtorrent 2.0, bootstrap',
    joined(
      text('d1:ad2:bsi1e2:id20:'),
      hex('8c564afc52532d4db580e87bc8c0769a06a02be9'),
      text('9:info_hash20:'),
      hex('8c564afc52532d4db580e87b14eaa3fc56b8f12d'),
      text('e1:q9:get_peers1:t2:*\xaf1:v4:LT\x02\x081:y1:qe'),
    ),
  ),
  dht(
    'libtorrent 2.0',
    joined(
      text('d1:ad2:id20:'),
      hex('8c564afc52532d4db580e87bc8c0769a06a02be9'),
      text('9:info_hash20:'),
      hex('abababababababababababababababababababab'),
      text('e1:q9:get_peers1:t2:\xff\x951:v4:LT\x02\x081:y1:qe'),
    ),
  ),
  from(Class.Utp, 6881)('libtorrent 2.0', hex('41004b9d5f64800300000000000000005bce0000')),
];
