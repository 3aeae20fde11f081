/**
 * A session that a packet asks for, while it is being decided: one object for the life of the table, filled in three steps.
 *
 *   packet path    who sends what to whom          begin(), then payload and SYN facts        (outbound.ts)
 *   table          what is known of the sender     host, mapping, profile, remote             (nat-table.ts)
 *   policy         its decision                    isPeer
 *
 * The policy sees it as FirstPacket; the allocator takes from it what it needs. Nothing here outlives the call.
 */
import type { FirstPacket, Profile } from '../policy.ts';

const NOTHING = new Uint8Array(0);

/** Of a table that has not been asked yet: no limits, everything shared. */
const NO_PROFILE: Profile = {
  sharing: true,
  evictUnanswered: true,
  ownedShare256: 256,
  ownedPerHostMax: 0,
  openFilter: false,
  sessionsPerHostMax: 0,
  newPerSecondMax: 0,
  newBurst: 0,
  unansweredPerRemoteMax: 0,
};

export class Opening implements FirstPacket {
  bytes: Uint8Array = NOTHING;
  payloadAt = 0;
  payloadBytes = 0;
  protocol = 0;
  internalAddress = 0;
  internalPort = 0;
  remoteAddress = 0;
  remotePort = 0;
  lan = 0;
  hasMapping = false;
  hostSessions = 0;
  hostOwned = 0;
  pressure = 0;
  upstreamFill256 = 0;

  /** The sender is the gateway itself. */
  isGateway = false;
  /** Of a SYN; for the reuse of closed TCP sessions. */
  isSyn = false;
  sequence = 0;
  hasTimestamp = false;
  timestamp = 0;

  /** What holds for the sender's LAN. */
  profile: Profile = NO_PROFILE;
  /** The record that counts the session: that of the mapping, if there is one. */
  host = -1;
  /** Mapping of the internal endpoint and record of the remote endpoint, or -1. */
  mapping = -1;
  remote = -1;
  /** externalAddressIndex << 8 | protocol, as at the end of a session's word 3. */
  low = 0;
  isPeer = false;

  /** Says who asks for what; the rest is as for a packet without payload that is no SYN. */
  begin(
    protocol: number,
    internalAddress: number,
    internalPort: number,
    remoteAddress: number,
    remotePort: number,
    lan: number,
  ): void {
    this.protocol = protocol;
    this.internalAddress = internalAddress;
    this.internalPort = internalPort;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.lan = lan;
    this.bytes = NOTHING;
    this.payloadAt = 0;
    this.payloadBytes = 0;
    this.isGateway = false;
    this.isSyn = false;
  }

  /** The two ports in one word, as sessions and events keep them. */
  get ports(): number {
    return (this.internalPort << 16) | this.remotePort;
  }
}
