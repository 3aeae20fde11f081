import assert from 'node:assert/strict';
import { type Chart, chartAsSvg } from '../../../bench/plot/chart.ts';
import { PLOT } from '../../../bench/plot/size.ts';
import { verticalScale } from '../../../lab/plot/scale.ts';

const chart = (more: Partial<Chart> = {}): Chart => ({
  file: 'x',
  kind: 'lines',
  title: 'Cost < size & more',
  unit: 'ns',
  places: [1000, 10_000, 100_000],
  series: [{ name: 'one', samples: [[1, 3, 2], [20], [300]] }],
  ...more,
});

/** Numbers of an attribute of all elements of a kind, in their order. */
const numbers = (svg: string, element: string, attribute: string): number[] =>
  [...svg.matchAll(new RegExp(`<${element}[^>]* ${attribute}="([^"]+)"`, 'g'))].map((match) =>
    Number(match[1]),
  );

describe('chart', () => {
  it('puts equal factors at equal distances on both axes of a logarithmic chart', () => {
    const svg = chartAsSvg(
      chart({ isLogarithmic: true, series: [{ name: 'one', samples: [[2], [20], [200]] }] }),
    );
    const [x0, x1, x2] = numbers(svg, 'circle', 'cx');
    const [y0, y1, y2] = numbers(svg, 'circle', 'cy');
    assert.ok(Math.abs(x1 - x0 - (x2 - x1)) < 0.2 && x1 > x0);
    assert.ok(Math.abs(y0 - y1 - (y1 - y2)) < 0.2 && y0 > y1);
  });

  it('draws the median of the samples and their spread', () => {
    const svg = chartAsSvg(chart());
    const { at } = verticalScale([1, 3, 2, 20, 300], false, PLOT);
    assert.equal(numbers(svg, 'circle', 'cy')[0], Math.round(at(2) * 10) / 10);
    assert.equal([...svg.matchAll(/class="spread/g)].length, 1);
  });

  it('draws bars from the axis up, and none where there is no sample', () => {
    const svg = chartAsSvg(
      chart({
        kind: 'bars',
        places: ['a', 'b', 'c'],
        series: [{ name: 'one', samples: [[5], [], [10]] }],
      }),
    );
    const bars = [
      ...svg.matchAll(/<rect class="bar c0"[^>]*y="([^"]+)"[^>]*height="([^"]+)"/g),
    ].map((match) => Number(match[1]) + Number(match[2]));
    // Two bars and the square of the legend.
    assert.equal(bars.length, 3);
    assert.ok(Math.abs(bars[0] - bars[1]) < 0.2);
  });

  it('escapes what words may hold', () => {
    assert.match(chartAsSvg(chart()), /Cost &lt; size &amp; more/);
  });

  it('takes round ticks that hold every value', () => {
    for (const most of [0.7, 1, 9, 26, 99, 101, 4321]) {
      const { ticks } = verticalScale([most], false, PLOT);
      assert.ok(ticks[0] === 0 && ticks[ticks.length - 1] >= most, `${ticks} for ${most}`);
      assert.ok(ticks.length >= 4 && ticks.length <= 7, `${ticks.length} ticks for ${most}`);
    }
    assert.deepEqual(verticalScale([3, 2000], true, PLOT).ticks, [1, 10, 100, 1000, 10_000]);
  });

  it('refuses a chart without figures, and one with more series than colours', () => {
    assert.throws(() => chartAsSvg(chart({ series: [] })), /has no figures/);
    const series = Array.from({ length: 9 }, () => ({ name: 'x', samples: [[1]] }));
    assert.throws(() => chartAsSvg(chart({ series })), /8 colours, not 9/);
  });
});
