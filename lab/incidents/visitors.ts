/**
 * Visitors who open pages, as a program of its own in a namespace: `node visitors.ts '{"users":40,…}'`, one line of JSON at the end.
 *
 *   a page   asks for a name, then for objects of servers that are chosen as people choose them (Zipf)
 *   object   a QUIC Initial of 1,200 bytes, twice, from a new source port; an answer brings the object. A refusal (ICMP), or
 *            a second of silence, sends the visitor back to TCP: one connection for each server and page, as HTTP/2 has it
 *   failed   a page of which the name or one object did not come, one way or the other
 *
 * Every visitor has an address, and as many pages a second as the others. The same seed opens the same pages.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { argv, stdout } from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';

export interface VisitorsPlan {
  users: number;
  /** "10.64.0." and a number from 1 on is the address of a visitor. */
  prefix: string;
  seconds: number;
  pagesPerSecond: number;
  objects: number;
  servers: number;
  /** "198.18.0." and a number from 1 on is the address of a server. */
  serverPrefix: string;
  nameServer: string;
  name: string;
  seed: number;
}

export interface VisitorsResult {
  pages: number;
  failed: number;
  /** Pages that were opened before the first that failed; all of them if none did. */
  before: number;
  quicTried: number;
  quicRefused: number;
  quicSilent: number;
  tcpTried: number;
  tcpFailed: number;
  namesFailed: number;
}

const QUIC_PORT = 443;
const WEB_PORT = 80;
const NAME_PORT = 53;
const INITIAL_BYTES = 1200;
const QUIC_PATIENCE_MS = 1000;
const TCP_PATIENCE_MS = 3000;
const NAME_PATIENCE_MS = 1000;
const NAME_TRIES = 3;

type Outcome = 'answered' | 'refused' | 'silent';

/** Numbers that look random, the same for a seed (mulberry32). */
function diceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws 1 … n, the k-th with a probability of 1/k of the first. */
function zipfOf(n: number, dice: () => number): () => number {
  const sums: number[] = [];
  let sum = 0;
  for (let k = 1; k <= n; k++) {
    sum += 1 / k;
    sums.push(sum);
  }
  return () => {
    const at = dice() * sum;
    return 1 + sums.findIndex((one) => at < one);
  };
}

/** Long header, Initial, version 1 (RFC 9000 section 17.2.2); what is encrypted is whatever it is. */
function initial(dice: () => number): Uint8Array {
  const bytes = new Uint8Array(INITIAL_BYTES);
  bytes.set([0xc3, 0, 0, 0, 1, 8]);
  for (let i = 6; i < 14; i++) bytes[i] = dice() * 256;
  const lengthAt = 16;
  const length = INITIAL_BYTES - lengthAt - 2;
  bytes.set([0x40 | (length >> 8), length & 255], lengthAt);
  for (let i = lengthAt + 2; i < bytes.length; i++) bytes[i] = dice() * 256;
  return bytes;
}

function query(name: string, id: number): Uint8Array {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Uint8Array.from([
    id >> 8,
    id & 255,
    1,
    0,
    0,
    1,
    0,
    0,
    0,
    0,
    0,
    0,
    ...labels,
    0,
    0,
    1,
    0,
    1,
  ]);
}

/** Sends each datagram from one new port of `from`; what came of it. */
async function ask(
  from: string,
  to: string,
  port: number,
  datagrams: readonly Uint8Array[],
  patienceMs: number,
): Promise<Outcome> {
  const socket = createSocket('udp4');
  try {
    const heard = new Promise<Outcome>((resolve) => {
      socket.once('message', () => resolve('answered'));
      socket.once('error', () => resolve('refused'));
    });
    socket.bind(0, from);
    await once(socket, 'listening');
    socket.connect(port, to);
    await once(socket, 'connect');
    for (const datagram of datagrams) socket.send(datagram, () => {});
    const silent = pause(patienceMs, 'silent' as const, { ref: false });
    return await Promise.race([heard, silent]);
  } catch {
    return 'refused';
  } finally {
    socket.close();
  }
}

/** One page by HTTP; the visitor closes first. */
function fetchByTcp(from: string, to: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: to, port: WEB_PORT, localAddress: from });
    const end = (hasCome: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(hasCome);
    };
    const timer = setTimeout(() => end(false), TCP_PATIENCE_MS);
    socket.on('error', () => end(false));
    socket.on('connect', () => socket.write(`HEAD / HTTP/1.1\r\nHost: ${to}\r\n\r\n`));
    socket.on('data', () => {
      clearTimeout(timer);
      socket.end();
    });
    socket.on('close', () => resolve(true));
  });
}

async function open(
  plan: VisitorsPlan,
  result: VisitorsResult,
  from: string,
  servers: readonly string[],
  dice: () => number,
): Promise<boolean> {
  let hasName = false;
  for (let i = 0; i < NAME_TRIES && !hasName; i++) {
    const asked = [query(plan.name, (dice() * 65536) | 0)];
    hasName = (await ask(from, plan.nameServer, NAME_PORT, asked, NAME_PATIENCE_MS)) === 'answered';
  }
  if (!hasName) {
    result.namesFailed++;
    return false;
  }
  const byTcp = new Map<string, Promise<boolean>>();
  const objects = servers.map(async (server) => {
    result.quicTried++;
    const flight = [initial(dice), initial(dice)];
    const outcome = await ask(from, server, QUIC_PORT, flight, QUIC_PATIENCE_MS);
    if (outcome === 'answered') return true;
    if (outcome === 'refused') result.quicRefused++;
    else result.quicSilent++;
    let connection = byTcp.get(server);
    if (connection === undefined) {
      result.tcpTried++;
      connection = fetchByTcp(from, server).then((hasCome) => {
        if (!hasCome) result.tcpFailed++;
        return hasCome;
      });
      byTcp.set(server, connection);
    }
    return connection;
  });
  return (await Promise.all(objects)).every((hasCome) => hasCome);
}

async function visit(plan: VisitorsPlan): Promise<VisitorsResult> {
  const dice = diceOf(plan.seed);
  const choose = zipfOf(plan.servers, dice);
  const result: VisitorsResult = {
    pages: 0,
    failed: 0,
    before: 0,
    quicTried: 0,
    quicRefused: 0,
    quicSilent: 0,
    tcpTried: 0,
    tcpFailed: 0,
    namesFailed: 0,
  };
  const failures: number[] = [];
  const pages: Promise<void>[] = [];
  const started = performance.now();
  const total = Math.round(plan.seconds * plan.pagesPerSecond);
  for (let page = 0; page < total; page++) {
    await pause(Math.max(0, started + (page * 1000) / plan.pagesPerSecond - performance.now()));
    const from = `${plan.prefix}${1 + (page % plan.users)}`;
    const servers = Array.from({ length: plan.objects }, () => `${plan.serverPrefix}${choose()}`);
    result.pages++;
    pages.push(
      open(plan, result, from, servers, dice).then((hasCome) => {
        if (hasCome) return;
        result.failed++;
        failures.push(page);
      }),
    );
  }
  await Promise.all(pages);
  result.before = failures.length === 0 ? total : Math.min(...failures);
  return result;
}

// Also imported for its types: then it opens nothing.
if (/visitors\.[jt]s$/.test(argv[1] ?? ''))
  stdout.write(`${JSON.stringify(await visit(JSON.parse(argv[2])))}\n`);
