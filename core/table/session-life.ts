/**
 * How a session comes and goes: what it touches when it is made, and gives back when it ends.
 *
 *   session record + two index entries  →  mapping (sessions)  →  host (sessions, mappings, owned ports)
 *                                       →  remote (count, row bit)
 *                                       →  port (sessions, owner)          →  permit, on an owned port
 *
 * Whether it may come, and at which port, was decided before: nat-table.ts and allocate.ts.
 */
import { CLASS_MASK, Flag, State } from '../state.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import type { Allocator } from './allocate.ts';
import {
  M_LAST_SEEN,
  M_SESSIONS,
  S_BYTES_IN,
  S_BYTES_OUT,
  S_COMMIT,
  S_EXTERNAL,
  S_MAPPING,
  S_REMOTE,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { COUNTER_CLASS_CREATED, Counter } from './counters.ts';
import { Event } from './events.ts';
import { HOST_MAPPINGS, HOST_OWNED, HOST_SHIFT } from './hosts.ts';
import { MAPPING_SHIFT } from './mappings.ts';
import type { Opening } from './opening.ts';
import type { TableParts } from './parts.ts';
import { SESSION_SHIFT } from './sessions.ts';

export class SessionLife {
  private readonly parts: TableParts;

  constructor(parts: TableParts) {
    this.parts = parts;
  }

  /**
   * Makes the session that was decided on, at port `number` of the set, and returns it.
   * @param sessionClass its profile and class; @param externalAddress the line's; @param allocator knows how the port was found
   */
  make(
    first: Opening,
    number: number,
    sessionClass: number,
    externalAddress: number,
    allocator: Allocator,
    tick: number,
  ): number {
    const { sessions, mappings, hosts, ports, permits, events, counters, upstream } = this.parts;
    const { protocol, remoteAddress, host, remote, low } = first;
    const group = ports.group(low >>> 8, protocol);
    const port = ports.set.ports[number];
    let { mapping } = first;
    if (mapping < 0) {
      mapping = mappings.add(
        first.internalAddress,
        first.internalPort,
        port,
        low >>> 8,
        protocol,
        sessionClass,
        host,
        tick,
      );
      hosts.words[(host << HOST_SHIFT) + HOST_MAPPINGS]++;
    }
    if (allocator.claimed) {
      mappings.setExternalPort(mapping, port);
      mappings.setClass(mapping, sessionClass);
      mappings.setOwner(mapping, true);
      ports.claim(group, number, mapping);
      hosts.words[(host << HOST_SHIFT) + HOST_OWNED]++;
    }

    const session = sessions.take(
      first.internalAddress,
      first.internalPort,
      remoteAddress,
      first.remotePort,
      protocol,
      externalAddress,
      (port << 16) | low,
      mapping,
      remote,
      tick,
    );
    const owner = ports.owner(group, number);
    let flags = allocator.diverted ? Flag.Diverted : 0;
    if (owner === mapping) {
      if (permits.add(mapping, remoteAddress)) flags |= Flag.Permit;
    } else if (owner >= 0) flags |= Flag.GuestOfOwned;
    sessions.commit(session, sessionClass, firstState(protocol), flags);

    sessions.link(session);
    upstream?.opened(session);
    this.account(session, number, group, mapping, host, remote, 1, tick);
    this.fillRow(remote, remoteAddress, first.remotePort, low, number);
    if (allocator.unowned)
      events.add(
        Event.PeerWithoutPort,
        tick,
        first.internalAddress,
        remoteAddress,
        first.ports,
        protocol,
        0,
      );
    counters[Counter.SessionsCreated]++;
    counters[COUNTER_CLASS_CREATED + (sessionClass & CLASS_MASK)]++;
    if (allocator.diverted) counters[Counter.SessionsDiverted]++;
    return session;
  }

  /** Ends a session and gives back what it held. */
  end(session: number, tick: number): void {
    const { sessions, mappings, remotes, ports, permits, hosts, rowBuilder, counters } = this.parts;
    const { words } = sessions;
    this.parts.unanswered.leave(session);
    const at = session << SESSION_SHIFT;
    const external = words[at + S_EXTERNAL];
    const mapping = words[at + S_MAPPING];
    const remote = words[at + S_REMOTE];
    const group = ports.group((external >>> 8) & 0xff, external & 0xff);
    const number = ports.set.numberOf(external >>> 16);
    const host = mappings.host(mapping);

    this.account(session, number, group, mapping, host, remote, -1, tick);
    this.parts.upstream?.ended(session, tick);
    // By the flag and not by the port: a session that came to this port before its endpoint owned it was never counted.
    if (((words[at + S_COMMIT] >>> 12) & Flag.Permit) !== 0)
      permits.remove(mapping, words[at + S_REMOTE_ADDRESS]);

    const left = remotes.sessions(remote);
    if (left < remotes.rowTakeBackBelow && remotes.rowAt(remote) >= 0) {
      rowBuilder.abandon(remote);
      remotes.takeBackRow(remote);
    }
    if (left === 0) remotes.remove(remote);
    else remotes.unmark(remote, number);

    if (mappings.words[(mapping << MAPPING_SHIFT) + M_SESSIONS] === 0) {
      const hostAt = host << HOST_SHIFT;
      hosts.words[hostAt + HOST_MAPPINGS]--;
      if (mappings.isOwner(mapping)) {
        ports.release(group, ports.set.numberOf(mappings.externalPort(mapping)));
        hosts.words[hostAt + HOST_OWNED]--;
      }
      mappings.remove(mapping);
    }
    sessions.unlink(session);
    counters[Counter.SessionsEnded]++;
  }

  /** Adds a session to, or takes it from, everything that counts it. */
  private account(
    session: number,
    number: number,
    group: number,
    mapping: number,
    host: number,
    remote: number,
    change: 1 | -1,
    tick: number,
  ): void {
    const { ports, mappings, remotes, hosts, sessions } = this.parts;
    const at = mapping << MAPPING_SHIFT;
    mappings.words[at + M_SESSIONS] += change;
    mappings.words[at + M_LAST_SEEN] = tick;
    remotes.changeSessions(remote, change);
    if (change > 0) {
      ports.addSession(group, number);
      hosts.addSession(host, tick);
    } else {
      ports.removeSession(group, number);
      const words = sessions.words;
      const s = session << SESSION_SHIFT;
      hosts.removeSession(host, words[s + S_BYTES_OUT], words[s + S_BYTES_IN]);
    }
  }

  /** Marks the new session's port in the row of its remote, and gives a row when it is time. */
  private fillRow(
    remote: number,
    remoteAddress: number,
    remotePort: number,
    low: number,
    number: number,
  ): void {
    const { remotes, rowBuilder } = this.parts;
    if (remotes.rowAt(remote) >= 0) remotes.mark(remote, number);
    else if (remotes.sessions(remote) >= remotes.rowGiveAt) {
      rowBuilder.begin(remote, remoteAddress, remotePort, low);
      remotes.mark(remote, number);
    }
  }
}

/** The state of a session that its first packet made. */
const firstState = (protocol: number): number =>
  protocol === PROTOCOL_TCP ? State.TcpInit : State.Unanswered;
