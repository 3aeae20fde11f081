/** The tables of one worker, made together over one arena. */
import type { Arena } from './arena.ts';
import { Events } from './events.ts';
import { Filter } from './filter.ts';
import { Hosts } from './hosts.ts';
import { Mappings } from './mappings.ts';
import { Permits } from './permits.ts';
import type { PortSet } from './port-set.ts';
import { Ports } from './ports.ts';
import type { RandomSource } from './random.ts';
import { Remotes } from './remotes.ts';
import { RowBuilder } from './row-builder.ts';
import { Sessions } from './sessions.ts';
import { Unanswered } from './unanswered.ts';
import type { Upstream } from './upstream.ts';

export interface TableParts {
  arena: Arena;
  sessions: Sessions;
  mappings: Mappings;
  remotes: Remotes;
  ports: Ports;
  hosts: Hosts;
  permits: Permits;
  filter: Filter;
  events: Events;
  rowBuilder: RowBuilder;
  unanswered: Unanswered;
  counters: Float64Array;
  random: RandomSource;
  /** Where another NAT stands above. */
  upstream: Upstream | undefined;
}

/** The large arrays beside the arena, which packets read at random: who makes the tables may ask for huge pages behind them. */
export function derivedArrays(parts: TableParts): Int32Array[] {
  const { sessions, mappings, remotes } = parts;
  const indexes = [sessions.byInternal, sessions.byExternal, mappings.index, remotes.index];
  return [...indexes.map((index) => index.slots), remotes.rows];
}

/** Makes the tables over an arena of zeros; records that are already there are entered by `rebuild`. */
export function makeParts(arena: Arena, set: PortSet, random: RandomSource): TableParts {
  const seed = random.next();
  const sessions = new Sessions(arena, seed);
  const remotes = new Remotes(arena, set, seed);
  const mappings = new Mappings(arena, seed);
  const permits = new Permits(Math.max(1024, arena.shape.capacity >> 3), seed);
  sessions.rebuildFree();
  mappings.rebuildFree();
  remotes.rebuildFree();
  return {
    arena,
    sessions,
    mappings,
    remotes,
    ports: new Ports(arena, set),
    hosts: new Hosts(arena, seed),
    permits,
    filter: new Filter(mappings, permits),
    events: new Events(arena.events),
    rowBuilder: new RowBuilder(sessions, remotes, set),
    unanswered: new Unanswered(sessions, mappings, seed),
    counters: arena.counters,
    random,
    upstream: undefined,
  };
}
