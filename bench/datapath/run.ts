/** One turn of one rival: its rules in force, counters before and after, traffic in between. */
import { LabError } from '../../lab/programs.ts';
import { SERVER } from '../../lab/topology.ts';
import type { Case } from './cases.ts';
import { difference, takeReading, threadCount, type Watched } from './measurement.ts';
import type { Sample } from './results.ts';
import type { Rival } from './rivals.ts';

/** Programs start at the beginning and end at the end: how busy a thread is shows in between. */
const BUSY_FROM = 0.35;
const BUSY_UNTIL = 0.85;

export interface Turn {
  sessions: number;
  seconds: number;
  turn: number;
}

export async function measure(rival: Rival, one: Case, turn: Turn): Promise<Sample> {
  const { lab } = rival;
  const namespaces = [lab.gateway, lab.internet, lab.load, lab.provider, lab.relay, ...lab.hosts];
  const watched = await rival.enter();
  try {
    const before = await takeReading(namespaces, watched);
    const busy = busyShare(watched, turn.seconds);
    const amount = await one.run({ lab, target: rival.target ?? SERVER, ...turn });
    const spent = difference(before, await takeReading(namespaces, watched));
    return { amount, spent, busy: await busy };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new LabError('BENCH_TURN_FAILED', 1, `${one.title}, ${rival.name}: ${said}`);
  } finally {
    await rival.leave();
  }
}

async function busyShare({ pid, tid }: Watched, seconds: number): Promise<number> {
  if (pid === undefined) return Number.NaN;
  const look = (): { ran: number; at: number } => ({
    ran: threadCount(pid, tid ?? pid).seconds,
    at: performance.now() / 1000,
  });
  await sleep(seconds * BUSY_FROM);
  const first = look();
  await sleep(seconds * (BUSY_UNTIL - BUSY_FROM));
  const last = look();
  return (last.ran - first.ran) / (last.at - first.at);
}

const sleep = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1000));
