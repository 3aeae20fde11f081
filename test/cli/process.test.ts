/** The program as it is started: exit codes, pipes, signals, and from which files it runs. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type ControlServer, startControlServer } from '../../gateway/control/server.ts';
import { FakeSource } from '../gateway/control/fake-source.ts';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const program = join(root, 'bin', 'portfold.js');

interface Ended {
  code: number | null;
  out: string;
  words: string;
}

function start(file: string, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(file, argv, { env, maxBuffer: 1 << 26 }, (_error, out, words) =>
      resolve({ code: child.exitCode, out, words }),
    );
  });
}

describe('the program', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pfc-'));
  const socket = join(directory, 'portfold.sock');
  const source = new FakeSource(20_000);
  const env: NodeJS.ProcessEnv = { ...process.env, PORTFOLD_SOCKET: socket, NODE_OPTIONS: '' };
  let server: ControlServer;

  const portfold = (...argv: string[]): Promise<Ended> =>
    start(process.execPath, [program, ...argv], env);

  before(async () => {
    server = await startControlServer({ socket, source });
    source.addEvent();
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });

  it('takes the socket from PORTFOLD_SOCKET, and exits 0 when the gateway forwards', async () => {
    const { code, out, words } = await portfold();
    assert.deepEqual([code, words], [0, '']);
    assert.match(out, /^portfold 0\.1\.0 {2}forwarding/);
  });

  it('exits 3 with one sentence when no gateway runs', async () => {
    const { code, out, words } = await portfold('status', '--socket', join(directory, 'none.sock'));
    assert.deepEqual([code, out], [3, '']);
    assert.match(
      words,
      /^portfold: the gateway is not running \(no answer at .*none\.sock\); .*\n$/,
    );
  });

  it('exits 2 for wrong usage', async () => {
    assert.equal((await portfold('staus')).code, 2);
    assert.equal((await portfold('sessions', 'clas=dns')).code, 2);
  });

  it('prints the version of package.json', async () => {
    const { code, out } = await portfold('--version');
    assert.equal(code, 0);
    assert.match(out, /^\d+\.\d+\.\d+\n$/);
  });

  it('writes a long list to a pipe in full', async () => {
    const { code, out } = await portfold('sessions', '-o', 'csv');
    assert.deepEqual([code, out.split('\n').length], [0, 20_002]);
  });

  it('ends in silence when its reader has seen enough', async () => {
    const script = `"${process.execPath}" "${program}" sessions -o csv | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const { out, words } = await start('bash', ['-c', script], env);
    assert.equal(words, '');
    assert.match(out, /^protocol,.*\n0\n$/);
  });

  for (const words of ['status', 'sessions -o csv', 'sessions', 'mape --list', '--help'])
    it(`fails with a sentence when the output of \`${words}\` cannot be written`, async () => {
      const script = `"${process.execPath}" "${program}" ${words} > /dev/full; echo "$?"`;
      const { out, words: said } = await start('bash', ['-c', script], env);
      assert.equal(out, '1\n');
      assert.match(said, /^portfold: the output could not be written whole \(ENOSPC.*\n$/);
    });

  it('fails with a sentence when a file takes a part of the output', async () => {
    // One block of 1,024 bytes: the write that reaches the end is cut short without an error.
    const file = join(directory, 'cut');
    const script = `ulimit -f 1; "${process.execPath}" "${program}" status -o json > "${file}"; echo "$?"`;
    const { out, words } = await start('bash', ['-c', script], env);
    assert.equal(statSync(file).size, 1024);
    assert.equal(out, '1\n');
    assert.match(words, /^portfold: the output could not be written whole \(EFBIG.*\n$/);
  });

  it('does not fail when only its words cannot be written', async () => {
    const script = `"${process.execPath}" "${program}" status --socket "${directory}/none.sock" 2> /dev/full; echo "$?"`;
    assert.equal((await start('bash', ['-c', script], env)).out, '3\n');
  });

  it('follows events until it is interrupted, then exits 130', async () => {
    const child = spawn(process.execPath, [program, 'events', '--follow', '-o', 'ndjson'], { env });
    child.stdout.setEncoding('utf8');
    let out = '';
    const lines = async (count: number): Promise<void> => {
      while (out.split('\n').length <= count) out += (await once(child.stdout, 'data'))[0];
    };
    await lines(1);
    source.addEvent({ kind: 'later', text: 'added while it follows' });
    await lines(2);
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    assert.deepEqual(await ended, [130, null]);
    assert.deepEqual(
      out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).kind),
      ['session-refused', 'later'],
    );
  });

  it('starts threads from TypeScript files', async () => {
    const preload = join(root, 'bin', 'typescript.js');
    const parent = join(root, 'test', 'cli', 'fixtures', 'worker-parent.ts');
    const { PORTFOLD_WORKER_IMPORT: _, ...clean } = env;
    const { out, words } = await start(process.execPath, ['--import', preload, parent], clean);
    assert.deepEqual([out, words], ['42,000', '']);
  });
});

describe('bin/portfold.js', () => {
  let copy: string;

  /** A root with the real starter, and mains that only say which of them was started. */
  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'pfc-'));
    for (const folder of ['bin', 'core/table', 'dist/bin'])
      mkdirSync(join(copy, folder), { recursive: true });
    cpSync(program, join(copy, 'bin/portfold.js'));
    writeFileSync(join(copy, 'package.json'), '{"type":"module"}');
    writeFileSync(join(copy, 'bin/typescript.js'), 'console.log("sources"); process.exit(0);');
    writeFileSync(join(copy, 'dist/bin/main.js'), 'console.log("dist");');
    writeFileSync(join(copy, 'dist/.built'), '');
    writeFileSync(join(copy, 'core/table/a.ts'), '');
    age('core/table/a.ts', 60);
  });
  afterEach(() => rmSync(copy, { recursive: true }));

  const age = (path: string, seconds: number): void => {
    const time = Date.now() / 1_000 - seconds;
    utimesSync(join(copy, path), time, time);
  };
  const started = async (): Promise<string> =>
    (await start(process.execPath, [join(copy, 'bin/portfold.js')], process.env)).out.trim();

  it('runs what was compiled when no source is newer', async () => {
    assert.equal(await started(), 'dist');
  });

  it('runs the sources when one of them is newer, or nothing was compiled', async () => {
    age('dist/.built', 120);
    assert.equal(await started(), 'sources');
    rmSync(join(copy, 'dist'), { recursive: true });
    assert.equal(await started(), 'sources');
  });

  it('runs what was compiled when there are no sources', async () => {
    age('dist/.built', 120);
    rmSync(join(copy, 'core'), { recursive: true });
    assert.equal(await started(), 'dist');
  });
});
