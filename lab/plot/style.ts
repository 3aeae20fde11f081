/**
 * How a chart looks: one class a series, `c0`, `c1`, …, and colours that follow the reader's preference for dark pages. Colours stay
 * apart for colour-blind readers (Okabe and Ito, and two more at the end).
 */
const LIGHT = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#8a6d00',
  '#56a0d0',
  '#57606a',
  '#a40e26',
];
const DARK = [
  '#56b4e9',
  '#ff9d4d',
  '#2fd6a6',
  '#f0a3cc',
  '#f0e442',
  '#9ad0f5',
  '#aeb6bf',
  '#ff7b72',
];

/** Series that a chart can tell apart. */
export const COLOURS = LIGHT.length;

export function styleSheet(): string {
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
