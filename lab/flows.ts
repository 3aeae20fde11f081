/**
 * The load generator, typed: what `lab/native/flows.c` takes and says.
 *
 *   startEcho        UDP echo on every local address     udpFlows    N flows, round by round
 *   startTcpServer   the same for TCP                    tcpHold     N connections at once
 *   startSink        counts datagrams                    udpBlast    sends them; udpSpread over many flows
 *   startServe       sends to whoever asks               udpPull     asks and counts
 *   startEcho                                            udpRtt      one at a time: round trips
 */
import type { Background, Namespace } from './netns.ts';
import { builtProgram } from './programs.ts';
import { LOAD_NETWORK_FIRST, REMOTES_FIRST } from './topology.ts';

/** Between whom the load goes: every run that has many endpoints takes it. */
interface Spread {
  /** Internal addresses that the flows are spread over; the source ports follow from it. */
  addresses: number;
  remotes: number;
  /** First internal and first remote address. */
  from?: string;
  to?: string;
  port?: number;
}

export interface FlowsOptions extends Spread {
  flows: number;
  sourcePort?: number;
  remotesPerEndpoint?: number;
  rounds?: number;
  pauseSeconds?: number;
  ratePerSecond?: number;
  retries?: number;
  timeoutMs?: number;
  /** Of the whole run, where the ordinary limit is too short for so many flows. */
  runSecondsMax?: number;
}

export interface FlowsResult {
  rounds: {
    answered: number;
    refused: number;
    lost: number;
    sent: number;
    /** Datagrams sent again since no answer had come. */
    retries: number;
    seconds: number;
  }[];
  flows: number;
  endpoints: number;
  answeredEveryRound: number;
  /** Seen outside at one external endpoint in every round. */
  samePort: number;
  changedPort: number;
  /** Internal endpoints that different remotes saw at different external ports. */
  splitEndpoints: number;
  /** Answers and errors that belong to no flow. */
  foreign: number;
  sent: number;
  /** Of all rounds: loss on the way that answers in the end would hide. */
  retries: number;
  externalPorts: number;
  externalPortRanges: string[];
  /** "type/code" → flows that were refused so. */
  icmp: Record<string, number>;
  refusalSlowestMs: number;
}

export interface HoldOptions extends Spread {
  connections: number;
  processes?: number;
  ratePerSecond?: number;
  holdSeconds?: number;
  timeoutMs?: number;
}

export interface HoldResult {
  connections: number;
  connected: number;
  answered: number;
  /** Talked both times, and from one external endpoint. */
  answeredTwice: number;
  failed: number;
  connectSeconds: number;
  externalPorts: number;
  externalPortRanges: string[];
  errors: Record<string, number>;
}

/** No run of the generator takes longer; the rates and time limits of the tests end well below. */
const RUN_TIMEOUT_MS = 240_000;

export async function startEcho(
  namespace: Namespace,
  options: { port?: number; ports?: number } = {},
): Promise<Background> {
  return startReady(namespace, 'udp-echo', { port: options.port, ports: options.ports });
}

export async function startTcpServer(
  namespace: Namespace,
  options: { port?: number; processes?: number } = {},
): Promise<Background> {
  return startReady(namespace, 'tcp-server', { port: options.port, processes: options.processes });
}

export async function startSink(
  namespace: Namespace,
  options: { port?: number; idleMs?: number } = {},
): Promise<Background> {
  return startReady(namespace, 'udp-sink', { port: options.port, idle: options.idleMs });
}

export async function udpFlows(namespace: Namespace, options: FlowsOptions): Promise<FlowsResult> {
  const words = {
    flows: options.flows,
    ...spreadWords(options),
    'source-port': options.sourcePort,
    'remotes-per-endpoint': options.remotesPerEndpoint,
    rounds: options.rounds,
    pause: options.pauseSeconds,
    rate: options.ratePerSecond,
    retries: options.retries,
    timeout: options.timeoutMs,
  };
  const limitMs =
    options.runSecondsMax === undefined ? RUN_TIMEOUT_MS : options.runSecondsMax * 1000;
  return JSON.parse(await runFlows(namespace, 'udp-flows', words, limitMs)) as FlowsResult;
}

/** What came back and how often it had to be asked for, for people. */
export function flowsText(result: FlowsResult): string {
  const rounds = result.rounds.map(
    (round) => `${round.seconds.toFixed(1)} s with ${round.retries} retries`,
  );
  return (
    `${result.samePort} of ${result.flows} flows at one port in every round ` +
    `(${rounds.join(', ')}), ${result.changedPort} at another`
  );
}

export async function tcpHold(namespace: Namespace, options: HoldOptions): Promise<HoldResult> {
  const words = {
    connections: options.connections,
    ...spreadWords(options),
    processes: options.processes,
    rate: options.ratePerSecond,
    hold: options.holdSeconds,
    timeout: options.timeoutMs,
  };
  return JSON.parse(await runFlows(namespace, 'tcp-hold', words)) as HoldResult;
}

export async function udpBlast(
  namespace: Namespace,
  options: { to: string; port?: number; bytes?: number; seconds: number; ratePerSecond?: number },
): Promise<{ sent: number; seconds: number; perSecond: number }> {
  const words = {
    to: options.to,
    port: options.port,
    bytes: options.bytes,
    seconds: options.seconds,
    rate: options.ratePerSecond,
  };
  return JSON.parse(await runFlows(namespace, 'udp-blast', words));
}

export interface RateResult {
  seconds: number;
  perSecond: number;
}

export interface SpreadOptions extends Spread {
  flows: number;
  sourcePort?: number;
  bytes?: number;
  seconds: number;
  /** Each flow once and then no more, instead of all of them at random until time is over. */
  once?: boolean;
}

export async function udpSpread(
  namespace: Namespace,
  options: SpreadOptions,
): Promise<RateResult & { sent: number }> {
  const words = {
    flows: options.flows,
    ...spreadWords(options),
    'source-port': options.sourcePort,
    bytes: options.bytes,
    seconds: options.seconds,
    once: options.once ? 1 : 0,
  };
  return JSON.parse(await runFlows(namespace, 'udp-spread', words));
}

export async function startServe(
  namespace: Namespace,
  options: { port?: number } = {},
): Promise<Background> {
  return startReady(namespace, 'udp-serve', { port: options.port });
}

export async function udpPull(
  namespace: Namespace,
  options: { to: string; port?: number; bytes?: number; seconds: number },
): Promise<RateResult & { received: number }> {
  const words = {
    to: options.to,
    port: options.port,
    bytes: options.bytes,
    seconds: options.seconds,
  };
  return JSON.parse(await runFlows(namespace, 'udp-pull', words));
}

export interface RoundTrips {
  answered: number;
  lost: number;
  p50Micros: number;
  p99Micros: number;
}

export async function udpRtt(
  namespace: Namespace,
  options: { to: string; port?: number; count: number; intervalMicros?: number },
): Promise<RoundTrips> {
  const words = {
    to: options.to,
    port: options.port,
    count: options.count,
    interval: options.intervalMicros,
  };
  return JSON.parse(await runFlows(namespace, 'udp-rtt', words));
}

type Words = Record<string, string | number | undefined>;

const spreadWords = ({ from, addresses, to, remotes, port }: Spread): Words => ({
  from: from ?? LOAD_NETWORK_FIRST,
  addresses,
  to: to ?? REMOTES_FIRST,
  remotes,
  port,
});

function wordsOf(options: Words): string[] {
  return Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
}

async function runFlows(
  namespace: Namespace,
  command: string,
  options: Words,
  timeoutMs = RUN_TIMEOUT_MS,
): Promise<string> {
  const result = await namespace.run(builtProgram('flows'), [command, ...wordsOf(options)], {
    timeoutMs,
  });
  return result.stdout;
}

async function startReady(
  namespace: Namespace,
  command: string,
  options: Words,
): Promise<Background> {
  const child = namespace.start(builtProgram('flows'), [command, ...wordsOf(options)]);
  await child.line(/"ready":true/);
  return child;
}
