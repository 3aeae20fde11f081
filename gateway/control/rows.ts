/**
 * What each list is: the keys that filter and sort it, and how a row of numbers becomes an item with text.
 *
 *   key in a filter  ──>  field of the row  (read without allocating)
 *   row              ──>  item              (made only for what is shown)
 */
import { CLASS_NAMES, STATE_NAMES } from '../../core/state.ts';
import type {
  DropItem,
  EventItem,
  HostItem,
  ListItems,
  MappingItem,
  PortItem,
  SessionItem,
} from './api.ts';
import { ABSENT, type Field, type Fields, fieldOf, PORTLESS, QueryError } from './filter.ts';
import type { HostRow, MappingRow, PortRow, SessionRow } from './source.ts';
import { formatAddress, formatEndpoint, parseAddress } from './text.ts';

export interface ListKind<Row, Item> {
  fields: Fields<Row>;
  item: (row: Row) => Item;
}

/** The row type behind each list. */
export interface ListRows {
  sessions: SessionRow;
  mappings: MappingRow;
  hosts: HostRow;
  ports: PortRow;
  drops: DropItem;
  events: EventItem;
}

const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;

const number = <Row>(unit: 'seconds' | 'bytes' | 'count', read: (row: Row) => number) =>
  ({ type: 'number', unit, read }) as const;
const protocol = <Row extends { protocol?: string }>(): Field<Row> => ({
  type: 'name',
  read: (row) => row.protocol ?? '',
  values: PROTOCOLS,
  bare: true,
});

const sessionClass = <Row extends { class: string }>(): Field<Row> => ({
  type: 'name',
  read: (row) => row.class,
  values: CLASS_NAMES,
  bare: true,
});

interface InternalAndExternal {
  internalAddress: number;
  internalPort: number;
  externalAddress: number;
  externalPort: number;
}

const internalEndpoint = <Row extends InternalAndExternal>(): Field<Row> => ({
  type: 'endpoint',
  address: (row) => row.internalAddress,
  port: (row) => row.internalPort,
});
const externalEndpoint = <Row extends InternalAndExternal>(): Field<Row> => ({
  type: 'endpoint',
  address: (row) => row.externalAddress,
  port: (row) => row.externalPort,
});

const sessions: ListKind<SessionRow, SessionItem> = {
  fields: {
    proto: protocol(),
    host: internalEndpoint(),
    remote: {
      type: 'endpoint',
      address: (row) => row.remoteAddress,
      port: (row) => row.remotePort,
    },
    external: externalEndpoint(),
    port: {
      type: 'port',
      ports: [(row) => row.externalPort, (row) => row.internalPort, (row) => row.remotePort],
    },
    lan: { type: 'name', read: (row) => row.lan },
    state: { type: 'name', read: (row) => row.state, values: STATE_NAMES.slice(1) },
    class: sessionClass(),
    flag: { type: 'names', read: (row) => row.flags },
    age: number('seconds', (row) => row.ageSeconds),
    idle: number('seconds', (row) => row.idleSeconds),
    left: number('seconds', (row) => row.timeLeftSeconds),
    bytes: number('bytes', (row) => row.bytesOut + row.bytesIn),
    out: number('bytes', (row) => row.bytesOut),
    in: number('bytes', (row) => row.bytesIn),
  },
  item: (row) => ({
    protocol: row.protocol,
    internal: formatEndpoint(row.internalAddress, row.internalPort),
    external: formatEndpoint(row.externalAddress, row.externalPort),
    remote: formatEndpoint(row.remoteAddress, row.remotePort),
    state: row.state,
    class: row.class,
    flags: row.flags.slice(),
    ageSeconds: row.ageSeconds,
    idleSeconds: row.idleSeconds,
    timeLeftSeconds: row.timeLeftSeconds,
    ...(row.packetsOut >= 0 ? { packetsOut: row.packetsOut, packetsIn: row.packetsIn } : {}),
    bytesOut: row.bytesOut,
    bytesIn: row.bytesIn,
  }),
};

const mappings: ListKind<MappingRow, MappingItem> = {
  fields: {
    proto: protocol(),
    host: internalEndpoint(),
    external: externalEndpoint(),
    port: { type: 'port', ports: [(row) => row.externalPort, (row) => row.internalPort] },
    lan: { type: 'name', read: (row) => row.lan },
    role: { type: 'name', read: (row) => row.role, values: ['owner', 'guest'], bare: true },
    class: sessionClass(),
    sessions: number('count', (row) => row.sessions),
    age: number('seconds', (row) => row.ageSeconds),
    idle: number('seconds', (row) => row.idleSeconds),
  },
  item: (row) => ({
    protocol: row.protocol,
    internal: formatEndpoint(row.internalAddress, row.internalPort),
    external: formatEndpoint(row.externalAddress, row.externalPort),
    role: row.role,
    class: row.class,
    sessions: row.sessions,
    ageSeconds: row.ageSeconds,
    idleSeconds: row.idleSeconds,
  }),
};

const hosts: ListKind<HostRow, HostItem> = {
  fields: {
    host: { type: 'endpoint', address: (row) => row.address, port: () => PORTLESS },
    lan: { type: 'name', read: (row) => row.lan },
    sessions: number('count', (row) => row.sessions),
    mappings: number('count', (row) => row.mappings),
    owned: number('count', (row) => row.portsOwned),
    peak: number('count', (row) => row.sessionsPeak),
    created: number('count', (row) => row.sessionsCreated),
    refused: number('count', (row) => row.sessionsRefused),
    limit: number('count', (row) => row.sessionsMax),
    idle: number('seconds', (row) => row.lastSeenSeconds),
    bytes: number('bytes', (row) => row.bytesOut + row.bytesIn),
    out: number('bytes', (row) => row.bytesOut),
    in: number('bytes', (row) => row.bytesIn),
  },
  item: (row) => ({
    address: formatAddress(row.address),
    lan: row.lan,
    sessions: row.sessions,
    mappings: row.mappings,
    portsOwned: row.portsOwned,
    sessionsPeak: row.sessionsPeak,
    sessionsCreated: row.sessionsCreated,
    sessionsRefused: row.sessionsRefused,
    sessionsMax: row.sessionsMax,
    newPerSecondMax: row.newPerSecondMax,
    portsOwnedMax: row.portsOwnedMax,
    bytesOut: row.bytesOut,
    bytesIn: row.bytesIn,
    lastSeenSeconds: row.lastSeenSeconds,
  }),
};

const ports: ListKind<PortRow, PortItem> = {
  fields: {
    proto: protocol(),
    external: { type: 'endpoint', address: (row) => row.externalAddress, port: (row) => row.port },
    host: {
      type: 'endpoint',
      address: (row) => row.ownerAddress,
      port: (row) => (row.ownerPort < 0 ? ABSENT : row.ownerPort),
    },
    port: { type: 'port', ports: [(row) => row.port] },
    role: {
      type: 'name',
      read: (row) => (row.ownerPort < 0 ? 'shared' : 'owned'),
      values: ['owned', 'shared'],
      bare: true,
    },
    sessions: number('count', (row) => row.sessions),
  },
  item: (row) => ({
    protocol: row.protocol,
    externalAddress: formatAddress(row.externalAddress),
    port: row.port,
    sessions: row.sessions,
    ...(row.ownerPort < 0 ? {} : { owner: formatEndpoint(row.ownerAddress, row.ownerPort) }),
  }),
};

const drops: ListKind<DropItem, DropItem> = {
  fields: {
    reason: { type: 'name', read: (row) => row.reason },
    packets: number('count', (row) => row.packets),
    words: { type: 'text', read: (row) => `${row.reason} ${row.meaning}` },
  },
  item: (row) => row,
};

const textEndpoint = (read: (row: EventItem) => string | undefined): Field<EventItem> => ({
  type: 'endpoint',
  address: (row) => parseAddress((read(row) ?? '').split(':')[0]) ?? 0,
  port: (row) => portOfText(read(row)),
});

const events: ListKind<EventItem, EventItem> = {
  fields: {
    kind: { type: 'name', read: (row) => row.kind },
    proto: protocol(),
    host: textEndpoint((row) => row.internal),
    remote: textEndpoint((row) => row.remote),
    external: textEndpoint((row) => row.external),
    sequence: number('count', (row) => row.sequence),
    suppressed: number('count', (row) => row.suppressed),
    words: { type: 'text', read: (row) => `${row.kind} ${row.text}` },
  },
  item: (row) => row,
};

export const LISTS: { [Name in keyof ListItems]: ListKind<ListRows[Name], ListItems[Name]> } = {
  sessions,
  mappings,
  hosts,
  ports,
  drops,
  events,
};

function portOfText(endpoint: string | undefined): number {
  if (endpoint === undefined) return ABSENT;
  const colon = endpoint.indexOf(':');
  return colon < 0 ? PORTLESS : Number(endpoint.slice(colon + 1));
}

/** What rows are ordered by: a number or a text, the same of the two for every row. */
export type SortKey<Row> = (row: Row) => number | string;

/** "key" or "-key" → how to read the key and whether the greatest comes first. */
export function sortKeyOf<Row>(
  text: string,
  fields: Fields<Row>,
): { read: SortKey<Row>; descending: boolean } {
  const descending = text.startsWith('-');
  const key = (descending ? text.slice(1) : text).toLowerCase();
  const field = fieldOf(key, fields, 'sort by');
  switch (field.type) {
    case 'endpoint':
      return {
        // Unsigned address first, then port: both fit in 49 bits. An absent endpoint sorts before every other.
        read: (row) => {
          const port = field.port(row);
          return port === ABSENT ? -1 : (field.address(row) >>> 0) * 131_072 + port + 1;
        },
        descending,
      };
    case 'port':
      return { read: field.ports[0], descending };
    case 'number':
    case 'name':
    case 'text':
      return { read: field.read, descending };
    default:
      throw new QueryError('SORT_KEY', `${key} is a set of words and cannot be sorted by`);
  }
}
