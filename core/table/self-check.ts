/**
 * The complete check of a table: everything that is derived or counted is held against the records. Expensive; for tests, for a
 * restart, and for an operator who doubts.
 */

import { CLASS_MASK, CLASSES_MAX, COMMIT_CLASS_SHIFT, Flag } from '../state.ts';
import {
  M_EXTERNAL,
  M_HOST,
  M_PORTS,
  M_SESSIONS,
  P_OWNER,
  P_SESSIONS,
  PORT_WORDS,
  R_COUNT,
  S_COMMIT,
  S_EXTERNAL,
  S_INTERNAL_ADDRESS,
  S_MAPPING,
  S_PORTS,
  S_REMOTE,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { hasBit } from './bits.ts';
import { HOST_IN_USE, HOST_MAPPINGS, HOST_OWNED, HOST_SESSIONS, HOST_SHIFT } from './hosts.ts';
import { MAPPING_SHIFT } from './mappings.ts';
import type { TableParts } from './parts.ts';
import { PROTOCOLS, protocolIndexOf } from './protocols.ts';
import { REMOTE_SHIFT } from './remotes.ts';
import { SESSION_SHIFT } from './sessions.ts';

/** Problems reported at most. */
const PROBLEMS_MAX = 20;

/** What is wrong with the tables, in words; empty when nothing is. */
export function selfCheck(parts: TableParts): string[] {
  const check = new Check(parts);
  check.sessions();
  check.mappings();
  check.remotes();
  check.ports();
  check.hosts();
  check.freeLists();
  check.permits();
  const { unanswered, upstream } = parts;
  return [...check.problems, ...unanswered.selfCheck(), ...(upstream?.selfCheck() ?? [])];
}

class Check {
  readonly problems: string[] = [];
  private readonly parts: TableParts;
  private readonly mappingSessions: Int32Array;
  private readonly remoteSessions: Int32Array;
  private readonly portSessions: Int32Array;
  private readonly hostSessions: Int32Array;
  private readonly byProtocol = new Int32Array(PROTOCOLS);
  private readonly byClass = new Int32Array(CLASSES_MAX);
  private readonly rowBits = new Map<number, Set<number>>();
  private liveSessions = 0;
  private liveMappings = 0;
  private liveRemotes = 0;

  constructor(parts: TableParts) {
    this.parts = parts;
    const { sessions, hosts, ports } = parts;
    this.mappingSessions = new Int32Array(sessions.capacity);
    this.remoteSessions = new Int32Array(sessions.capacity);
    this.portSessions = new Int32Array(ports.groups * ports.set.count);
    this.hostSessions = new Int32Array(hosts.capacity);
  }

  private expect(holds: boolean, what: string): void {
    if (!holds && this.problems.length < PROBLEMS_MAX) this.problems.push(what);
  }

  sessions(): void {
    const { sessions, mappings, ports } = this.parts;
    const { words } = sessions;
    for (let session = 0; session < sessions.capacity; session++) {
      const at = session << SESSION_SHIFT;
      if ((words[at + S_COMMIT] & 63) === 0) continue;
      this.liveSessions++;
      const external = words[at + S_EXTERNAL];
      const protocol = external & 0xff;
      this.byProtocol[protocolIndexOf(protocol)]++;
      this.byClass[(words[at + S_COMMIT] >>> COMMIT_CLASS_SHIFT) & CLASS_MASK]++;
      const number = ports.set.numberOf(external >>> 16);
      const mapping = words[at + S_MAPPING];
      const found = sessions.findInternal(
        words[at + S_INTERNAL_ADDRESS],
        words[at + S_REMOTE_ADDRESS],
        words[at + S_PORTS],
        protocol,
      );
      this.expect(found === session, `session ${session} is not found by its internal 5-tuple`);
      const outside = sessions.findExternal(
        external,
        words[at + S_REMOTE_ADDRESS],
        words[at + S_PORTS] & 0xffff,
      );
      this.expect(outside === session, `session ${session} is not found by its external 5-tuple`);
      this.expect(number >= 0, `session ${session} holds port ${external >>> 16}, outside the set`);
      const byEndpoint = mappings.find(
        words[at + S_INTERNAL_ADDRESS],
        words[at + S_PORTS] >>> 16,
        protocol,
      );
      this.expect(byEndpoint === mapping, `session ${session} belongs to a mapping not its own`);
      this.mappingSessions[mapping]++;
      this.remoteSessions[words[at + S_REMOTE]]++;
      const group = ports.group((external >>> 8) & 0xff, protocol);
      if (number >= 0) this.portSessions[group * ports.set.count + number]++;
      this.hostSessions[mappings.host(mapping)]++;
      this.noteRow(words[at + S_REMOTE], number);
    }
    this.expect(
      sessions.byInternal.size === this.liveSessions &&
        sessions.byExternal.size === this.liveSessions,
      `the session indexes hold ${sessions.byInternal.size} and ${sessions.byExternal.size} of ${this.liveSessions} sessions`,
    );
    this.expect(
      this.byProtocol.every((count, index) => count === sessions.byProtocol[index]) &&
        this.byClass.every((count, index) => count === sessions.byClass[index]),
      `by protocol ${sessions.byProtocol} and by class ${sessions.byClass} are counted, ` +
        `${this.byProtocol} and ${this.byClass} are there`,
    );
  }

  private noteRow(remote: number, number: number): void {
    if (this.parts.remotes.rowAt(remote) < 0) return;
    const bits = this.rowBits.get(remote) ?? new Set<number>();
    bits.add(number);
    this.rowBits.set(remote, bits);
  }

  mappings(): void {
    const { mappings, ports } = this.parts;
    for (let mapping = 0; mapping < mappings.capacity; mapping++) {
      const at = mapping << MAPPING_SHIFT;
      const counted = mappings.words[at + M_SESSIONS];
      const is = this.mappingSessions[mapping];
      this.expect(counted === is, `mapping ${mapping} counts ${counted} sessions and has ${is}`);
      if (counted === 0) continue;
      this.liveMappings++;
      this.expect(mappings.isLinked(mapping), `mapping ${mapping} is not in its index`);
      if (!mappings.isOwner(mapping)) continue;
      const external = mappings.words[at + M_EXTERNAL];
      const group = ports.group(external >>> 24, external & 0xff);
      const number = ports.set.numberOf(mappings.words[at + M_PORTS] & 0xffff);
      this.expect(
        number >= 0 && ports.owner(group, number) === mapping,
        `mapping ${mapping} says that it owns a port, and the port does not`,
      );
    }
    this.expect(
      mappings.count === this.liveMappings,
      `the mapping index holds ${mappings.count} of ${this.liveMappings}`,
    );
  }

  remotes(): void {
    const { remotes, rowBuilder } = this.parts;
    for (let remote = 0; remote < remotes.capacity; remote++) {
      const counted = remotes.words[(remote << REMOTE_SHIFT) + R_COUNT] >>> 16;
      const is = this.remoteSessions[remote];
      this.expect(counted === is, `remote ${remote} counts ${counted} sessions and has ${is}`);
      if (counted === 0) continue;
      this.liveRemotes++;
      this.expect(remotes.isLinked(remote), `remote ${remote} is not in its index`);
      const row = remotes.rowAt(remote);
      if (row < 0 || rowBuilder.remote === remote) continue;
      const bits = this.rowBits.get(remote) ?? new Set<number>();
      for (let number = 0; number < this.parts.ports.set.count; number++)
        this.expect(
          hasBit(remotes.rows, row, number) === bits.has(number),
          `the row of remote ${remote} is wrong about port number ${number}`,
        );
    }
    this.expect(
      remotes.count === this.liveRemotes,
      `the remote index holds ${remotes.count} of ${this.liveRemotes}`,
    );
  }

  ports(): void {
    const { ports, mappings } = this.parts;
    const { count, rowWords } = ports.set;
    let owned = 0;
    for (let group = 0; group < ports.groups; group++)
      for (let number = 0; number < count; number++) {
        const at = (group * count + number) * PORT_WORDS;
        const counted = ports.words[at + P_SESSIONS];
        const is = this.portSessions[group * count + number];
        this.expect(
          counted === is,
          `port ${number} of group ${group} counts ${counted}, has ${is}`,
        );
        const owner = ports.words[at + P_OWNER] - 1;
        if (owner >= 0) owned++;
        const isShareable = hasBit(ports.shareable, group * rowWords, number);
        const isLastResort = hasBit(ports.lastResort, group * rowWords, number);
        this.expect(
          isShareable === owner < 0 && isLastResort === owner >= 0,
          `the bit sets are wrong about port ${number} of group ${group}`,
        );
        this.expect(
          owner < 0 || mappings.isOwner(owner),
          `port ${number} of group ${group} is owned by a mapping that does not know`,
        );
      }
    this.expect(owned === ports.ownedTotal, `${ports.ownedTotal} owned ports, ${owned} owners`);
  }

  hosts(): void {
    const { hosts, mappings } = this.parts;
    const counts = new Int32Array(hosts.capacity);
    const owned = new Int32Array(hosts.capacity);
    for (let mapping = 0; mapping < mappings.capacity; mapping++) {
      const at = mapping << MAPPING_SHIFT;
      if (mappings.words[at + M_SESSIONS] === 0) continue;
      counts[mappings.words[at + M_HOST] >>> 16]++;
      if (mappings.isOwner(mapping)) owned[mappings.words[at + M_HOST] >>> 16]++;
    }
    for (let host = 0; host < hosts.capacity; host++) {
      const at = host << HOST_SHIFT;
      if (hosts.words[at + HOST_IN_USE] !== 1) continue;
      this.expect(
        hosts.words[at + HOST_MAPPINGS] === counts[host] &&
          hosts.words[at + HOST_OWNED] === owned[host] &&
          hosts.words[at + HOST_SESSIONS] === this.hostSessions[host],
        `host ${host} counts ${hosts.words[at + HOST_MAPPINGS]} mappings, ${hosts.words[at + HOST_OWNED]} owned, ` +
          `${hosts.words[at + HOST_SESSIONS]} sessions; it has ${counts[host]}, ${owned[host]}, ${this.hostSessions[host]}`,
      );
    }
  }

  /** Permits are the sessions with the flag, by owner and remote address. */
  permits(): void {
    const { sessions, permits, ports } = this.parts;
    const { words } = sessions;
    const counts = new Map<number, Map<number, number>>();
    let pairs = 0;
    for (let session = 0; session < sessions.capacity; session++) {
      const at = session << SESSION_SHIFT;
      const commit = words[at + S_COMMIT];
      if ((commit & 63) === 0 || ((commit >>> 12) & Flag.Permit) === 0) continue;
      const external = words[at + S_EXTERNAL];
      const mapping = words[at + S_MAPPING];
      const group = ports.group((external >>> 8) & 0xff, external & 0xff);
      this.expect(
        ports.owner(group, ports.set.numberOf(external >>> 16)) === mapping,
        `session ${session} has a permit on a port that its endpoint does not own`,
      );
      const byAddress = counts.get(mapping) ?? new Map<number, number>();
      const address = words[at + S_REMOTE_ADDRESS];
      if (!byAddress.has(address)) pairs++;
      byAddress.set(address, (byAddress.get(address) ?? 0) + 1);
      counts.set(mapping, byAddress);
    }
    for (const [mapping, byAddress] of counts)
      for (const [address, count] of byAddress)
        this.expect(
          permits.sessions(mapping, address) === count,
          `mapping ${mapping} has ${count} sessions with permits, ${permits.sessions(mapping, address)} counted`,
        );
    this.expect(permits.count === pairs, `${permits.count} permits for ${pairs} pairs`);
  }

  freeLists(): void {
    const { sessions, mappings, remotes } = this.parts;
    const lists = [
      ['sessions', sessions.free, sessions.capacity - this.liveSessions],
      ['mappings', mappings.free, mappings.capacity - this.liveMappings],
      ['remotes', remotes.free, remotes.capacity - this.liveRemotes],
    ] as const;
    for (const [name, list, expected] of lists) {
      let count = 0;
      for (const _ of list.records()) if (++count > expected) break;
      this.expect(
        count === expected && list.length === expected,
        `${count} records on the free list of ${name}, ${list.length} counted, ${expected} free`,
      );
    }
  }
}
