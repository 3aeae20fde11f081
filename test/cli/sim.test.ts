import assert from 'node:assert/strict';
import { runProgram } from '../../cli/program.ts';
import { FakeTerminal, FakeVerbs } from './fake-terminal.ts';

describe('portfold sim', () => {
  const verbs = new FakeVerbs();
  const run = (...argv: string[]): Promise<number> =>
    runProgram(['sim', ...argv], verbs, { terminal: new FakeTerminal() });

  beforeEach(() => {
    verbs.calls.length = 0;
  });

  it('hands on what was asked for', async () => {
    await run(
      'flow',
      '--model',
      'portfold',
      'nec-ix',
      '--seed',
      '7',
      '--duration',
      '5m',
      '-o',
      'json',
    );
    assert.deepEqual(verbs.calls, [
      [
        'sim',
        {
          scenario: 'flow',
          model: ['portfold', 'nec-ix'],
          seed: '7',
          duration: '5m',
          output: 'json',
        },
      ],
    ]);
  });

  it('asks which scenarios there are when none is named', async () => {
    assert.equal(await run(), 0);
    assert.deepEqual(verbs.calls, [['sim', { output: 'table' }]]);
  });

  it('knows a wrong form of output', async () => {
    assert.equal(await run('flow', '-o', 'yaml'), 2);
    assert.deepEqual(verbs.calls, []);
  });
});
