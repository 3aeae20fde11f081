/** `portfold sessions`: who talks to whom, through which port, and for how long yet. */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { formatBytes, formatDuration } from '../format.ts';
import {
  type ClassOptions,
  classOption,
  type ListCommand,
  listCommand,
  printList,
  withClass,
} from '../lists.ts';

export const SESSIONS: ListCommand<'sessions'> = {
  name: 'sessions',
  summary: 'List sessions: one line for each 5-tuple',
  sort: 'idle',
  keys: 'proto, host, remote, external, port, lan, state, class, flag, age, idle, left, bytes, out, in',
  columns: [
    { title: 'PROTO', text: (item) => item.protocol },
    { title: 'INTERNAL', text: (item) => item.internal },
    { title: 'EXTERNAL', text: (item) => item.external },
    { title: 'REMOTE', text: (item) => item.remote },
    { title: 'STATE', text: (item) => item.state },
    { title: 'CLASS', text: (item) => item.class },
    { title: 'AGE', align: 'right', text: (item) => formatDuration(item.ageSeconds) },
    { title: 'IDLE', align: 'right', text: (item) => formatDuration(item.idleSeconds) },
    { title: 'LEFT', align: 'right', text: (item) => formatDuration(item.timeLeftSeconds) },
    { title: 'OUT', align: 'right', text: (item) => formatBytes(item.bytesOut) },
    { title: 'IN', align: 'right', text: (item) => formatBytes(item.bytesIn) },
    { title: 'FLAGS', text: (item) => item.flags.join(',') },
  ],
  csv: [
    'protocol',
    'internal',
    'external',
    'remote',
    'state',
    'class',
    'flags',
    'ageSeconds',
    'idleSeconds',
    'timeLeftSeconds',
    'packetsOut',
    'packetsIn',
    'bytesOut',
    'bytesIn',
  ],
  examples: [
    'portfold sessions 192.168.1.20                    everything of one host',
    'portfold sessions --class quic,dns                of these classes; the same as class=quic,dns',
    "portfold sessions proto=udp class=dns 'idle>5s'   DNS that is about to end",
    'portfold sessions state=unanswered                what gets no answer',
    'portfold sessions external=:20481 -o json         who uses an external port, for a script',
    'portfold sessions --sort -bytes --limit 10        the ten that moved most',
  ],
};

export function addSessions(program: Command, context: Context): void {
  listCommand(program, SESSIONS)
    .addOption(classOption())
    .action(
      context.action((filter: string[], options: ClassOptions) =>
        printList(context, SESSIONS, withClass(filter, options), options),
      ),
    );
}
