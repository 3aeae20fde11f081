/**
 * One turn of the engine, in a process of its own:  subject.ts SESSIONS SCALE [VARIANT]  prints the result as JSON. SCALE 1 is
 * the full size, VARIANT the JSON of an EngineVariant.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { CAPACITY_MAX } from '../../core/table/arena.ts';
import { AS_IN_GATEWAY, type EngineVariant } from '../support/engine.ts';
import {
  established,
  inCache,
  opened,
  refused,
  replaced,
  superpackets,
  tunnelIn,
  tunnelOut,
  unsolicited,
} from './cases.ts';
import { World } from './world.ts';

export interface Turn {
  /** Case → packets a second. */
  rates: Record<string, number>;
  /** Case → collections while it ran. */
  collections: Record<string, number>;
  sessions: number;
}

/** Collections are reported a turn of the event loop later, with the time at which they began. */
class Collections {
  private readonly times: number[] = [];
  private readonly observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) this.times.push(entry.startTime);
  });

  constructor() {
    this.observer.observe({ entryTypes: ['gc'] });
  }

  async between(started: number, ended: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return this.times.filter((time) => time >= started && time <= ended).length;
  }
}

async function takeTurn(sessions: number, scale: number, variant: EngineVariant): Promise<Turn> {
  // Room for connections, new sessions and a full remote besides.
  const capacity = sessions > 200_000 ? 1 << Math.ceil(Math.log2(sessions + 12_000)) : 1 << 18;
  const batches = (count: number): number => 64 * Math.max(100, Math.round(count * scale));
  const seconds = Math.max(0.2, 5 * scale);
  const rates: Turn['rates'] = {};
  const collections: Turn['collections'] = {};
  const observer = new Collections();
  const take = async (name: string, work: () => number): Promise<void> => {
    globalThis.gc?.();
    const started = performance.now();
    rates[name] = work();
    collections[name] = await observer.between(started, performance.now());
  };

  let world = new World(sessions, capacity, false, variant);
  established(world, batches(5_000));
  await take('established', () => established(world, batches(30_000)));
  await take('in cache', () => inCache(world, batches(30_000)));
  replaced(world, seconds / 10);
  await take('replaced', () => replaced(world, seconds));
  await take('refused', () => refused(world, batches(5_000)));
  world = new World(sessions, capacity, false, variant);
  superpackets(world, batches(2_000));
  await take('superpackets', () => superpackets(world, batches(20_000)));
  await take('unsolicited', () => unsolicited(world, batches(10_000)));
  world = new World(sessions, Math.min(CAPACITY_MAX, capacity * 2), false, variant);
  const room = world.bench.table.parts.sessions.free.length;
  const opening = Math.min(room >> 1, batches(3_000));
  opened(world, 0, opening >> 2);
  await take('new', () => opened(world, opening >> 2, opening));

  const tunnelled = new World(sessions, capacity, true, variant);
  tunnelOut(tunnelled, batches(3_000));
  tunnelIn(tunnelled, batches(3_000));
  await take('tunnel out', () => tunnelOut(tunnelled, batches(15_000)));
  await take('tunnel in', () => tunnelIn(tunnelled, batches(15_000)));
  return { rates, collections, sessions: tunnelled.sessions };
}

const [sessions, scale, variant] = process.argv.slice(2);
if (sessions !== undefined) {
  const kind: EngineVariant = variant === undefined ? AS_IN_GATEWAY : JSON.parse(variant);
  process.stdout.write(
    `${JSON.stringify(await takeTurn(Number(sessions), Number(scale), kind))}\n`,
  );
}
