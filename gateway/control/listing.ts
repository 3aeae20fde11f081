/**
 * One pass over a table: filter, order, cut, and only then make items.
 *
 *   rows ──> filter ──┬── unordered: the first `limit`, each made into an item and handed on at once
 *                     └── ordered: a heap of the best `limit`, whose root is the worst of them
 *
 * So a list of any length passes through without being held, a sort over 250,000 sessions for a screen of 40 holds 40
 * items, and a row that does not come into the answer becomes no object. The pass lets the event loop turn every few milliseconds: the control thread also feeds the
 * watchdog and answers others.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { LIMIT_DEFAULT, LIMIT_MAX, SORT_LIMIT_MAX } from './api.ts';
import { compileFilter, type Filter, QueryError } from './filter.ts';
import { type ListKind, type SortKey, sortKeyOf } from './rows.ts';

/** Rows between two looks at the clock, and the time after which the event loop turns. */
const ROWS_PER_LOOK = 512;
const TURN_MILLISECONDS = 5;

export interface Request<Row> {
  filter: Filter<Row>;
  limit: number;
  sort: { read: SortKey<Row>; descending: boolean } | undefined;
  stream: boolean;
  since: number;
}

/** Reads the query of a list; throws QueryError with a sentence for whatever is wrong in it. */
export function parseRequest<Row, Item>(
  parameters: URLSearchParams,
  kind: ListKind<Row, Item>,
): Request<Row> {
  for (const name of parameters.keys())
    if (!['filter', 'limit', 'sort', 'stream', 'since'].includes(name))
      throw new QueryError(
        'PARAMETER',
        `there is no parameter "${name}"; filter, limit, sort, stream and since are read`,
      );
  const stream = parameters.get('stream');
  if (stream !== null && stream !== 'ndjson')
    throw new QueryError('PARAMETER', `stream=${stream} is not known; write stream=ndjson`);
  const sort = parameters.get('sort') ?? '';
  const limit = wholeNumber(parameters, 'limit', LIMIT_DEFAULT, LIMIT_MAX);
  if (sort !== '' && limit > SORT_LIMIT_MAX)
    throw new QueryError(
      'SORT_LIMIT',
      `a sorted answer holds at most ${SORT_LIMIT_MAX} items; ask for fewer than ${limit}, or without an order`,
    );
  return {
    filter: compileFilter(parameters.getAll('filter').join(' '), kind.fields),
    limit,
    sort: sort === '' ? undefined : sortKeyOf(sort, kind.fields),
    stream: stream === 'ndjson',
    since: wholeNumber(parameters, 'since', 0, Number.MAX_SAFE_INTEGER),
  };
}

function wholeNumber(
  parameters: URLSearchParams,
  name: string,
  otherwise: number,
  greatest: number,
): number {
  const text = parameters.get(name);
  if (text === null || text === '') return otherwise;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value <= greatest) return value;
  throw new QueryError('PARAMETER', `${name}=${text} is no whole number from 0 to ${greatest}`);
}

/** Gives the event loop a turn when this pass has held it for long enough. */
class Breath {
  private rows = 0;
  private since = performance.now();

  due(): boolean {
    if (++this.rows % ROWS_PER_LOOK !== 0) return false;
    return performance.now() - this.since > TURN_MILLISECONDS;
  }

  async take(): Promise<void> {
    await turn();
    this.since = performance.now();
  }
}

/** How many rows matched so far; with `all` the pass goes on counting behind the limit. */
export interface Tally {
  total: number;
  readonly all: boolean;
}

/** Items as they are found, in the order of the table. */
export async function* find<Row, Item>(
  rows: Iterable<Row>,
  kind: ListKind<Row, Item>,
  request: Request<Row>,
  tally: Tally,
): AsyncGenerator<Item> {
  const { filter, limit } = request;
  const breath = new Breath();
  if (limit === 0 && !tally.all) return;
  for (const row of rows) {
    if (filter.matches(row)) {
      if (++tally.total <= limit) yield kind.item(row);
      if (tally.total === limit && !tally.all) return;
    }
    if (breath.due()) await breath.take();
  }
}

/** The best of all rows by the key that was asked for; `asker` aborts the pass. */
export async function findBest<Row, Item>(
  rows: Iterable<Row>,
  kind: ListKind<Row, Item>,
  request: Request<Row>,
  tally: Tally,
  asker: AbortSignal,
): Promise<Item[]> {
  const { read, descending } = request.sort!;
  const best = new Best<Item>(request.limit, descending);
  const breath = new Breath();
  for (const row of rows) {
    if (request.filter.matches(row)) {
      tally.total++;
      const key = read(row);
      if (best.admits(key)) best.add(key, kind.item(row));
    }
    if (breath.due()) {
      await breath.take();
      if (asker.aborted) return [];
    }
  }
  const items: Item[] = [];
  while (best.size > 0) {
    items.push(best.removeWorst());
    if (breath.due()) await breath.take();
  }
  return items.reverse();
}

/**
 * The best `limit` items by key: a binary heap with the worst at its root. Among equal keys the earlier row is better,
 * so that an answer with a limit is the beginning of the answer without one.
 */
export class Best<Item> {
  private readonly keys: (number | string)[] = [];
  private readonly order: number[] = [];
  private readonly items: Item[] = [];
  private readonly limit: number;
  private readonly descending: boolean;
  private arrivals = 0;

  constructor(limit: number, descending: boolean) {
    this.limit = limit;
    this.descending = descending;
  }

  get size(): number {
    return this.items.length;
  }

  /** Whether an item with this key would come in now. */
  admits(key: number | string): boolean {
    if (this.items.length < this.limit) return true;
    return this.limit > 0 && (this.descending ? key > this.keys[0] : key < this.keys[0]);
  }

  /** The caller has asked admits(). */
  add(key: number | string, item: Item): void {
    if (this.items.length === this.limit) {
      this.put(0, key, this.arrivals++, item);
      this.sink(0);
      return;
    }
    this.keys.push(key);
    this.order.push(this.arrivals++);
    this.items.push(item);
    this.rise(this.items.length - 1);
  }

  removeWorst(): Item {
    const worst = this.items[0];
    const key = this.keys.pop()!;
    const order = this.order.pop()!;
    const item = this.items.pop()!;
    if (this.items.length > 0) {
      this.put(0, key, order, item);
      this.sink(0);
    }
    return worst;
  }

  private worse(a: number, b: number): boolean {
    const [x, y] = [this.keys[a], this.keys[b]];
    if (x !== y) return this.descending ? x < y : x > y;
    return this.order[a] > this.order[b];
  }

  private rise(at: number): void {
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.worse(at, parent)) return;
      this.swap(at, parent);
      at = parent;
    }
  }

  private sink(at: number): void {
    for (;;) {
      let worst = at;
      const left = 2 * at + 1;
      if (left < this.items.length && this.worse(left, worst)) worst = left;
      if (left + 1 < this.items.length && this.worse(left + 1, worst)) worst = left + 1;
      if (worst === at) return;
      this.swap(at, worst);
      at = worst;
    }
  }

  private swap(a: number, b: number): void {
    const [key, order, item] = [this.keys[a], this.order[a], this.items[a]];
    this.put(a, this.keys[b], this.order[b], this.items[b]);
    this.put(b, key, order, item);
  }

  private put(at: number, key: number | string, order: number, item: Item): void {
    this.keys[at] = key;
    this.order[at] = order;
    this.items[at] = item;
  }
}
