/**
 * The session table of one worker: decides about each session that is asked for, and keeps time.
 *
 *   limits of the host → policy → reserve → port (allocate.ts) → session-life.ts          what a refusal costs and tells: refusals.ts
 *
 * What has been idle too long: sweep.ts. What a session touches when it comes and goes: session-life.ts.
 */
import { DECISION_CLASS_MASK, DECISION_PEER, type Policy, type Profile } from '../policy.ts';
import { TICK_MS } from '../state.ts';
import { Drop } from '../verdict.ts';
import { Allocator } from './allocate.ts';
import { H_TICK, S_COMMIT } from './arena.ts';
import { COUNTER_CLASS_NOW, Counter } from './counters.ts';
import { HOST_ADDRESS, HOST_OTHERS, HOST_OWNED, HOST_SESSIONS, HOST_SHIFT } from './hosts.ts';
import { answerLimit, hasLimits, hostLimit, NO_REFUSAL, reserveLimit } from './limits.ts';
import { MakeRoom } from './make-room.ts';
import { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';
import { Pressure, PressureCause } from './pressure.ts';
import { refusalOf, refuse } from './refusals.ts';
import { type Restored, restore } from './restore.ts';
import { SessionLife } from './session-life.ts';
import { SESSION_SHIFT } from './sessions.ts';
import { Sweep } from './sweep.ts';
import { renewUpstream } from './upstream.ts';

/** Ticks between two readings of what is counted by the second. */
const SECOND_TICKS = 1000 / TICK_MS;

export class NatTable {
  readonly parts: TableParts;
  policy: Policy;
  readonly allocator: Allocator;
  /** The session that is being decided on. */
  readonly opening = new Opening();
  /** How short things are: chooses the timers. */
  readonly pressure: Pressure;
  /** Milliseconds since the epoch of the arena, 32 bits of them. */
  private millisecond = 0;
  /** Ticks of 250 ms since the epoch of the arena. */
  tick = 0;
  private readonly epochMs: number;
  private readonly sweep: Sweep;
  private readonly life: SessionLife;
  private readonly room: MakeRoom;
  private secondTick = 0;
  private refusedBefore = 0;

  /** @param nowMs boot-time clock */
  constructor(parts: TableParts, policy: Policy, nowMs: number) {
    this.parts = parts;
    this.policy = policy;
    parts.filter.profiles = policy.profiles;
    this.epochMs = parts.arena.epochMs;
    this.life = new SessionLife(parts);
    this.setClock(nowMs);
    const end = (session: number): void => this.end(session);
    this.sweep = new Sweep(parts, nowMs, end);
    this.pressure = new Pressure(parts, policy, nowMs);
    this.room = new MakeRoom(parts, policy, end);
    this.allocator = new Allocator(parts, this.room);
    renewUpstream(parts, policy.upstream);
  }

  /** Takes over the records that lie in the arena. Once, before the first packet. */
  restore(): Restored {
    const restored = restore(this.parts, this.tick);
    this.parts.upstream?.countSessions();
    this.publish();
    return restored;
  }

  /** Puts another policy in force, between two batches: for sessions that are made from now on, and for the timers of all. */
  setPolicy(policy: Policy): void {
    this.policy = policy;
    this.parts.filter.profiles = policy.profiles;
    this.pressure.setPolicy(policy);
    this.room.setPolicy(policy);
    renewUpstream(this.parts, policy.upstream);
  }

  /** 0 … 3. */
  get pressureLevel(): number {
    return this.pressure.level;
  }

  /** Sets the tick from the boot-time clock, in milliseconds. Once per batch. */
  setClock(nowMs: number): void {
    const elapsed = nowMs - this.epochMs;
    this.millisecond = elapsed | 0;
    this.tick = Math.floor(elapsed / TICK_MS);
    this.parts.arena.header[H_TICK] = this.tick;
  }

  /**
   * Decides about a session and makes it: its number, or ~refusal (refusals.ts). The caller has looked: no such internal 5-tuple exists.
   *
   * @param first who asks for what; this.opening, filled in by the caller
   * @param externalAddress the line's external address; @param externalIndex its index
   */
  open(first: Opening, externalAddress: number, externalIndex: number): number {
    const { sessions, mappings, remotes, hosts, upstream } = this.parts;
    const { tick, policy } = this;
    const { internalAddress, internalPort, remoteAddress, remotePort, protocol } = first;
    const low = (externalIndex << 8) | protocol;
    const remoteKey = (remotePort << 16) | low;

    first.profile = profileOf(policy, first.lan);
    const host = hosts.findOrAdd(internalAddress, first.lan, tick);
    first.host = host;
    const isLimited = hasLimits(first);
    const limit = isLimited ? hostLimit(hosts, first, this.millisecond) : NO_REFUSAL;
    if (limit !== NO_REFUSAL) return refuse(this.parts, first, limit, tick);

    first.mapping = mappings.find(internalAddress, internalPort, protocol);
    const half = isLimited ? answerLimit(this.parts, first, host) : NO_REFUSAL;
    if (half !== NO_REFUSAL) return refuse(this.parts, first, half, tick);
    if (first.mapping >= 0) first.host = mappings.host(first.mapping);
    first.hasMapping = first.mapping >= 0;
    const isKnown = first.host !== HOST_OTHERS;
    const hostAt = first.host << HOST_SHIFT;
    first.hostSessions = isKnown ? hosts.words[hostAt + HOST_SESSIONS] : 0;
    first.hostOwned = isKnown ? hosts.words[hostAt + HOST_OWNED] : 0;
    first.pressure = this.pressureLevel;
    first.upstreamFill256 = upstream === undefined ? 0 : upstream.fillFor(first, low);
    // Whoever takes over an entry that stands above already makes nothing shorter there.
    if (this.pressure.cause === PressureCause.Upstream && first.upstreamFill256 === 0)
      first.pressure = this.pressure.levelBesideUpstream;

    const decision = policy.decide(first);
    if (decision < 0) return refuse(this.parts, first, refusalOf(decision), tick);
    // A refusal by policy is cheap and costs no token: a browser whose QUIC is refused still needs its TCP.
    if (isLimited && first.profile.newPerSecondMax !== 0) hosts.countBegun(host);
    const reserve = reserveLimit(policy, first, sessions.free.length);
    if (reserve !== NO_REFUSAL) {
      if (!this.room.inTable(first, tick)) return refuse(this.parts, first, reserve, tick);
      if (first.hasMapping) first.mapping = mappings.find(internalAddress, internalPort, protocol);
    }

    first.isPeer = (decision & DECISION_PEER) !== 0;
    first.low = low;
    first.remote = remotes.find(remoteAddress, remoteKey);
    const { length: freeBefore } = sessions.free;
    const number = this.allocator.portFor(first, tick);
    if (number < 0) {
      const reason = this.allocator.hostLimited ? Drop.HostSessionLimit : Drop.NoPortLeft;
      // Where ports are not shared those that may be owned have run out, which has a fill of its own; the destination has room.
      if (reason === Drop.NoPortLeft && first.profile.sharing)
        this.pressure.refused(internalAddress, remoteAddress, remotePort);
      return refuse(this.parts, first, reason, tick);
    }
    if (upstream !== undefined && !upstream.admits(first, number))
      return refuse(this.parts, first, Drop.UpstreamFull, tick);

    // The search may have ended a session, and with it this remote or this mapping.
    if (sessions.free.length !== freeBefore) {
      first.remote = remotes.find(remoteAddress, remoteKey);
      if (first.hasMapping) first.mapping = mappings.find(internalAddress, internalPort, protocol);
    }
    if (first.remote < 0) first.remote = remotes.add(remoteAddress, remoteKey);
    if (first.remote < 0) return refuse(this.parts, first, Drop.RemoteTableFull, tick);
    const sessionClass = decision & DECISION_CLASS_MASK;
    this.pressure.made(remotes.sessions(first.remote) + 1);
    return this.life.make(first, number, sessionClass, externalAddress, this.allocator, tick);
  }

  /** Ends a session and gives back what it held. */
  end(session: number): void {
    this.life.end(session, this.tick);
  }

  /** Changes the state of a session, and sets flags. */
  setState(session: number, state: number, flagsToSet: number): void {
    const { words } = this.parts.sessions;
    const at = (session << SESSION_SHIFT) + S_COMMIT;
    words[at] = (words[at] & ~63) | state | (flagsToSet << 12);
  }

  /** Sweeps a share of the table in proportion to the time since the last call, and publishes the counts. */
  advance(nowMs: number): void {
    this.setClock(nowMs);
    this.sweep.advance(nowMs, this.tick, this.policy, this.pressure.level);
    this.parts.rowBuilder.advance();
    this.parts.upstream?.advance(nowMs, this.tick);
    this.pressure.advance(nowMs, this.tick);
    this.publish();
  }

  private publish(): void {
    const { counters, sessions, mappings, remotes, hosts, ports, events } = this.parts;
    counters[Counter.SessionsNow] = sessions.count;
    counters[Counter.MappingsNow] = mappings.count;
    counters[Counter.RemotesNow] = remotes.count;
    counters[Counter.HostsNow] = hosts.count;
    counters[Counter.RowsNow] = remotes.rowCount - remotes.freeRowCount;
    counters[Counter.TcpSessionsNow] = sessions.byProtocol[0];
    counters[Counter.UdpSessionsNow] = sessions.byProtocol[1];
    counters[Counter.IcmpSessionsNow] = sessions.byProtocol[2];
    counters.set(sessions.byClass, COUNTER_CLASS_NOW);
    counters[Counter.OwnedPortsNow] = ports.ownedTotal;
    counters[Counter.EventsSuppressed] = events.suppressedTotal;
    counters[Counter.PressureLevel] = this.pressure.level;
    counters[Counter.UnansweredUncapped] = this.parts.unanswered.uncapped;
    const seconds = (this.tick - this.secondTick) / SECOND_TICKS;
    if (seconds >= 0 && seconds < 1) return;
    const refused = counters[Counter.SessionsRefused];
    counters[Counter.RefusalsNow] = Math.round(
      (refused - this.refusedBefore) / Math.max(1, seconds),
    );
    this.refusedBefore = refused;
    this.secondTick = this.tick;
  }

  /** The address of a host record, for tests and words. */
  hostAddress(host: number): number {
    return this.parts.hosts.words[(host << HOST_SHIFT) + HOST_ADDRESS];
  }
}

/** What holds for the hosts of a LAN. */
const profileOf = (policy: Policy, lan: number): Profile =>
  policy.profiles[policy.profileOfLan[lan] ?? 0] ?? policy.profiles[0];
