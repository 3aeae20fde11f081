/**
 * The victim of kill.mts: an engine over a mapped arena that makes and ends sessions as fast as it can until somebody kills it.
 *
 *   victim.mts ARENA KEPT SESSIONS      ARENA is made; KEPT receives the external port of each of SESSIONS lasting sessions
 */
import { randomFillSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { Arena, arenaBytes, IDENTITY_WORDS } from '../../core/table/arena.ts';
import { NatTable } from '../../core/table/nat-table.ts';
import { makeParts } from '../../core/table/parts.ts';
import { PortSet } from '../../core/table/port-set.ts';
import { RandomSource } from '../../core/table/random.ts';
import { standardPolicy } from '../../policies/standard.ts';
import { mapArena } from '../../tun/native.ts';
import { mapEPorts } from '../support/engine.ts';
import { EXTERNAL_ADDRESS, endpointOf, SHAPE, SHORT_LIVED_FIRST } from './kill-common.ts';

const [arenaPath, keptPath, sessionsText] = process.argv.slice(2);
const sessions = Number(sessionsText);
const { buffer } = mapArena(arenaPath, arenaBytes(SHAPE), { create: true });
const arena = new Arena(buffer, SHAPE);
arena.format(0, [EXTERNAL_ADDRESS], new Int32Array(IDENTITY_WORDS));
const random = new RandomSource((words) => randomFillSync(words));
const parts = makeParts(arena, new PortSet(mapEPorts()), random);
const table = new NatTable(parts, standardPolicy('home'), 0);

function open(n: number): number {
  const { address, port, remote } = endpointOf(n);
  table.opening.begin(17, address, port, remote, 53, 0);
  return table.open(table.opening, EXTERNAL_ADDRESS, 0);
}

const kept = new Uint16Array(sessions);
for (let n = 0; n < sessions; n++) kept[n] = parts.sessions.words[open(n) * 16 + 3] >>> 16;
writeFileSync(keptPath, kept);
console.log('ready');

// A ring of sessions that come and go, without a pause in which nothing would be half done.
const ring: number[] = [];
for (
  let n = SHORT_LIVED_FIRST;
  ;
  n = n + 1 > SHORT_LIVED_FIRST + 400_000 ? SHORT_LIVED_FIRST : n + 1
) {
  if (ring.length > 5000) table.end(ring.shift() as number);
  const { address, port, remote } = endpointOf(n);
  if (parts.sessions.findInternal(address, remote, (port << 16) | 53, 17) >= 0) continue;
  const session = open(n);
  if (session >= 0) ring.push(session);
}
