/**
 * A run as one picture: four charts over the same time, one line a model.
 *
 *   ┌ entries in the table ─┐ ┌ ports in use ─────┐       solid: the router's own table
 *   │        (dashed: above)│ │                   │       dashed: that of the router above it
 *   └───────────────────────┘ └───────────────────┘       dotted, grey: what a table holds
 *   ┌ refusals a second ────┐ ┌ failed actions ───┐
 *   └───────────────────────┘ └───────────────────┘
 *     ■ model  ■ model  …
 *
 * Lines that lie in one place for a while take turns there, in dashes of equal length, so that none hides another:
 *
 *   ──── first ────┐                              ┌──── first
 *                  ├ first second first second … ─┤
 *   ──── second ───┘                              └──── second
 */
import { type Area, escapeText, figure, text, verticalScale } from '../plot/scale.ts';
import { COLOURS, styleSheet } from '../plot/style.ts';
import type { Scenario } from './scenario.ts';
import type { Run } from './simulate.ts';
import type { Sample } from './tally.ts';

const WIDTH = 1040;
const LEGEND_ROW = 20;
const PANEL = { width: 420, height: 190, left: 76, top: 92, gapX: 96, gapY: 78 } as const;
const LINE_WIDTH = 2;
const WIDER_MAX = 3;
/** A dashed line is this long of each turn, the rest being its gap; a solid one is the whole turn. */
const DASH = 7;
const GAP = 4;
const TURN = DASH + GAP;
const LEGEND_CHARACTER = 7.4;
const LEGEND_GAP = 36;

interface Line {
  colour: number;
  dashed: boolean;
  values: number[];
}

/** A part of a line, from one point to another, and which lines lie there; itself is one of them. */
interface Piece {
  first: number;
  last: number;
  sharers: number[];
}

interface Panel {
  title: string;
  lines: Line[];
  /** What a table holds, where that is within the range. */
  limits: number[];
}

/** @throws RangeError when there are more models than colours */
export function runsAsSvg(scenario: Scenario, runs: readonly Run[]): string {
  if (runs.length > COLOURS)
    throw new RangeError(`a plot has ${COLOURS} colours, not ${runs.length}; name fewer models`);
  const minutes = runs[0].tally.samples.map(({ seconds }) => seconds / 60);
  const legend = legendOf(runs.map(({ plan }) => plan.name));
  const height = PANEL.top + 2 * PANEL.height + PANEL.gapY + 56 + legend.rows * LEGEND_ROW;
  const panels = panelsOf(runs);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escapeText(titleOf(scenario))}</title>`,
    `<style>${styleSheet()}.limit{stroke:#8d96a0;stroke-dasharray:2 4}.dashed{stroke-dasharray:${DASH} ${GAP}}.line{fill:none}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    text(16, 28, titleOf(scenario), 'start', 'title'),
    text(16, 50, subtitleOf(scenario)),
    ...panels.flatMap((panel, n) => drawPanel(panel, areaOf(n), minutes)),
    ...legend.marks(height - legend.rows * LEGEND_ROW - 6),
    '</svg>',
    '',
  ].join('\n');
}

const titleOf = ({ name, about }: Scenario): string => (about === '' ? name : `${name}: ${about}`);

const subtitleOf = ({ users }: Scenario): string =>
  users
    .map(
      ({ kind, options }) =>
        `${(options as { count: number }).count.toLocaleString('en')} × ${kind}`,
    )
    .join(', ');

function panelsOf(runs: readonly Run[]): Panel[] {
  const lines = (value: (sample: Sample, before: Sample) => number): Line[] =>
    runs.map(({ tally: { samples } }, colour) => ({
      colour,
      dashed: false,
      values: samples.map((sample, i) => value(sample, samples[Math.max(0, i - 1)])),
    }));
  const above = runs.flatMap(({ tally: { samples }, aboveCapacity }, colour) =>
    aboveCapacity === undefined
      ? []
      : [{ colour, dashed: true, values: samples.map((sample) => sample.above ?? 0) }],
  );
  const isBelow = above.length > 0;
  return [
    {
      title: `entries in the table${isBelow ? ' (dashed: of the router above)' : ''}`,
      lines: [...lines((sample) => sample.sessions), ...above],
      limits: runs.flatMap(({ capacity, aboveCapacity }) => [capacity, aboveCapacity ?? capacity]),
    },
    {
      title: 'external ports in use',
      lines: lines((sample) => sample.ports),
      limits: runs.map(({ portCount }) => portCount),
    },
    {
      title: 'packets refused a second',
      lines: lines((sample, before) => {
        const seconds = sample.seconds - before.seconds;
        return seconds > 0 ? (sample.refusals - before.refusals) / seconds : 0;
      }),
      limits: [],
    },
    {
      title: 'failed actions, from the start on',
      lines: lines((sample) => sample.failures),
      limits: [],
    },
  ];
}

function areaOf(panel: number): Area {
  const left = PANEL.left + (panel % 2) * (PANEL.width + PANEL.gapX);
  const top = PANEL.top + Math.floor(panel / 2) * (PANEL.height + PANEL.gapY);
  return { left, right: left + PANEL.width, top, bottom: top + PANEL.height };
}

function drawPanel({ title, lines, limits }: Panel, area: Area, minutes: number[]): string[] {
  const values = lines.flatMap((line) => line.values);
  const most = Math.max(1, ...values);
  const shown = [...new Set(limits)].filter((limit) => limit <= most * 1.3);
  const scale = verticalScale([most, ...shown], false, area);
  const last = Math.max(...minutes) || 1;
  const x = (minute: number): number => area.left + (minute / last) * (area.right - area.left);
  return [
    text(area.left - 60, area.top - 14, title),
    ...scale.ticks.flatMap((tick) => [
      horizontal('grid', area, scale.at(tick)),
      text(area.left - 8, scale.at(tick) + 4, tick.toLocaleString('en'), 'end'),
    ]),
    ...shown.map((limit) => horizontal('limit', area, scale.at(limit))),
    ...drawLines(
      lines,
      lines.map((line) =>
        line.values.map((value, i) => `${figure(x(minutes[i]))},${figure(scale.at(value))}`),
      ),
    ),
    horizontal('axis', area, area.bottom),
    ...verticalScale([last], false, area)
      .ticks.filter((tick) => tick <= last)
      .map((tick) => text(x(tick), area.bottom + 18, tick.toLocaleString('en'), 'middle')),
    text(area.right, area.bottom + 36, 'minutes', 'end'),
  ];
}

/** The first model is drawn last, on top of the others, and thinner, so that two lines that are close are seen to be two. */
function drawLines(lines: readonly Line[], points: readonly string[][]): string[] {
  const drawn = lines.map(({ colour, dashed }, line) => [
    `<g class="line c${colour}${dashed ? ' dashed' : ''}">`,
    ...piecesOf(line, points).map(({ first, last, sharers }) => {
      const width = LINE_WIDTH + Math.min(sharers.length > 1 ? 1 : colour, WIDER_MAX);
      const style = `stroke-width:${width}${turnOf(line, dashed, sharers)}`;
      return `<polyline style="${style}" points="${points[line].slice(first, last + 1).join(' ')}"/>`;
    }),
    '</g>',
  ]);
  return drawn.reverse().flat();
}

/** Parts a line wherever another joins or leaves it. All that lie in one place are parted alike, so their dashes begin together. */
function piecesOf(line: number, points: readonly string[][]): Piece[] {
  const own = points[line];
  const pieces: Piece[] = [];
  for (let i = 0; i + 1 < own.length; i++) {
    const sharers = points.flatMap((other, n) =>
      other[i] === own[i] && other[i + 1] === own[i + 1] ? [n] : [],
    );
    const before = pieces[pieces.length - 1];
    if (before?.sharers.join() === sharers.join()) before.last = i + 1;
    else pieces.push({ first: i, last: i + 1, sharers });
  }
  return pieces;
}

function turnOf(line: number, dashed: boolean, sharers: readonly number[]): string {
  if (sharers.length === 1) return '';
  const length = dashed ? DASH : TURN;
  const rest = TURN * sharers.length - length;
  return `;stroke-dasharray:${length} ${rest};stroke-dashoffset:${-TURN * sharers.indexOf(line)}`;
}

const horizontal = (name: string, { left, right }: Area, y: number): string =>
  `<line class="${name}" x1="${figure(left)}" x2="${figure(right)}" y1="${figure(y)}" y2="${figure(y)}"/>`;

/** One entry a model, in as many rows as they need. */
function legendOf(names: readonly string[]): { rows: number; marks(top: number): string[] } {
  let x = PANEL.left - 60;
  let row = 0;
  const places = names.map((name) => {
    const width = LEGEND_GAP + name.length * LEGEND_CHARACTER;
    if (x + width > WIDTH - 16) {
      x = PANEL.left - 60;
      row++;
    }
    const place = { x, row };
    x += width;
    return place;
  });
  const marks = (top: number): string[] =>
    names.flatMap((name, i) => {
      const y = top + places[i].row * LEGEND_ROW;
      return [
        `<rect class="bar c${i}" x="${figure(places[i].x)}" y="${figure(y)}" width="12" height="12"/>`,
        text(places[i].x + 18, y + 11, name),
      ];
    });
  return { rows: row + 1, marks };
}
