// `npm test`: builds, runs the unit tests, then the end-to-end tests in network namespaces where
// this machine allows them.
//
//   npm test                          both
//   npm test -- unit [FILE…]          only tests without namespaces
//   npm test -- e2e [FILE…]           only tests in namespaces
//
// The last line is `N passed, N failed`. Tests that cannot run here are named; with CI=true that is
// a failure of the run.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const mocha = join(root, 'node_modules', 'mocha', 'bin', 'mocha.js');
const folder = mkdtempSync(join(tmpdir(), 'portfold-test-'));
const UNIT_TIMEOUT_MS = 30_000;
const E2E_TIMEOUT_MS = 300_000;
/** A run that takes longer hangs. */
const RUN_TIMEOUT_MS = 12 * 60_000;

/**
 * Tests of what a start and an end change on the host, each in namespaces of its own: they wait more than they work, so that one a core
 * runs beside the next. All others measure or load, and have the machine for themselves.
 */
const SETTINGS = [
  'host-settings',
  'host-settings-shared',
  'link-changes',
  'refusals-at-start',
  'reload',
  'undo',
  'undo-fails',
].map((name) => `test/e2e/${name}.test.ts`);

const [first, ...rest] = process.argv.slice(2);
const suites = first === 'unit' || first === 'e2e' ? [first] : ['unit', 'e2e'];
const files = first === 'unit' || first === 'e2e' ? rest : process.argv.slice(2);

const totals = { passed: 0, failed: 0 };
const notRun = [];

if (run(process.execPath, ['scripts/build.js']) !== 0) {
  console.error('The build failed, so no test was run.');
  totals.failed++;
  finish(1);
}
// .mocharc.json is for `npx mocha`; its `spec` would be added to whatever is named here, so the
// words are given in full.
const words = ['--no-config', '--node-option', 'import=tsx', '--extension', 'ts', '--exit'];
const beside = ['--parallel', '--jobs', String(availableParallelism())];
if (suites.includes('unit')) {
  const spec = files.length > 0 ? files : ['test/**/*.test.ts', '--ignore', 'test/e2e/**'];
  runMocha('unit', [...words, ...beside, '--timeout', String(UNIT_TIMEOUT_MS), ...spec]);
}
if (suites.includes('e2e')) {
  const obstacle = namespaceObstacle();
  if (obstacle === undefined) {
    installPackages();
    const e2e = [...words, '--timeout', String(E2E_TIMEOUT_MS)];
    if (files.length > 0) runMocha('e2e', [...e2e, ...files]);
    else {
      runMocha('e2e, settings', [...e2e, ...beside, ...SETTINGS]);
      const others = SETTINGS.flatMap((file) => ['--ignore', file]);
      runMocha('e2e', [...e2e, 'test/e2e/**/*.test.ts', ...others]);
    }
  } else {
    notRun.push(`the end-to-end tests (test/e2e): ${obstacle}`);
  }
}
finish(totals.failed > 0 ? 1 : 0);

function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    timeout: RUN_TIMEOUT_MS,
    env: { ...process.env, ...env },
  });
  return result.status ?? 1;
}

/**
 * One mocha run. A run that ends without totals (a file that does not load) counts as one failure.
 */
function runMocha(name, args) {
  console.log(`\n== ${name} tests`);
  const file = join(folder, `${name}.json`);
  const status = run(process.execPath, [mocha, '--reporter', 'scripts/reporter.js', ...args], {
    PORTFOLD_TEST_TOTALS: file,
  });
  if (!existsSync(file)) {
    totals.failed++;
    return;
  }
  const { passes, failures, pending } = JSON.parse(readFileSync(file, 'utf8'));
  totals.passed += passes;
  totals.failed += failures;
  if (status !== 0 && failures === 0) totals.failed++;
  if (pending > 0) notRun.push(`${pending} of the ${name} tests: marked as pending above`);
}

/** Why no namespace can be made here, or undefined if one can. */
function namespaceObstacle() {
  if (process.getuid?.() !== 0) {
    const check = spawnSync(join(root, 'scripts/debian-packages.sh'), ['--check'], {
      encoding: 'utf8',
    });
    const missing = check.stdout.trim();
    const packages = missing === '' ? '' : `; missing Debian packages: ${missing}`;
    return `they make network namespaces, which needs root (sudo npm test)${packages}`;
  }
  const made = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  if (made.status !== 0)
    return `no network namespace can be made here: ${made.error?.message ?? made.stderr.trim()}`;
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun';
  return undefined;
}

function installPackages() {
  if (run('bash', ['scripts/debian-packages.sh']) !== 0)
    console.error('Some programs could not be installed; the tests that need them will say so.');
}

function finish(code) {
  rmSync(folder, { recursive: true, force: true });
  console.log('');
  for (const text of notRun) console.log(`not run: ${text}`);
  console.log(`${totals.passed} passed, ${totals.failed} failed`);
  process.exit(code !== 0 || (notRun.length > 0 && process.env.CI === 'true') ? 1 : 0);
}
