/**
 * Mappings: internal endpoint to external endpoint, per protocol (RFC 4787 section 4.1). Found by internal endpoint; layout in arena.ts.
 *
 * A mapping lives as long as it has sessions. Its external port is the *primary* one: sessions that were diverted to another port
 * belong to the same mapping and keep their own port in their record.
 */
import { DECISION_CLASS_MASK, PROFILE_SHIFT, PROFILES_MAX } from '../policy.ts';
import {
  type Arena,
  M_CREATED,
  M_EXTERNAL,
  M_HOST,
  M_INTERNAL_ADDRESS,
  M_LAST_SEEN,
  M_LEASE_END,
  M_PORTS,
  M_SESSIONS,
} from './arena.ts';
import { FreeList } from './free-list.ts';
import { HashIndex, hash3 } from './hash-index.ts';

export const MAPPING_SHIFT = 3;

/** Shift of the six bits of profile and class in word 2. */
export const MAPPING_CLASS_SHIFT = 8;
const MAPPING_PROFILE_SHIFT = MAPPING_CLASS_SHIFT + PROFILE_SHIFT;

/** Flags of word 2, bits 14 … 23. */
export const MappingFlag = { Owner: 1 } as const;

export class Mappings {
  readonly words: Int32Array;
  readonly capacity: number;
  readonly index: HashIndex;
  readonly free: FreeList;
  private readonly seed: number;

  constructor(arena: Arena, seed: number) {
    this.words = arena.mappings;
    this.capacity = arena.shape.capacity;
    this.index = new HashIndex(this.capacity);
    this.free = new FreeList(this.words, 1 << MAPPING_SHIFT);
    this.seed = seed ^ 0x5bd1e995;
  }

  get count(): number {
    return this.index.size;
  }

  /** The mapping of an internal endpoint, or -1. */
  find(internalAddress: number, internalPort: number, protocol: number): number {
    const { words, seed } = this;
    const { slots, mask } = this.index;
    const hash = hash3(internalAddress, internalPort, protocol, seed);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const mapping = slots[slot * 2 + 1] - 1;
      if (mapping < 0) return -1;
      if (slots[slot * 2] !== hash) continue;
      const at = mapping << MAPPING_SHIFT;
      if (
        words[at + M_INTERNAL_ADDRESS] === internalAddress &&
        words[at + M_PORTS] >>> 16 === internalPort &&
        (words[at + M_EXTERNAL] & 0xff) === protocol
      )
        return mapping;
    }
  }

  /** Makes a mapping without sessions. The caller knows that there is room and that the endpoint has none. */
  add(
    internalAddress: number,
    internalPort: number,
    externalPort: number,
    externalIndex: number,
    protocol: number,
    sessionClass: number,
    host: number,
    tick: number,
  ): number {
    const { words } = this;
    const mapping = this.free.take();
    const at = mapping << MAPPING_SHIFT;
    words[at + M_INTERNAL_ADDRESS] = internalAddress;
    words[at + M_PORTS] = (internalPort << 16) | externalPort;
    words[at + M_EXTERNAL] =
      (externalIndex << 24) | (sessionClass << MAPPING_CLASS_SHIFT) | protocol;
    words[at + M_SESSIONS] = 0;
    words[at + M_HOST] = host << 16;
    words[at + M_LAST_SEEN] = tick;
    words[at + M_CREATED] = tick;
    words[at + M_LEASE_END] = 0;
    this.index.insert(hash3(internalAddress, internalPort, protocol, this.seed), mapping);
    return mapping;
  }

  /** Removes a mapping that has no sessions. */
  remove(mapping: number): void {
    this.index.remove(this.hashOf(mapping), mapping);
    this.words[(mapping << MAPPING_SHIFT) + M_SESSIONS] = 0;
    this.free.give(mapping);
  }

  /** Enters a record that is already written. For rebuilding. */
  link(mapping: number): void {
    this.index.insert(this.hashOf(mapping), mapping);
  }

  isLinked(mapping: number): boolean {
    return this.index.has(this.hashOf(mapping), mapping);
  }

  isOwner(mapping: number): boolean {
    return ((this.words[(mapping << MAPPING_SHIFT) + M_EXTERNAL] >>> 14) & MappingFlag.Owner) !== 0;
  }

  setOwner(mapping: number, owner: boolean): void {
    const at = (mapping << MAPPING_SHIFT) + M_EXTERNAL;
    if (owner) this.words[at] |= MappingFlag.Owner << 14;
    else this.words[at] &= ~(MappingFlag.Owner << 14);
  }

  externalPort(mapping: number): number {
    return this.words[(mapping << MAPPING_SHIFT) + M_PORTS] & 0xffff;
  }

  /** The profile of the LAN that its endpoint is in. */
  profile(mapping: number): number {
    const external = this.words[(mapping << MAPPING_SHIFT) + M_EXTERNAL];
    return (external >>> MAPPING_PROFILE_SHIFT) & (PROFILES_MAX - 1);
  }

  /** Profile and class: those of its first packet, or of the one by which it became an owner. */
  setClass(mapping: number, sessionClass: number): void {
    const at = (mapping << MAPPING_SHIFT) + M_EXTERNAL;
    const others = ~(DECISION_CLASS_MASK << MAPPING_CLASS_SHIFT);
    this.words[at] = (this.words[at] & others) | (sessionClass << MAPPING_CLASS_SHIFT);
  }

  /** Gives the mapping another primary port (when a peer claims one of its own). */
  setExternalPort(mapping: number, port: number): void {
    const at = (mapping << MAPPING_SHIFT) + M_PORTS;
    this.words[at] = (this.words[at] & 0xffff0000) | port;
  }

  host(mapping: number): number {
    return this.words[(mapping << MAPPING_SHIFT) + M_HOST] >>> 16;
  }

  private hashOf(mapping: number): number {
    const { words } = this;
    const at = mapping << MAPPING_SHIFT;
    return hash3(
      words[at + M_INTERNAL_ADDRESS],
      words[at + M_PORTS] >>> 16,
      words[at + M_EXTERNAL] & 0xff,
      this.seed,
    );
  }

  rebuildFree(): void {
    this.free.clear();
    for (let mapping = this.capacity - 1; mapping >= 0; mapping--)
      if (this.words[(mapping << MAPPING_SHIFT) + M_SESSIONS] === 0) this.free.give(mapping);
  }
}
