/** `portfold bench`: measurements, each beside what it is compared with. */
import { type Command, Option } from 'commander';
import { type Context, examples, type Verbs } from '../context.ts';

type BenchOptions = Parameters<Verbs['bench']>[0];

export function addBench(program: Command, context: Context): void {
  program
    .command('bench')
    .summary('Measure the datapath and the tables')
    .description(
      'Measure, in turn with what the figures are compared with. `datapath` and `peers` need root and work in namespaces.',
    )
    .argument('[SUITE]', 'what to measure', 'datapath')
    .option('--smoke', 'a few seconds only: shows that it runs, not how fast', false)
    .option('--plots <folder>', 'write the charts of the suite there, as SVG')
    .option('--line <line>', 'datapath: address, map-e (the kernel encapsulates) or own')
    .option('--cases <list>', 'datapath, peers: what to measure, for instance tcp-out,udp64')
    .option('--sessions <list>', 'datapath, engine, table: sessions in the table, 0,250000')
    .option(
      '--try <setting>',
      'datapath: rps, threaded-napi, no-policies or ordinary, beside a gateway without it',
    )
    .option('--pairs <n>', 'how often everybody is measured, in turn')
    .option('--seconds <s>', 'how long each measurement takes')
    .addOption(
      new Option('-o, --output <form>', 'form of the output')
        .choices(['table', 'json', 'markdown'])
        .default('table'),
    )
    .addHelpText(
      'after',
      examples(
        'sudo portfold bench',
        'sudo portfold bench datapath --smoke',
        'portfold bench table --plots /var/tmp/plots',
      ),
    )
    .action(
      context.action((suite: string, options: Omit<BenchOptions, 'suite'>) =>
        context.verbs.bench({ ...options, suite }),
      ),
    );
}
