/**
 * Micro benchmarks (Benchmark.js): the pieces of the packet path one by one, on data from a fixed seed. The look-up stands beside the
 * rival that everybody would write first, a Map with string keys.
 */
import Benchmark from 'benchmark';
import { hash3 } from '../../core/table/hash-index.ts';
import { addressDelta, adjust, fold } from '../../core/wire/checksum.ts';
import { makeEngine, seeded } from '../support/engine.ts';
import type { Report, Row } from '../verbs/report.ts';

const SEED = 20261122;
const KEYS = 4096;

/** Operations a second of one function, by Benchmark.js. */
function measure(name: string, work: () => void, seconds: number): number {
  const bench = new Benchmark(name, work, { maxTime: seconds, minSamples: 5 });
  bench.run({ async: false });
  return bench.hz / 1e6;
}

/** Results go here, so that no compiler leaves the work out. */
let sink = 0;

export async function micro({ smoke }: { smoke: boolean }): Promise<Report> {
  const seconds = smoke ? 0.1 : 2;
  const sessions = smoke ? 10_000 : 250_000;
  const next = seeded(SEED);
  const words = Int32Array.from({ length: KEYS }, next);

  const { table } = makeEngine(1 << 18);
  const map = new Map<string, number>();
  const internals = new Int32Array(sessions);
  const remotes = new Int32Array(sessions);
  for (let n = 0; n < sessions; n++) {
    internals[n] = (10 << 24) | (n >> 4);
    remotes[n] = (198 << 24) | (18 << 16) | (n % 1158);
    table.open(internals[n], 1024 + (n & 15), remotes[n], 53, 17, 1, 0, 0, 0);
    map.set(`${internals[n]}:${1024 + (n & 15)}-${remotes[n]}:53/17`, n);
  }
  const order = Int32Array.from({ length: KEYS }, () => (next() >>> 0) % sessions);
  const tables = table.parts.sessions;

  let k = 0;
  const step = (): number => {
    k = (k + 1) & (KEYS - 1);
    return k;
  };
  const cases: [name: string, rival: (() => void) | undefined, work: () => void][] = [
    [
      'checksum adjusted by a delta',
      undefined,
      () => {
        const i = step();
        sink ^= adjust(i, fold(addressDelta(words[i], words[(i + 1) & (KEYS - 1)])));
      },
    ],
    [
      'hash of a 5-tuple',
      undefined,
      () => {
        const i = step();
        sink ^= hash3(words[i], i, words[(i + 7) & (KEYS - 1)], SEED);
      },
    ],
    [
      `look-up among ${sessions} sessions`,
      () => {
        const n = order[step()];
        sink ^= map.get(`${internals[n]}:${1024 + (n & 15)}-${remotes[n]}:53/17`) ?? 0;
      },
      () => {
        const n = order[step()];
        sink ^= tables.findInternal(internals[n], remotes[n], ((1024 + (n & 15)) << 16) | 53, 17);
      },
    ],
  ];
  const rows = cases.map(([name, rival, work]): Row => {
    const samples: Row['samples'] = {};
    if (rival !== undefined) samples['Map, string keys'] = [measure(name, rival, seconds)];
    samples.portfold = [measure(name, work, seconds)];
    return { name, unit: 'Mops/s', samples };
  });
  return {
    suite: 'micro',
    command: smoke ? 'portfold bench micro --smoke' : 'portfold bench micro',
    smoke,
    rows,
    notes: { seed: String(SEED), 'kept result': String(sink & 1) },
  };
}
