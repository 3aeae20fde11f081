/**
 * What the engine is asked. Each packet is written just before its batch is processed, so that it lies in the cache as it does behind a
 * read(). Figures are processor time, since a clock on the wall would measure whoever else uses the machine; the same packets are then
 * written once more without the engine, and that time is taken off.
 *
 *   established   64-byte UDP in both directions, random sessions of all that are present
 *   in cache      the same over 64 of them
 *   superpackets  TCP of 64,000 bytes with a partial checksum, in both directions, over 1,000 connections
 *   new           each packet opens a session
 *   replaced      each packet opens a session towards the remote of one that ended just before it, and the sweep runs
 *   refused       each packet asks for a port towards a remote that has none left
 *   unsolicited   from the WAN to a port that nobody holds for that remote
 *   tunnel out    established, outbound, with the tunnel header of a MAP-E line put on
 *   tunnel in     established, inbound, with it taken off
 */
import { DESCRIPTOR_WORDS, FRAME_VERDICT, GSO_TCPV4, VNET_NEEDS_CSUM } from '../../core/frames.ts';
import { S_COMMIT, S_REMOTE_ADDRESS } from '../../core/table/arena.ts';
import { SESSION_SHIFT } from '../../core/table/sessions.ts';
import { COALESCE, Drop, ENCAPSULATE, FORWARDED } from '../../core/verdict.ts';
import { readI32 } from '../../core/wire/bytes.ts';
import { TCP_ACK, TCP_SYN } from '../../core/wire/tcp.ts';
import { inTunnel, slotAt, tcpPacket } from '../support/packets.ts';
import { seeded } from '../support/seeded.ts';
import { HOSTS, internalOf, ownAddress, portOf, relayAddress, type World } from './world.ts';

export const SEED = 20261122;
const BATCH = 64;
const CACHED_FLOWS = 64;
const CONNECTIONS = 1000;
const CONNECTION_FIRST = 100_000_000;
const SUPERPACKET_BYTES = 64_000;
const SUPERPACKET = (1448 << 16) | (GSO_TCPV4 << 8) | VNET_NEEDS_CSUM;
const HTTPS_PORT = 443;
const FULL_REMOTE_PORT = 99;
const PORTS = 240;
const ENDPOINTS_OF_HOST = 60_000;
/** So that no remote of new sessions runs out of ports when the table is empty. */
const NEW_REMOTES_MIN = 1158;
const CLOCK = 2000;
/** The engine's clock goes on as it would at half a million new sessions a second. */
const REPLACED_MILLISECONDS = 0.002;
const CLOCK_EVERY_BATCHES = 64;

/** Packets a second. */
type Rate = number;

function processorSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Times the engine on batches that `fill` writes, and sees that their verdicts are `wanted`. */
function rate(
  { bench }: World,
  packets: number,
  wanted: number,
  fill: (i: number, k: number) => void,
): Rate {
  const { engine, frames } = bench;
  const started = processorSeconds();
  for (let done = 0; done < packets; done += BATCH) {
    for (let i = 0; i < BATCH; i++) fill(i, done + i);
    engine.process(BATCH, CLOCK);
  }
  const filled = processorSeconds();
  requireVerdicts(frames.descriptors, wanted);
  for (let done = 0; done < packets; done += BATCH)
    for (let i = 0; i < BATCH; i++) fill(i, done + i);
  return packets / (filled - started - (processorSeconds() - filled));
}

/** A packet that was dropped is cheap: the last batch must have become what the case is about. */
function requireVerdicts(descriptors: Int32Array, wanted: number): void {
  for (let i = 0; i < BATCH; i++) {
    const verdict = descriptors[i * DESCRIPTOR_WORDS + FRAME_VERDICT];
    if (verdict !== wanted) throw new Error(`packet ${i} got verdict ${verdict}, not ${wanted}`);
  }
}

export function established(world: World, packets: number, flows = world.sessions): Rate {
  const next = seeded(SEED);
  return rate(world, packets, FORWARDED, (i) => {
    const n = (next() >>> 0) % flows;
    if ((i & 1) === 0) world.outbound(i, n, world.remoteOf(n));
    else world.inbound(i, n);
  });
}

export const inCache = (world: World, packets: number): Rate =>
  established(world, packets, CACHED_FLOWS);

export function superpackets(world: World, packets: number): Rate {
  const { bench } = world;
  const { engine, frames, externalAddress } = bench;
  const external = new Uint16Array(CONNECTIONS);
  const outbound = (i: number, n: number, flags: number, length: number, offload: number): void => {
    const flow = CONNECTION_FIRST + n;
    const remote = world.strangerOf(n);
    tcpPacket(bench, i, internalOf(flow), portOf(flow), remote, HTTPS_PORT, flags, length, offload);
  };
  const inbound = (i: number, n: number, flags: number, length: number, offload: number): void => {
    const remote = world.strangerOf(n);
    tcpPacket(bench, i, remote, HTTPS_PORT, externalAddress, external[n], flags, length, offload);
  };
  for (let n = 0; n < CONNECTIONS; n++) {
    outbound(0, n, TCP_SYN, 40, 0);
    engine.process(1, CLOCK);
    external[n] = readI32(frames.bytes, slotAt(0) + 20) >>> 16;
    inbound(0, n, TCP_SYN | TCP_ACK, 40, 0);
    engine.process(1, CLOCK);
  }
  const next = seeded(SEED);
  return rate(world, packets, FORWARDED, (i) => {
    const n = (next() >>> 0) % CONNECTIONS;
    const put = (i & 1) === 0 ? outbound : inbound;
    put(i, n, TCP_ACK, SUPERPACKET_BYTES, SUPERPACKET);
  });
}

/** @param first of the flows that are opened; @param count sessions that the table still has room for */
export function opened(world: World, first: number, count: number): Rate {
  const whole = Math.floor(count / BATCH) * BATCH;
  return rate(world, whole, FORWARDED, (i, k) => {
    const n = first + k;
    world.outbound(
      i,
      world.sessions + n,
      world.strangerOf(n % Math.max(world.remotes, NEW_REMOTES_MIN)),
    );
  });
}

/** New sessions a second in a table that stays as full as it is: ends, packets and sweep. */
export function replaced(world: World, seconds: number): Rate {
  const { engine, table } = world.bench;
  const { words } = table.parts.sessions;
  const next = seeded(SEED);
  const victims = new Int32Array(BATCH);
  let n = world.sessions;
  const fill = (): void => {
    for (let i = 0; i < BATCH; i++) {
      victims[i] = pickVictim(words, victims, i, world.sessions, next);
      world.outbound(i, n++, words[(victims[i] << SESSION_SHIFT) + S_REMOTE_ADDRESS]);
    }
  };
  const started = processorSeconds();
  let batches = 0;
  let filled = started;
  while (filled - started < seconds) {
    for (let k = 0; k < CLOCK_EVERY_BATCHES; k++) {
      fill();
      for (let i = 0; i < BATCH; i++) table.end(victims[i]);
      const clock = CLOCK + (batches + k) * BATCH * REPLACED_MILLISECONDS;
      engine.process(BATCH, clock);
      engine.advance(clock);
    }
    batches += CLOCK_EVERY_BATCHES;
    filled = processorSeconds();
  }
  requireVerdicts(world.bench.frames.descriptors, FORWARDED);
  if (table.parts.sessions.count !== world.sessions)
    throw new Error(`${table.parts.sessions.count} sessions are left of ${world.sessions}`);
  for (let k = 0; k < batches; k++) fill();
  return (batches * BATCH) / (filled - started - (processorSeconds() - filled));
}

/** A random record in use that is not yet among the first `count` of `victims`. */
function pickVictim(
  words: Int32Array,
  victims: Int32Array,
  count: number,
  sessions: number,
  next: () => number,
): number {
  for (;;) {
    const record = (next() >>> 0) % sessions;
    if ((words[(record << SESSION_SHIFT) + S_COMMIT] & 63) === 0) continue;
    let known = 0;
    while (known < count && victims[known] !== record) known++;
    if (known === count) return record;
  }
}

export function refused(world: World, packets: number): Rate {
  const remote = world.strangerOf(5000);
  // All from one host, which has soon been told as often as it is told in a second.
  const ask = (i: number, n: number): void =>
    world.outbound(i, (n % ENDPOINTS_OF_HOST) * HOSTS, remote, FULL_REMOTE_PORT);
  for (let n = 0; n < PORTS; n++) {
    ask(0, n);
    world.bench.engine.process(1, CLOCK);
  }
  return rate(world, packets, ~Drop.AnswerLimited, (i, k) => ask(i, PORTS + k));
}

export function unsolicited(world: World, packets: number): Rate {
  return rate(world, packets, ~Drop.NoSession, (i, k) => {
    world.inbound(i, k % world.sessions);
    const { bytes } = world.bench.frames;
    // From another port of the remote than the session's.
    bytes[slotAt(i) + 21] = 7;
  });
}

export function tunnelOut(world: World, packets: number): Rate {
  const next = seeded(SEED);
  return rate(world, packets, ENCAPSULATE, (i) => {
    const n = (next() >>> 0) % world.sessions;
    world.outbound(i, n, world.remoteOf(n));
  });
}

export function tunnelIn(world: World, packets: number): Rate {
  const next = seeded(SEED);
  return rate(world, packets, COALESCE, (i) => {
    world.inbound(i, (next() >>> 0) % world.sessions);
    inTunnel(world.bench, i, relayAddress, ownAddress);
  });
}
