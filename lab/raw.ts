/**
 * Packets as they stand, and what the first packet of a flow waits for: `lab/native/raw.h` and
 * `first-packet.h`, typed.
 *
 *   rawSend        whole packets in the order given, whatever their source or fragment bits say
 *   RawFlood       the same again and again at a rate, from as many sources as one likes
 *   firstPackets   round trips of new flows, opened at a steady rate
 *
 * A flood is pinned to one processor, so that on a machine with two the gateway has the other; the
 * softirq work of the packets that it sends stays with it.
 */
import type { Background, Namespace } from './netns.ts';
import { builtProgram } from './programs.ts';

export interface FloodOptions {
  /** First of `sources` spoofed addresses; without it the packets' own. */
  from?: string;
  sources?: number;
  destinations?: number;
  sourcePorts?: number;
  /** Each packet gets another IP identification. */
  countsIds?: boolean;
  ratePerSecond: number;
  count?: number;
  seconds?: number;
  /** −1: any. */
  processor?: number;
  /** It goes after this process and the rest of the lab, where those were given precedence. */
  isOrdinary?: boolean;
}

export interface FloodResult {
  sent: number;
  /** Packets that the sender's own queue had no room for. */
  failed: number;
  seconds: number;
  perSecond: number;
}

export interface FirstPacketsOptions {
  flows: number;
  from: string;
  to: string;
  remotes?: number;
  port?: number;
  sourcePort?: number;
  ratePerSecond?: number;
  timeoutMs?: number;
}

/** Quantiles in microseconds; infinite where the quantile is a flow that had no answer. */
export interface FirstPackets {
  flows: number;
  answered: number;
  p50Micros: number;
  p90Micros: number;
  p99Micros: number;
  maxMicros: number;
  seconds: number;
}

const FLOOD_PROCESSOR = 0;

const linesOf = (packets: readonly Uint8Array[]): string =>
  packets.map((packet) => `${Buffer.from(packet).toString('hex')}\n`).join('');

export async function rawSend(
  namespace: Namespace,
  packets: readonly Uint8Array[],
): Promise<number> {
  const input = linesOf(packets);
  const { stdout } = await namespace.run(builtProgram('flows'), ['raw-send'], { input });
  return JSON.parse(stdout).sent;
}

export class RawFlood {
  readonly #child: Background;

  private constructor(child: Background) {
    this.#child = child;
  }

  /** Resolves once it sends. */
  static async start(
    namespace: Namespace,
    packets: readonly Uint8Array[],
    options: FloodOptions,
  ): Promise<RawFlood> {
    const words = wordsOf({
      from: options.from,
      sources: options.sources,
      destinations: options.destinations,
      'source-ports': options.sourcePorts,
      ids: options.countsIds ? 1 : undefined,
      rate: options.ratePerSecond,
      count: options.count,
      seconds: options.seconds,
    });
    const processor = options.processor ?? FLOOD_PROCESSOR;
    const pin = processor < 0 ? [] : ['taskset', '-c', String(processor)];
    const precedence = options.isOrdinary ? ['chrt', '-o', '0'] : [];
    const [command, ...args] = [
      ...precedence,
      ...pin,
      builtProgram('flows'),
      'raw-flood',
      ...words,
    ];
    const child = namespace.start(command, args);
    child.process.stdin?.end(linesOf(packets));
    await child.line(/"ready":true/);
    return new RawFlood(child);
  }

  /** Awaits the end of a flood that has one. */
  async ended(): Promise<FloodResult> {
    return resultOf(await this.#child.ended);
  }

  async stop(): Promise<FloodResult> {
    return resultOf(await this.#child.stop());
  }
}

function resultOf(result: { code: number; stdout: string; stderr: string }): FloodResult {
  if (result.code !== 0) throw new Error(`the flood ended with ${result.code}: ${result.stderr}`);
  return JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '');
}

export async function firstPackets(
  namespace: Namespace,
  options: FirstPacketsOptions,
): Promise<FirstPackets> {
  const words = wordsOf({
    flows: options.flows,
    from: options.from,
    to: options.to,
    remotes: options.remotes,
    port: options.port,
    'source-port': options.sourcePort,
    rate: options.ratePerSecond,
    timeout: options.timeoutMs,
  });
  const { stdout } = await namespace.run(builtProgram('flows'), ['first-packet', ...words]);
  const result: FirstPackets = JSON.parse(stdout);
  for (const key of ['p50Micros', 'p90Micros', 'p99Micros', 'maxMicros'] as const)
    if (result[key] < 0) result[key] = Number.POSITIVE_INFINITY;
  return result;
}

function wordsOf(options: Record<string, string | number | undefined>): string[] {
  return Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
}
