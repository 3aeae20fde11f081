/**
 * A lab with its servers, ready for any case, and the sessions that lie in a table beside the
 * traffic.
 *
 *   inet    iperf3 (5201), UDP echo (7000), sender on request (7002); a counting sink on 7001 when
 *           a case wants one
 *   h1      one LAN host; load: tens of thousands of internal endpoints
 *
 * Sessions are opened by datagrams from as many internal endpoints to an echo, each of which must
 * be answered. The endpoints are spread as `udp-flows` and `udp-spread` of lab/native do it, so that
 * the traffic of a case can run over these very sessions.
 */
import {
  type SpreadOptions,
  startEcho,
  startServe,
  startSink,
  udpFlows,
  udpSpread,
} from '../../lab/flows.ts';
import type { Background } from '../../lab/netns.ts';
import { LabError } from '../../lab/programs.ts';
import { startIperf } from '../../lab/services.ts';
import { buildLab, type Lab, type LabOptions } from '../../lab/topology.ts';
import { routeLoadNetwork } from './rivals.ts';

/** Sessions towards one remote: below the 240 that a MAP-E line holds, so that none is refused. */
const SESSIONS_PER_REMOTE = 216;
const REMOTES_LEAST = 16;
const ADDRESSES_MOST = 50_000;
const OPEN_PER_SECOND = 25_000;
const OPEN_RETRIES = 10;
/** So many of the sessions may have ended before they are opened again. */
const SESSIONS_SHARE_LEAST = 0.995;
const SINK_PATIENCE_MS = 2000;
export const SINK_PORT = 7001;

type Endpoints = Pick<SpreadOptions, 'flows' | 'addresses' | 'remotes' | 'sourcePort'>;

/** Where `sessions` sessions come from and go to. */
export function endpointsOf(sessions: number): Endpoints {
  const sockets = Math.ceil(sessions / ADDRESSES_MOST);
  return {
    flows: sessions,
    addresses: Math.ceil(sessions / sockets),
    remotes: Math.max(REMOTES_LEAST, Math.ceil(sessions / SESSIONS_PER_REMOTE)),
    sourcePort: 20_000,
  };
}

export async function buildScene(options: LabOptions): Promise<Lab> {
  const lab = await buildLab({ hosts: 1, routedLan: options.line === 'address', ...options });
  await routeLoadNetwork(lab);
  await startIperf(lab.internet);
  await startEcho(lab.internet);
  await startServe(lab.internet);
  return lab;
}

/** Opens the sessions, or those of them that have ended; `present` says how many there are. */
export async function openSessions(
  lab: Lab,
  sessions: number,
  present: () => Promise<number>,
): Promise<void> {
  if (sessions === 0 || (await present()) >= sessions * SESSIONS_SHARE_LEAST) return;
  const echo = await startEcho(lab.internet, { port: SINK_PORT });
  try {
    const result = await udpFlows(lab.load, {
      ...endpointsOf(sessions),
      port: SINK_PORT,
      rounds: 1,
      ratePerSecond: OPEN_PER_SECOND,
      retries: OPEN_RETRIES,
    });
    const { answered } = result.rounds[0];
    if (answered < sessions * SESSIONS_SHARE_LEAST) {
      throw new LabError('BENCH_SESSIONS', 1, `only ${answered} of ${sessions} sessions opened`);
    }
  } finally {
    await echo.stop();
  }
}

/** Spreads datagrams over the sessions and returns how many arrived. */
export async function spreadOver(
  lab: Lab,
  options: Pick<SpreadOptions, 'bytes' | 'seconds' | 'once'> & Endpoints,
): Promise<{ sent: number; received: number; perSecond: number }> {
  const sink = await startSink(lab.internet, { port: SINK_PORT });
  const { sent } = await udpSpread(lab.load, { ...options, port: SINK_PORT });
  return { sent, ...(await sinkCount(sink)) };
}

/** A sink ends by itself when nothing comes any more; one that nothing came to is told to. */
export async function sinkCount(
  sink: Background,
): Promise<{ received: number; perSecond: number }> {
  const silence = setTimeout(() => sink.kill('SIGTERM'), SINK_PATIENCE_MS);
  const { stdout } = await sink.ended;
  clearTimeout(silence);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
}
