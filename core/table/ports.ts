/**
 * Who holds which external port: per external address and protocol, the owner and the sessions of each port of the set.
 *
 *   shareable     ports without an owner: guests may be put there
 *   lastResort    ports owned by a peer: guests only when nothing else is left, towards remotes that the owner does not know
 *   (neither)     fixed: static forwards, never shared
 *
 * The two bit sets are derived from the owners.
 */
import { type Arena, P_OWNER, P_SESSIONS, PORT_WORDS } from './arena.ts';
import { clearBit, setBit } from './bits.ts';
import type { PortSet } from './port-set.ts';
import { PROTOCOLS, protocolIndexOf } from './protocols.ts';

export class Ports {
  readonly words: Int32Array;
  readonly set: PortSet;
  readonly shareable: Int32Array;
  readonly lastResort: Int32Array;
  /** Owned ports, and ports with at least one session, by group. */
  readonly ownedCount: Int32Array;
  readonly usedCount: Int32Array;
  /** Owned ports of all groups. */
  ownedTotal = 0;
  readonly groups: number;

  constructor(arena: Arena, set: PortSet) {
    if (arena.shape.portCount !== set.count)
      throw new RangeError('arena made for another port set');
    this.words = arena.ports;
    this.set = set;
    this.groups = arena.shape.externalCount * PROTOCOLS;
    this.shareable = new Int32Array(this.groups * set.rowWords);
    this.lastResort = new Int32Array(this.groups * set.rowWords);
    this.ownedCount = new Int32Array(this.groups);
    this.usedCount = new Int32Array(this.groups);
    this.rebuild();
  }

  /** External address and protocol as one number. */
  group(externalIndex: number, protocol: number): number {
    return externalIndex * PROTOCOLS + protocolIndexOf(protocol);
  }

  private at(group: number, number: number): number {
    return (group * this.set.count + number) * PORT_WORDS;
  }

  /** The owning mapping, or -1. */
  owner(group: number, number: number): number {
    return this.words[this.at(group, number) + P_OWNER] - 1;
  }

  sessions(group: number, number: number): number {
    return this.words[this.at(group, number) + P_SESSIONS];
  }

  claim(group: number, number: number, mapping: number): void {
    const { rowWords } = this.set;
    this.words[this.at(group, number) + P_OWNER] = mapping + 1;
    clearBit(this.shareable, group * rowWords, number);
    setBit(this.lastResort, group * rowWords, number);
    this.ownedCount[group]++;
    this.ownedTotal++;
  }

  release(group: number, number: number): void {
    const { rowWords } = this.set;
    this.words[this.at(group, number) + P_OWNER] = 0;
    clearBit(this.lastResort, group * rowWords, number);
    setBit(this.shareable, group * rowWords, number);
    this.ownedCount[group]--;
    this.ownedTotal--;
  }

  addSession(group: number, number: number): void {
    if (this.words[this.at(group, number) + P_SESSIONS]++ === 0) this.usedCount[group]++;
  }

  removeSession(group: number, number: number): void {
    if (--this.words[this.at(group, number) + P_SESSIONS] === 0) this.usedCount[group]--;
  }

  /** Clears owners and session counts. */
  reset(): void {
    this.words.fill(0);
    this.rebuild();
  }

  /** Makes the bit sets and counts anew from the records. */
  rebuild(): void {
    const { count, rowWords } = this.set;
    this.shareable.fill(0);
    this.lastResort.fill(0);
    this.ownedCount.fill(0);
    this.ownedTotal = 0;
    this.usedCount.fill(0);
    for (let group = 0; group < this.groups; group++)
      for (let number = 0; number < count; number++) {
        const owned = this.owner(group, number) >= 0;
        setBit(owned ? this.lastResort : this.shareable, group * rowWords, number);
        if (owned) {
          this.ownedCount[group]++;
          this.ownedTotal++;
        }
        if (this.sessions(group, number) > 0) this.usedCount[group]++;
      }
  }
}
