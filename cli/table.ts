/**
 * Tables for people: a line of titles, a line for each row, two blanks between columns, no boxes.
 *
 *   PROTO  INTERNAL             SESSIONS
 *   udp    192.168.1.20:40001         12      numbers stand on the right
 *
 * On a terminal a line that is too long is cut with "…"; on a pipe it never is.
 */
import { paint, printable, type Terminal } from './terminal.ts';

export interface Column<Item> {
  title: string;
  align?: 'right';
  /** For people. */
  text: (item: Item) => string;
}

export function printTable<Item>(
  terminal: Terminal,
  columns: readonly Column<Item>[],
  items: readonly Item[],
): void {
  const cells = items.map((item) => columns.map((column) => printable(column.text(item))));
  const widths = columns.map((column, i) =>
    cells.reduce((width, row) => Math.max(width, row[i].length), column.title.length),
  );
  const line = (texts: readonly string[]): string =>
    cut(
      texts
        .map((text, i) =>
          columns[i].align === 'right' ? text.padStart(widths[i]) : text.padEnd(widths[i]),
        )
        .join('  ')
        .trimEnd(),
      terminal.columns,
    );
  let text = paint(terminal, 'bold', line(columns.map((column) => column.title))) + '\n';
  for (const row of cells) text += line(row) + '\n';
  terminal.write(text);
}

/** At most `columns` characters, 0 meaning any number. */
export const cut = (text: string, columns: number): string =>
  columns > 0 && text.length > columns ? text.slice(0, columns - 1) + '…' : text;

/** One line of CSV (RFC 4180 quoting). Lists in a cell are joined by blanks. */
export const csvLine = (values: readonly unknown[]): string =>
  values.map(csvValue).join(',') + '\n';

function csvValue(value: unknown): string {
  const text = value === undefined ? '' : Array.isArray(value) ? value.join(' ') : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
