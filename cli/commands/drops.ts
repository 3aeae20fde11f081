/** `portfold drops`: what was not forwarded, by reason, in words. */
import type { Command } from 'commander';
import type { Context } from '../context.ts';
import { formatCount } from '../format.ts';
import { type ListCommand, type ListOptions, listCommand, printList } from '../lists.ts';

export const DROPS: ListCommand<'drops'> = {
  name: 'drops',
  summary: 'List reasons for which packets were dropped, with their counts',
  sort: '-packets',
  keys: 'reason, packets, words',
  columns: [
    { title: 'PACKETS', align: 'right', text: (item) => formatCount(item.packets) },
    { title: 'REASON', text: (item) => item.reason },
    { title: 'MEANING', text: (item) => item.meaning },
  ],
  csv: ['reason', 'packets', 'meaning'],
  examples: [
    'portfold drops            reasons that occurred',
    'portfold drops --all      every reason there is',
    'portfold drops port       reasons with a word in name or meaning',
  ],
};

export function addDrops(program: Command, context: Context): void {
  listCommand(program, DROPS)
    .option('-a, --all', 'also reasons that never occurred')
    .action(
      context.action((words: string[], options: ListOptions & { all?: boolean }) => {
        const filter = options.all === true ? words : [...words, 'packets>0'];
        return printList(context, DROPS, filter, options);
      }),
    );
}
