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
import { barMarks, lineMarks } from './marks.ts';
import { escapeText, figure, HEIGHT, PLOT, text, verticalScale, WIDTH } from './scale.ts';

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

/** Colours that stay apart for colour-blind readers (Okabe and Ito), for light and for dark pages. */
const LIGHT = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#8a6d00', '#56a0d0'];
const DARK = ['#56b4e9', '#ff9d4d', '#2fd6a6', '#f0a3cc', '#f0e442', '#9ad0f5'];

export function chartAsSvg(chart: Chart): string {
  if (chart.series.length > LIGHT.length)
    throw new RangeError(`a chart has ${LIGHT.length} colours, not ${chart.series.length}`);
  const values = chart.series.flatMap(({ samples }) => samples.flat());
  if (values.length === 0) throw new RangeError(`the chart "${chart.title}" has no figures`);
  const scale = verticalScale(values, chart.isLogarithmic ?? false);
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

function styleSheet(): string {
  const colours = (list: readonly string[]): string =>
    list.map((colour, i) => `.c${i}{stroke:${colour};fill:${colour}}`).join('');
  return [
    'text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}',
    '.page{fill:#fff}.grid{stroke:#d0d7de}.axis{stroke:#57606a}',
    'polyline{stroke-width:2}.spread{stroke-width:1;opacity:.7}.bar{stroke:none}',
    '.whisker{stroke:#24292f;stroke-width:1}',
    colours(LIGHT),
    '@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.grid{stroke:#30363d}',
    `.axis{stroke:#8d96a0}.whisker{stroke:#e6edf3}${colours(DARK)}}`,
  ].join('');
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
