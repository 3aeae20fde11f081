/** `portfold br`: a MAP-E border relay, in the foreground. */
import type { Command } from 'commander';
import { SOCKET_DEFAULT } from '../../gateway/control/api.ts';
import { type Context, examples } from '../context.ts';

const RELAY_CONFIG_DEFAULT = '/etc/portfold/br.toml';

export function addBr(program: Command, context: Context): void {
  program
    .command('br')
    .summary('Run a stateless MAP-E border relay in the foreground')
    .description(
      'Run a stateless MAP-E border relay (RFC 7597) in the foreground: it takes IPv4 out of the IPv6 of CEs whose ' +
        'source is their own, and puts IPv4 for them into IPv6. SIGTERM ends it and undoes its changes to the host. ' +
        'Its control socket lies in its runtime directory unless --socket names another place.\n\n' +
        'Exit status: 0 ended on request, 1 failed, 4 no permission, 78 the configuration is wrong.',
    )
    .option('-c, --config <file>', 'configuration file', RELAY_CONFIG_DEFAULT)
    .option('--clean', 'only undo what a relay that was killed has left')
    .addHelpText(
      'after',
      examples(
        'portfold br -c /etc/portfold/br.toml',
        'portfold status --socket /run/portfold-br/portfold.sock',
        'portfold drops --socket /run/portfold-br/portfold.sock',
        'portfold br -c /etc/portfold/br.toml --clean',
      ),
    )
    .action(
      context.action((options: { config: string; clean?: boolean }) => {
        const socket = context.socket();
        // The default is the gateway's.
        return context.verbs.br(socket === SOCKET_DEFAULT ? options : { ...options, socket });
      }),
    );
}
