/** Runs every flood of flood.ts and prints what a packet costs:  node --expose-gc --import tsx bench/fuzz/floods.ts */
import { floods, runFlood } from './flood.ts';

const mean = (values: number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

let failed = false;
for (const flood of floods()) {
  const result = runFlood(flood);
  const { nanosecondsByWindow: windows } = result;
  const first = mean(windows.slice(0, 3));
  const last = mean(windows.slice(-3));
  console.log(
    `${flood.name.padEnd(33)} ${first.toFixed(0).padStart(6)} → ${last.toFixed(0).padStart(6)} ns` +
      `, at most ${Math.max(...windows)
        .toFixed(0)
        .padStart(6)}; ${result.refused} refused, ${result.sessions} sessions, ` +
      `${result.hosts} hosts, ${result.owned} owned, ${result.grownBytes} bytes grown`,
  );
  for (const problem of result.problems) console.log(`  ${problem}`);
  failed ||= result.problems.length > 0;
}
process.exitCode = failed ? 1 : 0;
