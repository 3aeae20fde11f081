/** `portfold mappings`: which internal endpoint is seen at which external endpoint. */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { formatCount, formatDuration } from '../format.ts';
import {
  type ClassOptions,
  classOption,
  type ListCommand,
  listCommand,
  printList,
  withClass,
} from '../lists.ts';

export const MAPPINGS: ListCommand<'mappings'> = {
  name: 'mappings',
  summary: 'List mappings: internal endpoints and the external endpoints that they keep',
  sort: '-sessions',
  keys: 'proto, host, external, port, lan, role, class, sessions, age, idle',
  columns: [
    { title: 'PROTO', text: (item) => item.protocol },
    { title: 'INTERNAL', text: (item) => item.internal },
    { title: 'EXTERNAL', text: (item) => item.external },
    { title: 'ROLE', text: (item) => item.role },
    { title: 'CLASS', text: (item) => item.class },
    { title: 'SESSIONS', align: 'right', text: (item) => formatCount(item.sessions) },
    { title: 'AGE', align: 'right', text: (item) => formatDuration(item.ageSeconds) },
    { title: 'IDLE', align: 'right', text: (item) => formatDuration(item.idleSeconds) },
  ],
  csv: [
    'protocol',
    'internal',
    'external',
    'role',
    'class',
    'sessions',
    'ageSeconds',
    'idleSeconds',
  ],
  examples: [
    'portfold mappings role=owner              peers that hold a port alone',
    'portfold mappings host=192.168.1.20:5060  where one endpoint is seen',
    'portfold mappings external=:20481         who has an external port',
  ],
};

export function addMappings(program: Command, context: Context): void {
  listCommand(program, MAPPINGS)
    .addOption(classOption())
    .action(
      context.action((filter: string[], options: ClassOptions) =>
        printList(context, MAPPINGS, withClass(filter, options), options),
      ),
    );
}
