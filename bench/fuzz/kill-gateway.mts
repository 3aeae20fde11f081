/**
 * Kills the whole gateway at random moments, also while it starts, and starts it again: every
 * session that stood goes on at its port.
 *
 *   nice node --import tsx bench/fuzz/kill-gateway.mts [--times 100] [--sessions 250000]
 *                                                      [--line map-e]
 *
 * Needs root; makes namespaces of its own and removes them. All sessions are made once, through the
 * TUN. Each turn kills with SIGKILL while new flows are being made, and starts anew; every fourth
 * start is killed too, and made once more. After each turn
 *
 *   the table holds each session that stood, by their number,
 *   those of one host, drawn at random, are the same to the port (the list of the control API),
 *   the flows of five hosts are answered without a session being made for them.
 *
 * Every hundred seconds and at the end that is asked of all flows, so that none runs out, and at
 * the end the whole list is compared. Then the gateway is killed once more: its records must pass the
 * table's own check; and after a last start and SIGTERM the host must be as it was at first.
 *
 * kill.mts does the same to the tables alone, and meets them in the middle of an operation more
 * often.
 */

import { randomFillSync, randomInt } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Arena, arenaBytes } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import { selfCheck } from '../../core/table/self-check.ts';
import { formatIpv4, parseIpv4 } from '../../core/wire/ipv4.ts';
import type { SessionItem } from '../../gateway/control/api.ts';
import { startEcho, startSink, udpFlows } from '../../lab/flows.ts';
import { Gateway } from '../../lab/gateway.ts';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import { type LineType, portRanges } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { RawFlood } from '../../lab/raw.ts';
import { buildLab, LOAD_NETWORK_FIRST } from '../../lab/topology.ts';
import { standardPolicy } from '../../policies/standard.ts';
import { mapArena } from '../../tun/native.ts';
import { put16, udp } from './build.ts';

/** Room for the sessions and for what is made at each kill, until its timer runs out. */
const CAPACITY = 1 << 19;
/** A block of hosts talks to each remote once: a run for one block alone asks for the same flows. */
const REMOTES = 1250;
const FLOWS_PER_HOST = 250;
const HOSTS_PER_BLOCK = REMOTES / FLOWS_PER_HOST;
const RATE_PER_SECOND = 20_000;
const LIFE_MILLISECONDS_MAX = 400;
/** A start takes longer than this. */
const START_MILLISECONDS_MAX = 600;
/** Long, since under nice on a busy machine a start waits for its turn. */
const START_MILLISECONDS_LIMIT = 120_000;
const NEW_FLOWS_PER_SECOND = 10_000;
const NEW_FLOWS_FIRST = '10.64.192.0';
const SINK_PORT = 7001;
/** A third of the time after which a UDP session runs out. */
const MILLISECONDS_BETWEEN_REFRESHES = 100_000;
/** A little less than that time, since to ask for all takes a while. */
const AGE_MILLISECONDS_MAX = 270_000;

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '100' },
    sessions: { type: 'string', default: '250000' },
    line: { type: 'string', default: 'map-e' },
  },
});
const times = Number(values.times);
const blocks = Math.ceil(Number(values.sessions) / REMOTES);
const sessions = blocks * REMOTES;
const line = values.line as LineType;

const lab = await buildLab({ line });
const gateway = new Gateway(lab, { capacity: CAPACITY });
const hostBefore = await hostState(lab.gateway);
const startMilliseconds: number[] = [];
let refreshedAt = performance.now();
/** internal>remote → external, of the sessions that must never move. */
const known = new Map<string, string>();

function demand(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new Error(sentence);
}

async function start(): Promise<void> {
  const started = performance.now();
  const child = gateway.spawn();
  await until(
    'the gateway to forward',
    async () => {
      demand(!child.over, child.stderr);
      return (await gateway.control.status()).state === 'forwarding';
    },
    START_MILLISECONDS_LIMIT,
  );
  startMilliseconds.push(performance.now() - started);
}

const hostAddress = (host: number): string => formatIpv4(parseIpv4(LOAD_NETWORK_FIRST) + host);

/** Asks for the flows of `count` blocks from `first` on; returns how many sessions had to be made. */
async function ask(first: number, count: number): Promise<number> {
  const made = async (): Promise<number> =>
    (await gateway.control.status()).counters.sessionsCreated;
  const before = await made();
  const flows = count * REMOTES;
  const result = await udpFlows(lab.load, {
    flows,
    from: hostAddress(first * HOSTS_PER_BLOCK),
    addresses: count * HOSTS_PER_BLOCK,
    remotes: REMOTES,
    rounds: 1,
    ratePerSecond: RATE_PER_SECOND,
    retries: 15,
    timeoutMs: 1000,
  });
  demand(result.answeredEveryRound === flows, `not all were answered: ${JSON.stringify(result)}`);
  return (await made()) - before;
}

const keyOf = (item: SessionItem): string => `${item.internal}>${item.remote}`;
const isLasting = (item: SessionItem): boolean => item.remote.endsWith(':7000');

async function learn(): Promise<void> {
  for await (const text of gateway.control.lines('sessions', {
    filter: ['proto=udp'],
    limit: 1e6,
  })) {
    const item = JSON.parse(text) as SessionItem;
    if (isLasting(item)) known.set(keyOf(item), item.external);
  }
  demand(known.size === sessions, `${known.size} sessions of ${sessions} are in the list`);
}

/** Compares the sessions that a filter selects with what is known; returns how many were the same. */
async function compare(filter: string[]): Promise<number> {
  let same = 0;
  for await (const text of gateway.control.lines('sessions', { filter, limit: 1e6 })) {
    const item = JSON.parse(text) as SessionItem;
    if (!isLasting(item)) continue;
    const was = known.get(keyOf(item));
    demand(was === item.external, `${keyOf(item)} is at ${item.external} and was at ${was}`);
    same++;
  }
  return same;
}

/** Kills while flows are being made, and starts again. */
async function turn(n: number): Promise<void> {
  const packet = udp(
    {
      from: parseIpv4(NEW_FLOWS_FIRST),
      fromPort: 1024 + n,
      to: parseIpv4('198.19.0.1'),
      toPort: SINK_PORT,
      df: false,
    },
    new Uint8Array(20),
  );
  put16(packet, 26, 0);
  const flood = await RawFlood.start(lab.hosts[0], [packet], {
    from: NEW_FLOWS_FIRST,
    sources: 16_384,
    destinations: 1000,
    ratePerSecond: NEW_FLOWS_PER_SECOND,
    processor: -1,
  });
  await sleep(randomInt(LIFE_MILLISECONDS_MAX));
  await gateway.stop('SIGKILL');
  if (n % 4 === 3) {
    gateway.spawn();
    await sleep(randomInt(START_MILLISECONDS_MAX));
    await gateway.stop('SIGKILL');
  }
  await flood.stop();
  await start();

  const age = performance.now() - refreshedAt;
  demand(
    age < AGE_MILLISECONDS_MAX,
    'this machine is too slow: sessions run out between two looks',
  );
  const filter = ['proto=udp', 'remote=:7000'];
  const { total } = await gateway.control.list('sessions', { filter, limit: 0 });
  demand(total === sessions, `${total} sessions were taken over, and ${sessions} stood`);
  const host = randomInt(blocks * HOSTS_PER_BLOCK);
  const same = await compare([`host=${hostAddress(host)}`]);
  demand(same === FLOWS_PER_HOST, `${same} sessions of ${hostAddress(host)} are left`);
  const isRefresh = performance.now() - refreshedAt > MILLISECONDS_BETWEEN_REFRESHES;
  const askedAt = performance.now();
  const made = isRefresh ? await ask(0, blocks) : await ask(randomInt(blocks), 1);
  if (isRefresh) refreshedAt = askedAt;
  demand(made === 0, `${made} sessions had to be made for flows that had one`);
}

/** The records of a gateway that was killed, as its successor would take them over. */
function checkRecords(): number {
  const shape = { capacity: CAPACITY, portCount: portCount(), externalCount: 1 };
  const copy = join(lab.folder, 'arena');
  copyFileSync(join(gateway.folder, 'state', 'arena'), copy);
  const { buffer } = mapArena(copy, arenaBytes(shape), { create: false });
  const ports = portRanges(line).flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i),
  );
  const random = new RandomSource((words) => randomFillSync(words));
  const parts = makeParts(new Arena(buffer, shape), new PortSet(Uint16Array.from(ports)), random);
  const { sessions: restored } = new NatTable(parts, standardPolicy('home'), 0).restore();
  const problems = selfCheck(parts);
  demand(problems.length === 0, problems.join('\n'));
  return restored;
}

const portCount = (): number =>
  portRanges(line).reduce((sum, [first, last]) => sum + last - first + 1, 0);

try {
  await startEcho(lab.internet);
  await startSink(lab.internet, { port: SINK_PORT, idleMs: 60_000 });
  await start();
  const madeAt = performance.now();
  const made = await ask(0, blocks);
  demand(made === sessions, `${made} sessions were made for ${sessions} flows`);
  await learn();
  startMilliseconds.length = 0;
  refreshedAt = madeAt;
  for (let n = 0; n < times; n++) {
    await turn(n);
    process.stderr.write(`${n + 1} of ${times}: ${Math.round(startMilliseconds.at(-1) ?? 0)} ms\n`);
  }
  const again = await ask(0, blocks);
  demand(again === 0, `${again} sessions had to be made at the end`);
  const same = await compare(['proto=udp']);
  demand(same === sessions, `${same} sessions of ${sessions} are left`);
  await gateway.stop('SIGKILL');
  const restored = checkRecords();
  await start();
  const { code, stderr } = await gateway.stop();
  demand(code === 0, stderr);
  const left = stateDifferences(hostBefore, await hostState(lab.gateway));
  demand(left.length === 0, left.join('\n'));

  startMilliseconds.sort((a, b) => a - b);
  const [p50, max] = [
    startMilliseconds[startMilliseconds.length >> 1],
    startMilliseconds.at(-1) ?? 0,
  ];
  const figures = { times, line, sessions, lost: 0, moved: 0, restoredAtTheEnd: restored };
  console.log(
    JSON.stringify({
      ...figures,
      startMillisecondsP50: Math.round(p50),
      startMillisecondsMax: Math.round(max),
    }),
  );
} finally {
  if (gateway.running) await gateway.stop('SIGKILL');
  lab.remove();
}
