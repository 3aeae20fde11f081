/** The guided fuzzer of bench/fuzz/guided in smoke size, its parts, and controls: it must find what it is there for. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SYN, tcp } from '../../../bench/fuzz/build.ts';
import { type Case, fromJson, literal, toJson } from '../../../bench/fuzz/guided/case.ts';
import { guided } from '../../../bench/fuzz/guided/guided.ts';
import { instrument } from '../../../bench/fuzz/guided/instrument.ts';
import { load } from '../../../bench/fuzz/guided/load.ts';
import { PLANTED } from '../../../bench/fuzz/guided/planted.ts';
import { Player } from '../../../bench/fuzz/guided/play.ts';
import { makeFrames, Stage } from '../../../bench/fuzz/guided/stage.ts';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';

const FULL = process.env.PORTFOLD_TEST_FULL === '1';
const PLANTED_EXECUTIONS = 60_000;

/** A host opens a connection, the remote answers and closes it, and the gateway restarts. */
function connection(): Case {
  const ends = { from: parseIpv4('192.168.1.10'), to: parseIpv4('198.51.100.1') };
  const syn = tcp(
    { ...ends, fromPort: 5000, toPort: 443, flags: SYN, seq: 7, ack: 0 },
    new Uint8Array(0),
  );
  const answer = { ...literal(new Uint8Array(0)), base: 'answer' as const };
  return {
    variant: 0,
    steps: [
      literal(syn),
      { ...answer, word: 18 },
      { kind: 'time', milliseconds: 1000 },
      { kind: 'restart' },
      { ...answer, of: 1, word: 17 },
    ],
  };
}

describe('edge counters', () => {
  const SOURCE = `
    function pick(a, b) {
      if (a > 1 && b) return a > 2 ? "many" : \`two \${b ? 1 : 2}\`;
      if (a + 1 === -1 || a !== (b === 1 ? a : 9)) a += 0;
      for (let i = 0; i < 2; i++) a += /[/"]/.test("/") ? i : 9;
      switch (a) { case 1: return (b || a) ?? 0; default: return [a, b].map((x) => x && -x); }
    }
    return pick;
  `;
  type Pick = (a: number, b: number) => unknown;
  const plain = new Function(SOURCE)() as Pick;
  const { code, edges, comparisons, constants } = instrument(SOURCE, 0);
  const counters = new Uint32Array(edges.length);
  const compared = new Set<number>();
  const counted = new Function('__coverage', '__left', '__right', code)(
    counters,
    0,
    (number: number, right: number) => {
      compared.add(number);
      return right;
    },
  ) as Pick;

  it('change nothing, and tell the ways through a function apart', () => {
    const ways = new Set<string>();
    for (const a of [-2, 0, 1, 2, 3])
      for (const b of [0, 1]) {
        counters.fill(0);
        assert.deepEqual(counted(a, b), plain(a, b));
        ways.add(counters.join());
      }
    assert.ok(ways.size >= 7, `${ways.size} ways`);
  });

  it('stand at every outcome, operand, case and function', () => {
    const count = (what: string): number =>
      edges.filter((edge) => edge.what.startsWith(what)).length;
    assert.equal(count('true:'), 3);
    assert.equal(count('false:'), 3);
    assert.equal(count('&&') + count('||') + count('??'), 5);
    assert.equal(count('? '), 3);
    assert.equal(comparisons, 3);
    assert.equal(compared.size, 3);
    assert.ok(constants.includes(9));
  });
});

describe('a case of the guided fuzzer', () => {
  it('does the same each time it is played, whatever was played before', async () => {
    const { module } = await load({ counted: false });
    const frames = makeFrames(module, 0);
    const stage = new Stage(module, 0, frames, 0);
    const player = new Player(module, stage);
    const input = connection();
    player.play(input);
    const [first, verdicts] = [stage.arenaBytes.slice(), player.trace.slice()];
    assert.equal(stage.table.parts.sessions.count, 1);
    assert.ok(verdicts.filter((word) => word === 0 || word === 2).length >= 3, verdicts.join());
    player.play({ variant: 0, steps: [...input.steps, ...input.steps] });
    player.play(fromJson(toJson(input)));
    assert.deepEqual(player.trace, verdicts);
    assert.equal(Buffer.compare(stage.arenaBytes, first), 0);
  });
});

describe('the guided fuzzer', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'portfold-guided-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('finds nothing, and reaches two fifths of the engine at once', async () => {
    const result = await guided({ seed: 1, executions: 900, folder });
    assert.deepEqual(result.found, []);
    assert.ok(result.covered > result.edges * 0.4, `${result.covered} of ${result.edges} edges`);
    assert.ok(readdirSync(folder).length >= 40, `${readdirSync(folder).length} cases were kept`);
    assert.ok(!existsSync(join(folder, 'findings')));
  }).timeout(120_000);

  it('goes on where an earlier run ended', async () => {
    const stored = readdirSync(folder).length;
    const result = await guided({ seed: 2, executions: 100, folder });
    assert.ok(result.covered > result.edges * 0.4, `${result.covered} of ${result.edges} edges`);
    assert.ok(result.cases >= stored * 0.9, `${result.cases} of ${stored} cases`);
  }).timeout(120_000);

  it('refuses to plant what has no place', async () => {
    const plant = { file: 'core/engine.ts', find: 'no such text', replace: '' };
    await assert.rejects(load({ counted: true, plants: [plant] }), /exactly once/);
  });

  for (const plant of FULL ? PLANTED.slice(0, 1) : [])
    it(`finds that ${plant.name}`, async () => {
      const result = await guided({
        seed: 1,
        executions: PLANTED_EXECUTIONS,
        plants: [plant],
        stopAtFinding: true,
      });
      assert.match(result.found[0]?.what ?? 'nothing', plant.message);
      assert.ok(result.found[0].input.steps.length < 8, toJson(result.found[0].input));
    }).timeout(900_000);
});
