/**
 * `portfold events`: what happened, newest last; --follow goes on until it is interrupted.
 *
 * Following asks again for what came after the last sequence number seen. A number that falls back means that the
 * gateway started anew, and a gap that the gateway forgot events before they were read: both are said.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { EventItem } from '../../gateway/control/api.ts';
import { LIMIT_MAX } from '../../gateway/control/api.ts';
import type { ControlClient } from '../../gateway/control/client.ts';
import { type Context, UsageError } from '../context.ts';
import { formatCount } from '../format.ts';
import {
  csvItem,
  type ListCommand,
  type ListOptions,
  listCommand,
  printRaw,
  sayMore,
  screenful,
} from '../lists.ts';
import { csvLine, cut, printTable } from '../table.ts';
import { paint, printable, type Terminal } from '../terminal.ts';

const FOLLOW_MILLISECONDS = 500;
/** Events that --follow begins with. */
const FOLLOW_FIRST = 10;

export const EVENTS: ListCommand<'events'> = {
  name: 'events',
  summary: 'List events: refusals, and peers that found no port of their own; newest last',
  keys: 'kind, proto, host, remote, external, sequence, suppressed, words',
  columns: [
    { title: 'TIME', text: (item) => item.time },
    { title: 'KIND', text: (item) => item.kind },
    { title: 'EVENT', text: textOf },
  ],
  csv: [
    'sequence',
    'time',
    'kind',
    'protocol',
    'internal',
    'remote',
    'external',
    'suppressed',
    'text',
  ],
  examples: [
    'portfold events                             the newest',
    'portfold events --follow                    and what comes',
    'portfold events kind=session-refused -n all every refusal still known',
    'portfold events host=192.168.1.20 -f -o ndjson',
  ],
};

interface EventOptions extends ListOptions {
  follow?: boolean;
}

export function addEvents(program: Command, context: Context): void {
  listCommand(program, EVENTS)
    .option('-f, --follow', 'go on printing what happens')
    .action(
      context.action((filter: string[], options: EventOptions) =>
        options.follow === true
          ? follow(context, filter, options)
          : printEvents(context, filter, options),
      ),
    );
}

async function printEvents(
  context: Context,
  filter: string[],
  options: EventOptions,
): Promise<number> {
  const { terminal } = context;
  const client = context.client();
  const { output, sort } = options;
  if (output !== 'table')
    return printRaw(
      terminal,
      client,
      EVENTS,
      { filter, sort, limit: options.limit ?? LIMIT_MAX },
      output,
    );
  const limit = options.limit ?? screenful(terminal);
  const list = await client.events({ filter, sort, limit });
  printTable(terminal, EVENTS.columns, list.items);
  sayMore(terminal, list);
  return 0;
}

async function follow(context: Context, filter: string[], options: EventOptions): Promise<number> {
  if (options.output === 'json' || options.sort !== undefined)
    throw new UsageError(
      '--follow prints one event after the other: use -o table, ndjson or csv, and no --sort',
    );
  const { terminal } = context;
  if (options.output === 'csv') terminal.write(csvLine(EVENTS.csv));
  const first = { filter, limit: options.limit ?? FOLLOW_FIRST };
  for await (const item of newEvents(context.client(), terminal, first))
    terminal.write(eventLine(terminal, item, options.output));
  return 0;
}

/** Never ends by itself: an interrupt or a gateway that ends does it. */
async function* newEvents(
  client: ControlClient,
  terminal: Terminal,
  first: { filter: string[]; limit: number },
): AsyncGenerator<EventItem> {
  let list = await client.events(first);
  for (;;) {
    yield* list.items;
    let since = list.lastSequence;
    await sleep(FOLLOW_MILLISECONDS);
    list = await client.events({ filter: first.filter, since, limit: LIMIT_MAX });
    if (list.lastSequence < since) {
      terminal.say('the gateway started anew');
      since = 0;
      list = await client.events({ filter: first.filter, since, limit: LIMIT_MAX });
    }
    if (list.missed > 0)
      terminal.say(`${formatCount(list.missed)} events came too fast and were missed`);
  }
}

function eventLine(terminal: Terminal, item: EventItem, output: ListOptions['output']): string {
  if (output === 'ndjson') return JSON.stringify(item) + '\n';
  if (output === 'csv') return csvItem(EVENTS, item);
  const line = `${item.time}  ${item.kind.padEnd(18)}  ${textOf(item)}`;
  const style = item.kind.endsWith('refused') ? 'yellow' : 'dim';
  const shown = cut(printable(line), terminal.columns);
  return style === 'yellow' ? `${paint(terminal, style, shown)}\n` : `${shown}\n`;
}

function textOf(item: EventItem): string {
  return item.suppressed > 0
    ? `${item.text} (${formatCount(item.suppressed)} alike before it)`
    : item.text;
}
