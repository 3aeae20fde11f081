/** `portfold bench`: measurements, each beside what it is compared with. */
import type { Command } from 'commander';
import { type Context, examples, tableOrJson, type Verbs } from '../context.ts';

type BenchOptions = Parameters<Verbs['bench']>[0];

export function addBench(program: Command, context: Context): void {
  program
    .command('bench')
    .summary('Measure the datapath and the tables')
    .description(
      'Measure, in turn with what the figures are compared with. `datapath` needs root and works in namespaces.',
    )
    .argument('[SUITE]', 'what to measure', 'datapath')
    .option('--smoke', 'a few seconds only: shows that it runs, not how fast', false)
    .addOption(tableOrJson())
    .addHelpText('after', examples('sudo portfold bench', 'sudo portfold bench datapath --smoke'))
    .action(
      context.action((suite: string, options: Omit<BenchOptions, 'suite'>) =>
        context.verbs.bench({ suite, smoke: options.smoke, output: options.output }),
      ),
    );
}
