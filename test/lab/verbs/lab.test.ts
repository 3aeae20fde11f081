import assert from 'node:assert/strict';
import { lab } from '../../../lab/verbs/lab.ts';

describe('portfold lab, before it runs', () => {
  it('refuses flows for a scenario that has none', async () => {
    await assert.rejects(lab({ scenario: 'conference', flows: 5, output: 'table' }), {
      code: 'LAB_NO_FLOWS',
      exitCode: 2,
      message: /^--flows is for flow/,
    });
  });
});
