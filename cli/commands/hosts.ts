/** `portfold hosts`: what each LAN host uses; the first thing to look at when ports run short. */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { formatBytes, formatCount, formatDuration } from '../format.ts';
import { type ListCommand, type ListOptions, listCommand, printList } from '../lists.ts';

/** Of the sessions of a host; "-" where it may have any number. */
const limitText = (most: number): string => (most === 0 ? '-' : formatCount(most));

export const HOSTS: ListCommand<'hosts'> = {
  name: 'hosts',
  summary: 'List LAN hosts: sessions, ports, refusals and bytes of each',
  sort: '-sessions',
  keys: 'host, lan, sessions, mappings, owned, peak, created, refused, limit, idle, bytes, out, in',
  columns: [
    { title: 'HOST', text: (item) => item.address },
    { title: 'LAN', text: (item) => item.lan },
    { title: 'SESSIONS', align: 'right', text: (item) => formatCount(item.sessions) },
    { title: 'PEAK', align: 'right', text: (item) => formatCount(item.sessionsPeak) },
    { title: 'LIMIT', align: 'right', text: (item) => limitText(item.sessionsMax) },
    { title: 'MAPPINGS', align: 'right', text: (item) => formatCount(item.mappings) },
    { title: 'OWNED', align: 'right', text: (item) => formatCount(item.portsOwned) },
    { title: 'CREATED', align: 'right', text: (item) => formatCount(item.sessionsCreated) },
    { title: 'REFUSED', align: 'right', text: (item) => formatCount(item.sessionsRefused) },
    { title: 'OUT', align: 'right', text: (item) => formatBytes(item.bytesOut) },
    { title: 'IN', align: 'right', text: (item) => formatBytes(item.bytesIn) },
    { title: 'SEEN', align: 'right', text: (item) => formatDuration(item.lastSeenSeconds) },
  ],
  csv: [
    'address',
    'lan',
    'sessions',
    'mappings',
    'portsOwned',
    'sessionsPeak',
    'sessionsCreated',
    'sessionsRefused',
    'bytesOut',
    'bytesIn',
    'lastSeenSeconds',
    'sessionsMax',
    'newPerSecondMax',
    'portsOwnedMax',
  ],
  examples: [
    'portfold hosts                         who holds most sessions',
    "portfold hosts 'refused>0' -s -refused who was refused",
    'portfold hosts 192.168.1.0/24 -o csv   a spreadsheet of one network',
  ],
};

export function addHosts(program: Command, context: Context): void {
  listCommand(program, HOSTS).action(
    context.action((filter: string[], options: ListOptions) =>
      printList(context, HOSTS, filter, options),
    ),
  );
}
