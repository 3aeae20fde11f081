/**
 * Builds of the engine for the fuzzer: esbuild strips the types and makes one module; on the way each file of core/ and policies/ may
 * get counters (instrument.ts) and, for the tests of the fuzzer itself, a planted fault.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build, transform } from 'esbuild';
import { instrument } from './instrument.ts';

export type Core = typeof import('./entry.ts');

/** A text of one source file, which must stand there once, and what to put in its place. */
export interface Plant {
  file: string;
  find: string;
  replace: string;
}

export const COMPARISON_WORDS = 3;

export interface Build<T> {
  module: T;
  /** Passes through each edge since it was last cleared; empty in a plain build. */
  coverage: Uint32Array;
  /** For each comparison COMPARISON_WORDS: the two numbers that were last found to differ, and 1 if two were ever equal there. */
  comparisons: Int32Array;
  /** Where each edge is, for people. */
  edges: string[];
  constants: number[];
}

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const COUNTED = /\/(core|policies)\/[^.]*\.ts$/;
/** A judge of the engine, not a part of it: its edges are other programs' faults. */
const NOT_COUNTED = 'core/table/self-check.ts';

export interface BuildOptions {
  counted: boolean;
  plants?: readonly Plant[];
  /** Relative to this folder. */
  entry?: string;
}

/** Compiles and loads a module with the engine in it. */
export async function load<T = Core>(options: BuildOptions): Promise<Build<T>> {
  const edges: string[] = [];
  let comparisons = 0;
  const constants = new Set<number>();
  const planted = new Set<Plant>();
  const result = await build({
    entryPoints: [fileURLToPath(new URL(options.entry ?? './entry.ts', import.meta.url))],
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
    logLevel: 'silent',
    plugins: [
      {
        name: 'engine',
        setup(hooks) {
          hooks.onLoad({ filter: COUNTED }, async ({ path }) => {
            const name = relative(ROOT, path);
            const source = withPlants(name, readFileSync(path, 'utf8'), options.plants, planted);
            if (!options.counted || name === NOT_COUNTED) return { contents: source, loader: 'ts' };
            const { code, map } = await transform(source, {
              loader: 'ts',
              sourcemap: 'external',
              sourcefile: name,
            });
            const counted = instrument(code, edges.length, comparisons);
            comparisons += counted.comparisons;
            const lines = new SourceMap(JSON.parse(map));
            for (const { offset, what } of counted.edges)
              edges.push(`${name}:${lineOf(lines, code, offset)} ${what}`);
            for (const value of counted.constants) constants.add(value);
            return { contents: counted.code, loader: 'js' };
          });
        },
      },
    ],
  });
  for (const plant of options.plants ?? [])
    if (!planted.has(plant)) throw new Error(`${plant.file} was not loaded: nothing was planted`);
  const text = preamble(edges.length, comparisons) + result.outputFiles[0].text;
  const module = await evaluate<T & Counters>(text);
  const { __coverage: coverage, __comparisons } = module;
  return { module, coverage, comparisons: __comparisons, edges, constants: [...constants] };
}

interface Counters {
  __coverage: Uint32Array;
  __comparisons: Int32Array;
}

/** What the counters of instrument.ts refer to. */
const preamble = (edges: number, comparisons: number): string => `
export const __coverage = new Uint32Array(${edges});
export const __comparisons = new Int32Array(${COMPARISON_WORDS * comparisons});
let __left = 0;
function __right(number, right) {
  const at = ${COMPARISON_WORDS} * number;
  if (__left !== right) {
    __comparisons[at] = __left;
    __comparisons[at + 1] = right;
  } else __comparisons[at + 2] = 1;
  return right;
}
`;

function withPlants(
  name: string,
  source: string,
  plants: readonly Plant[] | undefined,
  planted: Set<Plant>,
): string {
  let text = source;
  for (const plant of plants ?? []) {
    if (plant.file !== name) continue;
    if (text.split(plant.find).length !== 2)
      throw new Error(`"${plant.find}" does not stand exactly once in ${name}`);
    text = text.replace(plant.find, () => plant.replace);
    planted.add(plant);
  }
  return text;
}

/** Line in the source, 1 and up. */
function lineOf(map: SourceMap, code: string, offset: number): number {
  const before = code.slice(0, offset);
  const line = before.split('\n').length - 1;
  const entry = map.findEntry(line, offset - before.lastIndexOf('\n') - 1);
  return 'originalLine' in entry ? entry.originalLine + 1 : 0;
}

/** Imports a text as a module; from a file, so that stack traces and profiles name it. */
async function evaluate<T>(text: string): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'portfold-fuzz-'));
  const file = join(folder, 'engine.mjs');
  try {
    writeFileSync(file, text);
    return (await import(pathToFileURL(file).href)) as T;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
