/** What stands inside a chart: lines with points and spreads, or bars with whiskers. A place without samples is left out. */
import { figure, type Scale, text } from '../../lab/plot/scale.ts';
import { median } from '../support/statistics.ts';
import type { Chart } from './chart.ts';
import { PLOT } from './size.ts';

const POINT_RADIUS = 4;
/** Room between the outermost points and the ends of the axis. */
const MARGIN = 40;

/** Lines over numbers; equal factors are equal distances. */
export function lineMarks(chart: Chart, scale: Scale): string[] {
  const sizes = chart.places.map((place) => Math.log10(Number(place)));
  const low = Math.min(...sizes);
  const range = Math.max(...sizes) - low || 1;
  const xs = sizes.map(
    (size) => PLOT.left + MARGIN + ((size - low) / range) * (PLOT.right - PLOT.left - 2 * MARGIN),
  );
  const names = chart.places.map((place, i) =>
    text(xs[i], PLOT.bottom + 18, place.toLocaleString('en'), 'middle'),
  );
  const lines = chart.series.flatMap(({ samples }, colour) => {
    const places = samples.map((_, i) => i).filter((i) => samples[i].length > 0);
    const points = places.map((i) => `${figure(xs[i])},${figure(scale.at(median(samples[i])))}`);
    return [
      `<polyline style="fill:none" class="c${colour}" points="${points.join(' ')}"/>`,
      ...places.flatMap((i) => [
        spread(xs[i], samples[i], scale, `spread c${colour}`),
        `<circle class="c${colour}" cx="${figure(xs[i])}" cy="${figure(scale.at(median(samples[i])))}" r="${POINT_RADIUS}"/>`,
      ]),
    ];
  });
  return [...names, ...lines];
}

/** Groups of bars, one group a place. */
export function barMarks(chart: Chart, scale: Scale): string[] {
  const { places, series } = chart;
  const group = (PLOT.right - PLOT.left) / places.length;
  const bar = Math.min(60, (group * 0.8) / series.length);
  const names = places.map((place, i) =>
    text(
      PLOT.left + (i + 0.5) * group,
      PLOT.bottom + 18,
      typeof place === 'number' ? place.toLocaleString('en') : place,
      'middle',
    ),
  );
  const bars = series.flatMap(({ samples }, colour) =>
    samples.flatMap((list, i) => {
      if (list.length === 0) return [];
      const x = PLOT.left + (i + 0.5) * group + (colour - series.length / 2) * bar;
      const y = scale.at(median(list));
      return [
        `<rect class="bar c${colour}" x="${figure(x + 1)}" y="${figure(y)}" width="${figure(bar - 2)}" height="${figure(PLOT.bottom - y)}"/>`,
        spread(x + bar / 2, list, scale, 'whisker'),
      ];
    }),
  );
  return [...names, ...bars];
}

/** A thin line from the least to the most of several samples. */
function spread(x: number, samples: readonly number[], scale: Scale, className: string): string {
  if (samples.length < 2) return '';
  const from = figure(scale.at(Math.min(...samples)));
  const to = figure(scale.at(Math.max(...samples)));
  return `<line class="${className}" x1="${figure(x)}" x2="${figure(x)}" y1="${from}" y2="${to}"/>`;
}
