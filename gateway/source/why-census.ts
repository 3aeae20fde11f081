/**
 * Who holds what now: the arena's records, looked at in two passes when somebody asks, by the control thread.
 *
 *   hosts, remotes, ports   whole: which of them hold most                                  (small tables)
 *   sessions, first pass    all by class and state; those of the chosen hosts and remotes; unanswered UDP by host and address
 *   sessions, second pass   of those pairs: was anything answered, from which ports, since when
 *
 * A session is read between two loads of its commit word and passed over when they differ. The worker goes on meanwhile: what a record of
 * a host, a remote or a mapping said a moment ago may be a link of a free list by now, or somebody else. So destinations are named by what
 * their sessions say, hosts and remotes by what they were when they were chosen, and a host that is another one at the end is left out.
 *
 * Everything is bounded: hosts and remotes that are looked at closely, destinations of a host, pairs. The event loop turns every few
 * milliseconds, and the worker is never asked.
 */
import {
  CLASS_MASK,
  CLASS_NAMES,
  CLASSES_MAX,
  COMMIT_CLASS_SHIFT,
  STATE_NAMES,
} from '../../core/state.ts';
import {
  type Arena,
  HOST_WORDS,
  M_EXTERNAL,
  M_INTERNAL_ADDRESS,
  MAPPING_WORDS,
  P_OWNER,
  PORT_WORDS,
  R_ADDRESS,
  R_COUNT,
  R_PORT,
  REMOTE_WORDS,
  S_EXTERNAL,
  S_INTERNAL_ADDRESS,
  S_PORTS,
  S_REMOTE,
  S_REMOTE_ADDRESS,
} from '../../core/table/arena.ts';
import {
  HOST_ADDRESS,
  HOST_CREATED_SESSIONS,
  HOST_IN_USE,
  HOST_MAPPINGS,
  HOST_OWNED,
  HOST_REFUSED,
  HOST_SESSIONS,
  HOST_SESSIONS_PEAK,
} from '../../core/table/hosts.ts';
import { MAPPING_CLASS_SHIFT, MappingFlag } from '../../core/table/mappings.ts';
import { PROTOCOL_NAMES, PROTOCOLS, protocolIndexOf } from '../../core/table/protocols.ts';
import { formatAddress } from '../control/text.ts';
import type {
  ClassCount,
  DestinationCount,
  HostFacts,
  OwnedFacts,
  RemoteFacts,
  SilentFacts,
} from './why-facts.ts';
import { AddressTable, add, eachSession, isSame, TOP_SHOWN, Top, topOf } from './why-records.ts';
import { SilentPairs } from './why-silence.ts';

export interface CensusRequest {
  arena: Arena;
  portCount: number;
  nowMs: number;
  /** Hosts that are looked at closely besides those that hold most. */
  wanted: ReadonlySet<number>;
  /** New sessions of a host lately. */
  createdRecently(host: number, address: number, created: number): number;
  lanName(address: number): string;
  limitsOf(address: number): HostFacts['limits'];
  /** Ports of a protocol that may be owned. */
  ownedMost: number;
}

export interface Census {
  /** Those with most sessions first; then those that opened most lately, and those that were wanted. */
  hosts: HostFacts[];
  classes: ClassCount[];
  remotes: RemoteFacts[];
  silent: SilentFacts[];
  owned: OwnedFacts[];
}

/** Hosts and remotes that are looked at closely. */
const HOSTS_BY_SESSIONS = 8;
const HOSTS_BY_CREATED = 4;
const HOSTS_WANTED_MAX = 32;
const HOSTS_CLOSE_MAX = HOSTS_BY_SESSIONS + HOSTS_BY_CREATED + HOSTS_WANTED_MAX;
const REMOTES_MAX = 12;
/** Destinations of one host that are told apart; the frequent ones are among the first that are met. */
const DESTINATIONS_MAX = 4_096;
const STATES = STATE_NAMES.length;
const MATRIX = CLASSES_MAX * STATES;

interface ChosenHost {
  record: number;
  address: number;
}

/** The key is that of its record: port << 16 | externalIndex << 8 | protocol. */
interface ChosenRemote {
  record: number;
  address: number;
  key: number;
}

/** Looks at everything once. */
export async function takeCensus(request: CensusRequest): Promise<Census> {
  const census = new Counting(request);
  await eachSession(request.arena, (at, commit) => census.count(at, commit));
  await eachSession(request.arena, (at, commit) => census.lookClosely(at, commit));
  return census.result();
}

const cellOf = (commit: number): number =>
  ((commit >>> COMMIT_CLASS_SHIFT) & CLASS_MASK) * STATES + Math.min(commit & 63, STATES - 1);

class Counting {
  private readonly request: CensusRequest;
  private readonly arena: Arena;
  private readonly all = new Int32Array(MATRIX);
  private readonly chosenHosts: ChosenHost[];
  /** Slot + 1 by address. */
  private readonly slotOfHost = new AddressTable(HOSTS_CLOSE_MAX);
  private readonly byHost: Int32Array[];
  /** By address and key of the remote. */
  private readonly destinations: AddressTable[];
  private readonly chosenRemotes: ChosenRemote[];
  private readonly slotOfRemote: Int8Array;
  private readonly byRemote: Int32Array[];
  private readonly hostsOfRemote: Map<number, number>[];
  private readonly pairs: SilentPairs;
  private isChosen = false;

  constructor(request: CensusRequest) {
    const { arena } = request;
    this.request = request;
    this.arena = arena;
    this.chosenHosts = this.chooseHosts();
    this.chosenHosts.forEach(({ address }, slot) => {
      this.slotOfHost.set(address, 0, slot + 1);
    });
    this.byHost = this.chosenHosts.map(() => new Int32Array(MATRIX));
    this.destinations = this.chosenHosts.map(() => new AddressTable(DESTINATIONS_MAX));
    this.chosenRemotes = this.chooseRemotes();
    this.slotOfRemote = slots(arena.shape.capacity, this.chosenRemotes);
    this.byRemote = this.chosenRemotes.map(() => new Int32Array(MATRIX));
    this.hostsOfRemote = this.chosenRemotes.map(() => new Map<number, number>());
    this.pairs = new SilentPairs(arena, request.nowMs);
  }

  private chooseHosts(): ChosenHost[] {
    const { hosts } = this.arena;
    const { wanted } = this.request;
    const bySessions = new Top(HOSTS_BY_SESSIONS);
    const byCreated = new Top(HOSTS_BY_CREATED);
    const asked: number[] = [];
    for (let host = 0; host * HOST_WORDS < hosts.length; host++) {
      const at = host * HOST_WORDS;
      if (hosts[at + HOST_IN_USE] !== 1) continue;
      bySessions.add(host, hosts[at + HOST_SESSIONS]);
      byCreated.add(host, this.createdRecently(host));
      if (wanted.has(hosts[at + HOST_ADDRESS]) && asked.length < HOSTS_WANTED_MAX) asked.push(host);
    }
    return [...new Set([...bySessions.keys, ...byCreated.keys, ...asked])].map((record) => ({
      record,
      address: hosts[record * HOST_WORDS + HOST_ADDRESS],
    }));
  }

  private createdRecently(host: number): number {
    const { hosts } = this.arena;
    const at = host * HOST_WORDS;
    const created = hosts[at + HOST_CREATED_SESSIONS];
    return this.request.createdRecently(host, hosts[at + HOST_ADDRESS], created);
  }

  private chooseRemotes(): ChosenRemote[] {
    const { remotes, shape } = this.arena;
    const most = new Top(REMOTES_MAX);
    for (let remote = 0; remote < shape.capacity; remote++)
      most.add(remote, remotes[remote * REMOTE_WORDS + R_COUNT] >>> 16);
    return most.keys.map((record) => ({
      record,
      address: remotes[record * REMOTE_WORDS + R_ADDRESS],
      key: remotes[record * REMOTE_WORDS + R_PORT],
    }));
  }

  count(at: number, commit: number): void {
    const { sessions } = this.arena;
    const internal = sessions[at + S_INTERNAL_ADDRESS];
    const remote = sessions[at + S_REMOTE];
    const remoteAddress = sessions[at + S_REMOTE_ADDRESS];
    const remoteKey = (sessions[at + S_PORTS] << 16) | (sessions[at + S_EXTERNAL] & 0xffff);
    if (!isSame(sessions, at, commit)) return;
    const cell = cellOf(commit);
    this.all[cell]++;
    const hostSlot = this.slotOfHost.get(internal, 0) - 1;
    if (hostSlot >= 0) {
      this.byHost[hostSlot][cell]++;
      this.destinations[hostSlot].increment(remoteAddress, remoteKey);
    }
    const remoteSlot = this.slotOfRemote[remote];
    if (remoteSlot >= 0 && isPlace(this.chosenRemotes[remoteSlot], remoteAddress, remoteKey)) {
      this.byRemote[remoteSlot][cell]++;
      add(this.hostsOfRemote[remoteSlot], internal, DESTINATIONS_MAX);
    }
    this.pairs.count(at, commit);
  }

  lookClosely(at: number, commit: number): void {
    if (!this.isChosen) {
      this.pairs.choose();
      this.isChosen = true;
    }
    this.pairs.lookClosely(at, commit);
  }

  result(): Census {
    return {
      hosts: this.chosenHosts.flatMap((host, slot) => this.hostFacts(host, slot)),
      classes: classCounts(this.all),
      remotes: this.chosenRemotes
        .map((remote, slot) => this.remoteFacts(remote, slot))
        .filter(({ sessions }) => sessions > 0)
        .sort((a, b) => b.sessions - a.sessions),
      silent: this.pairs.result(),
      owned: ownedPorts(this.arena, this.request),
    };
  }

  /** None if the record belongs to another host by now. */
  private hostFacts({ record, address }: ChosenHost, slot: number): HostFacts[] {
    const { hosts } = this.arena;
    const at = record * HOST_WORDS;
    const facts = {
      address: formatAddress(address),
      lan: this.request.lanName(address),
      sessions: hosts[at + HOST_SESSIONS],
      peak: hosts[at + HOST_SESSIONS_PEAK],
      mappings: hosts[at + HOST_MAPPINGS],
      owned: hosts[at + HOST_OWNED],
      created: hosts[at + HOST_CREATED_SESSIONS],
      refused: hosts[at + HOST_REFUSED],
      createdRecently: this.createdRecently(record),
      limits: this.request.limitsOf(address),
      classes: classCounts(this.byHost[slot]),
      destinations: this.destinations[slot]
        .greatest(TOP_SHOWN, 1)
        .map(({ one, other, value }) => ({ ...placeOf(one, other), sessions: value })),
    };
    return Atomics.load(hosts, at + HOST_ADDRESS) === address ? [facts] : [];
  }

  private remoteFacts({ address, key }: ChosenRemote, slot: number): RemoteFacts {
    return {
      ...placeOf(address, key),
      sessions: this.byRemote[slot].reduce((sum, count) => sum + count, 0),
      hostCount: this.hostsOfRemote[slot].size,
      hosts: topOf(this.hostsOfRemote[slot]).map(([host, sessions]) => ({
        address: formatAddress(host),
        sessions,
      })),
      classes: classCounts(this.byRemote[slot]),
    };
  }
}

/** Who owns the ports that are owned. */
function ownedPorts(arena: Arena, { portCount, ownedMost }: CensusRequest): OwnedFacts[] {
  const { ports, mappings } = arena;
  return Array.from({ length: PROTOCOLS }, (_, group) => {
    const hosts = new Map<number, number>();
    const classes = new Map<number, number>();
    let owned = 0;
    for (let number = 0; number < portCount; number++) {
      const port = (group * portCount + number) * PORT_WORDS + P_OWNER;
      const owner = Atomics.load(ports, port);
      if (owner === 0) continue;
      const at = (owner - 1) * MAPPING_WORDS;
      const address = mappings[at + M_INTERNAL_ADDRESS];
      const external = mappings[at + M_EXTERNAL];
      // A mapping gives its port back before its record becomes free.
      if (Atomics.load(ports, port) !== owner || !isOwnerIn(external, group)) continue;
      owned++;
      add(hosts, address, DESTINATIONS_MAX);
      add(classes, (external >>> MAPPING_CLASS_SHIFT) & CLASS_MASK, CLASSES_MAX);
    }
    return {
      protocol: PROTOCOL_NAMES[group],
      owned,
      most: ownedMost,
      hosts: topOf(hosts).map(([address, count]) => ({
        address: formatAddress(address),
        owned: count,
      })),
      classes: topOf(classes).map(([number, count]) => ({
        class: CLASS_NAMES[number],
        owned: count,
      })),
    };
  });
}

// ---- helpers

const isPlace = (chosen: ChosenRemote, address: number, key: number): boolean =>
  chosen.address === address && chosen.key === key;

/** True if word 2 of a mapping says that it owns its port, and of this protocol. */
const isOwnerIn = (external: number, group: number): boolean =>
  ((external >>> 14) & MappingFlag.Owner) !== 0 && protocolIndexOf(external & 0xff) === group;

/** The slot of each record that was chosen, -1 of all others. */
function slots(records: number, chosen: readonly ChosenRemote[]): Int8Array {
  const slotOf = new Int8Array(records).fill(-1);
  chosen.forEach(({ record }, slot) => {
    slotOf[record] = slot;
  });
  return slotOf;
}

function classCounts(matrix: Int32Array): ClassCount[] {
  const counts: ClassCount[] = [];
  matrix.forEach((sessions, cell) => {
    if (sessions > 0)
      counts.push({
        class: CLASS_NAMES[Math.floor(cell / STATES)],
        state: STATE_NAMES[cell % STATES],
        sessions,
      });
  });
  return counts.sort((a, b) => b.sessions - a.sessions);
}

/** @param key port << 16 | externalIndex << 8 | protocol */
const placeOf = (address: number, key: number): Omit<DestinationCount, 'sessions'> => ({
  protocol: PROTOCOL_NAMES[protocolIndexOf(key & 0xff)],
  address: formatAddress(address),
  port: key >>> 16,
});
