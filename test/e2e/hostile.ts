/**
 * What the tests with hostile input share: packets to send, and how an undisturbed host is compared
 * with a disturbed one.
 *
 * Idle and flooded are measured in turn, and the medians of the rounds are compared: two processors
 * carry sender, kernel, gateway, servers and whatever else runs, so that single rounds differ by a
 * multiple. A comparison that fails is made anew, since a machine that was busy elsewhere fails it
 * too; what the gateway causes fails each time.
 */
import assert from 'node:assert/strict';
import { put16, udp } from '../../bench/fuzz/build.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import type { Gateway } from '../../lab/gateway.ts';
import { type Namespace, run } from '../../lab/netns.ts';
import { type Lab, SERVER } from '../../lab/topology.ts';

export const IS_FULL = process.env.PORTFOLD_TEST_FULL === '1';
export const ROUNDS = IS_FULL ? 7 : 3;
const ATTEMPTS = 3;
/** How much later the slowest hundredth may be under a flood. */
const SLOWER_AT_MOST = 1.5;
/**
 * And this much more, where one turn of another program on the same processor is no fault. So it is
 * in the short run, whose slowest hundredth is half a dozen packets.
 */
export const TURN_MICROS = 3000;
/** First of 16,777,216 addresses that nobody has: whatever is sent there is swallowed. */
export const SPOOFED_FIRST = '20.0.0.1';

/**
 * The lab of a `describe` goes before whatever else the machine does (all that this process starts
 * inherits it): what is compared is the flood, not the other programs. Where that is not allowed, it
 * is compared as it is. A gateway or a flood that is to be ordinary is started behind `chrt -o 0`.
 */
export function withPrecedence(): void {
  before(() => run('chrt', ['-a', '-r', '-p', '1', String(process.pid)], { check: false }));
  after(() => run('chrt', ['-a', '-o', '-p', '0', String(process.pid)], { check: false }));
}

/** Answers to spoofed sources end at the first router, as they would far away. */
export async function swallowSpoofed(lab: Lab): Promise<void> {
  for (const one of [lab.provider, lab.relay, lab.internet])
    await one.ip(['route add blackhole 20.0.0.0/8']);
}

/** A datagram whose checksum is zero, so that addresses and ports can be changed without it. */
export function bareUdp(
  from: [string, number],
  to: [string, number],
  payload: Uint8Array,
  id = 1,
): Uint8Array {
  const packet = udp(
    {
      from: parseIpv4(from[0]),
      fromPort: from[1],
      to: parseIpv4(to[0]),
      toPort: to[1],
      df: false,
      id,
    },
    payload,
  );
  put16(packet, 26, 0);
  return packet;
}

export async function dropsOf(gateway: Gateway): Promise<Record<string, number>> {
  const { items } = await gateway.control.list('drops', {});
  return Object.fromEntries(items.map((item) => [item.reason, item.packets]));
}

/** What was dropped more than before, by name. */
export function dropsSince(
  before: Record<string, number>,
  after: Record<string, number>,
): Record<string, number> {
  const more: Record<string, number> = {};
  for (const [reason, packets] of Object.entries(after))
    if (packets > (before[reason] ?? 0)) more[reason] = packets - (before[reason] ?? 0);
  return more;
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1];

export interface PingDelays extends Delays {
  sent: number;
  lost: number;
}

/** Pings every 10 ms. */
export async function pingDelays(host: Namespace, count: number): Promise<PingDelays> {
  const words = ['-n', '-c', String(count), '-i', '0.01', '-W', '1', SERVER];
  const { stdout } = await host.run('ping', words, { check: false });
  const micros = [...stdout.matchAll(/time=([\d.]+) ms/g)].map(([, ms]) => Number(ms) * 1000);
  while (micros.length < count) micros.push(Number.POSITIVE_INFINITY);
  micros.sort((a, b) => a - b);
  return {
    sent: count,
    lost: micros.filter((value) => value === Number.POSITIVE_INFINITY).length,
    p50Micros: micros[Math.round((count - 1) * 0.5)],
    p99Micros: micros[Math.round((count - 1) * 0.99)],
  };
}

export interface Delays {
  /** How many had no answer, where that is no failure by itself. */
  lost?: number;
  p50Micros: number;
  p99Micros: number;
}

/**
 * Compares the p99 of `idle` with that of `flooded`, in turn, by the medians of the rounds, and what
 * was lost in all of them. Prints what was seen.
 * @param moreMicros that it may be later in any case
 */
export async function assertUndisturbed(
  what: string,
  idle: () => Promise<Delays>,
  flooded: () => Promise<Delays>,
  moreMicros = IS_FULL ? 0 : TURN_MICROS,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const quiet: Delays[] = [];
    const loud: Delays[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      quiet.push(await idle());
      loud.push(await flooded());
    }
    const of = (delays: Delays[], key: 'p50Micros' | 'p99Micros'): number =>
      median(delays.map((delay) => delay[key]));
    const before = of(quiet, 'p99Micros');
    const during = of(loud, 'p99Micros');
    console.log(
      `      ${what}: p50 ${of(quiet, 'p50Micros')} → ${of(loud, 'p50Micros')} µs, ` +
        `p99 ${before} → ${during} µs (medians of ${ROUNDS})`,
    );
    const lostBefore = quiet.reduce((sum, { lost = 0 }) => sum + lost, 0);
    const lost = loud.reduce((sum, { lost = 0 }) => sum + lost, 0);
    const isLate = during > Math.max(before * SLOWER_AT_MOST, before + moreMicros);
    if (!isLate && lost <= lostBefore) return;
    const said = `p99 ${during} µs and was ${before} µs, ${lost} lost and ${lostBefore} before`;
    assert.ok(attempt < ATTEMPTS, `${what}: ${said}`);
  }
}
