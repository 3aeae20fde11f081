/**
 * The control API's server: HTTP over a unix socket, read only, over a ControlSource.
 *
 *   GET /v1/NAME?filter=…  ──>  parse ──> collect | find (listing.ts) ──> JSON in pieces, at the reader's pace
 *
 * Who may open the socket may read everything: its mode (0660, in a directory of 0750) is the access control.
 * A slow reader holds its own answer back and nothing else. An error of the source is told to `onError` and answered
 * with 500; it does not end the gateway.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { ApiError, ListName } from './api.ts';
import { QueryError } from './filter.ts';
import { collect, find, parseRequest } from './listing.ts';
import { LISTS, type ListKind } from './rows.ts';
import { listenAt } from './socket.ts';
import type { ControlSource, ListQuery } from './source.ts';
import { nearest } from './text.ts';

export interface ControlServerOptions {
  /** Path of the unix socket. */
  socket: string;
  source: ControlSource;
  /** Hears of errors in the source; they are answered with 500 either way. */
  onError?: (error: Error) => void;
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
  const name = url.pathname.startsWith('/v1/') ? url.pathname.slice(4) : '';
  if (!Object.hasOwn(LISTS, name))
    return refuse(response, 404, 'NOT_FOUND', notFound(url.pathname));
  return answerList(response, name as ListName, url.searchParams, source, asker.signal);
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
  if (request.stream && request.sort === undefined)
    return lines(response, find(rows, kind, request), asker);
  const { total, items } = await collect(rows, kind, request, asker);
  if (request.stream) return lines(response, items, asker);
  await document(response, head(name, total), items, asker);
}

/** Events are few and in order of time: what matters of them are the newest. */
async function answerEvents(
  { response, parameters, asker }: Asking,
  source: ControlSource,
): Promise<void> {
  const request = parseRequest(parameters, LISTS.events);
  const { since, sort, limit } = request;
  const after = source.events(since, { filter: request.filter });
  const everything = { ...request, limit: Number.MAX_SAFE_INTEGER };
  const { total, items } = await collect(after.events, LISTS.events, everything, asker);
  const start = sort === undefined ? Math.max(0, items.length - limit) : 0;
  const shown = items.slice(start, start + limit);
  if (request.stream) return lines(response, shown, asker);
  const missed = since === 0 ? 0 : Math.max(0, after.oldestSequence - since - 1);
  const fields = { ...head('events', total), lastSequence: after.lastSequence, missed };
  await document(response, fields, shown, asker);
}

const head = (name: ListName, total: number): Record<string, string | number> => ({
  schema: `portfold/${name}/v1`,
  generatedAt: new Date().toISOString(),
  total,
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

/** One JSON document with an item a line, so that a great list is readable and never one great string. */
async function document(
  response: ServerResponse,
  fields: Record<string, string | number>,
  items: readonly object[],
  asker: AbortSignal,
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.write(JSON.stringify(fields).slice(0, -1) + ',"items":[');
  for (let from = 0; from < items.length; from += ITEMS_PER_PIECE) {
    const piece = items.slice(from, from + ITEMS_PER_PIECE).map((item) => JSON.stringify(item));
    if (!(await written(response, `${from === 0 ? '' : ','}\n${piece.join(',\n')}`, asker))) return;
  }
  response.end(items.length === 0 ? ']}\n' : '\n]}\n');
}

async function lines(
  response: ServerResponse,
  items: Iterable<object> | AsyncIterable<object>,
  asker: AbortSignal,
): Promise<void> {
  response.writeHead(200, {
    'content-type': 'application/x-ndjson; charset=utf-8',
    'cache-control': 'no-store',
  });
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
  const names = ['status', ...Object.keys(LISTS)];
  const guess = nearest(path.split('/').at(-1) ?? '', names);
  return (
    `there is nothing at ${path}${guess === undefined ? '' : `; did you mean /v1/${guess}?`}` +
    `${guess === undefined ? ';' : ' There are'} ${names.map((name) => `/v1/${name}`).join(', ')}`
  );
}
