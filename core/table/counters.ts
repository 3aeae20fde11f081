/** Indexes of the counters that the datapath keeps in the arena, as doubles that the control thread reads. */
import { CLASSES_MAX } from '../state.ts';
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
  /** Pressure now, 0 … 3, and how often it has changed. */
  PressureLevel: 28,
  PressureChanges: 29,
  /** Sessions that ended sooner than without pressure. */
  EndedByPressure: 30,
  /** Sessions of whoever held most, ended to make room. */
  EvictedFromHeaviest: 31,
  /** Unanswered sessions that gave way to a newer one of the same host towards the same address. */
  UnansweredGaveWay: 32,
  /** Entries in the model of the NAT above, and of how many; new sessions that took a tuple it holds already. */
  UpstreamEntries: 33,
  UpstreamReused: 34,
  UpstreamCapacity: 35,
  /** Ports that peers own, of all protocols. */
  OwnedPortsNow: 36,
  /** Sessions refused in the last second. */
  RefusalsNow: 37,
  /** Visits of unanswered sessions whose host and remote address found no room for a list. */
  UnansweredUncapped: 38,
} as const;

/** Drop reasons stand from here on. */
export const COUNTER_DROPS = 64;
/** Sessions by class: made since the start, and now. */
export const COUNTER_CLASS_CREATED = 256;
export const COUNTER_CLASS_NOW = COUNTER_CLASS_CREATED + CLASSES_MAX;
/** How full things are, in 1/256: the busiest destination, then by cause of pressure (pressure.ts), 1 to 4. */
export const COUNTER_PRESSURE_FILL = COUNTER_CLASS_NOW + CLASSES_MAX;
/** The cause of the level in force, 0 at level 0. */
export const COUNTER_PRESSURE_CAUSE = COUNTER_PRESSURE_FILL + 5;
/** What happened at each of the four levels: PressureRecord of level 0, of level 1, … */
export const COUNTER_PRESSURE_RECORD = COUNTER_PRESSURE_FILL + 8;
export const PRESSURE_RECORD_WORDS = 8;
export const PressureRecord = {
  /** Seconds for which the level was in force. */
  Seconds: 0,
  /** Sessions that a shorter timer ended. */
  EndedSooner: 1,
  /** Sessions ended to make room. */
  Evicted: 2,
  QuicRejected: 3,
  Refused: 4,
} as const;

if (COUNTER_DROPS + DROP_COUNT > COUNTER_CLASS_CREATED)
  throw new Error('the reasons overlap the classes');
if (COUNTER_PRESSURE_RECORD + 4 * PRESSURE_RECORD_WORDS > COUNTER_COUNT)
  throw new Error('too few counters');
if (Object.keys(Counter).length > COUNTER_DROPS) throw new Error('counters overlap the reasons');
