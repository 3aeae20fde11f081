/**
 * A chart as SVG text, without a library: lines over an axis of sizes, or groups of bars.
 *
 *   title                                ┌ unit, at the top of the vertical axis
 *   unit                                 │ ticks at round numbers (powers of ten on a logarithmic axis)
 *    │        ╱───○ series               │ each point with its spread, least to most, as a thin line
 *    │  ○────○                           │ legend below, one entry a series
 *    └──────────────
 *      25,000   1,000,000   axis title
 *
 * Colours come from classes in a style sheet inside the picture, which follows the reader's preference for dark pages; text takes
 * the colour of the page's text in either. Only what a browser draws without scripts is used.
 */
import { escapeText, figure, text, verticalScale } from '../../lab/plot/scale.ts';
import { COLOURS, styleSheet } from '../../lab/plot/style.ts';
import { barMarks, lineMarks } from './marks.ts';
import { HEIGHT, PLOT, WIDTH } from './size.ts';

/** Samples of one thing: median, least and most at each place of the horizontal axis. */
export interface Series {
  name: string;
  /** One list of samples a place; empty where there is none. */
  samples: number[][];
}

export interface Chart {
  /** Name of the file, without its ending. */
  file: string;
  kind: 'lines' | 'bars';
  title: string;
  /** What the figures are in. */
  unit: string;
  /** What stands along the horizontal axis: numbers for lines (drawn logarithmically), names for bars. */
  places: (number | string)[];
  placesTitle?: string;
  /** Powers of ten on the vertical axis; for series that are far apart. */
  isLogarithmic?: boolean;
  series: Series[];
}

export function chartAsSvg(chart: Chart): string {
  if (chart.series.length > COLOURS)
    throw new RangeError(`a chart has ${COLOURS} colours, not ${chart.series.length}`);
  const values = chart.series.flatMap(({ samples }) => samples.flat());
  if (values.length === 0) throw new RangeError(`the chart "${chart.title}" has no figures`);
  const scale = verticalScale(values, chart.isLogarithmic ?? false, PLOT);
  const grid = scale.ticks.flatMap((tick) => {
    const y = figure(scale.at(tick));
    return [
      `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${y}" y2="${y}"/>`,
      text(PLOT.left - 8, scale.at(tick) + 4, tick.toLocaleString('en'), 'end'),
    ];
  });
  const marks = chart.kind === 'lines' ? lineMarks(chart, scale) : barMarks(chart, scale);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>${escapeText(chart.title)}</title>`,
    `<style>${styleSheet()}</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>`,
    text(16, 26, chart.title, 'start', 'title'),
    text(16, 46, chart.unit),
    ...grid,
    ...marks,
    `<line class="axis" x1="${PLOT.left}" x2="${PLOT.right}" y1="${PLOT.bottom}" y2="${PLOT.bottom}"/>`,
    text((PLOT.left + PLOT.right) / 2, PLOT.bottom + 40, chart.placesTitle ?? '', 'middle'),
    ...legend(chart.series),
    '</svg>',
    '',
  ].join('\n');
}

/** One entry a series, as wide as its name. */
function legend(series: readonly Series[]): string[] {
  const y = HEIGHT - 14;
  let x = PLOT.left;
  return series.flatMap(({ name }, i) => {
    const at = x;
    x += 34 + name.length * 7.2;
    return [
      `<rect class="bar c${i}" x="${figure(at)}" y="${y - 10}" width="12" height="12"/>`,
      text(at + 18, y, name),
    ];
  });
}
