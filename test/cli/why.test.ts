/** `portfold why`: how an answer is set in lines. What it says is the gateway's: test/gateway/source/why-analysis.test.ts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { renderWhy } from '../../cli/commands/why.ts';
import { runProgram } from '../../cli/program.ts';
import { type ControlServer, startControlServer } from '../../gateway/control/server.ts';
import { FakeSource, fakeWhy } from '../gateway/control/fake-source.ts';
import { FakeTerminal, FakeVerbs } from './fake-terminal.ts';

const ALL = `\
Short: ports towards udp 198.51.100.7:53. Worth knowing: 192.168.0.10 seeks a printer.

SHORT  ports towards udp 198.51.100.7:53
  All 240 external ports are taken towards udp 198.51.100.7:53; 12 new sessions were refused since
  09:58.
  What to do: See whether 198.51.100.7 lives.

WORTH KNOWING  192.168.0.10 seeks a printer
  It sends to ?[31m192.168.7.211.
  What to do: Look there.
`;

describe('portfold why', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pfc-'));
  const socket = join(directory, 'portfold.sock');
  const source = new FakeSource(10);
  let terminal: FakeTerminal;
  let server: ControlServer;

  const run = (...argv: string[]): Promise<number> =>
    runProgram(['--socket', socket, 'why', ...argv], new FakeVerbs(), { terminal });

  before(async () => {
    server = await startControlServer({ socket, source });
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    terminal = new FakeTerminal();
  });

  it('says first what is short, then each finding and what to do', async () => {
    assert.equal(await run(), 0);
    assert.equal(terminal.out, ALL);
    assert.equal(terminal.words, '');
  });

  it('begins with the host that was asked about', async () => {
    assert.equal(await run('--host', '192.168.0.10'), 0);
    assert.match(terminal.out, /\n\n192\.168\.0\.10 \(LAN home\) holds 1 session\.\n\nSHORT/);
    terminal.out = '';
    assert.equal(await run('--host', '192.168.0.99'), 0);
    assert.match(terminal.out, /\n192\.168\.0\.99 has sent nothing through this gateway/);
    terminal.out = '';
    assert.equal(await run('--host', 'printer'), 2);
    assert.equal(terminal.out, '');
    assert.match(terminal.words, /^portfold: host=printer is no IPv4 address/);
  });

  it('names the three that hold most where nothing is short', () => {
    const answer = fakeWhy();
    const quiet = { ...answer, summary: 'Nothing is short.', findings: answer.findings.slice(1) };
    assert.match(
      renderWhy(terminal, quiet),
      /\n\nMost sessions: 192\.168\.0\.14 \(4,000, owns 4 ports\), 192\.168\.0\.13 \(3,000\)\.\n$/,
    );
    assert.match(renderWhy(terminal, { ...quiet, users: [] }), /No host has a session\.\n$/);
  });

  it('keeps to the width of a terminal', async () => {
    terminal = new FakeTerminal(60, 24);
    assert.equal(await run(), 0);
    const lines = terminal.out.split('\n');
    assert.ok(lines.every((line) => line.length <= 60));
    assert.ok(lines.length > ALL.split('\n').length);
    assert.equal(terminal.out.replace(/\s+/g, ' '), ALL.replace(/\s+/g, ' '));
  });

  it('gives the answer as JSON', async () => {
    assert.equal(await run('-o', 'json'), 0);
    assert.deepEqual(JSON.parse(terminal.out), fakeWhy());
  });

  it('answers 3 where no gateway runs, and 1 while it starts', async () => {
    assert.equal(await run('--socket', join(directory, 'none.sock')), 3);
    source.isReady = false;
    assert.equal(await run(), 1);
    source.isReady = true;
    assert.match(terminal.words, /^portfold: the gateway starts or stops/m);
  });
});
