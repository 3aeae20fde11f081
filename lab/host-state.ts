/**
 * Everything of a namespace's network settings that a gateway may touch, as text, to be compared
 * before and after.
 *
 * Times that run by themselves (`expires 123sec`, counters of nftables) are no settings and are
 * masked.
 */
import type { Namespace } from './netns.ts';

const COMMANDS: [string, ...string[]][] = [
  ['ip', '-4', 'rule'],
  ['ip', '-6', 'rule'],
  ['ip', '-4', 'route', 'show', 'table', 'all'],
  ['ip', '-6', 'route', 'show', 'table', 'all'],
  ['ip', '-4', 'neigh', 'show', 'proxy'],
  ['ip', '-6', 'neigh', 'show', 'proxy'],
  ['ip', 'sr', 'tunsrc', 'show'],
  ['ip', '-br', 'link'],
  ['ip', '-br', 'address'],
  ['nft', 'list', 'ruleset'],
  ['sysctl', '-a', '--pattern', '^net\\.ipv4\\.conf\\.'],
  ['sysctl', '-a', '--pattern', '^net\\.ipv6\\.conf\\.'],
  ['sysctl', '-a', '--pattern', '^net\\.ipv[46]\\.neigh\\..*\\.(proxy_delay|proxy_qlen)'],
  ['sysctl', 'net.ipv4.ip_forward', 'net.ipv4.ip_local_reserved_ports'],
];

export type HostState = Record<string, string>;

export async function hostState(namespace: Namespace): Promise<HostState> {
  const state: HostState = {};
  await Promise.all(
    COMMANDS.map(async ([command, ...args]) => {
      const result = await namespace.run(command, args, { check: false });
      // stable_secret cannot be read where it was never set, and says so on stderr.
      state[[command, ...args].join(' ')] = result.stdout
        .replace(/ expires \d+sec/g, ' expires')
        .replace(/ counter packets \d+ bytes \d+/g, ' counter')
        .split('\n')
        .map((line) => line.trimEnd())
        .join('\n');
    }),
  );
  return state;
}

/** What differs, line by line, as text for people; empty if nothing does. */
export function stateDifferences(before: HostState, after: HostState): string[] {
  const differences: string[] = [];
  for (const command of Object.keys(before)) {
    const old = new Set(before[command].split('\n'));
    const now = new Set((after[command] ?? '').split('\n'));
    for (const line of old) if (!now.has(line)) differences.push(`${command}: gone: ${line}`);
    for (const line of now) if (!old.has(line)) differences.push(`${command}: new: ${line}`);
  }
  return differences;
}
