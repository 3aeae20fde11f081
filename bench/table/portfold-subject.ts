/** The session table of core/table, without mappings, remotes and ports: records and both indexes. */
import { Arena, arenaBytes, SESSION_WORDS } from '../../core/table/arena.ts';
import { SESSION_SHIFT, Sessions } from '../../core/table/sessions.ts';
import { preferHugePages } from '../../tun/native.ts';
import {
  externalOf,
  internalOf,
  PROTOCOL,
  portsOf,
  REMOTE_PORT,
  remoteOf,
  SEED,
  type Subject,
  type Workload,
} from './workload.ts';

export class PortfoldSubject implements Subject {
  private readonly work: Workload;
  private readonly sessions: Sessions;

  constructor(work: Workload, capacity: number) {
    const shape = { capacity, portCount: 240, externalCount: 1 };
    this.work = work;
    this.sessions = new Sessions(new Arena(new ArrayBuffer(arenaBytes(shape)), shape), SEED);
    preferHugePages(this.sessions.byInternal.slots);
    preferHugePages(this.sessions.byExternal.slots);
    this.sessions.rebuildFree();
  }

  insert(): void {
    for (let n = 0; n < this.work.sessions; n++) this.open(n);
  }

  /** Writes a record as `take` and `commit` do, and links it. */
  private open(n: number): void {
    const { sessions } = this;
    const { words } = sessions;
    const session = sessions.free.take();
    const at = session << SESSION_SHIFT;
    words[at] = internalOf(n);
    words[at + 1] = remoteOf(n);
    words[at + 2] = portsOf(n);
    words[at + 3] = externalOf(n);
    for (let word = 5; word < SESSION_WORDS; word++) words[at + word] = 0;
    Atomics.store(words, at + 4, (1 << 24) | 6);
    sessions.link(session);
  }

  outbound(): number {
    return this.findAll(this.work.outbound, 1);
  }

  miss(): number {
    return this.findAll(this.work.missed, 2);
  }

  /** @param step to the next key when nothing was found (-1), one more than when something was */
  private findAll(keys: Int32Array, step: number): number {
    const { sessions } = this;
    let sum = 0;
    for (let at = 0; at < keys.length; ) {
      const found = sessions.findInternal(keys[at], keys[at + 1], keys[at + 2], PROTOCOL);
      sum = (sum + found) | 0;
      at += 3 * (step + (found >> 31));
    }
    return sum;
  }

  inbound(): number {
    const { sessions } = this;
    const { inbound } = this.work;
    let sum = 0;
    for (let at = 0; at < inbound.length; ) {
      const found = sessions.findExternal(inbound[at], inbound[at + 1], REMOTE_PORT);
      sum = (sum + found) | 0;
      at += 2 * (1 + (found >> 31));
    }
    return sum;
  }

  streamed(): number {
    const { sessions } = this;
    const { outbound } = this.work;
    let sum = 0;
    for (let at = 0; at < outbound.length; at += 3)
      sum =
        (sum + sessions.findInternal(outbound[at], outbound[at + 1], outbound[at + 2], PROTOCOL)) |
        0;
    return sum;
  }

  churn(): void {
    const { victims, operations } = this.work;
    for (let i = 0; i < operations; i++) {
      this.sessions.unlink(victims[i]);
      this.open(this.work.sessions + i);
    }
  }

  end(): void {
    const { ends } = this.work;
    for (let i = 0; i < ends.length; i++) this.sessions.unlink(ends[i]);
  }

  bytes(): number {
    const { words, byInternal, byExternal } = this.sessions;
    return words.byteLength + byInternal.slots.byteLength + byExternal.slots.byteLength;
  }
}
