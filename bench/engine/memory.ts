/** Resident memory of an engine that has worked for ten minutes with 262,144 sessions, each with a mapping and a remote of its own. */
import { ownProgram } from '../support/turns.ts';
import type { Report, SuiteOptions } from '../verbs/report.ts';
import type { Held } from './memory-subject.ts';

const SESSIONS = 1 << 18;
const SECONDS = 600;
const SECONDS_SMOKE = 1;
const MEGABYTE = 1e6;

export async function memory(options: SuiteOptions): Promise<Report> {
  const { smoke } = options;
  const seconds = Number(options.seconds ?? (smoke ? SECONDS_SMOKE : SECONDS));
  const words = [String(SESSIONS), String(seconds)];
  const held = await ownProgram<Held>(import.meta.url, './memory-subject', words, []);
  const { sessions, mappings, remotes } = held;
  if (sessions !== SESSIONS || mappings !== SESSIONS || remotes !== SESSIONS)
    throw new Error(`${sessions} sessions, ${mappings} mappings and ${remotes} remotes are in use`);
  const resident = held.residentBytes / MEGABYTE;
  const row = (name: string, bytes: number) => ({
    name,
    unit: 'MB',
    isCost: true as const,
    samples: { portfold: [bytes / MEGABYTE] },
  });
  return {
    suite: 'memory',
    command: `portfold bench memory${smoke ? ' --smoke' : ''}`,
    smoke,
    rows: [row('resident', held.residentBytes), row('of it, objects', held.heapBytes)],
    notes: {
      'in use': `${SESSIONS.toLocaleString('en')} sessions, mappings and remotes each`,
      run: `${seconds} s, ${held.packets.toLocaleString('en')} packets, ${import.meta.url.endsWith('.ts') ? 'from the sources: the compiler of TypeScript is in it' : 'compiled code'}`,
    },
    targets: [{ name: 'resident', value: resident, bound: 'at most', wanted: 150, unit: 'MB' }],
  };
}
