import assert from 'node:assert/strict';
import { runsAsSvg } from '../../../lab/sim/plots.ts';
import { failuresPerThousand, runsAsJson, runsAsText } from '../../../lab/sim/report.ts';
import { runAll, scenarioOf } from './support.ts';

const scenario = scenarioOf(`
  about = "few < many"
  duration = "4m"
  samples = 20
  ports = "v6plus"
  [[model]]
  router = "portfold"
  entries = 1024
  [[model]]
  router = "openwrt-map"
  [[model]]
  router = "portfold"
  below = "rtx1200"
  entries = 1024
  [[users]]
  kind = "agents"
  count = 2
`);

describe('report of the simulator', () => {
  const runs = Object.values(runAll(scenario));
  const [portfold, openwrt, below] = runs;

  it('says in a table what failed, how full it was and what was refused', () => {
    const text = runsAsText(scenario, 1, runs);
    const [head, about, blank, titles, ...rows] = text.split('\n');
    assert.deepEqual([head, about, blank], ['test: 4 minutes, seed 1', 'few < many', '']);
    assert.match(titles, /^MODEL +ACTIONS +FAILED +PER 1000 .* PEAK ABOVE +PEAK PORTS/);
    assert.match(rows[0], /^portfold +[\d,]+ +0 +0\.0 .*of 1,024 +\d+ of 240 +0$/);
    assert.match(rows[1], /^openwrt-map +[\d,]+ +[1-9].* of 16 /);
    assert.match(
      text,
      /\nopenwrt-map\n {2}[\d,]+ of [\d,]+ × agent request failed: no connection [\d,]+\n/,
    );
    assert.ok(openwrt.tally.failures > 0 && portfold.tally.failures === 0);
    const share = (openwrt.tally.failures / openwrt.tally.actions) * 1000;
    assert.equal(failuresPerThousand(openwrt), share);
  });

  it('holds all of it in JSON, with the time series', () => {
    const { models, users } = JSON.parse(runsAsJson(scenario, 1, runs));
    assert.equal(users[0].kind, 'agents');
    assert.equal(models.length, 3);
    assert.equal(models[2].aboveCapacity, 20_000);
    const { samples } = models[1];
    assert.equal(samples[0].seconds, 0);
    assert.ok(samples.length >= 20 && samples.length <= 21);
    assert.equal(samples[samples.length - 1].failures, openwrt.tally.failures);
  });

  it('draws a line for each model in each of four charts, and a dashed one for a router above', () => {
    const svg = runsAsSvg(scenario, runs);
    for (const [i] of runs.entries()) {
      const lines = [...svg.matchAll(new RegExp(`<g class="line c${i}( dashed)?"`, 'g'))];
      assert.equal(lines.length, i === 2 ? 5 : 4);
    }
    assert.match(svg, /test: few &lt; many/);
    assert.ok(below.tally.samples.every(({ above }) => above !== undefined));
    const heights = [...svg.matchAll(/points="([^"]+)"/g)].flatMap(([, points]) =>
      points.split(' ').map((point) => point.split(',').map(Number)),
    );
    assert.ok(heights.every(([x, y]) => x >= 0 && x <= 1040 && y >= 0 && y <= 600));
  });

  it('shows lines in one place by turns', () => {
    // The first and the last are one router, so they lie in one place; the second has a place of its own.
    const svg = runsAsSvg(scenario, [portfold, openwrt, portfold]);
    const linesOf = (colour: number): string[] =>
      [...svg.matchAll(new RegExp(`<g class="line c${colour}">\\n(.*?)</g>`, 'gs'))].map(
        ([, pieces]) => pieces,
      );
    const [first, , third] = [0, 1, 2].map(linesOf);
    assert.equal(first.length, 4);
    for (const [chart, pieces] of first.entries()) {
      const places = (text: string): string[] => text.match(/points="[^"]+"/g) ?? [];
      assert.ok(places(pieces).length > 0);
      assert.deepEqual(places(pieces), places(third[chart]));
      const turns = (text: string): string[][] =>
        [...text.matchAll(/width:(\d);stroke-dasharray:11 (\d+);stroke-dashoffset:(\S+?)"/g)].map(
          ([, ...numbers]) => numbers,
        );
      // Of two, or of three where the second joins them: the first begins, the third comes last, and no part is without turns.
      assert.equal(turns(pieces).length, places(pieces).length);
      for (const [i, [width, gap, offset]] of turns(pieces).entries()) {
        assert.equal(Number(offset), 0);
        assert.deepEqual(turns(third[chart])[i], [width, gap, `-${gap}`]);
      }
    }
  });

  it('says how many models it can tell apart', () => {
    assert.throws(() => runsAsSvg(scenario, new Array(9).fill(portfold)), /8 colours, not 9/);
  });
});
