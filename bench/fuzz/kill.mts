/**
 * Kills a process that makes and ends sessions, at random moments, and takes its arena over: none of the lasting sessions may be lost
 * or moved, and the tables must be consistent.
 *
 *   node --import tsx bench/fuzz/kill.mts [--times 100] [--sessions 250000]
 */
import { spawn } from 'node:child_process';
import { randomFillSync, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Arena, arenaBytes } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import { selfCheck } from '../../core/table/self-check.ts';
import { standardPolicy } from '../../policies/standard.ts';
import { mapArena } from '../../tun/native.ts';
import { mapEPorts } from '../support/engine.ts';
import { endpointOf, SHAPE } from './kill-common.ts';

const LIFE_MILLISECONDS_MAX = 400;

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '100' },
    sessions: { type: 'string', default: '250000' },
  },
});
const times = Number(values.times);
const sessions = Number(values.sessions);

async function once1(): Promise<{ restored: number; dropped: number; milliseconds: number }> {
  const folder = mkdtempSync('/dev/shm/portfold-kill-');
  try {
    const arenaPath = join(folder, 'arena');
    const keptPath = join(folder, 'kept');
    const victim = fileURLToPath(new URL('./victim.mts', import.meta.url));
    const words = ['--import', 'tsx', victim, arenaPath, keptPath, String(sessions)];
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await sleep(randomInt(LIFE_MILLISECONDS_MAX));
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    return takeOver(
      arenaPath,
      new Uint16Array(readFileSync(keptPath).buffer.slice(0, sessions * 2)),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function takeOver(arenaPath: string, kept: Uint16Array) {
  const { buffer } = mapArena(arenaPath, arenaBytes(SHAPE), { create: false });
  const random = new RandomSource((words) => randomFillSync(words));
  const parts = makeParts(new Arena(buffer, SHAPE), new PortSet(mapEPorts()), random);
  const table = new NatTable(parts, standardPolicy('home'), 0);
  const started = performance.now();
  const restored = table.restore();
  const milliseconds = performance.now() - started;
  const problems = selfCheck(parts);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  for (let n = 0; n < sessions; n++) {
    const { address, port, remote } = endpointOf(n);
    const session = parts.sessions.findInternal(address, remote, (port << 16) | 53, 17);
    if (session < 0) throw new Error(`session ${n} is lost`);
    if (parts.sessions.words[session * 16 + 3] >>> 16 !== kept[n])
      throw new Error(`session ${n} moved`);
  }
  return { restored: restored.sessions, dropped: restored.dropped, milliseconds };
}

let dropped = 0;
let slowest = 0;
for (let i = 0; i < times; i++) {
  const result = await once1();
  dropped += result.dropped;
  slowest = Math.max(slowest, result.milliseconds);
}
console.log(
  JSON.stringify({
    times,
    sessions,
    lost: 0,
    halfMade: dropped,
    slowestRestoreMilliseconds: Math.round(slowest),
  }),
);
