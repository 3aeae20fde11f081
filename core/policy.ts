/**
 * The border between the engine and the policies: what may be decided when a session would be created.
 *
 * A policy is asked once per new session, never per packet. It sees the first packet and who sends it to whom, and answers with one
 * packed integer, so that half a million sessions a second leave nothing to collect.
 *
 *   decision:  | refuse 1 | … | peer 1 | class 6 |      bits: 31 | 6 | 0 … 5
 */
export const DECISION_CLASS_MASK = 63;
/** The internal endpoint is a peer: it should own its external port (design: owners and guests). */
export const DECISION_PEER = 64;
/** Refuse: the packet is answered with ICMP 3/13 and counted as RefusedByPolicy. */
export const DECISION_REFUSE = 1 << 31;

export interface Policy {
  /** Idle time in ticks by `class << 6 | state`; 0 ends a session at the next sweep. May change while running. */
  readonly timers: Int32Array;
  /** Endpoints share ports as guests; false: every endpoint owns its port, as RFC 4787 REQ-3 has it. */
  readonly sharing: boolean;
  /** Unanswered UDP sessions may give way before a new one is refused (off where RFC 6888 REQ-11 is kept). */
  readonly evictUnanswered: boolean;
  /** Most ports that peers may own, as a share of the set in 1/256, and per host. */
  readonly ownedShare256: number;
  readonly ownedPerHostMax: number;
  /**
   * Decides about a session for the packet whose transport header is at `l4`, with `payload` bytes behind it at `payloadAt`.
   * Addresses are signed 32-bit numbers. Reads only; keeps nothing of `bytes`.
   */
  decide(
    bytes: Uint8Array,
    payloadAt: number,
    payloadBytes: number,
    protocol: number,
    internalAddress: number,
    remoteAddress: number,
    remotePort: number,
  ): number;
}
