/**
 * What is known about the moment in which somebody asks why: plain values, so that the analysis is a function of them.
 *
 *   arena ──▶ census    who holds what now            ─┐
 *   counters ──▶ history   what grew, and since when   ├─▶ WhyFacts ──▶ analysis ──▶ findings ──▶ words
 *   events ──▶ refusals   whose packets were refused  ─┘
 *
 * A *streak* is a time in which something kept happening without a pause of five minutes. Addresses are texts here: facts are made of
 * the few records that matter, when all of them have been looked at.
 */
import type { ProtocolName } from '../control/api.ts';

export interface Streak {
  /** Wall clock, in milliseconds. */
  sinceMs: number;
  lastMs: number;
  /** How often since then, and how often in the last minute. */
  count: number;
  lastMinute: number;
}

export interface ClassCount {
  class: string;
  state: string;
  sessions: number;
}

export interface HostShare {
  address: string;
  sessions: number;
}

export interface DestinationCount {
  protocol: ProtocolName;
  address: string;
  port: number;
  sessions: number;
}

export interface HostFacts extends HostShare {
  lan: string;
  peak: number;
  mappings: number;
  owned: number;
  created: number;
  refused: number;
  /** New sessions in the time that `recentSeconds` of the facts says. */
  createdRecently: number;
  /** 0 is no limit. */
  limits: { sessions: number; newPerSecond: number; owned: number };
  /** Of the sessions that it holds; most first. */
  classes: ClassCount[];
  destinations: DestinationCount[];
}

/** A remote endpoint with many sessions. */
export interface RemoteFacts {
  protocol: ProtocolName;
  address: string;
  port: number;
  sessions: number;
  /** Hosts that have one, and those of them that have most. */
  hostCount: number;
  hosts: HostShare[];
  classes: ClassCount[];
}

/** A host, and a remote address from which nothing comes back. UDP sessions older than three seconds, and none that was answered. */
export interface SilentFacts {
  host: string;
  remote: string;
  /** Remote ports, most used first. */
  ports: number[];
  portCount: number;
  class: string;
  sessions: number;
  externalPorts: number;
  sourcePorts: number;
  /** Packets that these sessions have sent. */
  packets: number;
  sinceMs: number;
}

/** Packets that were refused for one reason, whose, and whereto as far as events told. */
export interface RefusalFacts extends Streak {
  reason: string;
  hosts: {
    address: string;
    /** Refusals that were told of; the streak has the exact number. */
    told: number;
    sinceMs: number;
    lastMs: number;
    /** Ports of a protocol that endpoints of its LAN may own at most; absent where they share ports. */
    ownedMost?: number;
    destinations: (Omit<DestinationCount, 'sessions'> & { told: number; lastMs: number })[];
  }[];
}

export interface OwnedFacts {
  protocol: ProtocolName;
  owned: number;
  /** Ports that may be owned at most. */
  most: number;
  hosts: { address: string; owned: number }[];
  classes: { class: string; owned: number }[];
}

export interface FillFacts {
  used: number;
  capacity: number;
  /** Since when it is nearly full; absent while it is not. */
  highSinceMs?: number;
}

/** Of policies that differ by LAN, the first of these that holds anywhere. */
export type QuicMode = 'always' | 'pressure' | 'never';

export type PressureCause = 'sessions' | 'owned-ports' | 'destinations' | 'upstream';

/** By the number that the datapath has for it (core/table/pressure.ts). */
export const PRESSURE_CAUSES: readonly (PressureCause | undefined)[] = [
  undefined,
  'sessions',
  'owned-ports',
  'destinations',
  'upstream',
];

export interface WhyFacts {
  nowMs: number;
  startedMs: number;
  /** Why packets do not pass although the gateway runs. */
  degraded?: string;
  portCount: number;
  sessions: FillFacts;
  remotesTable: FillFacts;
  hostsTable: FillFacts;
  owned: OwnedFacts[];
  /** Those with most sessions, most first. */
  hosts: HostFacts[];
  /** The host that was asked about, if it is known. */
  host?: HostFacts;
  /** Of all sessions; most first. */
  classes: ClassCount[];
  /** Those with most sessions, most first. */
  remotes: RemoteFacts[];
  silent: SilentFacts[];
  refusals: RefusalFacts[];
  /** UDP sessions without an answer that were ended for a newer one. */
  gaveWay?: Streak;
  /** Sessions of whoever held most, ended to make room. */
  evicted?: Streak;
  endedByPressure?: Streak;
  peersWithoutPort?: Streak & { hosts: string[] };
  lostAtTun?: Streak;
  pressure: { level: number; cause?: PressureCause; sinceMs?: number };
  /** The NAT above; absent where none is configured. `fullMs`: when its table was last seen full for everybody. */
  upstream?: FillFacts & { reused: number; fullMs?: number };
  /** When policies refuse QUIC, and how many packets they have lately since something is short. */
  quic: { mode: QuicMode; rejected: number };
  /** Since when hosts have the limits that they have; absent where that is as long as anything is known. */
  limitsSinceMs?: number;
  /** New sessions by class in the last `recentSeconds`, most first. */
  recentSeconds: number;
  createdByClass: { class: string; sessions: number }[];
}
