/** `portfold run`: the gateway, in the foreground. */
import type { Command } from 'commander';
import { type Context, examples } from '../context.ts';
import { CONFIG_DEFAULT } from './check.ts';

export function addRun(program: Command, context: Context): void {
  program
    .command('run')
    .summary('Run the gateway in the foreground')
    .description(
      'Run the gateway in the foreground. SIGTERM ends it and undoes its changes to the host. SIGHUP reads the ' +
        'configuration again: policies, log level and LANs change while packets flow, anything else needs a restart. ' +
        'Sessions of a gateway that was killed, or that ended with --handover, are taken over.\n\n' +
        'Exit status: 0 ended on request, 1 failed, 4 no permission, 78 the configuration is wrong.',
    )
    .option('-c, --config <file>', 'configuration file', CONFIG_DEFAULT)
    .option('--handover', 'leave device, routes and sessions in place at the end, for a successor')
    .addHelpText(
      'after',
      examples(
        'portfold run -c /etc/portfold/portfold.toml',
        'portfold run -c lab.toml --socket /run/lab/portfold.sock',
      ),
    )
    .action(
      context.action((options: { config: string; handover?: boolean }) =>
        context.verbs.run({ ...options, socket: context.socket() }),
      ),
    );
}
