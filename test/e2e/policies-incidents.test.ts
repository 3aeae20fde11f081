/**
 * `portfold lab` as somebody runs it: both outages are survived, what failed then fails beside it, and nothing is left. They take
 * some minutes, so only with PORTFOLD_TEST_FULL=1.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Incident } from '../../lab/incidents/report.ts';
import { Background, run } from '../../lab/netns.ts';
import { projectFolder } from '../../lab/programs.ts';
import { IS_FULL } from './policies.ts';

const PORTFOLD = join(projectFolder(), 'bin', 'portfold.js');

for (const scenario of IS_FULL ? ['flow', 'conference'] : [])
  describe(`portfold lab ${scenario}`, () => {
    it('is survived, and removes what it made', async () => {
      const words = [PORTFOLD, 'lab', scenario, '-o', 'json'];
      const child = new Background(process.execPath, words);
      const { code, stdout, stderr } = await child.ended;
      assert.equal(code, 0, stderr);
      const incident: Incident = JSON.parse(stdout);
      assert.equal(incident.name, scenario);
      assert.ok(incident.expectations.length >= 3);
      assert.ok(incident.expectations.every(({ isMet }) => isMet));
      console.log(stderr.replace(/^/gm, '      '));
      const { stdout: left } = await run('ip', ['netns', 'list']);
      assert.ok(!left.includes(`pfl-${child.pid}-`), left);
    });
  });
