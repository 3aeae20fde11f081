/**
 * `portfold demo` as a newcomer runs it: it succeeds, says what it cannot, and leaves nothing, even
 * when interrupted.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Background, run, until } from '../../lab/netns.ts';
import { projectFolder } from '../../lab/programs.ts';

const PORTFOLD = join(projectFolder(), 'bin', 'portfold.js');

async function namespacesOf(pid: number): Promise<string[]> {
  const list = (await run('ip', ['netns', 'list'])).stdout.split('\n');
  return list.filter((line) => line.startsWith(`pfl-${pid}-`));
}

describe('portfold demo', () => {
  for (const line of ['map-e', 'address'])
    it(`shows a whole network on a ${line} line, and removes it`, async () => {
      const child = new Background(process.execPath, [
        PORTFOLD,
        'demo',
        '--line',
        line,
        '--flows',
        '2400',
      ]);
      const result = await child.ended;
      assert.equal(result.code, 0, result.stderr);
      assert.match(result.stderr, /file +100 MB .* checksum right/);
      assert.match(result.stderr, /2,400 of 2,400 answered; 2,400 answered again/);
      assert.match(result.stdout, /udp +2,40\d sessions on [\d,]+ of [\d,]+ ports/);
      assert.deepEqual(await namespacesOf(child.pid), []);
    });

  it('removes everything when it is interrupted', async () => {
    const child = new Background(process.execPath, [PORTFOLD, 'demo']);
    await until('namespaces', async () => (await namespacesOf(child.pid)).length > 3);
    const result = await child.stop('SIGINT');
    assert.equal(result.code, 130);
    assert.deepEqual(await namespacesOf(child.pid), []);
  });

  it('says who may, and ends with 4, when somebody else runs it', async () => {
    const words = [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      // So that it can read the project wherever that lies.
      '--inh-caps=+dac_read_search',
      '--ambient-caps=+dac_read_search',
      process.execPath,
      PORTFOLD,
      'demo',
    ];
    const result = await run('setpriv', words, { check: false });
    assert.equal(result.code, 4, result.stderr);
    assert.match(result.stderr, /^portfold: .*only root may; run it again with sudo/m);
  });

  it('refuses more flows than the table holds: exit code 2', async () => {
    const result = await run(process.execPath, [PORTFOLD, 'demo', '--flows', '260000'], {
      check: false,
    });
    assert.equal(result.code, 2);
    assert.match(result.stderr, /1 to 250000/);
  });
});
