/**
 * The process: brings the rooms together and turns an exit code into an end.
 *
 * Every verb is loaded when it is called, so that `portfold sessions` reads no datapath and `portfold mape` needs no
 * addon.
 */
import { existsSync, readFileSync } from 'node:fs';
import { runProgram, type Verbs } from '../cli/program.ts';
import { endProcess } from '../cli/terminal.ts';

const verbs: Verbs = {
  run: async (options) => (await import('../gateway/verbs/run.ts')).run(options),
  br: async (options) => (await import('../gateway/verbs/br.ts')).br(options),
  check: async (file, options) => (await import('../gateway/verbs/check.ts')).check(file, options),
  mape: async (options) => (await import('../gateway/verbs/mape.ts')).mape(options),
  doctor: async (options) => (await import('../gateway/verbs/doctor.ts')).doctor(options),
  demo: async (options) => (await import('../lab/verbs/demo.ts')).demo(options),
  lab: async (options) => (await import('../lab/verbs/lab.ts')).lab(options),
  sim: async (options) => (await import('../lab/sim/sim.ts')).sim(options),
  bench: async (options) => (await import('../bench/verbs/bench.ts')).bench(options),
};

/** From package.json, which lies one folder up from the sources and two from dist/bin. */
function version(): string {
  for (const path of ['../package.json', '../../package.json']) {
    const file = new URL(path, import.meta.url);
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')).version;
  }
  return 'unknown';
}

const exitCode = await runProgram(process.argv.slice(2), verbs, { version: version() });
// What was written must be out before the process ends; then handles that a verb left open do not hold it.
endProcess(exitCode);
