/**
 * What an incident tells: a table, one column for each system that had the same load, and what had to hold.
 *
 *   words to stderr while it runs            say()
 *   the table, or JSON, to stdout at the end
 */

export interface IncidentOptions {
  output: 'table' | 'json';
  /** How long each of its phases lasts. */
  seconds: number;
  /** Flows that live beside it. */
  flows: number;
}

/** One row: a figure for each system. */
export interface Figure {
  name: string;
  of: Record<string, number | string>;
}

/** Something that had to hold, and whether it did. */
export interface Expectation {
  name: string;
  isMet: boolean;
  /** What was seen. */
  seen: string;
}

export interface Incident {
  name: string;
  /** A sentence or two: what happens here. */
  about: string;
  systems: string[];
  figures: Figure[];
  expectations: Expectation[];
  /** What `portfold why` said at the end of the load. */
  why: string;
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Prints it. The exit code: 0 if all that had to hold did. */
export function printIncident(incident: Incident, output: 'table' | 'json'): number {
  process.stdout.write(
    output === 'json' ? `${JSON.stringify(incident, undefined, 2)}\n` : incidentText(incident),
  );
  for (const { name, seen } of incident.expectations.filter(({ isMet }) => !isMet))
    say(`FAILED: ${name}: ${seen}`);
  return isSurvived(incident) ? 0 : 1;
}

export const isSurvived = ({ expectations }: Incident): boolean =>
  expectations.every(({ isMet }) => isMet);

export function incidentText({ systems, figures, why }: Incident): string {
  const rows = [
    ['', ...systems],
    ...figures.map(({ name, of }) => [name, ...systems.map((system) => cell(of[system]))]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row
      .map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i])))
      .join('   ')
      .trimEnd(),
  );
  const quoted = why
    .trim()
    .split('\n')
    .map((line) => `  ${line}`);
  return [...lines, '', 'portfold why:', ...quoted, ''].join('\n');
}

const cell = (value: number | string | undefined): string =>
  value === undefined ? '–' : typeof value === 'number' ? value.toLocaleString('en-US') : value;
