/**
 * The control API's client: what the command line knows of the gateway.
 *
 * Every failure is a ControlError with a sentence for people and the exit code that goes with it:
 * 3 nothing answers, 4 no permission, 2 the question was wrong, 1 anything else.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { ApiError, EventList, List, ListItems, ListName, Status, WhyAnswer } from './api.ts';

export interface ListQuery {
  /** Terms of the filter language. */
  filter?: readonly string[];
  limit?: number;
  /** "key" or "-key". */
  sort?: string;
  /** Of events: only those after this sequence. */
  since?: number;
}

export class ControlError extends Error {
  readonly code: string;
  readonly exitCode: number;

  constructor(code: string, exitCode: number, message: string) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** A gateway that says nothing for so long does not answer. */
const SILENCE_MILLISECONDS_MAX = 15_000;
const SOCKET_PATH_BYTES_MAX = 107;

export class ControlClient {
  readonly socket: string;

  constructor(socket: string) {
    this.socket = socket;
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.whole('/v1/status')) as Status;
  }

  /** What is short, and why. @param host address of the one that is asked about */
  async why(host?: string): Promise<WhyAnswer> {
    const query = host === undefined ? '' : `?${new URLSearchParams({ host })}`;
    return JSON.parse(await this.whole(`/v1/why${query}`)) as WhyAnswer;
  }

  async list<Name extends Exclude<ListName, 'events'>>(
    name: Name,
    query: ListQuery = {},
  ): Promise<List<ListItems[Name]>> {
    return JSON.parse(await this.whole(pathOf(name, query))) as List<ListItems[Name]>;
  }

  async events(query: ListQuery = {}): Promise<EventList> {
    return JSON.parse(await this.whole(pathOf('events', query))) as EventList;
  }

  /** The answer as it comes, for printing JSON that is larger than one likes to hold. */
  async *text(name: ListName, query: ListQuery = {}): AsyncGenerator<string> {
    const response = await this.ask(pathOf(name, query));
    response.setEncoding('utf8');
    try {
      for await (const piece of response) yield piece as string;
    } catch (error) {
      throw this.explain(error as NodeJS.ErrnoException);
    }
  }

  /** One item of JSON a line, as the gateway finds them. */
  async *lines(name: ListName, query: ListQuery = {}): AsyncGenerator<string> {
    const response = await this.ask(`${pathOf(name, query)}&stream=ndjson`);
    // Some versions of readline throw the error of their input, others end quietly as if all lines had come.
    let broken: NodeJS.ErrnoException | undefined;
    response.once('error', (error) => {
      broken = error;
    });
    const lines = createInterface({ input: response, crlfDelay: Infinity });
    try {
      for await (const line of lines) yield line;
    } catch (error) {
      broken ??= error as NodeJS.ErrnoException;
    }
    if (broken !== undefined) throw this.explain(broken);
  }

  private async whole(path: string): Promise<string> {
    const response = await this.ask(path);
    try {
      return await textOf(response);
    } catch (error) {
      throw this.explain(error as NodeJS.ErrnoException);
    }
  }

  /** The response of a question that was understood. */
  private ask(path: string): Promise<IncomingMessage> {
    if (Buffer.byteLength(this.socket) > SOCKET_PATH_BYTES_MAX)
      throw new ControlError(
        'SOCKET_PATH_TOO_LONG',
        2,
        `${this.socket} is too long for the path of a socket; Linux takes at most ${SOCKET_PATH_BYTES_MAX} bytes`,
      );
    return new Promise((resolve, reject) => {
      const request = httpRequest({ socketPath: this.socket, path, agent: false });
      request.setTimeout(SILENCE_MILLISECONDS_MAX, () => request.destroy(silence(this.socket)));
      request.once('error', (error: NodeJS.ErrnoException) => reject(this.explain(error)));
      request.once('response', (response) => {
        if (response.statusCode === 200) return resolve(response);
        textOf(response).then(
          (body) => reject(refusal(response.statusCode ?? 0, body)),
          (error) => reject(this.explain(error)),
        );
      });
      request.end();
    });
  }

  private explain(error: NodeJS.ErrnoException): Error {
    if (error instanceof ControlError) return error;
    const how = 'start it with `portfold run -c FILE`, or name its socket with --socket PATH';
    switch (error.code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
      case 'ENOTDIR':
      case 'ENOTSOCK':
        return new ControlError(
          'NOT_RUNNING',
          3,
          `the gateway is not running (no answer at ${this.socket}); ${how}`,
        );
      case 'EACCES':
      case 'EPERM':
        return new ControlError(
          'NO_PERMISSION',
          4,
          `no permission to open ${this.socket}; run this as root or as a member of the socket's group`,
        );
      case 'ECONNRESET':
      case 'EPIPE':
        return new ControlError(
          'BROKEN_OFF',
          1,
          `the gateway at ${this.socket} broke off its answer; ask again, and look at its log`,
        );
      default:
        return new ControlError(
          'NO_ANSWER',
          1,
          `cannot ask the gateway at ${this.socket}: ${error.message}`,
        );
    }
  }
}

function silence(socket: string): ControlError {
  return new ControlError(
    'SILENCE',
    1,
    `the gateway at ${socket} took the question and said nothing for ${SILENCE_MILLISECONDS_MAX / 1_000} s; ` +
      'look at its log, and restart it if it stays so',
  );
}

function refusal(status: number, body: string): ControlError {
  try {
    const { error } = JSON.parse(body) as ApiError;
    return new ControlError(error.code, status === 400 ? 2 : 1, error.message);
  } catch {
    const words = `the gateway answered with status ${status} and no reason; is it another program's socket?`;
    return new ControlError('NOT_PORTFOLD', 1, words);
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const piece of response) text += piece;
  return text;
}

function pathOf(name: ListName, query: ListQuery): string {
  const parameters = new URLSearchParams();
  if (query.filter !== undefined && query.filter.length > 0)
    parameters.set('filter', query.filter.join(' '));
  if (query.limit !== undefined) parameters.set('limit', String(query.limit));
  if (query.sort !== undefined) parameters.set('sort', query.sort);
  if (query.since !== undefined) parameters.set('since', String(query.since));
  return `/v1/${name}?${parameters}`;
}
