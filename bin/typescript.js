// Lets a Node that cannot strip types itself (before 22.18) run this project's TypeScript sources, by way of tsx.
//
// tsx's own `--import tsx` reaches the main thread only. So a thread or process started from a .ts file names this
// file instead, which works in both:
//
//   new Worker(new URL('./worker.ts', import.meta.url), {
//     execArgv: process.env.PORTFOLD_WORKER_IMPORT ? ['--import', process.env.PORTFOLD_WORKER_IMPORT] : undefined,
//   });
//
// PORTFOLD_WORKER_IMPORT holds the URL of this file where it is needed and is unset otherwise. bin/portfold.js loads
// this file first and thereby sets it; code that runs under a test runner with tsx may name the file itself, by
// `new URL('../bin/typescript.js', import.meta.url).href` from a folder of the source tree.
if (!process.features.typescript) {
  const { register } = await import('tsx/esm/api');
  register();
  process.env.PORTFOLD_WORKER_IMPORT = import.meta.url;
}
