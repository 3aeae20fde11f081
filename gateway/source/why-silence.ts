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
  M_HOST,
  MAPPING_WORDS,
  S_CREATED,
  S_EXTERNAL,
  S_MAPPING,
  S_PACKETS_OUT,
  S_PORTS,
  S_REMOTE_ADDRESS,
} from '../../core/table/arena.ts';
import { PROTOCOL_UDP } from '../../core/wire/ipv4.ts';
import { formatAddress } from '../control/text.ts';
import type { SilentFacts } from './why-facts.ts';
import { add, addressOf, eachSession, isSame, topOf } from './why-records.ts';

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
  private readonly counts = new Map<number, number>();
  private readonly close = new Map<number, Pair>();

  constructor(arena: Arena, nowMs: number) {
    this.arena = arena;
    this.nowMs = nowMs;
    this.tick = Atomics.load(arena.header, H_TICK);
  }

  /** Host record and remote address in one number below 2^48. */
  private keyOf(at: number): number {
    const { sessions, mappings } = this.arena;
    const host = mappings[sessions[at + S_MAPPING] * MAPPING_WORDS + M_HOST] >>> 16;
    return host * 0x100000000 + (sessions[at + S_REMOTE_ADDRESS] >>> 0);
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
    const key = this.keyOf(at);
    if (isSame(sessions, at, commit)) add(this.counts, key, PAIRS_MAX);
  }

  /** Chooses the pairs with most sessions; how many those are. */
  choose(): number {
    const several = [...this.counts].filter(([, count]) => count > 1).sort((a, b) => b[1] - a[1]);
    for (const [key] of several.slice(0, PAIRS_CLOSE)) this.close.set(key, new Pair());
    return this.close.size;
  }

  lookClosely(at: number, commit: number): void {
    const { sessions } = this.arena;
    const external = sessions[at + S_EXTERNAL];
    if (this.close.size === 0 || (external & 0xff) !== PROTOCOL_UDP) return;
    const pair = this.close.get(this.keyOf(at));
    if (pair === undefined) return;
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
    const found: SilentFacts[] = [];
    for (const [key, pair] of this.close) {
      if (pair.isAnswered || pair.sessions < 2) continue;
      found.push({
        host: addressOf(this.arena, Math.floor(key / 0x100000000)),
        remote: formatAddress(key % 0x100000000),
        ports: topOf(pair.ports).map(([port]) => port),
        portCount: pair.ports.size,
        class: CLASS_NAMES[topOf(pair.classes)[0][0]],
        sessions: pair.sessions,
        externalPorts: pair.externalPorts.size,
        sourcePorts: pair.sourcePorts.size,
        packets: pair.packets,
        sinceMs: this.nowMs - (this.tick - pair.oldest) * TICK_MS,
      });
    }
    return found.sort((a, b) => b.sessions - a.sessions);
  }
}

class Pair {
  isAnswered = false;
  sessions = 0;
  packets = 0;
  oldest = 0x7fffffff;
  readonly externalPorts = new Set<number>();
  readonly sourcePorts = new Set<number>();
  readonly ports = new Map<number, number>();
  readonly classes = new Map<number, number>();
}
