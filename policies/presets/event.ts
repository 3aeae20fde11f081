/**
 * event: hundreds of guests for a day, often below a venue's router with a small table.
 *
 * As `home`, but nobody gets much: limits for each host are those of a busy laptop, sessions end early, QUIC is turned back to TCP
 * from the first pressure level on, and whoever holds most makes room for others. Established TCP keeps half an hour even then,
 * since mail clients renew IMAP IDLE every 29 minutes (RFC 2177). VPNs keep their five minutes.
 */
import { NO_EXCEPTIONS } from '../rule.ts';
import type { PolicySettings } from '../settings.ts';
import { always } from '../timers.ts';

export const event: PolicySettings = {
  preset: 'event',
  sharing: true,
  evictUnanswered: true,
  filtering: 'address',
  peers: ['stun', 'sip', 'rtp'],
  ownedPercent: 75,
  timers: {
    'tcp-half-open': [20, 15, 10, 10],
    'tcp-established': [3600, 3600, 2400, 1800],
    'tcp-half-closed': [120, 60, 60, 30],
    'tcp-closing': [60, 60, 30, 10],
    'tcp-reset': [10, 5, 5, 2],
    icmp: [30, 20, 10, 10],
    unanswered: [15, 10, 5, 5],
    dns: [10, 5, 5, 5],
    ntp: [10, 5, 5, 5],
    quic: [30, 30, 20, 15],
    stun: [60, 60, 45, 30],
    dtls: [60, 60, 45, 30],
    sip: [120, 120, 60, 60],
    rtp: [60, 60, 45, 30],
    dht: [30, 20, 10, 10],
    utp: [30, 20, 15, 10],
    wireguard: always(300),
    ike: always(300),
    'esp-in-udp': always(300),
    openvpn: always(300),
    other: [60, 45, 30, 20],
  },
  unansweredPerRemote: 2,
  limits: { sessions: 4000, ownedPorts: 4, newPerSecond: 100, newAtOnce: 500 },
  reserve: { percent: 5, fewSessions: 64 },
  pressure: { levelsPercent: [50, 70, 85], evict: true },
  quic: { mode: 'pressure', fromLevel: 1, fromUpstream256: 128, except: NO_EXCEPTIONS },
  udp: { mode: 'allow', except: { ...NO_EXCEPTIONS, classes: ['dns', 'ntp'] } },
  privateDestinations: 'auto',
  privateExcept: [],
  mail: { mode: 'allow', except: NO_EXCEPTIONS },
};
