/**
 * What must hold when a process is followed by another one over the same arena: the same sessions, each in its place and with the same
 * port, the same owners, and counts that agree. Indexes, rows, permits and free lists are made anew and are the self-check's to judge.
 *
 * A damaged arena is taken over too: what is impossible in it is dropped, and the tables agree with what is left.
 */
import { Flag, State } from '../../core/state.ts';
import {
  HOST_WORDS,
  M_SESSIONS,
  MAPPING_WORDS,
  PORT_WORDS,
  R_COUNT,
  REMOTE_WORDS,
  S_COMMIT,
  S_LAST_INBOUND,
  S_LAST_SEEN,
  S_PACKETS_IN,
  SESSION_WORDS,
} from '../../core/table/arena.ts';
import { HOST_IN_USE, HOST_OWNED } from '../../core/table/hosts.ts';
import type { NatTable } from '../../core/table/nat-table.ts';
import type { Restored } from '../../core/table/restore.ts';
import type { Dice } from './dice.ts';

/**
 * Spoils some words of the records that are in use: another bit, another number, or the word of another record. Both arenas alike: the
 * dice of each stand at the same place.
 */
export function damage({ parts }: NatTable, dice: Dice): void {
  const { sessions, mappings, remotes, hosts, ports } = parts;
  for (let i = dice.between(1, 12); i > 0; i--) {
    const [words, size] = dice.pick([
      [sessions.words, SESSION_WORDS],
      [sessions.words, SESSION_WORDS],
      [mappings.words, MAPPING_WORDS],
      [remotes.words, REMOTE_WORDS],
      [hosts.words, HOST_WORDS],
      [ports.words, PORT_WORDS],
    ] as const);
    // The lowest records are those in use.
    const records = Math.min(words.length / size, 1 << dice.between(2, 10));
    const at = dice.below(records) * size + dice.below(size);
    const kind = dice.below(3);
    if (kind === 0) words[at] ^= 1 << dice.below(32);
    else if (kind === 1) words[at] = dice.next();
    else words[at] = words[dice.below(records) * size + (at % size)];
  }
}

export interface Snapshot {
  sessions: Int32Array;
  mappings: Int32Array;
  remotes: Int32Array;
  hosts: Int32Array;
  ports: Int32Array;
  sessionCount: number;
}

/** The records as they are now. */
export function snapshotOf({ parts }: NatTable): Snapshot {
  const { sessions, mappings, remotes, hosts, ports } = parts;
  return {
    sessions: sessions.words.slice(),
    mappings: mappings.words.slice(),
    remotes: remotes.words.slice(),
    hosts: hosts.words.slice(),
    ports: ports.words.slice(),
    sessionCount: sessions.count,
  };
}

/** What the successor did not take over as it was, or undefined. */
export function lossOf(
  before: Snapshot,
  { parts, tick }: NatTable,
  restored: Restored,
): string | undefined {
  const { sessions, mappings, remotes, hosts, ports } = parts;
  if (restored.dropped !== 0) return `${restored.dropped} sessions were dropped`;
  if (restored.sessions !== before.sessionCount)
    return `${before.sessionCount} sessions before, ${restored.sessions} after`;
  for (let at = 0; at < sessions.words.length; at += SESSION_WORDS) {
    const word = differingSessionWord(before.sessions, sessions.words, at, tick);
    if (word >= 0) return `word ${word} of session ${at / SESSION_WORDS} differs`;
  }
  for (let at = 0; at < mappings.words.length; at += MAPPING_WORDS) {
    if (before.mappings[at + M_SESSIONS] === 0 && mappings.words[at + M_SESSIONS] === 0) continue;
    for (let word = 0; word < MAPPING_WORDS; word++)
      if (before.mappings[at + word] !== mappings.words[at + word])
        return `word ${word} of mapping ${at / MAPPING_WORDS} differs`;
  }
  for (let at = 0; at < remotes.words.length; at += REMOTE_WORDS)
    if (before.remotes[at + R_COUNT] >>> 16 !== remotes.words[at + R_COUNT] >>> 16)
      return `remote ${at / REMOTE_WORDS} has another count`;
  for (let at = 0; at < hosts.words.length; at += HOST_WORDS) {
    if (before.hosts[at + HOST_IN_USE] !== 1) continue;
    for (let word = 0; word <= HOST_OWNED; word++)
      if (before.hosts[at + word] !== hosts.words[at + word])
        return `word ${word} of host ${at / HOST_WORDS} differs`;
  }
  const port = ports.words.findIndex((word, at) => word !== before.ports[at]);
  return port < 0 ? undefined : `word ${port} of the ports differs`;
}

/** The first word of a session that differs and may not, or -1. */
function differingSessionWord(
  before: Int32Array,
  after: Int32Array,
  at: number,
  tick: number,
): number {
  // Permits are given anew: a session that came to its port before the endpoint owned it has one now.
  const permit = Flag.Permit << 12;
  if ((before[at + S_COMMIT] & ~permit) !== (after[at + S_COMMIT] & ~permit)) return S_COMMIT;
  const state = before[at + S_COMMIT] & 63;
  if (state === State.Free) return -1;
  for (let word = 0; word < SESSION_WORDS; word++) {
    if (word === S_COMMIT) continue;
    // Links of the lists of unanswered sessions, which are made anew.
    if (state === State.Unanswered && (word === S_PACKETS_IN || word === S_LAST_INBOUND)) continue;
    const was = word === S_LAST_SEEN ? Math.min(before[at + word], tick) : before[at + word];
    if (was !== after[at + word]) return word;
  }
  return -1;
}
