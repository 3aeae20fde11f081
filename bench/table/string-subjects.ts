/**
 * What everybody would write first: an object a session, found by a text made of its 5-tuple. Once over two Maps, once over two
 * lru-caches, which besides drop the session that was unused for longest when they are full.
 */
import { LRUCache } from 'lru-cache';
import {
  externalOf,
  internalOf,
  PROTOCOL,
  portsOf,
  REMOTE_PORT,
  remoteOf,
  type Subject,
  type Workload,
} from './workload.ts';

interface Session {
  record: number;
  internalKey: string;
  externalKey: string;
  lastSeen: number;
  packets: number;
}

interface Dictionary {
  get(key: string): Session | undefined;
  set(key: string, session: Session): unknown;
  delete(key: string): boolean;
}

const keyOf = (address: number, remote: number, ports: number): string =>
  `${address}:${ports >>> 16}-${remote}:${ports & 0xffff}/${PROTOCOL}`;

export class StringSubject implements Subject {
  private readonly work: Workload;
  private readonly byInternal: Dictionary;
  private readonly byExternal: Dictionary;
  private readonly records: Session[] = [];

  constructor(work: Workload, make: () => Dictionary) {
    this.work = work;
    this.byInternal = make();
    this.byExternal = make();
  }

  insert(): void {
    for (let n = 0; n < this.work.sessions; n++) this.open(n, n);
  }

  private open(n: number, record: number): void {
    const session = {
      record,
      internalKey: keyOf(internalOf(n), remoteOf(n), portsOf(n)),
      externalKey: keyOf(externalOf(n), remoteOf(n), REMOTE_PORT),
      lastSeen: 0,
      packets: 0,
    };
    this.records[record] = session;
    this.byInternal.set(session.internalKey, session);
    this.byExternal.set(session.externalKey, session);
  }

  private close(record: number): void {
    const { internalKey, externalKey } = this.records[record];
    this.byInternal.delete(internalKey);
    this.byExternal.delete(externalKey);
  }

  outbound(): number {
    return this.findAll(this.work.outbound, 1);
  }

  miss(): number {
    return this.findAll(this.work.missed, 2);
  }

  streamed(): number {
    return this.findAll(this.work.outbound, 1);
  }

  /** @param step to the next key when nothing was found (-1), one more than when something was */
  private findAll(keys: Int32Array, step: number): number {
    const { byInternal } = this;
    let sum = 0;
    for (let at = 0; at < keys.length; ) {
      const session = byInternal.get(keyOf(keys[at], keys[at + 1], keys[at + 2]));
      const found = session === undefined ? -1 : session.record;
      sum = (sum + found) | 0;
      at += 3 * (step + (found >> 31));
    }
    return sum;
  }

  inbound(): number {
    const { byExternal } = this;
    const { inbound } = this.work;
    let sum = 0;
    for (let at = 0; at < inbound.length; at += 2) {
      const session = byExternal.get(keyOf(inbound[at], inbound[at + 1], REMOTE_PORT));
      sum = (sum + (session === undefined ? -1 : session.record)) | 0;
    }
    return sum;
  }

  churn(): void {
    const { victims, operations } = this.work;
    for (let i = 0; i < operations; i++) {
      this.close(victims[i]);
      this.open(this.work.sessions + i, victims[i]);
    }
  }

  end(): void {
    const { ends } = this.work;
    for (let i = 0; i < ends.length; i++) this.close(ends[i]);
    this.records.length = 0;
  }
}

export const mapSubject = (work: Workload, _capacity: number): Subject =>
  new StringSubject(work, () => new Map());

export const lruSubject = (work: Workload, capacity: number): Subject =>
  new StringSubject(work, () => new LRUCache<string, Session>({ max: capacity }));
