/**
 * Takes over the records of a predecessor: after a restart, an upgrade or `kill -9`.
 *
 * Only records are trusted, and only sessions that are committed: everything that counts or refers to them (indexes, free lists, port
 * owners, rows, permits, the counts of mappings, remotes, hosts and ports) is made anew from them. A session is dropped and counted
 * when it is impossible: outside the port set, without its mapping, remote or host, or with a 5-tuple that another one has. About a
 * microsecond a session.
 *
 * The commit word is written last when a session is made and cleared first when it ends, so a process that dies in between leaves
 * either a whole session or none.
 */
import { Flag, STATE_NAMES, State } from '../state.ts';
import { addressDelta, fold, wordDelta } from '../wire/checksum.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import {
  H_EXTERNAL_ADDRESSES,
  M_EXTERNAL,
  M_INTERNAL_ADDRESS,
  M_PORTS,
  M_SESSIONS,
  R_ADDRESS,
  R_COUNT,
  R_PORT,
  R_ROW,
  S_COMMIT,
  S_DELTAS,
  S_EXTERNAL,
  S_INTERNAL_ADDRESS,
  S_LAST_INBOUND,
  S_LAST_SEEN,
  S_MAPPING,
  S_PACKETS_IN,
  S_PORTS,
  S_REMOTE,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { HOST_IN_USE, HOST_MAPPINGS, HOST_OWNED, HOST_SESSIONS, HOST_SHIFT } from './hosts.ts';
import { MAPPING_SHIFT } from './mappings.ts';
import type { TableParts } from './parts.ts';
import { REMOTE_SHIFT } from './remotes.ts';
import { SESSION_SHIFT } from './sessions.ts';

export interface Restored {
  sessions: number;
  /** Committed, but impossible. */
  dropped: number;
}

/** Makes the tables from the records that lie in the arena. @param tick now; a later lastSeen is set back to it */
export function restore(parts: TableParts, tick: number): Restored {
  const { sessions } = parts;
  forgetCounts(parts);
  const restored: Restored = { sessions: 0, dropped: 0 };
  for (let session = 0; session < sessions.capacity; session++) {
    const at = session << SESSION_SHIFT;
    const commit = sessions.words[at + S_COMMIT];
    if ((commit & 63) === 0) continue;
    if (adopt(parts, session, at, tick)) restored.sessions++;
    else {
      sessions.words[at + S_COMMIT] = commit & 0xff000000;
      restored.dropped++;
    }
  }
  adoptOwners(parts);
  giveRows(parts);
  sessions.rebuildFree();
  parts.mappings.rebuildFree();
  parts.remotes.rebuildFree();
  return restored;
}

function forgetCounts(parts: TableParts): void {
  const { sessions, mappings, remotes, ports, hosts, permits } = parts;
  sessions.clear();
  mappings.index.clear();
  remotes.index.clear();
  remotes.clearRows();
  permits.clear();
  parts.unanswered.clear();
  ports.reset();
  hosts.rebuild();
  for (let record = 0; record < sessions.capacity; record++) {
    mappings.words[(record << MAPPING_SHIFT) + M_SESSIONS] = 0;
    remotes.words[(record << REMOTE_SHIFT) + R_COUNT] = 0;
    remotes.words[(record << REMOTE_SHIFT) + R_ROW] = 0;
  }
  for (let host = 0; host < hosts.capacity; host++) {
    const at = host << HOST_SHIFT;
    hosts.words[at + HOST_MAPPINGS] = 0;
    hosts.words[at + HOST_SESSIONS] = 0;
    hosts.words[at + HOST_OWNED] = 0;
  }
}

/** Enters one session into everything; false if it is impossible. */
function adopt(parts: TableParts, session: number, at: number, tick: number): boolean {
  const { sessions, mappings, remotes, ports, hosts } = parts;
  const { words } = sessions;
  const external = words[at + S_EXTERNAL];
  const mapping = words[at + S_MAPPING];
  const remote = words[at + S_REMOTE];
  const number = ports.set.numberOf(external >>> 16);
  if (number < 0 || !isPlausible(parts, at) || isTaken(parts, at)) return false;
  if (!holdsEndpoint(parts, mapping, at) || !holdsRemote(parts, remote, at)) return false;

  const m = mapping << MAPPING_SHIFT;
  const host = mappings.host(mapping);
  const hostAt = host << HOST_SHIFT;
  if (host >= hosts.capacity || hosts.words[hostAt + HOST_IN_USE] !== 1) return false;
  if (mappings.words[m + M_SESSIONS] === 0) {
    mappings.link(mapping);
    hosts.words[hostAt + HOST_MAPPINGS]++;
  }
  if (remotes.sessions(remote) === 0) remotes.link(remote);
  mappings.words[m + M_SESSIONS]++;
  remotes.changeSessions(remote, 1);
  hosts.words[hostAt + HOST_SESSIONS]++;
  ports.addSession(ports.group((external >>> 8) & 0xff, external & 0xff), number);
  writeDeltas(parts, at);
  if (words[at + S_LAST_SEEN] - tick > 0) words[at + S_LAST_SEEN] = tick;
  // Of what is unanswered these lead through a list that the next sweep makes anew (unanswered.ts).
  if ((words[at + S_COMMIT] & 63) === State.Unanswered) {
    words[at + S_PACKETS_IN] = 0;
    words[at + S_LAST_INBOUND] = 0;
  }
  sessions.link(session);
  return true;
}

/** A known state and protocol, one of our external addresses, references within the tables. */
function isPlausible(parts: TableParts, at: number): boolean {
  const { words, capacity } = parts.sessions;
  const external = words[at + S_EXTERNAL];
  const protocol = external & 0xff;
  const mapping = words[at + S_MAPPING];
  const remote = words[at + S_REMOTE];
  return (
    (words[at + S_COMMIT] & 63) < STATE_NAMES.length &&
    (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP || protocol === PROTOCOL_ICMP) &&
    ((external >>> 8) & 0xff) < parts.arena.shape.externalCount &&
    mapping >= 0 &&
    mapping < capacity &&
    remote >= 0 &&
    remote < capacity
  );
}

/** True if a session that was adopted before has one of the two 5-tuples. */
function isTaken(parts: TableParts, at: number): boolean {
  const { sessions } = parts;
  const { words } = sessions;
  const external = words[at + S_EXTERNAL];
  const remote = words[at + S_REMOTE_ADDRESS];
  const ports = words[at + S_PORTS];
  return (
    sessions.findInternal(words[at + S_INTERNAL_ADDRESS], remote, ports, external & 0xff) >= 0 ||
    sessions.findExternal(external, remote, ports & 0xffff) >= 0
  );
}

/** True if the mapping's record is that of the session's internal endpoint, and no other mapping is. */
function holdsEndpoint(parts: TableParts, mapping: number, at: number): boolean {
  const { mappings, sessions } = parts;
  const { words } = sessions;
  const m = mapping << MAPPING_SHIFT;
  const internal = words[at + S_INTERNAL_ADDRESS];
  const port = words[at + S_PORTS] >>> 16;
  const external = words[at + S_EXTERNAL];
  const protocol = external & 0xff;
  if (
    mappings.words[m + M_INTERNAL_ADDRESS] !== internal ||
    mappings.words[m + M_PORTS] >>> 16 !== port ||
    (mappings.words[m + M_EXTERNAL] & 0xff) !== protocol ||
    // The ports of an owner are looked up by this index, which must not lead out of the table.
    mappings.words[m + M_EXTERNAL] >>> 24 !== ((external >>> 8) & 0xff) ||
    parts.ports.set.numberOf(mappings.externalPort(mapping)) < 0
  )
    return false;
  const known = mappings.find(internal, port, protocol);
  return known < 0 || known === mapping;
}

/** True if the remote's record is that of the session's remote endpoint, and no other one is. */
function holdsRemote(parts: TableParts, remote: number, at: number): boolean {
  const { remotes, sessions } = parts;
  const { words } = sessions;
  const r = remote << REMOTE_SHIFT;
  const address = words[at + S_REMOTE_ADDRESS];
  const key = ((words[at + S_PORTS] & 0xffff) << 16) | (words[at + S_EXTERNAL] & 0xffff);
  if (remotes.words[r + R_ADDRESS] !== address || remotes.words[r + R_PORT] !== key) return false;
  const known = remotes.find(address, key);
  return known < 0 || known === remote;
}

/** The deltas follow from addresses and ports; a record cannot be wrong about them. */
function writeDeltas(parts: TableParts, at: number): void {
  const { words } = parts.sessions;
  const external = words[at + S_EXTERNAL];
  const externalAddress = parts.arena.header[H_EXTERNAL_ADDRESSES + ((external >>> 8) & 0xff)];
  const port = wordDelta(words[at + S_PORTS] >>> 16, external >>> 16);
  const address = addressDelta(words[at + S_INTERNAL_ADDRESS], externalAddress);
  const full = (external & 0xff) === PROTOCOL_ICMP ? port : address + port;
  words[at + S_DELTAS] = (fold(address) << 16) | fold(full);
}

/** Owners get their ports again; the first one of two. Permits follow from the sessions on owned ports. */
function adoptOwners(parts: TableParts): void {
  const { sessions, mappings, ports, hosts, permits } = parts;
  for (let mapping = 0; mapping < mappings.capacity; mapping++) {
    const at = mapping << MAPPING_SHIFT;
    if (mappings.words[at + M_SESSIONS] === 0 || !mappings.isOwner(mapping)) continue;
    const external = mappings.words[at + M_EXTERNAL];
    const group = ports.group(external >>> 24, external & 0xff);
    const number = ports.set.numberOf(mappings.externalPort(mapping));
    if (ports.owner(group, number) >= 0) {
      mappings.setOwner(mapping, false);
      continue;
    }
    ports.claim(group, number, mapping);
    hosts.words[(mappings.host(mapping) << HOST_SHIFT) + HOST_OWNED]++;
  }
  for (let session = 0; session < sessions.capacity; session++) {
    const at = session << SESSION_SHIFT;
    if ((sessions.words[at + S_COMMIT] & 63) === 0) continue;
    const external = sessions.words[at + S_EXTERNAL];
    const group = ports.group((external >>> 8) & 0xff, external & 0xff);
    const mapping = sessions.words[at + S_MAPPING];
    sessions.words[at + S_COMMIT] &= ~(Flag.Permit << 12);
    if (ports.owner(group, ports.set.numberOf(external >>> 16)) !== mapping) continue;
    if (permits.add(mapping, sessions.words[at + S_REMOTE_ADDRESS]))
      sessions.words[at + S_COMMIT] |= Flag.Permit << 12;
  }
}

/** Rows for the remotes that had one. In a large set one is built at a time, and the others get theirs with their next session. */
function giveRows(parts: TableParts): void {
  const { remotes, rowBuilder } = parts;
  for (let remote = 0; remote < remotes.capacity; remote++) {
    if (remotes.sessions(remote) < remotes.rowGiveAt) continue;
    const at = remote << REMOTE_SHIFT;
    const key = remotes.words[at + R_PORT];
    rowBuilder.begin(remote, remotes.words[at + R_ADDRESS], key >>> 16, key & 0xffff);
  }
}
