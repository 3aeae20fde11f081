/** Reads the ring of events that the datapath writes into the arena, and says in words what happened. */

import { TICK_MS } from '../../core/state.ts';
import { type Arena, EVENT_CAPACITY, EVENT_WORDS } from '../../core/table/arena.ts';
import { EVENT_NAMES, Event } from '../../core/table/events.ts';
import { PROTOCOL_NAMES, protocolIndexOf } from '../../core/table/protocols.ts';
import { DROP_MEANING } from '../../core/verdict.ts';
import { formatIpv4 } from '../../core/wire/ipv4.ts';
import type { EventItem } from '../control/api.ts';
import { PRESSURE_CAUSES } from './why-facts.ts';
import { causeSentence } from './why-words.ts';

const SUPPRESSED_MASK = 0xffffff;
/** Events whose detail is the reason of a refusal. */
const REFUSALS: readonly number[] = [
  Event.SessionRefused,
  Event.TableFull,
  Event.PolicyRefused,
  Event.HostLimited,
];

/** An event as the ring has it. */
export interface RawEvent {
  kind: number;
  /** Wall clock, in milliseconds. */
  timeMs: number;
  internalAddress: number;
  remoteAddress: number;
  remotePort: number;
  protocol: number;
  detail: number;
}

export class EventLog {
  /** Hears of each event that is taken from the ring. Of a session that was refused it may return why, where it knows that better. */
  onEvent: ((event: RawEvent) => string | undefined) | undefined;
  private readonly arena: Arena;
  private readonly portCount: number;
  /** Wall-clock time at tick 0. */
  private readonly epochTime: number;
  private readonly items: EventItem[] = [];
  lastSequence = 0;

  constructor(arena: Arena, portCount: number, epochTime: number) {
    this.arena = arena;
    this.portCount = portCount;
    this.epochTime = epochTime;
  }

  get oldestSequence(): number {
    return this.items.length > 0 ? this.items[0].sequence : this.lastSequence + 1;
  }

  /** Takes what is new from the ring and returns it. */
  poll(): EventItem[] {
    const { events } = this.arena;
    const fresh: EventItem[] = [];
    for (;;) {
      const sequence = this.lastSequence + 1;
      const at = (sequence % EVENT_CAPACITY) * EVENT_WORDS;
      const found = Atomics.load(events, at);
      if (found < sequence) break;
      // The writer went round the ring since the last look: go on with the oldest that is there.
      if (found > sequence) {
        this.lastSequence = found - EVENT_CAPACITY + EVENT_CAPACITY / 2;
        continue;
      }
      const item = this.read(at, sequence);
      const raw = this.rawAt(at);
      if (Atomics.load(events, at) !== sequence) continue;
      this.lastSequence = sequence;
      fresh.push(item);
      const reason = this.onEvent?.(raw);
      if (reason !== undefined)
        item.text = `${item.protocol} ${item.internal} to ${item.remote} was refused: ${reason}`;
    }
    this.items.push(...fresh);
    if (this.items.length > EVENT_CAPACITY)
      this.items.splice(0, this.items.length - EVENT_CAPACITY);
    return fresh;
  }

  *after(since: number): Generator<EventItem> {
    for (const item of this.items) if (item.sequence > since) yield item;
  }

  private read(at: number, sequence: number): EventItem {
    const { events } = this.arena;
    const kind = events[at + 2] >>> 24;
    const ports = events[at + 5];
    const protocol = PROTOCOL_NAMES[protocolIndexOf(events[at + 6] & 0xff)];
    const internal = `${formatIpv4(events[at + 3])}:${ports >>> 16}`;
    const remote = `${formatIpv4(events[at + 4])}:${ports & 0xffff}`;
    const reason = REFUSALS.includes(kind) ? DROP_MEANING[events[at + 7]]?.[0] : undefined;
    return {
      sequence,
      time: new Date(this.epochTime + events[at + 1] * TICK_MS).toISOString(),
      kind: EVENT_NAMES[kind] ?? `kind-${kind}`,
      // Pressure is nobody's in particular.
      ...(kind === Event.PressureChanged ? {} : { protocol, internal, remote }),
      ...(reason === undefined ? {} : { reason }),
      suppressed: events[at + 2] & SUPPRESSED_MASK,
      text: this.sentence(kind, protocol, internal, remote, events[at + 7]),
    };
  }

  private rawAt(at: number): RawEvent {
    const { events } = this.arena;
    return {
      kind: events[at + 2] >>> 24,
      timeMs: this.epochTime + events[at + 1] * TICK_MS,
      internalAddress: events[at + 3],
      remoteAddress: events[at + 4],
      remotePort: events[at + 5] & 0xffff,
      protocol: events[at + 6] & 0xff,
      detail: events[at + 7],
    };
  }

  private sentence(
    kind: number,
    protocol: string,
    internal: string,
    remote: string,
    detail: number,
  ): string {
    const who = `${protocol} ${internal} to ${remote}`;
    switch (kind) {
      case Event.SessionRefused:
        return `${who} was refused: all ${this.portCount} external ports are taken towards that remote endpoint`;
      case Event.TableFull:
        return `${who} was refused: ${DROP_MEANING[detail]?.[1] ?? 'a table is full'}`;
      case Event.PeerWithoutPort:
        return `${who}: a peer found no port of its own and shares one, so that others may not reach it`;
      case Event.PolicyRefused:
        return `${who} was refused by a policy: ${DROP_MEANING[detail]?.[1] ?? 'no reason is known'}`;
      case Event.HostLimited:
        return `${who} was refused: ${DROP_MEANING[detail]?.[1] ?? 'a limit was reached'}`;
      case Event.PressureChanged:
        return detail >> 8 === 0
          ? 'pressure is over: there is room again'
          : `pressure is at level ${detail >> 8} of 3: ${causeSentence(PRESSURE_CAUSES[detail & 0xff])}`;
      default:
        return who;
    }
  }
}
