import assert from 'node:assert/strict';
import { ConfigError } from '../../../gateway/config/errors.ts';
import { listScenarios, loadScenario } from '../../../lab/sim/scenario.ts';
import { scenarioOf } from './support.ts';

const MODEL = '[[model]]\nrouter = "portfold"\n';
const USERS = '[[users]]\nkind = "pages"\ncount = 1\n';

type Wrong = [what: string, text: string, wanted: RegExp];

/** What is said about a scenario. */
function problemsOf(text: string): string[] {
  try {
    scenarioOf(text);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    assert.equal(error.exitCode, 78);
    return error.problems.map(
      ({ line, column, key, what, hint }) => `${line}:${column} ${key} ${what}; ${hint}`,
    );
  }
  return [];
}

describe('scenario files', () => {
  it('those that come with the program are right, and say what they are about', () => {
    const names = listScenarios();
    assert.ok(names.includes('conference') && names.includes('flow'));
    for (const name of names) {
      const scenario = loadScenario(name);
      assert.equal(scenario.name, name);
      assert.ok(scenario.about.length > 0, name);
    }
  });

  it('are read with their defaults', () => {
    const scenario = scenarioOf(`duration = "90s"\nports = "v6plus"\n${MODEL}${USERS}`);
    assert.equal(scenario.durationMs, 90_000);
    assert.equal(scenario.ports.length, 240);
    assert.equal(scenario.models[0].name, 'portfold');
    assert.equal(scenario.models[0].ports, scenario.ports);
    assert.deepEqual(scenario.users[0], {
      kind: 'pages',
      options: {
        count: 1,
        'pages-per-hour': 40,
        sessions: [50, 100],
        'dns-share': 0.5,
        'quic-share': 0.27,
      },
    });
  });

  it('name a model by what it is', () => {
    const models = [
      'preset = "game"',
      'below = "rtx1200"',
      'below = "rtx1200"\nguard = false',
      'name = "mine"',
    ].map((more) => MODEL + more);
    const scenario = scenarioOf(`duration = "1h"\n${models.join('\n')}\n${USERS}`);
    assert.deepEqual(
      scenario.models.map(({ name }) => name),
      ['portfold game', 'portfold below rtx1200', 'portfold below rtx1200, no guard', 'mine'],
    );
  });

  const wrong: Wrong[] = [
    [
      'a key that there is not',
      `duration = "1h"\nsampels = 9\n${MODEL}${USERS}`,
      /^2:1 sampels .*did you mean "samples"/,
    ],
    ['no duration', MODEL + USERS, /duration is missing/],
    [
      'a duration without a unit',
      `duration = "30"\n${MODEL}${USERS}`,
      /^1:12 duration "30" is not a duration/,
    ],
    ['no model', `duration = "1h"\n${USERS}`, /model is missing/],
    [
      'a router that there is not',
      `duration = "1h"\n[[model]]\nrouter = "rtx120"\n${USERS}`,
      /^3:10 model\[0\]\.router there is no router "rtx120"; did you mean "rtx1200"/,
    ],
    [
      'a kind of users that there is not',
      `duration = "1h"\n${MODEL}[[users]]\nkind = "page"\n`,
      /^5:8 users\[0\]\.kind "page" is unknown; did you mean "pages"/,
    ],
    [
      'a key of another kind',
      `duration = "1h"\n${MODEL}${USERS}peers = 3\n`,
      /^7:1 users\[0\]\.peers there is no such key/,
    ],
    [
      'a preset for a router that has none',
      `duration = "1h"\n[[model]]\nrouter = "nec-ix"\npreset = "home"\n${USERS}`,
      /^4:1 model\[0\]\.preset nec-ix has no such key/,
    ],
    [
      'a table that is no power of two',
      `duration = "1h"\n${MODEL}entries = 5000\n${USERS}`,
      /^4:11 model\[0\]\.entries 5000 sessions are not possible; use a power of two/,
    ],
    [
      'two models of one name',
      `duration = "1h"\n${MODEL}${MODEL}${USERS}`,
      /two models are called "portfold"/,
    ],
    [
      'a range that begins with its end',
      `duration = "1h"\n${MODEL}${USERS}sessions = [9, 3]\n`,
      /users\[0\]\.sessions \[9, 3\] begins with the greater one/,
    ],
    ...['1.5', '-1', '4294967296'].map(
      (seed): Wrong => [
        `a seed of ${seed}`,
        `duration = "1h"\nseed = ${seed}\n${MODEL}${USERS}`,
        new RegExp(`^2:8 seed ${seed} is not possible; use a whole number from 0 to 4294967295`),
      ],
    ),
    ...['0.3', '0', '2001'].map(
      (samples): Wrong => [
        `${samples} samples`,
        `duration = "1h"\nsamples = ${samples}\n${MODEL}${USERS}`,
        new RegExp(`^2:11 samples ${samples} is not possible; use a whole number from 1 to 2000`),
      ],
    ),
    ...['inf', '-inf', 'nan'].map(
      (rate): Wrong => [
        `a rate of ${rate}`,
        `duration = "1h"\n${MODEL}${USERS}pages-per-hour = ${rate}\n`,
        new RegExp(`pages-per-hour ${rate} is not possible; use a number above 0, up to`),
      ],
    ),
    [
      'infinitely many users',
      `duration = "1h"\n${MODEL}[[users]]\nkind = "pages"\ncount = inf\n`,
      /count inf is not possible; use a whole number/,
    ],
    [
      'a rate that is a text',
      `duration = "1h"\n${MODEL}${USERS}pages-per-hour = "9"\n`,
      /pages-per-hour expected a number, found the text "9"/,
    ],
    [
      'no count of users',
      `duration = "1h"\n${MODEL}[[users]]\nkind = "pages"\n`,
      /count is missing/,
    ],
    ['a share above one', `duration = "1h"\n${MODEL}${USERS}quic-share = 2\n`, /2 is not a share/],
  ];
  for (const [what, text, wanted] of wrong)
    it(`say where and why: ${what}`, () => {
      const problems = problemsOf(text);
      assert.equal(problems.length, 1, problems.join('\n'));
      assert.match(problems[0], wanted);
    });

  it('cannot steer a terminal by their names', () => {
    const { about, models } = scenarioOf(
      `about = "\\u001b[2Jx"\nduration = "1h"\n${MODEL}name = "\\u001b[31mred\\u0007"\n${USERS}`,
    );
    assert.equal(about, '\\u001b[2Jx');
    assert.equal(models[0].name, '\\u001b[31mred\\u0007');
    const [problem] = problemsOf(`duration = "1h"\n[[model]]\nrouter = "\\u001b[31m"\n${USERS}`);
    assert.match(problem, /there is no router "\\u001b\[31m"/);
  });

  it('are found by name only if there are such', () => {
    assert.throws(() => loadScenario('conferense'), {
      code: 'SIM_UNKNOWN_SCENARIO',
      exitCode: 2,
      message: /did you mean "conference"/,
    });
  });
});
