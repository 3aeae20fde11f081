/** `portfold demo`: a whole network in namespaces, with real traffic through a real gateway. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Context, examples, type Verbs } from '../context.ts';

type DemoOptions = Parameters<Verbs['demo']>[0];

const FLOWS_DEFAULT = 24_000;
const FLOWS_MAX = 1_000_000;

export function addDemo(program: Command, context: Context): void {
  program
    .command('demo')
    .summary('Build a LAN, a gateway and an Internet in namespaces and run traffic')
    .description(
      'Build a LAN, a gateway, a provider and an Internet in network namespaces, run traffic through them, say what ' +
        'happens, and remove everything. Needs root; touches nothing outside its namespaces.',
    )
    .addOption(
      new Option('--line <type>', 'what the gateway has outside')
        .choices(['map-e', 'address'])
        .default('map-e'),
    )
    .option('--flows <number>', 'UDP flows at once', parseFlows, FLOWS_DEFAULT)
    .option('--keep', 'leave the network up at the end')
    .addHelpText(
      'after',
      examples('sudo portfold demo', 'sudo portfold demo --line address --flows 1000 --keep'),
    )
    .action(context.action((options: DemoOptions) => context.verbs.demo(options)));
}

function parseFlows(text: string): number {
  const flows = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (flows >= 1 && flows <= FLOWS_MAX) return flows;
  throw new InvalidArgumentError(`Write a whole number from 1 to ${FLOWS_MAX}.`);
}
