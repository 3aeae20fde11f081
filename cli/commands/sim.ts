/** `portfold sim`: routers tried on a scenario under virtual time. Needs neither root nor a gateway. */
import { type Command, Option } from 'commander';
import { type Context, examples, type Verbs } from '../context.ts';

type SimOptions = Parameters<Verbs['sim']>[0];

export function addSim(program: Command, context: Context): void {
  program
    .command('sim')
    .summary('Simulate users behind Portfold and behind models of other routers')
    .description(
      'Let users open pages, call and play under virtual time, behind the real engine and policies of Portfold and behind ' +
        'models of other routers, and say what failed. The same seed gives the same result. Without a scenario: which there are.',
    )
    .argument('[SCENARIO]', 'name of a scenario, or a scenario file')
    .option('--model <name...>', "only these: models of the scenario, or a router's name")
    .option('--seed <number>', 'other users of the same kinds')
    .option('--duration <time>', 'virtual time, for instance 90s, 30m or 1h')
    .option(
      '--capture <file>',
      "a pcap or pcapng recording, whose flows take the place of the scenario's users",
    )
    .option(
      '--plots <folder>',
      'write sessions, ports, refusals and failures over time there, as SVG',
    )
    .addOption(
      new Option('-o, --output <form>', 'form of the output; json holds the time series')
        .choices(['table', 'json'])
        .default('table'),
    )
    .addHelpText(
      'after',
      examples(
        'portfold sim',
        'portfold sim conference --plots /var/tmp/plots',
        'portfold sim flow --model portfold --seed 7 -o json',
        'portfold sim home-evening --capture lan.pcap',
      ),
    )
    .action(
      context.action((scenario: string | undefined, options: Omit<SimOptions, 'scenario'>) =>
        context.verbs.sim({ ...options, ...(scenario === undefined ? {} : { scenario }) }),
      ),
    );
}
