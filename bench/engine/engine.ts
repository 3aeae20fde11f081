/**
 * Packets from memory through the engine: what the translation itself costs, without a kernel around it.
 *
 *   established   64-byte UDP, both directions, over random sessions of a full table (two cache misses a packet)
 *   in cache      the same over 64 sessions
 *   new           each packet opens a session towards one of many remotes
 *   refused       each packet asks for a port towards a remote that has none left
 *   unsolicited   from the WAN to a port that nobody holds for that remote
 */
import { DESCRIPTOR_WORDS, HEADROOM_BYTES } from '../../core/frames.ts';
import { readI32, writeI32, writeU16 } from '../../core/wire/bytes.ts';
import { finishIpv4Header, parseIpv4 } from '../../core/wire/ipv4.ts';
import { type BenchEngine, makeEngine, seeded } from '../support/engine.ts';
import type { Report, Row } from '../verbs/report.ts';

const PACKET_BYTES = 64;
const SLOT_BYTES = 256;
const BATCH = 64;
const SEED = 20261122;
const REMOTES = 1158;
const REMOTE_FIRST = parseIpv4('198.18.0.1');
const LAN_FIRST = parseIpv4('10.1.0.0');

interface Flow {
  internal: number;
  port: number;
  remote: number;
}

const flowOf = (n: number): Flow => ({
  internal: LAN_FIRST + Math.floor(n / 1000),
  port: 1024 + (n % 1000),
  remote: REMOTE_FIRST + (n % REMOTES),
});

/** Writes a UDP packet without a checksum into slot `i` of the batch. */
function writePacket(
  bench: BenchEngine,
  i: number,
  source: number,
  sourcePort: number,
  destination: number,
  destinationPort: number,
): void {
  const { bytes, descriptors } = bench.frames;
  const at = HEADROOM_BYTES + i * SLOT_BYTES;
  writeI32(bytes, at, (0x4500 << 16) | PACKET_BYTES);
  writeI32(bytes, at + 4, 0x4000);
  writeI32(bytes, at + 8, (63 << 24) | (17 << 16));
  writeI32(bytes, at + 12, source);
  writeI32(bytes, at + 16, destination);
  finishIpv4Header(bytes, at);
  writeI32(bytes, at + 20, (sourcePort << 16) | destinationPort);
  writeU16(bytes, at + 24, PACKET_BYTES - 20);
  writeU16(bytes, at + 26, 0);
  descriptors[i * DESCRIPTOR_WORDS] = at;
  descriptors[i * DESCRIPTOR_WORDS + 1] = PACKET_BYTES;
  descriptors[i * DESCRIPTOR_WORDS + 2] = 0;
}

/** Opens `count` sessions and returns the external port of each. */
function open(bench: BenchEngine, count: number): Uint16Array {
  const external = new Uint16Array(count);
  for (let n = 0; n < count; n++) {
    const { internal, port, remote } = flowOf(n);
    writePacket(bench, 0, internal, port, remote, 53);
    bench.engine.process(1, 1000);
    external[n] = readI32(bench.frames.bytes, HEADROOM_BYTES + 20) >>> 16;
  }
  return external;
}

/** Millions of packets a second: only the engine's part is timed, batch by batch. */
function rate(bench: BenchEngine, packets: number, fill: (i: number, k: number) => void): number {
  let seconds = 0;
  for (let done = 0; done < packets; done += BATCH) {
    for (let i = 0; i < BATCH; i++) fill(i, done + i);
    const started = performance.now();
    bench.engine.process(BATCH, 2000);
    seconds += (performance.now() - started) / 1000;
  }
  return packets / seconds / 1e6;
}

function established(bench: BenchEngine, external: Uint16Array, count: number, packets: number) {
  const next = seeded(SEED);
  return rate(bench, packets, (i) => {
    const n = (next() >>> 0) % count;
    const { internal, port, remote } = flowOf(n);
    if ((i & 1) === 0) writePacket(bench, i, internal, port, remote, 53);
    else writePacket(bench, i, remote, 53, bench.externalAddress, external[n]);
  });
}

export async function engine({ smoke }: { smoke: boolean }): Promise<Report> {
  const sessions = smoke ? 20_000 : 250_000;
  const packets = smoke ? 64 * 2_000 : 64 * 30_000;
  const runs = smoke ? 1 : 5;
  const rows = ['established', 'in cache', 'new', 'refused', 'unsolicited'].map(
    (name): Row => ({ name, unit: 'Mpackets/s', samples: { portfold: [] } }),
  );
  const put = (row: number, value: number): void => {
    rows[row].samples.portfold.push(value);
  };
  for (let run = 0; run < runs; run++) {
    const bench = makeEngine(1 << 18);
    const external = open(bench, sessions);
    established(bench, external, sessions, packets / 4);
    put(0, established(bench, external, sessions, packets));
    put(1, established(bench, external, 64, packets));

    const fresh = makeEngine(1 << 18);
    put(
      2,
      rate(fresh, Math.floor(sessions / BATCH) * BATCH, (i, k) => {
        const { internal, port, remote } = flowOf(k);
        writePacket(fresh, i, internal, port, remote, 53);
      }),
    );
    for (let k = 0; k < 240; k++) {
      writePacket(fresh, 0, LAN_FIRST + k, 60000, REMOTE_FIRST, 99);
      fresh.engine.process(1, 2000);
    }
    put(
      3,
      rate(fresh, packets / 4, (i, k) =>
        writePacket(fresh, i, LAN_FIRST + (k & 1023), 1024 + (k >> 10), REMOTE_FIRST, 99),
      ),
    );
    put(
      4,
      rate(fresh, packets / 4, (i, k) =>
        writePacket(fresh, i, REMOTE_FIRST + k, 7, fresh.externalAddress, 5472),
      ),
    );
  }
  return {
    suite: 'engine',
    command: smoke ? 'portfold bench engine --smoke' : 'portfold bench engine',
    smoke,
    rows,
    notes: { sessions: String(sessions), packets: `${packets} a run, 64 bytes, seed ${SEED}` },
  };
}
