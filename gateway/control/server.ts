/**
 * The control API's server: HTTP over a unix socket, read only, over a ControlSource.
 *
 *   GET /v1/NAME?filter=…  ──>  parse ──> find | findBest (listing.ts) ──> JSON in pieces, at the reader's pace
 *
 * Who may open the socket may read everything: its mode (0660, in a directory of 0750) is the access control.
 * A slow reader holds its own answer back and nothing else. An error of the source is told to `onError` and answered
 * with 500; it does not end the gateway.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { ApiError, EventItem, ListName } from './api.ts';
import { QueryError } from './filter.ts';
import { find, findBest, parseRequest } from './listing.ts';
import { LISTS, type ListKind } from './rows.ts';
import { listenAt } from './socket.ts';
import type { ControlSource, ListQuery } from './source.ts';
import { nearest, parseAddress } from './text.ts';

export interface ControlServerOptions {
  /** Path of the unix socket. */
  socket: string;
  source: ControlSource;
  /** Hears of errors in the source; they are answered with 500 either way. */
  onError?: (error: Error) => unknown;
}

export interface ControlServer {
  readonly socket: string;
  /** Ends all connections and removes the socket. */
  close(): Promise<void>;
}

/** Items that are turned into text between two looks at the reader. */
const ITEMS_PER_PIECE = 256;
/** Connections at once; more wait in the backlog. */
const CONNECTIONS_MAX = 256;

/** Throws an error with `code` and `exitCode` (SOCKET_IN_USE and others) if the socket cannot be had. */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const server = createServer((request, response) => {
    answer(request, response, options.source).catch((error: Error) => {
      if (error instanceof QueryError) return refuse(response, 400, error.code, error.message);
      options.onError?.(error);
      refuse(response, 500, 'INTERNAL', `the gateway failed to answer: ${error.message}`);
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  const removeSocket = await listenAt(server, options.socket);
  return {
    socket: options.socket,
    async close() {
      removeSocket();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  source: ControlSource,
): Promise<void> {
  const asker = new AbortController();
  response.once('close', () => asker.abort());
  if (request.method !== 'GET')
    return refuse(response, 405, 'METHOD', `${request.method} is not answered here; use GET`);
  const url = new URL(request.url ?? '/', 'http://portfold');
  if (url.pathname === '/v1/status') return json(response, await source.status());
  if (url.pathname === '/v1/why') return answerWhy(response, url.searchParams, source);
  const name = url.pathname.startsWith('/v1/') ? url.pathname.slice(4) : '';
  if (!Object.hasOwn(LISTS, name))
    return refuse(response, 404, 'NOT_FOUND', notFound(url.pathname));
  return answerList(response, name as ListName, url.searchParams, source, asker.signal);
}

async function answerWhy(
  response: ServerResponse,
  parameters: URLSearchParams,
  source: ControlSource,
): Promise<void> {
  for (const name of parameters.keys())
    if (name !== 'host')
      throw new QueryError('PARAMETER', `there is no parameter "${name}" here; host is read`);
  const text = parameters.get('host');
  const host = text === null ? undefined : parseAddress(text);
  if (text !== null && host === undefined)
    throw new QueryError(
      'ADDRESS',
      `host=${text} is no IPv4 address; write one of a LAN host, for instance 192.168.1.20`,
    );
  if (source.why === undefined)
    return refuse(
      response,
      404,
      'NO_SESSIONS',
      'a border relay keeps no sessions and no ports: nothing can run short',
    );
  const answer = await source.why(host);
  if (answer === undefined)
    return refuse(
      response,
      503,
      'STARTING',
      'the gateway starts or stops, and has no sessions to look at; ask again in a moment',
    );
  return json(response, answer);
}

function answerList(
  response: ServerResponse,
  name: ListName,
  parameters: URLSearchParams,
  source: ControlSource,
  asker: AbortSignal,
): Promise<void> {
  const ask: Asking = { response, name, parameters, asker };
  switch (name) {
    case 'sessions':
      return answerRows(ask, LISTS.sessions, (query) => source.sessions(query));
    case 'mappings':
      return answerRows(ask, LISTS.mappings, (query) => source.mappings(query));
    case 'hosts':
      return answerRows(ask, LISTS.hosts, (query) => source.hosts(query));
    case 'ports':
      return answerRows(ask, LISTS.ports, (query) => source.ports(query));
    case 'drops':
      return answerRows(ask, LISTS.drops, () => source.drops());
    case 'events':
      return answerEvents(ask, source);
  }
}

interface Asking {
  response: ServerResponse;
  name: ListName;
  parameters: URLSearchParams;
  /** Aborted when the reader has gone. */
  asker: AbortSignal;
}

async function answerRows<Row, Item extends object>(
  { response, name, parameters, asker }: Asking,
  kind: ListKind<Row, Item>,
  rowsOf: (query: ListQuery<Row>) => Iterable<Row>,
): Promise<void> {
  const request = parseRequest(parameters, kind);
  const rows = rowsOf({ filter: request.filter });
  const tally = { total: 0, all: !request.stream };
  const items =
    request.sort === undefined
      ? find(rows, kind, request, tally)
      : await findBest(rows, kind, request, tally, asker);
  if (request.stream) return lines(response, items, asker);
  await document(response, head(name), items, () => ({ total: tally.total }), asker);
}

/** Events are few and in order of time: what matters of them are the newest. */
async function answerEvents(
  { response, parameters, asker }: Asking,
  source: ControlSource,
): Promise<void> {
  const request = parseRequest(parameters, LISTS.events);
  const { since, sort, limit } = request;
  const { events, lastSequence, oldestSequence } = source.events(since, { filter: request.filter });
  const tally = { total: 0, all: true };
  let items: EventItem[] = [];
  if (sort !== undefined) {
    items = await findBest(events, LISTS.events, request, tally, asker);
  } else {
    const everything = { ...request, limit: Number.MAX_SAFE_INTEGER };
    for await (const item of find(events, LISTS.events, everything, tally)) items.push(item);
    items = items.slice(Math.max(0, items.length - limit));
  }
  if (request.stream) return lines(response, items, asker);
  const missed = since === 0 ? 0 : Math.max(0, oldestSequence - since - 1);
  const tail = { total: tally.total, lastSequence, missed };
  await document(response, head('events'), items, () => tail, asker);
}

const head = (name: ListName): Record<string, string> => ({
  schema: `portfold/${name}/v1`,
  generatedAt: new Date().toISOString(),
});

// ---- writing

function json(response: ServerResponse, value: object, status = 200): void {
  const body = JSON.stringify(value) + '\n';
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}

/**
 * One JSON document with an item a line. What is known only at the end, like the total, stands at the end: so a list
 * of any length is written as it is found.
 */
async function document(
  response: ServerResponse,
  fields: Record<string, string>,
  items: Iterable<object> | AsyncIterable<object>,
  tail: () => Record<string, number>,
  asker: AbortSignal,
): Promise<void> {
  contentType(response, 'application/json');
  let piece = JSON.stringify(fields).slice(0, -1) + ',"items":[';
  let count = 0;
  for await (const item of items) {
    piece += (count === 0 ? '\n' : ',\n') + JSON.stringify(item);
    if (++count % ITEMS_PER_PIECE !== 0) continue;
    if (!(await written(response, piece, asker))) return;
    piece = '';
  }
  response.end(`${piece}${count === 0 ? '' : '\n'}],${JSON.stringify(tail()).slice(1)}\n`);
}

async function lines(
  response: ServerResponse,
  items: Iterable<object> | AsyncIterable<object>,
  asker: AbortSignal,
): Promise<void> {
  contentType(response, 'application/x-ndjson');
  let piece = '';
  let count = 0;
  for await (const item of items) {
    piece += JSON.stringify(item) + '\n';
    if (++count % ITEMS_PER_PIECE !== 0) continue;
    if (!(await written(response, piece, asker))) return;
    piece = '';
  }
  response.end(piece);
}

/** Set, not sent: a source that fails before the first piece can still be answered with 500. */
function contentType(response: ServerResponse, type: string): void {
  response.setHeader('content-type', `${type}; charset=utf-8`);
  response.setHeader('cache-control', 'no-store');
}

/** Writes and waits until the reader has room again; false when the reader is gone. */
async function written(
  response: ServerResponse,
  text: string,
  asker: AbortSignal,
): Promise<boolean> {
  if (asker.aborted) return false;
  if (response.write(text)) return true;
  try {
    await once(response, 'drain', { signal: asker });
    return true;
  } catch {
    // The only reason to stop waiting is that the reader has gone.
    return false;
  }
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  const body: ApiError = { error: { code, message } };
  // Behind the first byte there is no status left to send: breaking off is what the reader can notice.
  if (response.headersSent) response.destroy();
  else json(response, body, status);
}

function notFound(path: string): string {
  const names = ['status', 'why', ...Object.keys(LISTS)];
  const guess = nearest(path.split('/').at(-1) ?? '', names);
  return (
    `there is nothing at ${path}${guess === undefined ? '' : `; did you mean /v1/${guess}?`}` +
    `${guess === undefined ? ';' : ' There are'} ${names.map((name) => `/v1/${name}`).join(', ')}`
  );
}
