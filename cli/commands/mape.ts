/** `portfold mape`: MAP-E worked out from a prefix and a rule. Needs neither root nor a gateway. */
import type { Command } from 'commander';
import { type Context, examples, tableOrJson, type Verbs } from '../context.ts';

type MapeOptions = Parameters<Verbs['mape']>[0];

export function addMape(program: Command, context: Context): void {
  program
    .command('mape')
    .summary('Work out address, PSID and ports of a MAP-E line')
    .description(
      'Work out IPv4 address, PSID, port ranges, CE address and border relay of a MAP-E line.\n\n' +
        'Exit status: 0 done, 2 usage, 78 the prefix does not fit the rules, or a rule is wrong.',
    )
    .option('--service <name>', 'built-in service; --list names them')
    .option('--prefix <prefix>', 'end-user IPv6 prefix, for instance 240b:10:1234:5600::/56')
    .option(
      '--rule <rule>',
      'rule by hand: ipv6=2001:db8::/40,ipv4=192.0.2.0/24,ea=16,offset=6; may be repeated',
      (rule: string, rules: string[] | undefined) => [...(rules ?? []), rule],
    )
    .option('--iid-format <format>', 'rfc7597 or draft-ietf-softwire-map-03')
    .option('--br <address>', 'IPv6 address of the border relay')
    .option('--s46 <hex>', 'DHCPv6 container as captured, in hexadecimal')
    .option('--psid <psid>', 'PSID where neither prefix nor rule holds it')
    .option('--packet <packet>', 'outer addresses of a packet: "192.0.2.18:1232>198.51.100.7:80"')
    .option('--list', 'name the built-in services')
    .addOption(tableOrJson())
    .addHelpText(
      'after',
      examples(
        'portfold mape --list',
        'portfold mape --service v6plus --prefix 240b:10:1234:5600::/56',
        'portfold mape --rule ipv6=2001:db8::/40,ipv4=192.0.2.0/24,ea=16,offset=6 \\',
        '              --prefix 2001:db8:12:3400::/56 -o json',
      ),
    )
    .action(context.action((options: MapeOptions) => context.verbs.mape(options)));
}
