/**
 * The tables as the control API sees them: read from the arena by the main thread, while the worker goes on writing.
 *
 * A session is read between two loads of its commit word and read again when they differ. Mappings, hosts and ports have no such word:
 * a number of theirs may be a moment old.
 */
import type { Policy, Profile } from '../../core/policy.ts';
import {
  CLASS_MASK,
  CLASS_NAMES,
  COMMIT_CLASS_SHIFT,
  FLAG_NAMES,
  STATE_NAMES,
  State,
  TICKS_PER_SECOND,
  TIMER_MASK,
} from '../../core/state.ts';
import {
  type Arena,
  H_TICK,
  HOST_WORDS,
  M_CREATED,
  M_EXTERNAL,
  M_HOST,
  M_INTERNAL_ADDRESS,
  M_LAST_SEEN,
  M_PORTS,
  M_SESSIONS,
  MAPPING_WORDS,
  P_OWNER,
  P_SESSIONS,
  PORT_WORDS,
  S_BYTES_IN,
  S_BYTES_OUT,
  S_COMMIT,
  S_CREATED,
  S_EXTERNAL,
  S_INTERNAL_ADDRESS,
  S_LAST_SEEN,
  S_MAPPING,
  S_OVERRIDE,
  S_PACKETS_IN,
  S_PACKETS_OUT,
  S_PORTS,
  S_REMOTE_ADDRESS,
  SESSION_WORDS,
} from '../../core/table/arena.ts';
import { COUNTER_DROPS, Counter } from '../../core/table/counters.ts';
import {
  HOST_ADDRESS,
  HOST_BYTES_IN,
  HOST_BYTES_OUT,
  HOST_CREATED_SESSIONS,
  HOST_IN_USE,
  HOST_LAST_SEEN,
  HOST_MAPPINGS,
  HOST_OTHERS,
  HOST_OWNED,
  HOST_REFUSED,
  HOST_SESSIONS,
  HOST_SESSIONS_PEAK,
} from '../../core/table/hosts.ts';
import { MAPPING_CLASS_SHIFT, MappingFlag } from '../../core/table/mappings.ts';
import type { PortSet } from '../../core/table/port-set.ts';
import { PROTOCOL_NAMES, PROTOCOLS, protocolIndexOf } from '../../core/table/protocols.ts';
import type { LanNetwork } from '../../core/translate/context.ts';
import { DROP_MEANING } from '../../core/verdict.ts';
import { PROTOCOL_TCP } from '../../core/wire/ipv4.ts';
import type { DropItem, ProtocolName } from '../control/api.ts';
import type { HostRow, MappingRow, PortRow, SessionRow } from '../control/source.ts';

/** Reads of one record before it is passed over. */
const READ_TRIES = 4;
const BYTES_PER_UNIT = 64;

export class ArenaSource {
  readonly policy: Policy;
  readonly lans: readonly LanNetwork[];
  readonly lanNames: readonly string[];
  private readonly arena: Arena;
  private readonly set: PortSet;
  private readonly externalAddress: number;
  private readonly flagNames = new Map<number, readonly string[]>();

  constructor(
    arena: Arena,
    set: PortSet,
    policy: Policy,
    externalAddress: number,
    lans: readonly LanNetwork[],
    lanNames: readonly string[],
  ) {
    this.arena = arena;
    this.set = set;
    this.policy = policy;
    this.externalAddress = externalAddress;
    this.lans = lans;
    this.lanNames = lanNames;
  }

  get tick(): number {
    return Atomics.load(this.arena.header, H_TICK);
  }

  get counters(): Float64Array {
    return this.arena.counters;
  }

  *sessions(): Generator<SessionRow> {
    const { sessions, shape } = this.arena;
    const row = {} as SessionRow;
    row.externalAddress = this.externalAddress;
    for (let session = 0; session < shape.capacity; session++)
      if (this.readSession(sessions, session * SESSION_WORDS, row)) yield row;
  }

  /** Fills `row` with a whole record; false if it is free or changes too fast. */
  private readSession(words: Int32Array, at: number, row: SessionRow): boolean {
    for (let i = 0; i < READ_TRIES; i++) {
      const commit = Atomics.load(words, at + S_COMMIT);
      const state = commit & 63;
      if (state === 0) return false;
      const tick = this.tick;
      const level = this.counters[Counter.PressureLevel];
      const ports = words[at + S_PORTS];
      const external = words[at + S_EXTERNAL];
      const protocol = external & 0xff;
      const idle = tick - words[at + S_LAST_SEEN];
      const limit = words[at + S_OVERRIDE] >>> 16 || this.policy.timers[level][commit & TIMER_MASK];
      row.protocol = PROTOCOL_NAMES[protocolIndexOf(protocol)];
      row.internalAddress = words[at + S_INTERNAL_ADDRESS];
      row.internalPort = ports >>> 16;
      row.externalPort = external >>> 16;
      row.remoteAddress = words[at + S_REMOTE_ADDRESS];
      row.remotePort = ports & 0xffff;
      row.state = STATE_NAMES[state];
      row.class = CLASS_NAMES[(commit >>> COMMIT_CLASS_SHIFT) & CLASS_MASK];
      row.flags = this.flagsOf((commit >>> 12) & 0xfff);
      row.ageSeconds = (tick - words[at + S_CREATED]) / TICKS_PER_SECOND;
      row.idleSeconds = idle / TICKS_PER_SECOND;
      row.timeLeftSeconds = Math.max(0, limit - idle) / TICKS_PER_SECOND;
      row.packetsOut = protocol === PROTOCOL_TCP ? -1 : words[at + S_PACKETS_OUT];
      // Before the first answer that word links sessions without one.
      const isUnanswered = state === State.Unanswered;
      row.packetsIn = protocol === PROTOCOL_TCP ? -1 : isUnanswered ? 0 : words[at + S_PACKETS_IN];
      row.bytesOut = words[at + S_BYTES_OUT] * BYTES_PER_UNIT;
      row.bytesIn = words[at + S_BYTES_IN] * BYTES_PER_UNIT;
      row.lan = this.lanName(row.internalAddress);
      if (Atomics.load(words, at + S_COMMIT) === commit) return true;
    }
    return false;
  }

  *mappings(): Generator<MappingRow> {
    const { mappings, shape } = this.arena;
    const row = {} as MappingRow;
    row.externalAddress = this.externalAddress;
    for (let mapping = 0; mapping < shape.capacity; mapping++) {
      const at = mapping * MAPPING_WORDS;
      const sessions = mappings[at + M_SESSIONS];
      if (sessions === 0) continue;
      const ports = mappings[at + M_PORTS];
      const external = mappings[at + M_EXTERNAL];
      row.protocol = PROTOCOL_NAMES[protocolIndexOf(external & 0xff)];
      row.internalAddress = mappings[at + M_INTERNAL_ADDRESS];
      row.internalPort = ports >>> 16;
      row.externalPort = ports & 0xffff;
      row.role = ((external >>> 14) & MappingFlag.Owner) !== 0 ? 'owner' : 'guest';
      row.class = CLASS_NAMES[(external >>> MAPPING_CLASS_SHIFT) & CLASS_MASK];
      row.sessions = sessions;
      row.ageSeconds = (this.tick - mappings[at + M_CREATED]) / TICKS_PER_SECOND;
      row.idleSeconds = (this.tick - mappings[at + M_LAST_SEEN]) / TICKS_PER_SECOND;
      row.lan = this.lanName(row.internalAddress);
      yield row;
    }
  }

  *hosts(): Generator<HostRow> {
    const { hosts } = this.arena;
    const count = hosts.length / HOST_WORDS;
    const live = this.liveBytes(count);
    const row = {} as HostRow;
    for (let host = 0; host < count; host++) {
      const at = host * HOST_WORDS;
      if (hosts[at + HOST_IN_USE] !== 1) continue;
      if (host === HOST_OTHERS && hosts[at + HOST_CREATED_SESSIONS] === 0) continue;
      row.address = hosts[at + HOST_ADDRESS];
      // By address: the number in the record is that of a LAN when the host came.
      row.lan = this.lanName(hosts[at + HOST_ADDRESS]);
      row.sessions = hosts[at + HOST_SESSIONS];
      row.mappings = hosts[at + HOST_MAPPINGS];
      row.portsOwned = hosts[at + HOST_OWNED];
      row.sessionsPeak = hosts[at + HOST_SESSIONS_PEAK];
      row.sessionsCreated = hosts[at + HOST_CREATED_SESSIONS];
      row.sessionsRefused = hosts[at + HOST_REFUSED];
      const limits = this.limitsOf(row.address);
      row.sessionsMax = limits.sessionsPerHostMax;
      row.newPerSecondMax = limits.newPerSecondMax;
      row.portsOwnedMax = limits.ownedPerHostMax;
      row.bytesOut = hosts[at + HOST_BYTES_OUT] * BYTES_PER_UNIT + live[host * 2];
      row.bytesIn = hosts[at + HOST_BYTES_IN] * BYTES_PER_UNIT + live[host * 2 + 1];
      row.lastSeenSeconds = (this.tick - hosts[at + HOST_LAST_SEEN]) / TICKS_PER_SECOND;
      yield row;
    }
  }

  /** Bytes out and in of the sessions that live now, by host: the packet path keeps none per host. */
  private liveBytes(hostCount: number): Float64Array {
    const { sessions, mappings, shape } = this.arena;
    const live = new Float64Array(hostCount * 2);
    for (let at = 0; at < shape.capacity * SESSION_WORDS; at += SESSION_WORDS) {
      if ((sessions[at + S_COMMIT] & 63) === 0) continue;
      const mapping = sessions[at + S_MAPPING] * MAPPING_WORDS;
      const host = mappings[mapping + M_HOST] >>> 16;
      if (host >= hostCount) continue;
      live[host * 2] += sessions[at + S_BYTES_OUT] * BYTES_PER_UNIT;
      live[host * 2 + 1] += sessions[at + S_BYTES_IN] * BYTES_PER_UNIT;
    }
    return live;
  }

  *ports(): Generator<PortRow> {
    const { ports, mappings } = this.arena;
    const row = {} as PortRow;
    row.externalAddress = this.externalAddress;
    for (let group = 0; group < PROTOCOLS; group++)
      for (let number = 0; number < this.set.count; number++) {
        const at = (group * this.set.count + number) * PORT_WORDS;
        const owner = ports[at + P_OWNER] - 1;
        row.protocol = PROTOCOL_NAMES[group];
        row.port = this.set.ports[number];
        row.sessions = ports[at + P_SESSIONS];
        row.ownerAddress = owner < 0 ? 0 : mappings[owner * MAPPING_WORDS + M_INTERNAL_ADDRESS];
        row.ownerPort = owner < 0 ? -1 : mappings[owner * MAPPING_WORDS + M_PORTS] >>> 16;
        yield row;
      }
  }

  /** Used and owned ports by protocol. */
  portUse(): Record<ProtocolName, { used: number; owned: number; total: number }> {
    const { ports } = this.arena;
    const total = this.set.count;
    const use = PROTOCOL_NAMES.map((name, group) => {
      let used = 0;
      let owned = 0;
      for (let number = 0; number < total; number++) {
        const at = (group * total + number) * PORT_WORDS;
        if (ports[at + P_SESSIONS] > 0) used++;
        if (ports[at + P_OWNER] !== 0) owned++;
      }
      return [name, { used, owned, total }] as const;
    });
    return Object.fromEntries(use) as Record<
      ProtocolName,
      { used: number; owned: number; total: number }
    >;
  }

  drops(): DropItem[] {
    return DROP_MEANING.map(([reason, meaning], index) => ({
      reason,
      meaning,
      packets: this.counters[COUNTER_DROPS + index],
    }));
  }

  droppedTotal(): number {
    return DROP_MEANING.reduce((sum, _, index) => sum + this.counters[COUNTER_DROPS + index], 0);
  }

  /** What a single host with this address may have. */
  limitsOf(address: number): Profile {
    const { profiles, profileOfLan } = this.policy;
    return profiles[profileOfLan[this.lanOf(address)] ?? 0];
  }

  /** Name of the LAN that holds the address; '' if none does. */
  lanName(address: number): string {
    return this.lanNames[this.lanOf(address)] ?? '';
  }

  private lanOf(address: number): number {
    const { lans } = this;
    for (let i = 0; i < lans.length; i++)
      if (((address ^ lans[i].address) & lans[i].mask) === 0) return i;
    return -1;
  }

  /** The names of a set of flags, made once for each set that occurs. */
  private flagsOf(flags: number): readonly string[] {
    let names = this.flagNames.get(flags);
    if (names === undefined) {
      names = FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
      this.flagNames.set(flags, names);
    }
    return names;
  }
}
