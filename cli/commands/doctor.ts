/** `portfold doctor`: whether this host can run a gateway, and the removal of what a dead one left. */
import type { Command } from 'commander';
import { type Context, examples, tableOrJson, type Verbs } from '../context.ts';

type DoctorOptions = Parameters<Verbs['doctor']>[0];

export function addDoctor(program: Command, context: Context): void {
  program
    .command('doctor')
    .summary('Look at the host, or clean up after a gateway that died')
    .description(
      'Look at the host: Node, the addon, rights, kernel, routes and what may stand in the way.\n\n' +
        'Exit status: 0 no problem, 1 there is one.',
    )
    .option('-c, --config <file>', 'also look at what this configuration needs')
    .option('--clean', 'undo what a gateway that died has left: device, routes, rules, settings')
    .option('--runtime-directory <path>', 'where arena and host snapshot lie')
    .addOption(tableOrJson())
    .addHelpText(
      'after',
      examples('portfold doctor', 'portfold doctor -c new.toml', 'portfold doctor --clean'),
    )
    .action(
      context.action((options: DoctorOptions) =>
        context.verbs.doctor({ ...options, socket: context.socket() }),
      ),
    );
}
