/**
 * What the control server asks of the gateway.
 *
 * Rows, not items: a table of 250,000 sessions is filtered and sorted on raw numbers, and only what an answer shows
 * becomes an object with text. A source yields ONE row object again and again with new values in it; whoever reads it
 * takes what it needs before the next step and keeps no reference.
 *
 *   arena ──> source: row (numbers) ──> filter, sort, limit ──> rows.ts: item (text) ──> JSON
 *
 * Addresses are int32 as everywhere in the core, ports are 0 … 65,535, times are seconds. Names (state, class, flags)
 * are strings that the source holds once and hands out again, so that a row costs no allocation.
 *
 * Between two steps of an iterator the event loop may turn and the table may change: a source reads each record
 * as a whole, and a record may be missed or be seen although it ended meanwhile. It never throws for that.
 */
import type { DropItem, EventItem, ProtocolName, Status, WhyAnswer } from './api.ts';
import type { Filter } from './filter.ts';

/** What was asked, for a source that can skip records early. It need not: the server filters every row itself. */
export interface ListQuery<Row> {
  filter: Filter<Row>;
}

export interface SessionRow {
  protocol: ProtocolName;
  internalAddress: number;
  internalPort: number;
  externalAddress: number;
  externalPort: number;
  remoteAddress: number;
  remotePort: number;
  /** Name of the LAN of the internal address; '' if it is not known. */
  lan: string;
  state: string;
  class: string;
  flags: readonly string[];
  ageSeconds: number;
  idleSeconds: number;
  timeLeftSeconds: number;
  /** -1 where the record does not count packets. */
  packetsOut: number;
  packetsIn: number;
  bytesOut: number;
  bytesIn: number;
}

export interface MappingRow {
  protocol: ProtocolName;
  internalAddress: number;
  internalPort: number;
  externalAddress: number;
  externalPort: number;
  lan: string;
  role: 'owner' | 'guest';
  class: string;
  sessions: number;
  ageSeconds: number;
  idleSeconds: number;
}

export interface HostRow {
  address: number;
  lan: string;
  sessions: number;
  mappings: number;
  portsOwned: number;
  sessionsPeak: number;
  sessionsCreated: number;
  sessionsRefused: number;
  /** What it may have; 0 is no limit. */
  sessionsMax: number;
  newPerSecondMax: number;
  portsOwnedMax: number;
  bytesOut: number;
  bytesIn: number;
  lastSeenSeconds: number;
}

export interface PortRow {
  protocol: ProtocolName;
  externalAddress: number;
  port: number;
  sessions: number;
  /** The owner's internal endpoint; ownerPort is -1 where the port has no owner. */
  ownerAddress: number;
  ownerPort: number;
}

/** Events after a sequence number, oldest first, from a store that forgets the oldest. */
export interface EventsAfter {
  events: Iterable<EventItem>;
  /** Sequence of the newest event ever made, 0 if there was none. */
  lastSequence: number;
  /** Sequence of the oldest event still known; lastSequence + 1 if none is. */
  oldestSequence: number;
}

export interface ControlSource {
  status(): Status | Promise<Status>;
  sessions(query: ListQuery<SessionRow>): Iterable<SessionRow>;
  mappings(query: ListQuery<MappingRow>): Iterable<MappingRow>;
  hosts(query: ListQuery<HostRow>): Iterable<HostRow>;
  /** Every port of the port set, used or not, for each protocol. */
  ports(query: ListQuery<PortRow>): Iterable<PortRow>;
  /** Every reason that Portfold knows, also those that never occurred. */
  drops(): Iterable<DropItem>;
  events(since: number, query: ListQuery<EventItem>): EventsAfter;
  /**
   * What is short, and why; of one host, if its address is given. Absent where there is nothing to run short of (a border relay),
   * undefined while there is nothing yet.
   */
  why?(host?: number): Promise<WhyAnswer> | undefined;
}
