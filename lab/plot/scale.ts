/** Where things stand in a chart: round ticks, values to heights, and text. What benchmarks and the simulator draw stands on it. */

/** The inner rectangle of a chart. */
export interface Area {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export interface Scale {
  ticks: number[];
  /** The height in the picture of a value. */
  at(value: number): number;
}

/** An axis from zero, or from a power of ten below the least value. */
export function verticalScale(
  values: readonly number[],
  isLogarithmic: boolean,
  area: Area,
): Scale {
  return isLogarithmic ? logarithmic(values, area) : linear(values, area);
}

function linear(values: readonly number[], area: Area): Scale {
  const step = roundStep(Math.max(...values) / 5);
  const count = Math.max(1, Math.ceil(Math.max(...values) / step - 1e-9));
  // Multiplied and rounded, so that a tick of 0.6 is not 0.6000000000000001.
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number((i * step).toPrecision(6)));
  const top = ticks[count];
  return { ticks, at: (value) => height(value / top, area) };
}

function logarithmic(values: readonly number[], area: Area): Scale {
  const least = Math.min(...values);
  if (least <= 0) throw new RangeError(`a logarithmic axis has no place for ${least}`);
  const low = Math.floor(Math.log10(least));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
  return { ticks, at: (value) => height((Math.log10(value) - low) / (high - low), area) };
}

/** The least of 1, 2, 2.5, 5 times a power of ten that is not below `wanted`. */
function roundStep(wanted: number): number {
  if (!(wanted > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(wanted));
  return power * ([1, 2, 2.5, 5].find((factor) => factor * power >= wanted) ?? 10);
}

const height = (share: number, { top, bottom }: Area): number => bottom - share * (bottom - top);

/** A coordinate, to a tenth of a unit. */
export const figure = (value: number): string => String(Math.round(value * 10) / 10);

export function text(
  x: number,
  y: number,
  words: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
  className?: string,
): string {
  if (words === '') return '';
  const mark = className === undefined ? '' : ` class="${className}"`;
  return `<text${mark} x="${figure(x)}" y="${figure(y)}" text-anchor="${anchor}">${escapeText(words)}</text>`;
}

export const escapeText = (words: string): string =>
  words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
