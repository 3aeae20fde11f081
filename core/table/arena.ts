/**
 * The arena: all state of one worker in one buffer, allocated whole at start.
 *
 *   | header | counters | events | hosts | ports | sessions | mappings | remotes |
 *
 * The buffer is a memory-mapped file in the gateway, so that the control thread reads it without stopping the worker and a restart
 * finds it again; in tests it is plain memory. Only records lie here. Hash indexes, bit rows, free lists and the hash seed are
 * derived and made anew at start.
 *
 *   Session, 16 words = 64 bytes = one cache line
 *    0 internalAddress        1 remoteAddress         2 internalPort<<16 | remotePort        (ICMP: identifier<<16 | 0)
 *    3 externalPort<<16 | externalAddressIndex<<8 | protocol
 *    4 generation<<24 | flags<<12 | class<<6 | state      the commit word: written last at creation, cleared first at removal
 *    5 checksum deltas, outbound: address<<16 | full      6 lastSeen tick      7 mapping   8 remote   9 created tick
 *   10 TCP: highest sequence sent by internal | UDP: packets out
 *   11 TCP: expected inbound sequence: acknowledged by internal, or the end of what came in order | UDP: packets in
 *   12 TCP: sequence of the unanswered SYN, later last TSval of internal | UDP: last inbound tick
 *      11 and 12 while nothing has come in: links of unanswered.ts
 *      UDP, not answered: 11 and 12 lead through a list of such sessions (unanswered.ts), and no packet came in
 *   13 bytes out / 64   14 bytes in / 64 (saturating)   15 timeout override ticks<<16 | tunnel peer
 *
 *   Mapping, 8 words = 32 bytes
 *    0 internalAddress  1 internalPort<<16 | externalPort  2 externalAddressIndex<<24 | flags<<14 | class<<8 | protocol
 *    3 sessions  4 host<<16 | line<<8 | filter  5 lastSeen tick  6 created tick  7 lease end tick
 *
 *   Remote, 4 words = 16 bytes: 0 address  1 port<<16 | externalAddressIndex<<8 | protocol  2 row + 1  3 count<<16 | refuseUntil
 *
 *   Port, 2 words, per external address, protocol and member of the port set: 0 owner mapping + 1   1 sessions
 *
 *   Host, 16 words = 64 bytes: see hosts.ts.    Event, 8 words: see events.ts.
 *
 * A free record holds 0 in its commit word (session), its session count (mapping, remote) or its address word 15 (host), and the
 * next free record + 1 in its word 0.
 */
import { PROTOCOLS } from './protocols.ts';

export const SESSION_WORDS = 16;
export const S_INTERNAL_ADDRESS = 0;
export const S_REMOTE_ADDRESS = 1;
export const S_PORTS = 2;
export const S_EXTERNAL = 3;
export const S_COMMIT = 4;
export const S_DELTAS = 5;
export const S_LAST_SEEN = 6;
export const S_MAPPING = 7;
export const S_REMOTE = 8;
export const S_CREATED = 9;
export const S_SEQUENCE_OUT = 10;
export const S_PACKETS_OUT = 10;
export const S_ACKNOWLEDGED = 11;
export const S_PACKETS_IN = 11;
export const S_TIMESTAMP = 12;
export const S_LAST_INBOUND = 12;
export const S_BYTES_OUT = 13;
export const S_BYTES_IN = 14;
export const S_OVERRIDE = 15;

export const MAPPING_WORDS = 8;
export const M_INTERNAL_ADDRESS = 0;
export const M_PORTS = 1;
export const M_EXTERNAL = 2;
export const M_SESSIONS = 3;
export const M_HOST = 4;
export const M_LAST_SEEN = 5;
export const M_CREATED = 6;
export const M_LEASE_END = 7;

export const REMOTE_WORDS = 4;
export const R_ADDRESS = 0;
export const R_PORT = 1;
export const R_ROW = 2;
export const R_COUNT = 3;

export const PORT_WORDS = 2;
export const P_OWNER = 0;
export const P_SESSIONS = 1;

export const HOST_WORDS = 16;
export const EVENT_WORDS = 8;

export const HEADER_WORDS = 1024;
export const COUNTER_COUNT = 512;
export const EVENT_CAPACITY = 4096;

/** Header words. The epoch is a double at words 8 and 9. */
export const H_MAGIC = 0;
export const H_LAYOUT = 1;
export const H_CAPACITY = 2;
export const H_PORT_COUNT = 3;
export const H_EXTERNAL_COUNT = 4;
export const H_HOST_CAPACITY = 5;
export const H_TICK = 6;
export const H_EPOCH_MS = 8;
/** A hash of what the arena was made for besides: the boot and the port set. */
export const H_IDENTITY = 12;
export const IDENTITY_WORDS = 5;
/** External addresses, up to 256 words. */
export const H_EXTERNAL_ADDRESSES = 64;

export const ARENA_MAGIC = 0x50464c44; // "PFLD"
/** Changes with every change of the layout above. */
export const LAYOUT_VERSION = 1;

export const CAPACITY_MIN = 1024;
export const CAPACITY_MAX = 1 << 20;
export const EXTERNAL_ADDRESSES_MAX = 256;

export interface ArenaShape {
  /** Sessions, mappings and remotes at most, each; a power of two. */
  capacity: number;
  /** Ports in the port set. */
  portCount: number;
  externalCount: number;
}

if (SESSION_WORDS * 4 !== 64) throw new Error('a session must be one cache line');
if (CAPACITY_MAX * SESSION_WORDS >= 2 ** 31) throw new Error('word offsets must be small integers');

/** One host record per 16 sessions, and 65,535 at most since a mapping names its host with 16 bits. */
export const hostCapacity = (capacity: number): number =>
  Math.min(65535, Math.max(1024, capacity >> 4));

/** Bytes that an arena of this shape takes. */
export function arenaBytes(shape: ArenaShape): number {
  return regionOffsets(shape).end;
}

function regionOffsets({ capacity, portCount, externalCount }: ArenaShape) {
  const align = (bytes: number): number => (bytes + 63) & ~63;
  const counters = HEADER_WORDS * 4;
  const events = align(counters + COUNTER_COUNT * 8);
  const hosts = align(events + EVENT_CAPACITY * EVENT_WORDS * 4);
  const ports = align(hosts + hostCapacity(capacity) * HOST_WORDS * 4);
  const sessions = align(ports + externalCount * PROTOCOLS * portCount * PORT_WORDS * 4);
  const mappings = align(sessions + capacity * SESSION_WORDS * 4);
  const remotes = align(mappings + capacity * MAPPING_WORDS * 4);
  const end = align(remotes + capacity * REMOTE_WORDS * 4);
  return { counters, events, hosts, ports, sessions, mappings, remotes, end };
}

/** Typed views of the regions of one buffer. */
export class Arena {
  readonly shape: ArenaShape;
  readonly header: Int32Array;
  readonly headerDoubles: Float64Array;
  readonly counters: Float64Array;
  readonly events: Int32Array;
  readonly hosts: Int32Array;
  readonly ports: Int32Array;
  readonly sessions: Int32Array;
  readonly mappings: Int32Array;
  readonly remotes: Int32Array;

  /** @param buffer at least arenaBytes(shape) bytes; zeros for a new arena */
  constructor(buffer: ArrayBuffer, shape: ArenaShape) {
    const at = regionOffsets(shape);
    if (buffer.byteLength < at.end)
      throw new RangeError(`the arena has ${buffer.byteLength} bytes and needs ${at.end}`);
    const words = (start: number, end: number): Int32Array =>
      new Int32Array(buffer, start, (end - start) >> 2);
    this.shape = shape;
    this.header = words(0, at.counters);
    this.headerDoubles = new Float64Array(buffer, 0, HEADER_WORDS / 2);
    this.counters = new Float64Array(buffer, at.counters, COUNTER_COUNT);
    this.events = words(at.events, at.hosts);
    this.hosts = words(at.hosts, at.ports);
    this.ports = words(at.ports, at.sessions);
    this.sessions = words(at.sessions, at.mappings);
    this.mappings = words(at.mappings, at.remotes);
    this.remotes = words(at.remotes, at.end);
  }

  /**
   * Writes the header of a new arena.
   * @param epochMs boot-time clock at tick 0; @param identity IDENTITY_WORDS words, see H_IDENTITY
   */
  format(epochMs: number, externalAddresses: readonly number[], identity: Int32Array): void {
    const { header } = this;
    this.fields(externalAddresses, identity).forEach(([at, value]) => {
      header[at] = value;
    });
    this.headerDoubles[H_EPOCH_MS / 2] = epochMs;
    header[H_MAGIC] = ARENA_MAGIC;
  }

  /** True if the arena was made for the same layout, shape, addresses, ports and boot: its records may be taken over. */
  isFor(externalAddresses: readonly number[], identity: Int32Array): boolean {
    const { header } = this;
    return (
      header[H_MAGIC] === ARENA_MAGIC &&
      this.fields(externalAddresses, identity).every(([at, value]) => header[at] === value)
    );
  }

  /** Header words that say what the arena is for. */
  private fields(
    externalAddresses: readonly number[],
    identity: Int32Array,
  ): [at: number, value: number][] {
    const { shape } = this;
    return [
      [H_LAYOUT, LAYOUT_VERSION],
      [H_CAPACITY, shape.capacity],
      [H_PORT_COUNT, shape.portCount],
      [H_EXTERNAL_COUNT, shape.externalCount],
      [H_HOST_CAPACITY, hostCapacity(shape.capacity)],
      ...externalAddresses.map((address, index): [number, number] => [
        H_EXTERNAL_ADDRESSES + index,
        address,
      ]),
      ...Array.from(identity, (word, index): [number, number] => [H_IDENTITY + index, word]),
    ];
  }

  get epochMs(): number {
    return this.headerDoubles[H_EPOCH_MS / 2];
  }
}
