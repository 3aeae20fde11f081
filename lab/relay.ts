/**
 * The project's own border relay in the lab: `portfold br` in the relay's namespace, as a user would start it.
 *
 * Its folder lies below the lab's and goes with it. It knows the one rule of the lab's line.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Status } from '../gateway/control/api.ts';
import { ControlClient } from '../gateway/control/client.ts';
import { MAP_E } from './lines.ts';
import { type Background, type CommandResult, type Namespace, until } from './netns.ts';
import { LabError, projectFolder } from './programs.ts';

const START_TIMEOUT_MS = 20_000;

/** The rule of v6 Plus that holds the lab's prefix, written out by hand. */
export const RELAY_RULES = [
  '[[rules]]',
  'ipv6 = "240b:10::/32"',
  'ipv4 = "106.72.0.0/16"',
  'ea-length = 24',
  'psid-offset = 4',
];

export function relayConfiguration(runtimeDirectory: string, rules = RELAY_RULES): string {
  return [
    `address = "${MAP_E.brAddress}"`,
    'interface = "down0"',
    'iid-format = "draft-ietf-softwire-map-03"',
    `runtime-directory = "${runtimeDirectory}"`,
    '',
    ...rules,
    '',
  ].join('\n');
}

export class PortfoldRelay {
  readonly control: ControlClient;
  readonly configFile: string;
  readonly runtimeDirectory: string;
  private readonly namespace: Namespace;
  private child: Background | undefined;

  /** @param folder where its files go */
  constructor(namespace: Namespace, folder: string, rules = RELAY_RULES) {
    const own = mkdtempSync(join(folder, 'br-'));
    this.namespace = namespace;
    this.runtimeDirectory = join(own, 'state');
    this.configFile = join(own, 'br.toml');
    this.control = new ControlClient(join(this.runtimeDirectory, 'portfold.sock'));
    writeFileSync(this.configFile, relayConfiguration(this.runtimeDirectory, rules));
  }

  /** Starts it and awaits that it relays. */
  async start(): Promise<Status> {
    const child = this.namespace.start(process.execPath, this.words('br', '-c', this.configFile));
    this.child = child;
    const status = await until(
      'the relay to relay',
      async () => {
        if (child.over) return 'over';
        const said = await this.control.status();
        return said.state === 'forwarding' ? said : undefined;
      },
      START_TIMEOUT_MS,
    );
    if (status !== 'over') return status;
    const { stderr } = await child.ended;
    throw new LabError('LAB_RELAY_ENDED', 1, `the relay did not start: ${stderr.trim()}`);
  }

  get process(): Background {
    if (this.child === undefined) throw new Error('the relay was not started');
    return this.child;
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<CommandResult> {
    return this.process.stop(signal, 15_000);
  }

  /** Another verb of the command line, asked of this relay. */
  portfold(...args: string[]): Promise<CommandResult> {
    const env = { PORTFOLD_SOCKET: join(this.runtimeDirectory, 'portfold.sock') };
    return this.namespace.run(process.execPath, this.words(...args), { check: false, env });
  }

  /** How often packets were dropped for that reason. */
  async dropped(reason: string): Promise<number> {
    const { items } = await this.control.list('drops', {});
    return items.find((item) => item.reason === reason)?.packets ?? Number.NaN;
  }

  private words(...args: string[]): string[] {
    return [join(projectFolder(), 'bin', 'portfold.js'), ...args];
  }
}
