/** `portfold lab`: outages that really happened, with real packets, beside what others use. */
import { Argument, type Command, InvalidArgumentError } from 'commander';
import { type Context, examples, tableOrJson, type Verbs } from '../context.ts';

type LabOptions = Parameters<Verbs['lab']>[0];

const FLOWS_MAX = 250_000;
const SECONDS_MAX = 600;

export function addLab(program: Command, context: Context): void {
  program
    .command('lab')
    .summary('Run a real outage with real packets, beside kernel masquerade')
    .description(
      'Build the network of a real outage in namespaces, run its load through Portfold and through what others use, one ' +
        'after the other, and print what failed on each. Needs root; touches nothing outside its namespaces.\n\n' +
        '  flow         a device driver sends to addresses where nobody answers, each time from a new port, on 240 ports\n' +
        '  conference   visitors fill the small table of the router above by QUIC',
    )
    .addArgument(new Argument('<scenario>', 'which outage').choices(['flow', 'conference']))
    .option('--flows <number>', 'flow: flows that live beside it', upTo(FLOWS_MAX))
    .option('--seconds <number>', 'how long each of its phases lasts', upTo(SECONDS_MAX))
    .addOption(tableOrJson())
    .addHelpText(
      'after',
      examples('sudo portfold lab flow', 'sudo portfold lab conference --seconds 30 -o json'),
    )
    .action(
      context.action((scenario: LabOptions['scenario'], options: Omit<LabOptions, 'scenario'>) =>
        context.verbs.lab({ scenario, ...options }),
      ),
    );
}

const upTo =
  (most: number) =>
  (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= 1 && value <= most) return value;
    throw new InvalidArgumentError(`Write a whole number from 1 to ${most}.`);
  };
