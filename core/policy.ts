/**
 * The border between the engine and the policies: what may be decided when a session would be created.
 *
 *                  first packet of a session                        once a second
 *                            │                                            │
 *   FirstPacket ──▶ policy.decide(first) ──▶ decision          pressure level 0 … 3 ──▶ timers, evictions, QUIC
 *
 * A policy is asked once per new session, never per packet. It sees the first packet, who sends it to whom, what the host holds and how
 * short things are (FirstPacket: one object for the life of the engine), and answers with one packed integer, so that half a million
 * sessions a second leave nothing to collect.
 *
 *   decision:  | refuse 1 | silent 1 | … | reason 8 | peer 1 | … | profile 2 | class 4 |      bits: 31 | 30 | 15 … 8 | 6 | 5 4 | 3 … 0
 *
 * Profile and class together are the six bits that a session and a mapping keep, and with the state they choose the timer. A *profile*
 * is what holds for the hosts of one LAN: its limits and its timers. A gateway has one to four.
 */
import type { UpstreamSettings } from './table/upstream.ts';

/** Profile and class, as sessions keep them. */
export const DECISION_CLASS_MASK = 63;
export const PROFILE_SHIFT = 4;
export const PROFILES_MAX = 4;
/** The internal endpoint is a peer: it should own its external port (design: owners and guests). */
export const DECISION_PEER = 64;
/** Bits 8 … 15 of a refusal: its reason, a number of `Drop`. */
export const DECISION_REASON_SHIFT = 8;
/** Refuse, without an answer to the sender. */
export const DECISION_SILENT = 1 << 30;
/** Refuse: counted by its reason, and the sender is told (ICMP 3/13) unless the decision is silent. */
export const DECISION_REFUSE = 1 << 31;

/** The answer "refuse, for this reason (a number of Drop), and say so". */
export const refuseFor = (reason: number): number =>
  DECISION_REFUSE | (reason << DECISION_REASON_SHIFT);

/** What a policy sees. Addresses are signed 32-bit numbers. Read only, valid during the call; nothing of `bytes` is kept. */
export interface FirstPacket {
  bytes: Uint8Array;
  /** Where the payload behind the transport header begins, and its length in bytes. */
  payloadAt: number;
  payloadBytes: number;
  /** IP protocol number. */
  protocol: number;
  internalAddress: number;
  internalPort: number;
  remoteAddress: number;
  remotePort: number;
  /** LAN network of the host: index in the engine's list of networks. */
  lan: number;
  /** The internal endpoint has a mapping, so its class and its port are known to its remotes. */
  hasMapping: boolean;
  /** Sessions and owned ports that the host holds now. */
  hostSessions: number;
  hostOwned: number;
  /** Pressure now, 0 … 3 (see PressurePlan); that of the NAT above, in 1/256 of its table, or 0 where none is modelled. */
  pressure: number;
  upstreamFill256: number;
}

/** What holds for the hosts of one LAN. A limit of 0 is no limit. */
export interface Profile {
  /** Endpoints share ports as guests; false: every endpoint owns its port, as RFC 4787 REQ-3 has it. */
  readonly sharing: boolean;
  /** Unanswered UDP sessions may give way before a new one is refused (off where RFC 6888 REQ-11 is kept). */
  readonly evictUnanswered: boolean;
  /** Most ports that peers may own, as a share of the set in 1/256, and per host. */
  readonly ownedShare256: number;
  readonly ownedPerHostMax: number;
  /** Owners admit every remote endpoint (endpoint-independent filtering, RFC 4787 REQ-8); false: addresses that they have sent to. */
  readonly openFilter: boolean;
  /** Most sessions of a host; most new ones a second in the long run, and at once. */
  readonly sessionsPerHostMax: number;
  readonly newPerSecondMax: number;
  readonly newBurst: number;
  /** Most UDP sessions of a host to one remote address that stayed unanswered for more than 3 s; beyond it the oldest gives way. */
  readonly unansweredPerRemoteMax: number;
}

/** When things are short, and what is done about it. Fill in 1/256: of the session table, of the owned ports, of the NAT above. */
export interface PressurePlan {
  /** Fill at which levels 1, 2 and 3 begin. A level ends when the fill has been 16/256 below its beginning for five seconds. */
  readonly levelAt256: readonly [number, number, number];
  /**
   * From this level on (1 … 3; 4: never) a full table or a full remote makes room by ending a session of whoever holds most. What is
   * full is at level 3 by itself, whatever the line is.
   */
  readonly evictFrom: number;
}

export interface Policy {
  /** Idle time in ticks by `profile << 10 | class << 6 | state`, one table for each pressure level; 0 ends a session at the next sweep. */
  readonly timers: readonly [Int32Array, Int32Array, Int32Array, Int32Array];
  /** One to four. The first is that of a host whose LAN is not known any more. */
  readonly profiles: readonly Profile[];
  /** Profile by LAN network (index as FirstPacket.lan). */
  readonly profileOfLan: readonly number[];
  /** Session records that only hosts with few sessions may still take, and the last of them only the gateway itself. */
  readonly reserveSessions: number;
  readonly reserveOwnSessions: number;
  /** A host with up to this many sessions holds few. */
  readonly fewSessions: number;
  readonly pressure: PressurePlan;
  /** Another NAT above this one, whose small table is to be spared. */
  readonly upstream?: UpstreamSettings;
  /** Decides about the session that this packet would begin. */
  decide(first: FirstPacket): number;
}
