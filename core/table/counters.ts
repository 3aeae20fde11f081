/** Indexes of the counters that the datapath keeps in the arena, as doubles that the control thread reads. */
import { DROP_COUNT } from '../verdict.ts';
import { COUNTER_COUNT } from './arena.ts';

export const Counter = {
  PacketsOutbound: 0,
  PacketsInbound: 1,
  BytesOutbound: 2,
  BytesInbound: 3,
  SessionsCreated: 4,
  SessionsEnded: 5,
  SessionsDiverted: 6,
  SessionsRefused: 7,
  PacketsAnswered: 8,
  /** A peer that found no port to own and goes on as a guest. */
  PeersWithoutOwnPort: 9,
  /** Sessions ended before their time to make room. */
  SessionsEvicted: 10,
  /** Closed TCP sessions whose port was safely reused. */
  TimeWaitReused: 11,
  MssClamped: 12,
  IcmpErrorsTranslated: 13,
  /** Packets to an owner that no session carried. */
  OwnerPackets: 14,
  SessionsNow: 15,
  MappingsNow: 16,
  RemotesNow: 17,
  HostsNow: 18,
  RowsNow: 19,
  Batches: 20,
  TcpSessionsNow: 21,
  UdpSessionsNow: 22,
  IcmpSessionsNow: 23,
  /** Allocations of a port by random probes, by row, and by walking the whole set. */
  SearchesByProbe: 24,
  SearchesByRow: 25,
  SearchesByWalk: 26,
  EventsSuppressed: 27,
} as const;

/** Drop reasons stand from here on. */
export const COUNTER_DROPS = 64;

if (COUNTER_DROPS + DROP_COUNT > COUNTER_COUNT) throw new Error('too few counters for the reasons');
if (Object.keys(Counter).length > COUNTER_DROPS) throw new Error('counters overlap the reasons');
