/**
 * game: a household that plays, calls and hosts.
 *
 * As `home`, but every UDP endpoint that does not just ask a server (DNS, NTP, QUIC) owns its port, an owned port lets everybody in
 * (endpoint-independent filtering), and such sessions live for the five minutes that RFC 4787 recommends. A host may own 32 ports; on a
 * line of 240 that is enough for five hosts or so at a time, and who comes later is a guest.
 */
import { NO_EXCEPTIONS } from '../rule.ts';
import type { PolicySettings } from '../settings.ts';
import { always } from '../timers.ts';

export const game: PolicySettings = {
  preset: 'game',
  sharing: true,
  evictUnanswered: true,
  filtering: 'open',
  peers: [
    'stun',
    'dtls',
    'sip',
    'rtp',
    'dht',
    'utp',
    'wireguard',
    'ike',
    'esp-in-udp',
    'openvpn',
    'other',
  ],
  ownedPercent: 75,
  timers: {
    'tcp-half-open': [30, 20, 15, 10],
    'tcp-established': [7440, 7440, 7440, 3600],
    'tcp-half-closed': [240, 120, 60, 60],
    'tcp-closing': [120, 120, 60, 30],
    'tcp-reset': [10, 10, 5, 2],
    icmp: [60, 30, 20, 10],
    unanswered: [60, 30, 15, 10],
    dns: [10, 10, 5, 5],
    ntp: [15, 15, 10, 5],
    quic: [120, 60, 30, 20],
    stun: [300, 300, 180, 120],
    dtls: [300, 300, 180, 120],
    sip: [300, 300, 180, 120],
    rtp: [300, 300, 180, 120],
    dht: [120, 60, 30, 20],
    utp: [120, 120, 60, 30],
    wireguard: always(300),
    ike: always(300),
    'esp-in-udp': always(300),
    openvpn: always(300),
    other: [300, 300, 180, 120],
  },
  unansweredPerRemote: 4,
  limits: { sessions: 32_768, ownedPorts: 32, newPerSecond: 2000, newAtOnce: 500 },
  reserve: { percent: 2, fewSessions: 64 },
  pressure: { levelsPercent: [60, 75, 97], evict: true },
  quic: { mode: 'pressure', fromLevel: 2, fromUpstream256: 192, except: NO_EXCEPTIONS },
  udp: { mode: 'allow', except: { ...NO_EXCEPTIONS, classes: ['dns', 'ntp'] } },
  privateDestinations: 'auto',
  privateExcept: [],
  mail: { mode: 'allow', except: NO_EXCEPTIONS },
};
