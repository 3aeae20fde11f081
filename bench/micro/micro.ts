/**
 * Micro benchmarks (Benchmark.js): the pieces of the packet path one by one, on data from a fixed seed.
 *
 *   checksum    adjusted by the delta of two addresses      hash        of a 5-tuple
 *   parse       what the engine reads of a TCP header       look-up     one of 250,000 sessions, beside a Map with string keys
 *   translate   address, port and both checksums rewritten  allocate    a session is opened, a port found for it, and it ends
 *
 * The look-ups follow each other without one waiting for the other; `portfold bench table` has both kinds, and the twin in C.
 */
import Benchmark from 'benchmark';
import { hash3 } from '../../core/table/hash-index.ts';
import { rewriteHeader, rewriteTransport } from '../../core/translate/rewrite.ts';
import { readI32, readU16 } from '../../core/wire/bytes.ts';
import { addressDelta, adjust, fold } from '../../core/wire/checksum.ts';
import {
  IPV4_DESTINATION,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  ipv4HeaderBytes,
  PROTOCOL_TCP,
} from '../../core/wire/ipv4.ts';
import { findTimestamp, TCP_ACK, TCP_SEQUENCE, tcpHeaderBytes } from '../../core/wire/tcp.ts';
import { makeEngine } from '../support/engine.ts';
import { slotAt, tcpPacket } from '../support/packets.ts';
import { seeded } from '../support/seeded.ts';
import type { Report, Row, SuiteOptions } from '../verbs/report.ts';

const SEED = 20261122;
const KEYS = 1 << 18;
const PACKETS = 64;
const SESSIONS = 250_000;
const SESSIONS_SMOKE = 10_000;
const REMOTES = 1158;
const TURNS = 5;
const SECONDS = 0.6;
const SECONDS_SMOKE = 0.05;

interface Case {
  name: string;
  work: () => void;
  rival?: () => void;
}

/** Results go here, so that no compiler leaves the work out. */
let sink = 0;

/** Million operations a second of one function, by Benchmark.js. */
function measure(name: string, work: () => void, seconds: number): number {
  const bench = new Benchmark(name, work, { maxTime: seconds, minSamples: 5 });
  bench.run({ async: false });
  // Benchmark.js keeps what went wrong to itself.
  if (bench.error !== undefined) throw bench.error;
  return bench.hz / 1e6;
}

export async function micro(options: SuiteOptions): Promise<Report> {
  const { smoke } = options;
  const seconds = smoke ? SECONDS_SMOKE : SECONDS;
  const turns = Number(options.pairs ?? (smoke ? 1 : TURNS));
  const cases = makeCases(smoke ? SESSIONS_SMOKE : SESSIONS);
  const rows = cases.map(
    ({ name, rival }): Row => ({
      name,
      unit: 'million/s',
      samples: rival === undefined ? { portfold: [] } : { 'Map, string keys': [], portfold: [] },
    }),
  );
  for (let turn = 0; turn < turns; turn++)
    for (const [at, { name, work, rival }] of cases.entries()) {
      const { samples } = rows[at];
      if (rival !== undefined)
        samples['Map, string keys'].push(measure(`${name}, Map`, rival, seconds));
      samples.portfold.push(measure(name, work, seconds));
    }
  return {
    suite: 'micro',
    command: `portfold bench micro${smoke ? ' --smoke' : ''}`,
    smoke,
    rows,
    notes: {
      turns: `${turns}, each case in turn`,
      seed: String(SEED),
      'kept result': String(sink & 1),
    },
  };
}

function makeCases(sessions: number): Case[] {
  const next = seeded(SEED);
  const words = Int32Array.from({ length: KEYS }, next);
  let k = 0;
  const step = (): number => {
    k = (k + 1) & (KEYS - 1);
    return k;
  };
  return [
    {
      name: 'checksum adjusted by a delta',
      work: () => {
        const i = step();
        sink ^= adjust(i & 0xffff, fold(addressDelta(words[i], words[(i + 1) & (KEYS - 1)])));
      },
    },
    {
      name: 'hash of a 5-tuple',
      work: () => {
        const i = step();
        sink ^= hash3(words[i], i, words[(i + 7) & (KEYS - 1)], SEED);
      },
    },
    ...packetCases(words, step),
    ...tableCases(sessions, next, step),
  ];
}

/** Headers of TCP packets, in turn. */
function packetCases(words: Int32Array, step: () => number): Case[] {
  const bench = makeEngine(1 << 10);
  const { bytes } = bench.frames;
  for (let i = 0; i < PACKETS; i++)
    tcpPacket(bench, i, words[i], 1024 + i, words[i + PACKETS], 443, TCP_ACK, 1400, 0);
  return [
    {
      name: 'parse of a TCP/IPv4 header',
      work: () => {
        const at = slotAt(step() & (PACKETS - 1));
        const l4 = at + ipv4HeaderBytes(bytes, at);
        sink ^= readU16(bytes, at + IPV4_TOTAL_LENGTH) ^ bytes[at + IPV4_PROTOCOL];
        sink ^= readI32(bytes, at + IPV4_SOURCE) ^ readI32(bytes, at + IPV4_DESTINATION);
        sink ^= readI32(bytes, l4) ^ readI32(bytes, l4 + TCP_SEQUENCE);
        sink ^= findTimestamp(bytes, l4, l4 + tcpHeaderBytes(bytes, l4));
      },
    },
    {
      name: 'translation of a TCP/IPv4 header',
      work: () => {
        const i = step();
        const at = slotAt(i & (PACKETS - 1));
        const sum = words[i] & 0xffff;
        rewriteTransport(bytes, at + 20, PROTOCOL_TCP, at + 20, i & 0xffff, sum, sum, 0);
        rewriteHeader(bytes, at, at + IPV4_SOURCE, words[i], sum, 0);
      },
    },
  ];
}

/** The sessions of a v6 Plus line, by number. */
function tableCases(sessions: number, next: () => number, step: () => number): Case[] {
  const { table, externalAddress } = makeEngine(1 << 18);
  const map = new Map<string, number>();
  const internalOf = (n: number): number => (10 << 24) | (n >> 4);
  const portOf = (n: number): number => 1024 + (n & 15);
  const remoteOf = (n: number): number => ((198 << 24) | (18 << 16)) + (n % REMOTES);
  const open = (n: number): number => {
    table.opening.begin(17, internalOf(n), portOf(n), remoteOf(n), 53, 0);
    return table.open(table.opening, externalAddress, 0);
  };
  const keyOf = (n: number): string => `${internalOf(n)}:${portOf(n)}-${remoteOf(n)}:53/17`;
  for (let n = 0; n < sessions; n++) {
    if (open(n) < 0) throw new Error(`session ${n} was refused`);
    map.set(keyOf(n), n);
  }
  const order = Int32Array.from({ length: KEYS }, () => (next() >>> 0) % sessions);
  const tables = table.parts.sessions;
  let fresh = sessions;
  return [
    {
      name: `look-up among ${sessions.toLocaleString('en')} sessions`,
      rival: () => {
        sink ^= map.get(keyOf(order[step()])) ?? 0;
      },
      work: () => {
        const n = order[step()];
        sink ^= tables.findInternal(internalOf(n), remoteOf(n), (portOf(n) << 16) | 53, 17);
      },
    },
    {
      name: `a session opened and ended, ${sessions.toLocaleString('en')} present`,
      work: () => {
        fresh = fresh + 1 === 1 << 24 ? sessions : fresh + 1;
        table.end(open(fresh));
      },
    },
  ];
}
