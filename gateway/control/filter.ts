/**
 * The filter language of every list, in the command line, in the API and in addresses of pages.
 *
 *   filter   = term *( blank term )                  all terms must hold
 *   term     = word                                  any address, port or endpoint of the row
 *            | key ( "=" | "!=" ) value              exact
 *            | key ( ">" | ">=" | "<" | "<=" ) number
 *
 *   endpoint   192.168.1.20   192.168.1.0/24   192.168.1.20:443   192.168.1.0/24:53   :443
 *   port       443   20000-29999
 *   name       udp   dns,ntp              one of several; upper and lower case are the same
 *   number     90s 1h30m (time)   10M 64Mi (bytes)   12k (count)   A..B, A.., ..B (a range with both ends in it,
 *              which a shell does not take for a redirection)
 *
 * A filter is compiled once into closures over raw numbers and then asked per row; it allocates nothing there. Which
 * keys a list has is told by its table of fields (rows.ts), and the same table gives the keys to sort by.
 *
 * What it does not do: OR between terms, regular expressions, names of hosts.
 */
import { nearest, parseAddress, parseDuration, parseQuantity } from './text.ts';

/** Port of an endpoint that has an address only; of one that is not there at all. */
export const PORTLESS = -1;
export const ABSENT = -2;

export type Field<Row> =
  | { type: 'endpoint'; address: (row: Row) => number; port: (row: Row) => number }
  /** Matches if one of them does; the first is the one to sort by. */
  | { type: 'port'; ports: readonly ((row: Row) => number)[] }
  | { type: 'number'; unit: 'seconds' | 'bytes' | 'count'; read: (row: Row) => number }
  /** `values`, in lower case, are all there are; `bare`: a bare word may be one of them. */
  | { type: 'name'; read: (row: Row) => string; values?: readonly string[]; bare?: boolean }
  | { type: 'names'; read: (row: Row) => readonly string[] }
  /** Prose: a bare word that is no address or port and occurs in it matches. */
  | { type: 'text'; read: (row: Row) => string };

export type Fields<Row> = Readonly<Record<string, Field<Row>>>;
export type Predicate<Row> = (row: Row) => boolean;

export interface Filter<Row> {
  readonly text: string;
  readonly terms: readonly string[];
  matches: Predicate<Row>;
}

/** Wrong in what the asker wrote: the server answers 400 with the message. */
export class QueryError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export const FILTER_CHARACTERS_MAX = 2_048;
export const FILTER_TERMS_MAX = 32;

const OPERATOR = /^([A-Za-z][A-Za-z-]*)(!=|>=|<=|=|>|<)(.*)$/s;

export function compileFilter<Row>(text: string, fields: Fields<Row>): Filter<Row> {
  const terms = text.split(/\s+/).filter((term) => term !== '');
  if (text.length > FILTER_CHARACTERS_MAX || terms.length > FILTER_TERMS_MAX)
    throw new QueryError(
      'FILTER_TOO_LONG',
      `the filter has ${terms.length} terms and ${text.length} characters; at most ${FILTER_TERMS_MAX} terms ` +
        `and ${FILTER_CHARACTERS_MAX} characters are read`,
    );
  const predicates = terms.map((term) => compileTerm(term, fields));
  return { text, terms, matches: every(predicates) };
}

function every<Row>(predicates: readonly Predicate<Row>[]): Predicate<Row> {
  if (predicates.length === 0) return () => true;
  if (predicates.length === 1) return predicates[0];
  return (row) => {
    for (const predicate of predicates) if (!predicate(row)) return false;
    return true;
  };
}

function some<Row>(predicates: readonly Predicate<Row>[]): Predicate<Row> {
  return (row) => {
    for (const predicate of predicates) if (predicate(row)) return true;
    return false;
  };
}

function compileTerm<Row>(term: string, fields: Fields<Row>): Predicate<Row> {
  const parts = OPERATOR.exec(term);
  if (parts === null) return compileWord(term, fields);
  const key = parts[1].toLowerCase();
  const [operator, value] = [parts[2], parts[3]];
  const field = fieldOf(key, fields, 'filter by');
  if (value === '')
    throw new QueryError(
      'FILTER_VALUE',
      `"${term}" has no value behind ${operator}; ${howTo(field)}`,
    );
  if (operator === '=') return equals(term, key, value, field);
  if (operator === '!=') {
    const predicate = equals(term, key, value, field);
    return (row) => !predicate(row);
  }
  if (field.type !== 'number')
    throw new QueryError(
      'FILTER_OPERATOR',
      `"${term}": ${key} has no order, so ${operator} means nothing; write ${key}=${value}`,
    );
  return compares(operator, numberOf(term, value, field.unit), field.read);
}

/** The field named `key`, or a QueryError that names the keys there are. */
export function fieldOf<Row>(key: string, fields: Fields<Row>, purpose: string): Field<Row> {
  if (Object.hasOwn(fields, key)) return fields[key];
  const keys = Object.keys(fields);
  const guess = nearest(key, keys);
  throw new QueryError(
    'FILTER_KEY',
    `there is no "${key}" to ${purpose} here${guess === undefined ? '' : `; did you mean "${guess}"?`}` +
      `${guess === undefined ? ';' : ' There are'} ${keys.join(', ')}`,
  );
}

// ---- bare words

function compileWord<Row>(word: string, fields: Fields<Row>): Predicate<Row> {
  const endpoint = parseEndpoint(word);
  const ports = endpoint === undefined ? parsePorts(word) : undefined;
  const predicates: Predicate<Row>[] = [];
  for (const field of Object.values(fields)) {
    if (field.type === 'endpoint' && endpoint !== undefined)
      predicates.push(endpointIs(field, endpoint));
    if (field.type === 'endpoint' && ports !== undefined)
      predicates.push(portIn(field.port, ports));
    if (field.type === 'port' && ports !== undefined)
      predicates.push(...field.ports.map((read) => portIn(read, ports)));
    if (field.type === 'port' && endpoint !== undefined && endpoint.mask === undefined)
      predicates.push(...field.ports.map((read) => portIn(read, endpoint.ports!)));
    if (field.type === 'name' && field.bare && nameFits(word, field.values))
      predicates.push(nameIn(field.read, [word.toLowerCase()]));
  }
  // Prose is searched only for what is no endpoint: 10.0.0.1 is not meant to find 10.0.0.15.
  if (predicates.length === 0)
    for (const field of Object.values(fields))
      if (field.type === 'text') predicates.push(textHolds(field.read, word));
  if (predicates.length === 0)
    throw new QueryError(
      'FILTER_WORD',
      `"${word}" is no address (192.168.1.20, 192.168.1.0/24), no port (443) and no endpoint ` +
        `(192.168.1.20:443, :443); for anything else write key=value with one of ${Object.keys(fields).join(', ')}`,
    );
  return predicates.length === 1 ? predicates[0] : some(predicates);
}

const nameFits = (word: string, values: readonly string[] | undefined): boolean =>
  values === undefined || values.includes(word.toLowerCase());

function textHolds<Row>(read: (row: Row) => string, word: string): Predicate<Row> {
  const lower = word.toLowerCase();
  return (row) => read(row).toLowerCase().includes(lower);
}

// ---- key=value

function equals<Row>(term: string, key: string, value: string, field: Field<Row>): Predicate<Row> {
  switch (field.type) {
    case 'endpoint': {
      const endpoint = parseEndpoint(value);
      if (endpoint !== undefined) return endpointIs(field, endpoint);
      break;
    }
    case 'port': {
      const ports = parsePorts(value.startsWith(':') ? value.slice(1) : value);
      if (ports !== undefined) return some(field.ports.map((read) => portIn(read, ports)));
      break;
    }
    case 'number': {
      const [low, high] = rangeOf(term, value, field.unit);
      const { read } = field;
      return (row) => {
        const number = read(row);
        return number >= low && number <= high;
      };
    }
    case 'name': {
      const names = value.toLowerCase().split(',');
      const wrong = names.find((name) => !nameFits(name, field.values));
      if (wrong === undefined) return nameIn(field.read, names);
      throw new QueryError(
        'FILTER_VALUE',
        `"${term}": "${wrong}" is no ${key}; one of ${field.values!.join(', ')}`,
      );
    }
    case 'names': {
      const name = value.toLowerCase();
      const { read } = field;
      return (row) => read(row).includes(name);
    }
    case 'text':
      return textHolds(field.read, value);
  }
  throw new QueryError('FILTER_VALUE', `"${term}": "${value}" is not understood; ${howTo(field)}`);
}

/** Names are few and repeat in every row, so the comparison in lower case is made once for each. */
function nameIn<Row>(read: (row: Row) => string, names: readonly string[]): Predicate<Row> {
  const known = new Map<string, boolean>();
  return (row) => {
    const name = read(row);
    let answer = known.get(name);
    if (answer === undefined) {
      answer = names.includes(name.toLowerCase());
      known.set(name, answer);
    }
    return answer;
  };
}

// ---- endpoints and ports

interface EndpointPattern {
  /** undefined: any address. */
  mask: number | undefined;
  network: number;
  /** undefined: any port. */
  ports: PortRange | undefined;
}

type PortRange = readonly [low: number, high: number];

function parseEndpoint(text: string): EndpointPattern | undefined {
  const colon = text.indexOf(':');
  const ports = colon < 0 ? undefined : parsePorts(text.slice(colon + 1));
  if (colon >= 0 && ports === undefined) return undefined;
  const place = colon < 0 ? text : text.slice(0, colon);
  if (place === '') return { mask: undefined, network: 0, ports };

  const [addressText, lengthText] = place.split('/', 2);
  const address = parseAddress(addressText);
  if (address === undefined || place.split('/').length > 2) return undefined;
  if (lengthText !== undefined && !/^\d{1,2}$/.test(lengthText)) return undefined;
  const length = lengthText === undefined ? 32 : Number(lengthText);
  if (length > 32) return undefined;
  // A shift by 32 is a shift by 0 in JavaScript, so the mask of /0 is written out.
  const mask = length === 0 ? 0 : -1 << (32 - length);
  return { mask, network: address & mask, ports };
}

function parsePorts(text: string): PortRange | undefined {
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (parts === null) return undefined;
  const low = Number(parts[1]);
  const high = parts[2] === undefined ? low : Number(parts[2]);
  return low <= high && high <= 65_535 ? [low, high] : undefined;
}

function endpointIs<Row>(
  field: Extract<Field<Row>, { type: 'endpoint' }>,
  pattern: EndpointPattern,
): Predicate<Row> {
  const { address, port } = field;
  const { mask, network, ports } = pattern;
  if (mask === undefined) return portIn(port, ports!);
  if (ports === undefined)
    return (row) => (address(row) & mask) === network && port(row) !== ABSENT;
  const inPorts = portIn(port, ports);
  return (row) => (address(row) & mask) === network && inPorts(row);
}

function portIn<Row>(read: (row: Row) => number, [low, high]: PortRange): Predicate<Row> {
  return (row) => {
    const port = read(row);
    return port >= low && port <= high;
  };
}

// ---- numbers

type Unit = 'seconds' | 'bytes' | 'count';

function numberOf(term: string, text: string, unit: Unit): number {
  const number = unit === 'seconds' ? parseDuration(text) : parseQuantity(text);
  if (number !== undefined) return number;
  throw new QueryError(
    'FILTER_VALUE',
    `"${term}": "${text}" is no ${unit === 'seconds' ? 'time' : 'number'}; ${NUMBER_EXAMPLES[unit]}`,
  );
}

function rangeOf(term: string, value: string, unit: Unit): [number, number] {
  const dots = value.indexOf('..');
  if (dots < 0) {
    const number = numberOf(term, value, unit);
    return [number, number];
  }
  const [low, high] = [value.slice(0, dots), value.slice(dots + 2)];
  return [
    low === '' ? Number.NEGATIVE_INFINITY : numberOf(term, low, unit),
    high === '' ? Number.POSITIVE_INFINITY : numberOf(term, high, unit),
  ];
}

function compares<Row>(
  operator: string,
  bound: number,
  read: (row: Row) => number,
): Predicate<Row> {
  if (operator === '>') return (row) => read(row) > bound;
  if (operator === '>=') return (row) => read(row) >= bound;
  if (operator === '<') return (row) => read(row) < bound;
  return (row) => read(row) <= bound;
}

// ---- words

const NUMBER_EXAMPLES: Record<Unit, string> = {
  seconds: 'write 90s, 5m, 1h30m or 2d',
  bytes: 'write 1500, 10k, 10M or 64Mi',
  count: 'write 12 or 12k',
};

function howTo<Row>(field: Field<Row>): string {
  switch (field.type) {
    case 'endpoint':
      return 'write 192.168.1.20, 192.168.1.0/24, 192.168.1.20:443 or :443';
    case 'port':
      return 'write a port (443) or a range (20000-29999), at most 65535';
    case 'number':
      return NUMBER_EXAMPLES[field.unit];
    case 'name':
      return field.values === undefined ? 'write a name' : `one of ${field.values.join(', ')}`;
    default:
      return 'write a name';
  }
}
