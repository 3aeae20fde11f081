/** `portfold ports`: the port set, port by port. */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { formatCount } from '../format.ts';
import { type ListCommand, type ListOptions, listCommand, printList } from '../lists.ts';

export const PORTS: ListCommand<'ports'> = {
  name: 'ports',
  summary: 'List external ports: how many sessions share each, and who owns it',
  sort: '-sessions',
  keys: 'proto, external, host (the owner), port, role (owned, shared), sessions',
  columns: [
    { title: 'PROTO', text: (item) => item.protocol },
    { title: 'ADDRESS', text: (item) => item.externalAddress },
    { title: 'PORT', align: 'right', text: (item) => String(item.port) },
    { title: 'SESSIONS', align: 'right', text: (item) => formatCount(item.sessions) },
    { title: 'OWNER', text: (item) => item.owner ?? '' },
  ],
  csv: ['protocol', 'externalAddress', 'port', 'sessions', 'owner'],
  examples: [
    'portfold ports udp                   the fullest ports of UDP',
    'portfold ports role=owned            ports that belong to one endpoint',
    'portfold ports tcp sessions=0        ports that nobody uses',
    'portfold ports port=20000-20999      a part of the set',
  ],
};

export function addPorts(program: Command, context: Context): void {
  listCommand(program, PORTS).action(
    context.action((filter: string[], options: ListOptions) =>
      printList(context, PORTS, filter, options),
    ),
  );
}
