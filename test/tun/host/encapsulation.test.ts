import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstChoice } from '../../../tun/host/encapsulation.ts';

describe('choice of the encapsulation', () => {
  it('takes what the kernel does best, and the engine where it does nothing', () => {
    const choice = (seg6: boolean, ip6tnl: boolean): string =>
      firstChoice({ seg6, ip6tnl, reasons: {} });
    assert.equal(choice(true, true), 'seg6');
    assert.equal(choice(true, false), 'seg6');
    assert.equal(choice(false, true), 'ip6tnl');
    assert.equal(choice(false, false), 'own');
  });

  it('falls back to the engine where every trial fails, unless the kernel was asked for', () => {
    const folder = mkdtempSync(join(tmpdir(), 'portfold-encapsulation-'));
    try {
      // In this host's place: one whose kernel refuses the trial.
      const words = '#!/bin/sh\necho "unshare failed: Operation not permitted" >&2\nexit 1\n';
      writeFileSync(join(folder, 'unshare'), words, { mode: 0o755 });
      const module = new URL('../../../tun/host/encapsulation.ts', import.meta.url).href;
      const program = `
        const { chooseEncapsulation } = await import(${JSON.stringify(module)});
        const answers = [await chooseEncapsulation('auto'), await chooseEncapsulation('own')];
        await chooseEncapsulation('seg6').catch(({ code, message }) => answers.push(code, message));
        console.log(JSON.stringify(answers));`;
      const output = execFileSync(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', program],
        { encoding: 'utf8', env: { ...process.env, PATH: `${folder}:${process.env.PATH}` } },
      );
      const [auto, own, code, message] = JSON.parse(output);
      assert.deepEqual([auto, own, code], ['own', 'own', 'HOST_NO_ENCAPSULATION']);
      assert.match(message, /by seg6 \(unshare failed: Operation not permitted\)/);
      assert.match(message, /"own" needs nothing of the kernel/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
