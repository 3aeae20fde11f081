/**
 * Dead destinations: which host sends UDP to which address, and nothing there answers.
 *
 *   first pass    unanswered sessions older than three seconds, by host and remote address
 *   second pass   of the pairs with several: is any session answered, which ports, since when; now of all ages
 *
 * One answer from the address, to whatever port of the host, and the pair is not silent. What came from outside is not looked at.
 */
import {
  CLASS_MASK,
  CLASS_NAMES,
  CLASSES_MAX,
  COMMIT_CLASS_SHIFT,
  Flag,
  State,
  TICK_MS,
  TICKS_PER_SECOND,
} from '../../core/state.ts';
import {
  type Arena,
  H_TICK,
  S_CREATED,
  S_EXTERNAL,
  S_INTERNAL_ADDRESS,
  S_PACKETS_OUT,
  S_PORTS,
  S_REMOTE_ADDRESS,
} from '../../core/table/arena.ts';
import { PROTOCOL_UDP } from '../../core/wire/ipv4.ts';
import { formatAddress } from '../control/text.ts';
import type { SilentFacts } from './why-facts.ts';
import { AddressTable, add, eachSession, isSame, topOf } from './why-records.ts';

/** Pairs of host and address without an answer: told apart, and looked at closely. */
const PAIRS_MAX = 65_536;
const PAIRS_CLOSE = 256;
/** Ports of a pair that are told apart. */
const PAIR_PORTS_MAX = 1_024;
/** Younger sessions may still be answered. */
const SILENT_TICKS = 3 * TICKS_PER_SECOND;

/** Looks for silence only: what has to be known all the time, so that it can be said since when. */
export async function findSilence(arena: Arena, nowMs: number): Promise<SilentFacts[]> {
  const pairs = new SilentPairs(arena, nowMs);
  await eachSession(arena, (at, commit) => pairs.count(at, commit));
  if (pairs.choose() === 0) return [];
  await eachSession(arena, (at, commit) => pairs.lookClosely(at, commit));
  return pairs.result();
}

/** Pairs of internal host and remote address whose UDP sessions have no answer. */
export class SilentPairs {
  private readonly arena: Arena;
  private readonly tick: number;
  private readonly nowMs: number;
  private readonly counts = new AddressTable(PAIRS_MAX);
  /** Number + 1 of the pairs that are looked at closely. */
  private readonly close = new AddressTable(PAIRS_CLOSE);
  private readonly pairs: Pair[] = [];

  constructor(arena: Arena, nowMs: number) {
    this.arena = arena;
    this.nowMs = nowMs;
    this.tick = Atomics.load(arena.header, H_TICK);
  }

  private isSilent(at: number, commit: number): boolean {
    return (
      (commit & 63) === State.Unanswered &&
      ((commit >>> 12) & (Flag.CreatedInbound | Flag.Hairpin)) === 0 &&
      this.tick - this.arena.sessions[at + S_CREATED] > SILENT_TICKS
    );
  }

  count(at: number, commit: number): void {
    const { sessions } = this.arena;
    if ((sessions[at + S_EXTERNAL] & 0xff) !== PROTOCOL_UDP || !this.isSilent(at, commit)) return;
    const internal = sessions[at + S_INTERNAL_ADDRESS];
    const remote = sessions[at + S_REMOTE_ADDRESS];
    if (isSame(sessions, at, commit)) this.counts.increment(internal, remote);
  }

  /** Chooses the pairs with most sessions; how many those are. */
  choose(): number {
    for (const { one, other } of this.counts.greatest(PAIRS_CLOSE, 2)) {
      this.pairs.push(new Pair(one, other));
      this.close.set(one, other, this.pairs.length);
    }
    return this.pairs.length;
  }

  lookClosely(at: number, commit: number): void {
    const { sessions } = this.arena;
    const external = sessions[at + S_EXTERNAL];
    if (this.pairs.length === 0 || (external & 0xff) !== PROTOCOL_UDP) return;
    const number = this.close.get(
      sessions[at + S_INTERNAL_ADDRESS],
      sessions[at + S_REMOTE_ADDRESS],
    );
    if (number === 0) return;
    const pair = this.pairs[number - 1];
    const ports = sessions[at + S_PORTS];
    const created = sessions[at + S_CREATED];
    const packets = sessions[at + S_PACKETS_OUT];
    if (!isSame(sessions, at, commit)) return;
    if ((commit & 63) === State.Answered) pair.isAnswered = true;
    if ((commit & 63) !== State.Unanswered) return;
    pair.sessions++;
    pair.packets += packets;
    pair.oldest = Math.min(pair.oldest, created);
    if (pair.externalPorts.size < PAIR_PORTS_MAX) pair.externalPorts.add(external >>> 16);
    if (pair.sourcePorts.size < PAIR_PORTS_MAX) pair.sourcePorts.add(ports >>> 16);
    add(pair.ports, ports & 0xffff, PAIR_PORTS_MAX);
    add(pair.classes, (commit >>> COMMIT_CLASS_SHIFT) & CLASS_MASK, CLASSES_MAX);
  }

  /** Of those to which nothing was answered; most sessions first. */
  result(): SilentFacts[] {
    return this.pairs
      .filter((pair) => !pair.isAnswered && pair.sessions > 1)
      .sort((a, b) => b.sessions - a.sessions)
      .map((pair) => ({
        host: formatAddress(pair.internal),
        remote: formatAddress(pair.remote),
        ports: topOf(pair.ports).map(([port]) => port),
        portCount: pair.ports.size,
        class: CLASS_NAMES[topOf(pair.classes)[0][0]],
        sessions: pair.sessions,
        externalPorts: pair.externalPorts.size,
        sourcePorts: pair.sourcePorts.size,
        packets: pair.packets,
        sinceMs: this.nowMs - (this.tick - pair.oldest) * TICK_MS,
      }));
  }
}

class Pair {
  readonly internal: number;
  readonly remote: number;
  isAnswered = false;
  sessions = 0;
  packets = 0;
  oldest = 0x7fffffff;
  readonly externalPorts = new Set<number>();
  readonly sourcePorts = new Set<number>();
  readonly ports = new Map<number, number>();
  readonly classes = new Map<number, number>();

  constructor(internal: number, remote: number) {
    this.internal = internal;
    this.remote = remote;
  }
}
