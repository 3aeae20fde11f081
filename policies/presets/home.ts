/**
 * home: a household behind few ports.
 *
 * Sessions share ports; whoever must be reachable (calls, games, peer to peer) owns one. Timers are those of the RFCs where a shorter
 * one would be felt, and shorter where a session has said all that it will: a name was resolved, nothing ever answered, both sides
 * closed. Established TCP is kept for two hours and four minutes until the table is nearly full.
 */
import { NO_EXCEPTIONS } from '../rule.ts';
import type { PolicySettings } from '../settings.ts';
import { always } from '../timers.ts';

export const home: PolicySettings = {
  preset: 'home',
  sharing: true,
  evictUnanswered: true,
  filtering: 'address',
  peers: ['stun', 'sip', 'rtp', 'dht', 'utp', 'wireguard'],
  ownedPercent: 75,
  timers: {
    'tcp-half-open': [30, 20, 15, 10],
    'tcp-established': [7440, 7440, 7440, 3600],
    'tcp-half-closed': [240, 120, 60, 60],
    'tcp-closing': [120, 120, 60, 30],
    'tcp-reset': [10, 10, 5, 2],
    icmp: [60, 30, 20, 10],
    unanswered: [30, 15, 10, 5],
    dns: [10, 10, 5, 5],
    ntp: [15, 15, 10, 5],
    quic: [120, 60, 30, 20],
    stun: [120, 120, 90, 60],
    dtls: [120, 120, 60, 30],
    sip: [300, 300, 120, 60],
    rtp: [120, 120, 60, 30],
    dht: [60, 30, 20, 10],
    utp: [120, 60, 30, 15],
    wireguard: always(300),
    ike: always(300),
    'esp-in-udp': always(300),
    openvpn: always(300),
    other: [120, 90, 60, 30],
  },
  unansweredPerRemote: 4,
  limits: { sessions: 32_768, ownedPorts: 8, newPerSecond: 2000, newAtOnce: 500 },
  reserve: { percent: 2, fewSessions: 64 },
  pressure: { levelsPercent: [60, 75, 97], evict: true },
  quic: { mode: 'pressure', fromLevel: 2, fromUpstream256: 192, except: NO_EXCEPTIONS },
  udp: { mode: 'allow', except: { ...NO_EXCEPTIONS, classes: ['dns', 'ntp'] } },
  privateDestinations: 'auto',
  privateExcept: [],
  mail: { mode: 'allow', except: NO_EXCEPTIONS },
};
