/** The tables of one worker, made together over one arena. */
import type { Arena } from './arena.ts';
import { Events } from './events.ts';
import { Hosts } from './hosts.ts';
import { Mappings } from './mappings.ts';
import { Permits } from './permits.ts';
import type { PortSet } from './port-set.ts';
import { Ports } from './ports.ts';
import type { RandomSource } from './random.ts';
import { Remotes } from './remotes.ts';
import { RowBuilder } from './row-builder.ts';
import { Sessions } from './sessions.ts';
import type { Upstream } from './upstream.ts';

export interface TableParts {
  arena: Arena;
  sessions: Sessions;
  mappings: Mappings;
  remotes: Remotes;
  ports: Ports;
  hosts: Hosts;
  permits: Permits;
  events: Events;
  rowBuilder: RowBuilder;
  counters: Float64Array;
  random: RandomSource;
  /** Where another NAT stands above. */
  upstream: Upstream | undefined;
}

/** Makes the tables over an arena of zeros; records that are already there are entered by `rebuild`. */
export function makeParts(arena: Arena, set: PortSet, random: RandomSource): TableParts {
  const seed = random.next();
  const sessions = new Sessions(arena, seed);
  const remotes = new Remotes(arena, set, seed);
  const mappings = new Mappings(arena, seed);
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
    permits: new Permits(Math.max(1024, arena.shape.capacity >> 3), seed),
    events: new Events(arena.events),
    rowBuilder: new RowBuilder(sessions, remotes, set),
    counters: arena.counters,
    random,
    upstream: undefined,
  };
}
