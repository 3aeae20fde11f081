/**
 * What the commands that list have in common: filter, order, limit and the four forms of output.
 *
 *   table            for people; on a terminal as many rows as it shows, "… 4,812 more" on stderr
 *   json             one document as the gateway gives it
 *   ndjson, csv      item by item while the gateway finds them, so that a million sessions need no memory here
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  LIMIT_MAX,
  type List,
  type ListItems,
  type ListName,
  SORT_LIMIT_MAX,
} from '../gateway/control/api.ts';
import type { ControlClient, ListQuery } from '../gateway/control/client.ts';
import { type Context, examples } from './context.ts';
import { formatCount } from './format.ts';
import { type Column, csvLine, printTable } from './table.ts';
import type { Terminal } from './terminal.ts';

export type Output = 'table' | 'json' | 'ndjson' | 'csv';

export interface ListOptions {
  output: Output;
  limit?: number;
  sort?: string;
}

export interface ListCommand<Name extends ListName> {
  name: Name;
  summary: string;
  /** Order of the table where none is asked for. The other forms then keep the gateway's own order. */
  sort?: string;
  /** Keys of the filter, for the help. */
  keys: string;
  columns: readonly Column<ListItems[Name]>[];
  /** Names of the item's values, in the order of the CSV. */
  csv: readonly (keyof ListItems[Name] & string)[];
  examples: readonly string[];
}

/** Adds the command with the options of every list; the caller adds its own and the action. */
export function listCommand<Name extends ListName>(
  program: Command,
  definition: ListCommand<Name>,
): Command {
  return program
    .command(definition.name)
    .summary(definition.summary)
    .description(
      `${definition.summary}.\n\nA FILTER is an address, a port or an endpoint (192.168.1.20, 192.168.1.0/24, 443, ` +
        `:53), or key=value, key!=value, 'key>number', key=low..high with a key of\n${definition.keys}.\n` +
        'All of them must hold. Quote > and <, which the shell would take.',
    )
    .argument('[FILTER...]', 'what the rows must be')
    .addOption(
      new Option('-o, --output <form>', 'form of the output')
        .choices(['table', 'json', 'ndjson', 'csv'])
        .default('table'),
    )
    .option(
      '-n, --limit <rows>',
      'rows at most, or "all" (default: what the terminal shows; all on a pipe)',
      parseLimit,
    )
    .option('-s, --sort <key>', 'order by a key; -key puts the greatest first')
    .addHelpText('after', examples(...definition.examples));
}

export interface ClassOptions extends ListOptions {
  class?: string;
}

/** Of the lists that know classes. */
export const classOption = (): Option =>
  new Option(
    '-c, --class <names>',
    'only these classes: dns, ntp, quic, stun, dtls, wireguard, ike, esp-in-udp, openvpn, sip, rtp, dht, utp, tcp, icmp, other',
  );

export const withClass = (filter: readonly string[], options: ClassOptions): string[] =>
  options.class === undefined ? [...filter] : [...filter, `class=${options.class}`];

function parseLimit(text: string): number {
  if (text === 'all') return LIMIT_MAX;
  if (!/^\d+$/.test(text) || Number(text) > LIMIT_MAX)
    throw new InvalidArgumentError(`Write a number from 0 to ${LIMIT_MAX}, or "all".`);
  return Number(text);
}

/** Lines of a terminal that are no rows: titles, "more", the prompt. */
const TERMINAL_LINES_BESIDE = 4;
const TERMINAL_ROWS_MIN = 10;

export function screenful(terminal: Terminal): number {
  if (terminal.rows === 0) return LIMIT_MAX;
  return Math.max(TERMINAL_ROWS_MIN, terminal.rows - TERMINAL_LINES_BESIDE);
}

/** Asks the gateway and prints the answer. */
export async function printList<Name extends Exclude<ListName, 'events'>>(
  context: Context,
  definition: ListCommand<Name>,
  filter: readonly string[],
  options: ListOptions,
): Promise<number> {
  const { terminal } = context;
  const client = context.client();
  if (options.output !== 'table') {
    const query = { filter, sort: options.sort, limit: options.limit ?? limitFor(options.sort) };
    return printRaw(terminal, client, definition, query, options.output);
  }
  const sort = options.sort ?? definition.sort;
  const limit = Math.min(options.limit ?? screenful(terminal), limitFor(sort));
  let list = await client.list(definition.name, { filter, sort, limit });
  // All rows were asked for and no order: those that are too many to sort come in the order of the table.
  const wanted = options.limit ?? screenful(terminal);
  if (options.sort === undefined && list.items.length < Math.min(list.total, wanted))
    list = await client.list(definition.name, { filter, limit: wanted });
  printTable(terminal, definition.columns, list.items as ListItems[Name][]);
  sayMore(terminal, list);
  return 0;
}

/** All rows, or all that the gateway sorts. */
const limitFor = (sort: string | undefined): number =>
  sort === undefined ? LIMIT_MAX : SORT_LIMIT_MAX;

/** JSON, NDJSON and CSV: written as it comes. */
export async function printRaw<Name extends ListName>(
  terminal: Terminal,
  client: ControlClient,
  definition: ListCommand<Name>,
  query: ListQuery,
  output: Exclude<Output, 'table'>,
): Promise<number> {
  if (output === 'json') {
    for await (const piece of client.text(definition.name, query)) terminal.write(piece);
    return 0;
  }
  // The first line is asked for before the titles are written: a refusal then leaves stdout empty.
  const lines = client.lines(definition.name, query);
  let next = await lines.next();
  if (output === 'csv') terminal.write(csvLine(definition.csv));
  for (; !next.done; next = await lines.next()) {
    if (output === 'ndjson') terminal.write(next.value + '\n');
    else terminal.write(csvItem(definition, JSON.parse(next.value) as ListItems[Name]));
  }
  return 0;
}

export const csvItem = <Name extends ListName>(
  definition: ListCommand<Name>,
  item: ListItems[Name],
): string => csvLine(definition.csv.map((name) => item[name]));

export function sayMore(terminal: Terminal, list: Pick<List<unknown>, 'total' | 'items'>): void {
  const more = list.total - list.items.length;
  if (more > 0) terminal.say(`… ${formatCount(more)} more`);
  else if (list.total === 0) terminal.say('nothing matches');
}
