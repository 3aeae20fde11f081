/** The engine with every record in use, and traffic over all of them:  memory-subject.ts SESSIONS SECONDS  prints what the process then holds. */
import { makeEngine } from '../support/engine.ts';
import { udpPacket } from '../support/packets.ts';
import { seeded } from '../support/seeded.ts';
import { SEED } from './cases.ts';
import { internalOf, PACKET_BYTES, portOf, REMOTE_PORT } from './world.ts';

const BATCH = 64;
const REMOTE_FIRST = (198 << 24) | (18 << 16);
const PAUSE_EVERY_BATCHES = 1024;

export interface Held {
  residentBytes: number;
  heapBytes: number;
  sessions: number;
  mappings: number;
  remotes: number;
  packets: number;
}

async function hold(sessions: number, seconds: number): Promise<Held> {
  const bench = makeEngine(sessions);
  const { engine, table } = bench;
  const put = (i: number, n: number): void =>
    udpPacket(bench, i, internalOf(n), portOf(n), REMOTE_FIRST + n, REMOTE_PORT, PACKET_BYTES);
  for (let n = 0; n < sessions; n++) {
    put(0, n);
    engine.process(1, 0);
  }
  const next = seeded(SEED);
  const started = performance.now();
  let packets = 0;
  while (performance.now() - started < seconds * 1000) {
    for (let batch = 0; batch < PAUSE_EVERY_BATCHES; batch++) {
      for (let i = 0; i < BATCH; i++) put(i, (next() >>> 0) % sessions);
      const clock = performance.now() - started;
      engine.process(BATCH, clock);
      engine.advance(clock);
      packets += BATCH;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { rss, heapUsed } = process.memoryUsage();
  const { parts } = table;
  return {
    residentBytes: rss,
    heapBytes: heapUsed,
    sessions: parts.sessions.count,
    mappings: parts.mappings.count,
    remotes: parts.remotes.count,
    packets,
  };
}

const [sessions, seconds] = process.argv.slice(2).map(Number);
process.stdout.write(`${JSON.stringify(await hold(sessions, seconds))}\n`);
