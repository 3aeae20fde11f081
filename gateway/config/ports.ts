/**
 * Port ranges as people write them: "4096-8191, 10000", or a list of such texts and of numbers.
 *
 * What comes out is ascending, without overlap, and ranges that touch are one. Two ranges that
 * share a port are an error, since one of them is then probably not what was meant.
 */
import type { Complaint } from './problems.ts';

export type PortRange = [number, number];

const EXAMPLE = 'write for instance ports = "4096-65534", or ports = ["4096-8191", "10000-10999"]';

/** Reads port ranges; a Complaint says what is wrong. */
export function parsePorts(value: unknown): PortRange[] | Complaint {
  const parts = Array.isArray(value) ? value : [value];
  const ranges: PortRange[] = [];
  for (const part of parts) {
    if (typeof part !== 'string' && typeof part !== 'number') {
      return { what: 'ports are a text or a list of texts and numbers', hint: EXAMPLE };
    }
    for (const text of String(part).split(',')) {
      const range = parseRange(text.trim());
      if ('what' in range) return range;
      ranges.push(range);
    }
  }
  if (ranges.length === 0) return { what: 'the port set is empty', hint: EXAMPLE };
  return joinRanges(ranges);
}

function parseRange(text: string): PortRange | Complaint {
  const match = /^(\d{1,9})(?:\s*-\s*(\d{1,9}))?$/.exec(text);
  if (match === null) return { what: `"${text}" is not a port or a range of ports`, hint: EXAMPLE };
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first < 1 || last > 65535 || first > 65535) {
    return { what: `"${text}" leaves the ports 1 to 65535`, hint: EXAMPLE };
  }
  if (last < first) {
    return { what: `"${text}" ends before it begins`, hint: `did you mean "${last}-${first}"?` };
  }
  return [first, last];
}

function joinRanges(ranges: PortRange[]): PortRange[] | Complaint {
  ranges.sort((a, b) => a[0] - b[0]);
  const joined: PortRange[] = [];
  for (const range of ranges) {
    const last = joined[joined.length - 1];
    if (last !== undefined && range[0] <= last[1]) {
      const what = `${formatRange(last)} and ${formatRange(range)} share ports`;
      return { what, hint: 'name every port once' };
    }
    if (last !== undefined && range[0] === last[1] + 1) last[1] = range[1];
    else joined.push([range[0], range[1]]);
  }
  return joined;
}

/** "4096-4111", or "443" for a single port. */
export const formatRange = ([first, last]: readonly [number, number]): string =>
  first === last ? `${first}` : `${first}-${last}`;
