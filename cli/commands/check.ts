/** `portfold check`: what a configuration means, or what is wrong in it. Needs neither root nor a gateway. */
import type { Command } from 'commander';
import { type Context, examples, tableOrJson } from '../context.ts';

export const CONFIG_DEFAULT = '/etc/portfold/portfold.toml';

export function addCheck(program: Command, context: Context): void {
  program
    .command('check')
    .summary('Check a configuration file')
    .description(
      'Check a configuration file: what it means, or every mistake with its place and what would be right.\n\n' +
        'Exit status: 0 it is right, 78 it is not.',
    )
    .argument('[FILE]', 'configuration file', CONFIG_DEFAULT)
    .addOption(tableOrJson())
    .addHelpText(
      'after',
      examples('portfold check', 'portfold check new.toml && systemctl restart portfold'),
    )
    .action(
      context.action((file: string, options: { output: 'table' | 'json' }) =>
        context.verbs.check(file, { output: options.output }),
      ),
    );
}
