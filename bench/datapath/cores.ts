/**
 * Who runs on which core: the forwarder's thread alone on the last one, everybody else — this
 * process, generators, receivers, the other threads of the gateway — on the rest.
 *
 * A child starts on the cores of its parent, so that `claim` moves this process first and all that
 * it starts follows. On a machine with one core nothing is moved.
 */
import { availableParallelism } from 'node:os';
import { run } from '../../lab/netns.ts';

const CORES = availableParallelism();
const LAST = CORES - 1;
export const IS_PINNED = CORES > 1;

/** In words, for the report. */
export const PINNING = IS_PINNED
  ? `the forwarder's thread on core ${LAST}, everything else on core ${rest()}`
  : 'one core for everything';

/** In the form of the kernel's masks, for instance "2" for core 1. */
export const FORWARDER_MASK = (1 << LAST).toString(16);

function rest(): string {
  return LAST === 1 ? '0' : `0-${LAST - 1}`;
}

/** Leaves the last core to the forwarder while `work` runs. */
export async function withCores<T>(work: () => Promise<T>): Promise<T> {
  await pin('-a', process.pid, rest());
  try {
    return await work();
  } finally {
    await pin('-a', process.pid, `0-${LAST}`);
  }
}

/** Words in front of a forwarder's command. */
export const onForwarderCore = (words: readonly string[]): string[] =>
  IS_PINNED ? ['taskset', '-c', String(LAST), ...words] : [...words];

/** Moves one thread that runs already to the forwarder's core. */
export const pinForwarder = (tid: number): Promise<void> => pin('', tid, String(LAST));

async function pin(flag: string, id: number, cores: string): Promise<void> {
  if (!IS_PINNED) return;
  await run('taskset', [...(flag === '' ? [] : [flag]), '-p', '-c', cores, String(id)]);
}
