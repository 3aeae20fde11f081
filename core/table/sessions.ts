/**
 * Sessions by both of their 5-tuples. Layout of a record: arena.ts.
 *
 * An established packet costs two cache misses here: the slot of one index, and the record, whose one line holds every word that the
 * packet reads or writes.
 */
import { CLASS_MASK, CLASSES_MAX, COMMIT_CLASS_SHIFT } from '../state.ts';
import { addressDelta, fold, wordDelta } from '../wire/checksum.ts';
import { PROTOCOL_ICMP } from '../wire/ipv4.ts';
import {
  type Arena,
  S_COMMIT,
  S_CREATED,
  S_DELTAS,
  S_EXTERNAL,
  S_INTERNAL_ADDRESS,
  S_LAST_SEEN,
  S_MAPPING,
  S_OVERRIDE,
  S_PORTS,
  S_REMOTE,
  S_REMOTE_ADDRESS,
} from './arena.ts';
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';
import { PROTOCOLS, protocolIndexOf } from './protocols.ts';

/** Shift from a session's number to its first word. */
export const SESSION_SHIFT = 4;

export class Sessions {
  readonly words: Int32Array;
  readonly capacity: number;
  readonly byInternal: HashIndex;
  readonly byExternal: HashIndex;
  readonly free: FreeList;
  /** Sessions in the indexes, by protocol index and by class. */
  readonly byProtocol = new Int32Array(PROTOCOLS);
  readonly byClass = new Int32Array(CLASSES_MAX);
  private readonly seed: number;

  constructor(arena: Arena, seed: number) {
    this.words = arena.sessions;
    this.capacity = arena.shape.capacity;
    this.byInternal = new HashIndex(this.capacity);
    this.byExternal = new HashIndex(this.capacity);
    this.free = new FreeList(this.words, 1 << SESSION_SHIFT);
    this.seed = seed;
  }

  get count(): number {
    return this.byInternal.size;
  }

  private internalHash(internal: number, remote: number, ports: number, protocol: number): number {
    return hash3(internal, remote, ports, this.seed ^ protocol);
  }

  private externalHash(external: number, remoteAddress: number, remotePort: number): number {
    return hash3(external, remoteAddress, remotePort, this.seed);
  }

  /**
   * The session of an outbound packet, or -1.
   * @param ports internalPort << 16 | remotePort
   */
  findInternal(internal: number, remote: number, ports: number, protocol: number): number {
    const words = this.words;
    const { slots, mask } = this.byInternal;
    const hash = hash3(internal, remote, ports, this.seed ^ protocol);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const session = slots[slot * 2 + 1] - 1;
      if (session < 0) return -1;
      if (slots[slot * 2] !== hash) continue;
      const at = session << SESSION_SHIFT;
      if (
        words[at + S_INTERNAL_ADDRESS] === internal &&
        words[at + S_REMOTE_ADDRESS] === remote &&
        words[at + S_PORTS] === ports &&
        (words[at + S_EXTERNAL] & 0xff) === protocol
      )
        return session;
    }
  }

  /**
   * The session of an inbound packet, or -1.
   * @param external externalPort << 16 | externalAddressIndex << 8 | protocol, as in word 3
   */
  findExternal(external: number, remoteAddress: number, remotePort: number): number {
    const words = this.words;
    const { slots, mask } = this.byExternal;
    const hash = hash3(external, remoteAddress, remotePort, this.seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const session = slots[slot * 2 + 1] - 1;
      if (session < 0) return -1;
      if (slots[slot * 2] !== hash) continue;
      const at = session << SESSION_SHIFT;
      if (
        words[at + S_EXTERNAL] === external &&
        words[at + S_REMOTE_ADDRESS] === remoteAddress &&
        (words[at + S_PORTS] & 0xffff) === remotePort
      )
        return session;
    }
  }

  /**
   * Takes a free record, of which there must be one, and fills it in but for its commit word.
   * @param external as in word 3; @param externalAddress the address that its index stands for
   */
  take(
    internalAddress: number,
    internalPort: number,
    remoteAddress: number,
    remotePort: number,
    protocol: number,
    externalAddress: number,
    external: number,
    mapping: number,
    remote: number,
    tick: number,
  ): number {
    const { words } = this;
    const session = this.free.take();
    const at = session << SESSION_SHIFT;
    const portDelta = wordDelta(internalPort, external >>> 16);
    const address = addressDelta(internalAddress, externalAddress);
    // ICMP has no pseudo header: its checksum feels the identifier only.
    const full = protocol === PROTOCOL_ICMP ? portDelta : address + portDelta;
    words[at + S_INTERNAL_ADDRESS] = internalAddress;
    words[at + S_REMOTE_ADDRESS] = remoteAddress;
    words[at + S_PORTS] = (internalPort << 16) | remotePort;
    words[at + S_EXTERNAL] = external;
    words[at + S_DELTAS] = (fold(address) << 16) | fold(full);
    words[at + S_LAST_SEEN] = tick;
    words[at + S_MAPPING] = mapping;
    words[at + S_REMOTE] = remote;
    words[at + S_CREATED] = tick;
    words.fill(0, at + S_CREATED + 1, at + S_OVERRIDE + 1);
    return session;
  }

  /** Writes the commit word with the next generation. */
  commit(session: number, sessionClass: number, state: number, flags: number): void {
    const { words } = this;
    const at = (session << SESSION_SHIFT) + S_COMMIT;
    const generation = (words[at] >>> 24) + 1;
    Atomics.store(words, at, (generation << 24) | (flags << 12) | (sessionClass << 6) | state);
  }

  /** Empties both indexes. */
  clear(): void {
    this.byInternal.clear();
    this.byExternal.clear();
    this.byProtocol.fill(0);
    this.byClass.fill(0);
  }

  /** Enters a committed record into both indexes. */
  link(session: number): void {
    const { words } = this;
    const at = session << SESSION_SHIFT;
    this.byProtocol[protocolIndexOf(words[at + S_EXTERNAL] & 0xff)]++;
    this.byClass[(words[at + S_COMMIT] >>> COMMIT_CLASS_SHIFT) & CLASS_MASK]++;
    this.byInternal.insert(this.internalHashOf(at), session);
    this.byExternal.insert(
      this.externalHash(
        words[at + S_EXTERNAL],
        words[at + S_REMOTE_ADDRESS],
        words[at + S_PORTS] & 0xffff,
      ),
      session,
    );
  }

  /** Clears the commit word (keeping the generation), takes the record out of both indexes and frees it. */
  unlink(session: number): void {
    const { words } = this;
    const at = session << SESSION_SHIFT;
    this.byProtocol[protocolIndexOf(words[at + S_EXTERNAL] & 0xff)]--;
    this.byClass[(words[at + S_COMMIT] >>> COMMIT_CLASS_SHIFT) & CLASS_MASK]--;
    Atomics.store(words, at + S_COMMIT, words[at + S_COMMIT] & 0xff000000);
    this.byInternal.remove(this.internalHashOf(at), session);
    this.byExternal.remove(
      this.externalHash(
        words[at + S_EXTERNAL],
        words[at + S_REMOTE_ADDRESS],
        words[at + S_PORTS] & 0xffff,
      ),
      session,
    );
    this.free.give(session);
  }

  private internalHashOf(at: number): number {
    const { words } = this;
    return this.internalHash(
      words[at + S_INTERNAL_ADDRESS],
      words[at + S_REMOTE_ADDRESS],
      words[at + S_PORTS],
      words[at + S_EXTERNAL] & 0xff,
    );
  }

  /** True if both indexes lead to `session`. For checks. */
  isLinked(session: number): boolean {
    const { words } = this;
    const at = session << SESSION_SHIFT;
    const external = this.externalHash(
      words[at + S_EXTERNAL],
      words[at + S_REMOTE_ADDRESS],
      words[at + S_PORTS] & 0xffff,
    );
    return (
      this.byInternal.has(this.internalHashOf(at), session) &&
      this.byExternal.has(external, session)
    );
  }

  /** Rebuilds the free list from the records: all whose commit word has no state. Lowest numbers are taken first. */
  rebuildFree(): void {
    this.free.clear();
    for (let session = this.capacity - 1; session >= 0; session--)
      if ((this.words[(session << SESSION_SHIFT) + S_COMMIT] & 63) === 0) this.free.give(session);
  }
}
