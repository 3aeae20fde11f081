import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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

  it('passes over the tunnel device in a mesh: that has one far end', () => {
    const choice = (seg6: boolean, ip6tnl: boolean): string =>
      firstChoice({ seg6, ip6tnl, reasons: {} }, true);
    assert.equal(choice(true, true), 'seg6');
    assert.equal(choice(false, true), 'own');
    assert.equal(choice(false, false), 'own');
  });

  it('falls back to the engine where every trial fails, unless the kernel was asked for', () => {
    // In this host's place: one that makes the namespace, and whose kernel refuses the trial in it.
    const { answers } = choose({
      unshare:
        '[ "$2" = true ] && exit 0; echo "RTNETLINK answers: Operation not supported" >&2; exit 2',
      ip: 'exit 99',
    });
    const [auto, own, [code, message], [codeOfTunnel]] = answers;
    assert.deepEqual([auto, own, code], ['own', 'own', 'HOST_NO_ENCAPSULATION']);
    assert.equal(codeOfTunnel, 'HOST_NO_ENCAPSULATION');
    assert.match(message, /by seg6 \(RTNETLINK answers: Operation not supported\)/);
    assert.match(message, /"own" needs nothing of the kernel/);
  });

  const DENIED = 'echo "unshare: unshare failed: Operation not permitted" >&2; exit 1';

  it('tries seg6 on the host without the right to a namespace, in a table of its own, and takes it back', () => {
    const { answers, commands } = choose({ unshare: DENIED, ip: 'exit 0' });
    const [auto, own, seg6, [code, message]] = answers;
    assert.deepEqual([auto, own, seg6, code], ['seg6', 'own', 'seg6', 'HOST_NO_SYS_ADMIN']);
    assert.match(message, /CAP_SYS_ADMIN/);
    assert.ok(commands.length > 0);
    for (const command of commands) assert.match(command, / dev lo table 7609 proto 176$/);
    const count = (verb: string) =>
      commands.filter((text) => text.includes(` route ${verb} `)).length;
    assert.equal(count('add'), count('del'));
  });

  it('says what the kernel said there, and takes back only what was made', () => {
    const { answers, commands } = choose({
      unshare: DENIED,
      ip: 'case "$*" in "-6 route add"*) echo "Error: CONFIG_IPV6_SEG6_LWTUNNEL is not set" >&2; exit 2;; esac',
    });
    const [auto, , [code, message]] = answers;
    assert.deepEqual([auto, code], ['own', 'HOST_NO_ENCAPSULATION']);
    assert.match(message, /by seg6 \(Error: CONFIG_IPV6_SEG6_LWTUNNEL is not set\)/);
    const removed = commands.filter((text) => text.includes(' route del '));
    assert.ok(removed.length > 0);
    assert.deepEqual(
      removed.filter((text) => !text.startsWith('-4 ')),
      [],
    );
  });
});

/**
 * What is chosen for auto, own, seg6 and ip6tnl (an error as code and message) on a host with these
 * programs, each a shell script, and how `ip` was called there.
 */
function choose(programs: { unshare: string; ip: string }) {
  const folder = mkdtempSync(join(tmpdir(), 'portfold-encapsulation-'));
  try {
    const log = join(folder, 'log');
    writeFileSync(log, '');
    const script = { ...programs, ip: `echo "$*" >> ${log}\n${programs.ip}` };
    for (const [name, text] of Object.entries(script))
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    const module = new URL('../../../tun/host/encapsulation.ts', import.meta.url).href;
    const program = `
      const { chooseEncapsulation } = await import(${JSON.stringify(module)});
      const answers = [];
      for (const wanted of ['auto', 'own', 'seg6', 'ip6tnl'])
        answers.push(await chooseEncapsulation(wanted).catch(({ code, message }) => [code, message]));
      console.log(JSON.stringify(answers));`;
    const output = execFileSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program],
      { encoding: 'utf8', env: { ...process.env, PATH: `${folder}:${process.env.PATH}` } },
    );
    const commands = readFileSync(log, 'utf8').trim().split('\n');
    return { answers: JSON.parse(output), commands };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
