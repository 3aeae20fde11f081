/**
 * The standard policy: the timers of the RFCs, and STUN as the sign of a peer.
 *
 *   TCP established   2 h 4 min    RFC 5382 REQ-5
 *   TCP half-open     4 min        RFC 5382 REQ-5, RFC 7857 section 2.1
 *   TCP half-closed   4 min        in `home`; as established in `rfc`: the closing phase begins with the second FIN (RFC 5382 section 5)
 *   TCP after both FINs or a RST   4 min               RFC 7857 sections 2.1 and 2.2
 *   UDP               5 min        RFC 4787 REQ-5c
 *   ICMP query        60 s         RFC 5508 REQ-2
 *
 * `home` lets endpoints share ports and lets an unanswered UDP session give way before a new one is refused; `rfc` does neither.
 */
import { DECISION_PEER, type FirstPacket, type Policy, type Profile } from '../core/policy.ts';
import { CLASS_MASK, Class, STATES_MAX, State, TICKS_PER_SECOND, TIMERS } from '../core/state.ts';
import { DNS_PORT, isDnsQuery } from '../core/wire/dns.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP } from '../core/wire/ipv4.ts';
import { isStun } from '../core/wire/stun.ts';

const tcpEstablishedTimeoutSeconds = 7440;
const tcpTransitoryTimeoutSeconds = 240;
const udpTimeoutSeconds = 300;
const icmpTimeoutSeconds = 60;

/** Three quarters of the set may be owned, and eight ports per host. */
const OWNED_SHARE_256 = 192;
const OWNED_PER_HOST_MAX = 8;
/** A pressure level that is never reached. */
const NEVER = 4;

function standardTimers(halfClosedTimeoutSeconds: number): Int32Array {
  const timers = new Int32Array(TIMERS);
  for (let at = 0; at < TIMERS; at += STATES_MAX) {
    const sessionClass = (at / STATES_MAX) & CLASS_MASK;
    const idleSeconds = sessionClass === Class.Icmp ? icmpTimeoutSeconds : udpTimeoutSeconds;
    timers.fill(tcpTransitoryTimeoutSeconds * TICKS_PER_SECOND, at, at + STATES_MAX);
    timers[at + State.TcpEstablished] = tcpEstablishedTimeoutSeconds * TICKS_PER_SECOND;
    timers[at + State.TcpHalfClosed] = halfClosedTimeoutSeconds * TICKS_PER_SECOND;
    timers[at + State.Unanswered] = idleSeconds * TICKS_PER_SECOND;
    timers[at + State.Answered] = idleSeconds * TICKS_PER_SECOND;
  }
  return timers;
}

function decide(first: FirstPacket): number {
  const { bytes, payloadAt, payloadBytes, protocol, remotePort } = first;
  if (protocol === PROTOCOL_TCP) return Class.Tcp;
  if (protocol === PROTOCOL_ICMP) return Class.Icmp;
  if (isStun(bytes, payloadAt, payloadBytes, remotePort)) return Class.Stun | DECISION_PEER;
  if (remotePort === DNS_PORT && isDnsQuery(bytes, payloadAt, payloadBytes)) return Class.Dns;
  return Class.Other;
}

/** Makes the policy of a preset: one profile for every LAN, without limits. */
export function standardPolicy(preset: 'home' | 'rfc'): Policy {
  const shares = preset === 'home';
  const timers = standardTimers(
    shares ? tcpTransitoryTimeoutSeconds : tcpEstablishedTimeoutSeconds,
  );
  const profile: Profile = {
    sharing: shares,
    evictUnanswered: shares,
    ownedShare256: shares ? OWNED_SHARE_256 : 256,
    ownedPerHostMax: shares ? OWNED_PER_HOST_MAX : 0,
    openFilter: false,
    sessionsPerHostMax: 0,
    newPerSecondMax: 0,
    newBurst: 0,
    unansweredPerRemoteMax: 0,
  };
  return {
    timers: [timers, timers, timers, timers],
    profiles: [profile],
    profileOfLan: [],
    reserveSessions: 0,
    reserveOwnSessions: 0,
    fewSessions: 0,
    pressure: { levelAt256: [257, 257, 257], evictFrom: NEVER },
    decide,
  };
}
