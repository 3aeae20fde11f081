import assert from 'node:assert/strict';
import { chooseEncapsulation, firstChoice } from '../../../tun/host/encapsulation.ts';

describe('choice of the encapsulation', () => {
  it('takes what the kernel does best, and the engine where it does nothing', () => {
    const choice = (seg6: boolean, ip6tnl: boolean): string =>
      firstChoice({ seg6, ip6tnl, reasons: {} });
    assert.equal(choice(true, true), 'seg6');
    assert.equal(choice(true, false), 'seg6');
    assert.equal(choice(false, true), 'ip6tnl');
    assert.equal(choice(false, false), 'own');
  });

  it('asks the kernel nothing when the engine is wanted', async () => {
    const { PATH } = process.env;
    process.env.PATH = '/nonexistent';
    try {
      assert.equal(await chooseEncapsulation('own'), 'own');
      assert.equal(await chooseEncapsulation('auto'), 'own', 'no trial succeeds without programs');
      await assert.rejects(chooseEncapsulation('seg6'), {
        code: 'HOST_NO_ENCAPSULATION',
        message: /by seg6 \(.+\).*"own" needs nothing of the kernel/s,
      });
    } finally {
      process.env.PATH = PATH;
    }
  });
});
