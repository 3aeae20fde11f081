/**
 * Rivals in turn, each in a process of its own (A B C A B C …): a machine that drifts then drifts under all of them, and no compiler or
 * heap carries over from one to the next.
 */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { programPath } from '../../lab/programs.ts';

const run = promisify(execFile);
/** A million sessions as objects with two texts each need more than Node allows by itself. */
const HEAP_FLAGS = ['--expose-gc', '--max-old-space-size=6144'];

export interface Rival<T> {
  name: string;
  turn: () => Promise<T>;
}

/** What each rival gave, in the order of its turns. */
export async function takeTurns<T>(
  rivals: readonly Rival<T>[],
  turns: number,
): Promise<Record<string, T[]>> {
  const results: Record<string, T[]> = Object.fromEntries(rivals.map(({ name }) => [name, []]));
  for (let i = 0; i < turns; i++)
    for (const { name, turn } of rivals) results[name].push(await turn());
  return results;
}

/** Runs a program on the last core, the same for every rival, and reads the line of JSON that it prints. */
export async function pinned<T>(program: string, words: readonly string[]): Promise<T> {
  const taskset = programPath('taskset');
  const [command, ...rest] =
    taskset === undefined
      ? [program, ...words]
      : [taskset, '-c', String(availableParallelism() - 1), program, ...words];
  const { stdout } = await run(command, rest, { maxBuffer: 1 << 24 });
  return JSON.parse(stdout) as T;
}

/**
 * A module of ours as a program, from dist/ or from the sources like the one that asks for it.
 * @param base import.meta.url of whoever asks; @param path of the module beside it, without its ending; @param flags of Node
 */
export function ownProgram<T>(
  base: string,
  path: string,
  words: readonly string[],
  flags: readonly string[] = HEAP_FLAGS,
): Promise<T> {
  const ending = base.endsWith('.ts') ? 'ts' : 'js';
  const file = fileURLToPath(new URL(`${path}.${ending}`, base));
  const loader = ending === 'ts' ? ['--import', 'tsx'] : [];
  return pinned<T>(process.execPath, [...flags, ...loader, file, ...words]);
}
