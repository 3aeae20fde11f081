/**
 * The session table of a modelled router: entries by both of their 5-tuples, and the endpoints that they come from.
 *
 *   entry, 12 words
 *     0 internalAddress   1 remoteAddress   2 internalPort<<16 | remotePort   3 number of the external port<<8 | protocol
 *     4 what has been seen (Seen)   5 last packet, ms   6 begun, ms   7 endpoint   8, 9 hashes   10 in use
 *
 *   endpoint, 6 words
 *     0 internalAddress   1 internalPort<<16 | protocol   2 number of the external port   3 entries (0: free)   4 hash
 *
 * External ports stand here as numbers into the router's list of ports. Written apart from the engine's own tables, so that a mistake
 * there is not a mistake here; only the hash index is the same.
 */
import { HashIndex, hash3 } from '../../../core/table/hash-index.ts';

const ENTRY_WORDS = 12;
const ENDPOINT_WORDS = 6;

/** What an entry has seen, as bits. */
export const Seen = {
  Answer: 1,
  /** UDP that went on for longer than a question and its answer. */
  Stream: 2,
  FinOut: 4,
  FinIn: 8,
  Reset: 16,
} as const;

const powerOfTwo = (atLeast: number): number => 2 ** Math.ceil(Math.log2(Math.max(2, atLeast)));

export class Entries {
  readonly limit: number;
  private readonly words: Int32Array;
  private readonly byInternal: HashIndex;
  private readonly byExternal: HashIndex;
  private readonly free: number[] = [];
  /** Records below this number have been in use. */
  private used = 0;

  constructor(limit: number) {
    const capacity = powerOfTwo(limit);
    this.limit = limit;
    this.words = new Int32Array(capacity * ENTRY_WORDS);
    this.byInternal = new HashIndex(capacity);
    this.byExternal = new HashIndex(capacity);
  }

  get count(): number {
    return this.byInternal.size;
  }

  /** @param ports internalPort << 16 | remotePort */
  findInternal(internal: number, remote: number, ports: number, protocol: number): number {
    const { words } = this;
    const { slots, mask } = this.byInternal;
    const hash = hash3(internal, remote, ports, protocol);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot * 2 + 1] - 1;
      if (entry < 0) return -1;
      const at = entry * ENTRY_WORDS;
      if (
        slots[slot * 2] === hash &&
        words[at] === internal &&
        words[at + 1] === remote &&
        words[at + 2] === ports &&
        (words[at + 3] & 0xff) === protocol
      )
        return entry;
    }
  }

  /** @param external number of the external port << 8 | protocol */
  findExternal(external: number, remote: number, remotePort: number): number {
    const { words } = this;
    const { slots, mask } = this.byExternal;
    const hash = hash3(external, remote, remotePort, 0);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot * 2 + 1] - 1;
      if (entry < 0) return -1;
      const at = entry * ENTRY_WORDS;
      if (
        slots[slot * 2] === hash &&
        words[at + 3] === external &&
        words[at + 1] === remote &&
        (words[at + 2] & 0xffff) === remotePort
      )
        return entry;
    }
  }

  /** Makes an entry. There is room, and neither of its 5-tuples is taken. */
  add(
    internal: number,
    remote: number,
    ports: number,
    external: number,
    endpoint: number,
    nowMs: number,
  ): number {
    const { words } = this;
    const entry = this.free.pop() ?? this.used++;
    const at = entry * ENTRY_WORDS;
    const internalHash = hash3(internal, remote, ports, external & 0xff);
    const externalHash = hash3(external, remote, ports & 0xffff, 0);
    words[at] = internal;
    words[at + 1] = remote;
    words[at + 2] = ports;
    words[at + 3] = external;
    words[at + 4] = 0;
    words[at + 5] = nowMs;
    words[at + 6] = nowMs;
    words[at + 7] = endpoint;
    words[at + 8] = internalHash;
    words[at + 9] = externalHash;
    words[at + 10] = 1;
    this.byInternal.insert(internalHash, entry);
    this.byExternal.insert(externalHash, entry);
    return entry;
  }

  remove(entry: number): void {
    const { words } = this;
    const at = entry * ENTRY_WORDS;
    this.byInternal.remove(words[at + 8], entry);
    this.byExternal.remove(words[at + 9], entry);
    words[at + 10] = 0;
    this.free.push(entry);
  }

  /** Records to visit when every entry is to be seen; some of them are free. */
  get records(): number {
    return this.used;
  }

  isInUse(entry: number): boolean {
    return this.words[entry * ENTRY_WORDS + 10] === 1;
  }

  internalAddress(entry: number): number {
    return this.words[entry * ENTRY_WORDS];
  }

  remoteAddress(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 1];
  }

  internalPort(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 2] >>> 16;
  }

  remotePort(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 2] & 0xffff;
  }

  portNumber(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 3] >>> 8;
  }

  protocol(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 3] & 0xff;
  }

  endpoint(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 7];
  }

  seen(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 4];
  }

  setSeen(entry: number, seen: number): void {
    this.words[entry * ENTRY_WORDS + 4] = seen;
  }

  lastMs(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 5];
  }

  touch(entry: number, nowMs: number): void {
    this.words[entry * ENTRY_WORDS + 5] = nowMs;
  }

  begunMs(entry: number): number {
    return this.words[entry * ENTRY_WORDS + 6];
  }
}

export class InternalEndpoints {
  private readonly words: Int32Array;
  private readonly index: HashIndex;
  private readonly free: number[] = [];
  private used = 0;

  constructor(limit: number) {
    const capacity = powerOfTwo(limit);
    this.words = new Int32Array(capacity * ENDPOINT_WORDS);
    this.index = new HashIndex(capacity);
  }

  /** @param key internalPort << 16 | protocol */
  find(address: number, key: number): number {
    const { words } = this;
    const { slots, mask } = this.index;
    const hash = hash3(address, key, 0, 0);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const endpoint = slots[slot * 2 + 1] - 1;
      if (endpoint < 0) return -1;
      const at = endpoint * ENDPOINT_WORDS;
      if (slots[slot * 2] === hash && words[at] === address && words[at + 1] === key)
        return endpoint;
    }
  }

  /** Makes an endpoint that shows itself at a port. */
  add(address: number, key: number, portNumber: number): number {
    const { words } = this;
    const endpoint = this.free.pop() ?? this.used++;
    const at = endpoint * ENDPOINT_WORDS;
    words[at] = address;
    words[at + 1] = key;
    words[at + 2] = portNumber;
    words[at + 3] = 0;
    words[at + 4] = hash3(address, key, 0, 0);
    this.index.insert(words[at + 4], endpoint);
    return endpoint;
  }

  portNumber(endpoint: number): number {
    return this.words[endpoint * ENDPOINT_WORDS + 2];
  }

  addEntry(endpoint: number): void {
    this.words[endpoint * ENDPOINT_WORDS + 3]++;
  }

  /** Takes an entry back; the endpoint goes with its last one. */
  removeEntry(endpoint: number): void {
    const at = endpoint * ENDPOINT_WORDS;
    if (--this.words[at + 3] > 0) return;
    this.index.remove(this.words[at + 4], endpoint);
    this.free.push(endpoint);
  }
}
