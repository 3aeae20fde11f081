/**
 * rfc: RFC 4787, 5382, 5508 and 7857 to the letter, for lines with ports enough.
 *
 * Every internal endpoint owns its port, nothing alive gives way, no host is limited, and pressure changes nothing: when the ports are
 * used up a new session is refused. Packets to private destinations stay inside on a public line, as RFC 1918 section 3 asks.
 */
import { NO_EXCEPTIONS } from '../rule.ts';
import type { PolicySettings } from '../settings.ts';
import { always } from '../timers.ts';

export const rfc: PolicySettings = {
  preset: 'rfc',
  sharing: false,
  evictUnanswered: false,
  filtering: 'address',
  peers: ['stun'],
  ownedPercent: 100,
  timers: {
    'tcp-half-open': always(240),
    'tcp-established': always(7440),
    'tcp-half-closed': always(7440),
    'tcp-closing': always(240),
    'tcp-reset': always(240),
    icmp: always(60),
    unanswered: always(300),
    dns: always(300),
    ntp: always(300),
    quic: always(300),
    stun: always(300),
    dtls: always(300),
    sip: always(300),
    rtp: always(300),
    dht: always(300),
    utp: always(300),
    wireguard: always(300),
    ike: always(300),
    'esp-in-udp': always(300),
    openvpn: always(300),
    other: always(300),
  },
  unansweredPerRemote: 0,
  limits: { sessions: 0, ownedPorts: 0, newPerSecond: 0, newAtOnce: 0 },
  reserve: { percent: 0, fewSessions: 64 },
  pressure: { levelsPercent: [60, 75, 90], evict: false },
  quic: { mode: 'allow', fromLevel: 3, fromUpstream256: 256, except: NO_EXCEPTIONS },
  udp: { mode: 'allow', except: { ...NO_EXCEPTIONS, classes: ['dns', 'ntp'] } },
  privateDestinations: 'auto',
  privateExcept: [],
  mail: { mode: 'allow', except: NO_EXCEPTIONS },
};
