/**
 * What a gateway left whose snapshot was lost with its runtime directory. Found by our protocol
 * number, our alias and our table; kernel settings of before are then unknown and stay.
 */
import { HostError } from './errors.ts';
import { type HostFacts, readFacts } from './facts.ts';
import { NFT_TABLE } from './nft.ts';
import {
  PRIORITY_LOCAL,
  PRIORITY_LOCAL_KERNEL,
  PROTOCOL,
  TABLE_ENCAPSULATE,
  TABLES,
  TUN_ALIAS,
} from './numbers.ts';
import { type HostCommand, ip, ipJson, isAlreadyGone, isAlreadyThere, runUnless } from './run.ts';
import { localRule, localWasMoved } from './shared-address.ts';

interface ProxyEntry {
  dst: string;
  dev: string;
  protocol?: string;
}

/** Interfaces that carry our alias. */
export const ourLinks = (facts: HostFacts) =>
  facts.links.filter((link) => link.ifalias === TUN_ALIAS);

/** True if something of ours stands in the kernel. */
export const hasStrays = (facts: HostFacts): boolean =>
  ourLinks(facts).length > 0 ||
  [...facts.rules4, ...facts.rules6, ...facts.routes4, ...facts.routes6].some(isOurs);

/** True if our encapsulation, and with it the tunnel source, was in use. */
export const hadSegmentRouting = (facts: HostFacts): boolean =>
  facts.routes4.some((route) => isOurs(route) && route.table === TABLE_ENCAPSULATE);

/** Removes them all; a TUN named `keep` stays, since it will be used again. */
export async function removeStrays(facts: HostFacts, keep?: string): Promise<void> {
  if (!hasStrays(facts)) return;
  if (localWasMoved(facts)) {
    // The old one must be back before the new one goes, hence not with the others.
    const first = ip('-4', 'rule', 'add', ...localRule(PRIORITY_LOCAL_KERNEL));
    await runUnless(first, isAlreadyThere);
    await runUnless(ip('-4', 'rule', 'del', ...localRule(PRIORITY_LOCAL)), isAlreadyGone);
  }
  for (const command of await commands(facts, keep)) await runUnless(command, isAlreadyGone);
}

/**
 * For `portfold doctor --clean`: false if there was nothing. Throws while a gateway uses its TUN.
 */
export async function cleanStrays(): Promise<boolean> {
  const facts = await readFacts();
  const used = usedTun(facts);
  if (used !== undefined)
    throw new HostError(
      'HOST_GATEWAY_RUNNING',
      `A gateway with another runtime directory runs (its TUN is ${used}); name that directory with ` +
        '--runtime-directory, or stop the gateway.',
    );
  const found = hasStrays(facts);
  await removeStrays(facts);
  return found;
}

/** Name of a TUN of ours that a process has open: it has a carrier exactly then. */
export const usedTun = (facts: HostFacts): string | undefined =>
  ourLinks(facts).find(
    (link) => link.linkinfo?.info_kind === 'tun' && link.flags.includes('LOWER_UP'),
  )?.ifname;

async function commands(facts: HostFacts, keep: string | undefined): Promise<HostCommand[]> {
  const families = [
    { flag: '-4', rules: facts.rules4, routes: facts.routes4 },
    { flag: '-6', rules: facts.rules6, routes: facts.routes6 },
  ];
  const list: HostCommand[] = [];

  for (const { flag, rules, routes } of families) {
    for (const rule of rules.filter(isOurs))
      list.push(ip(flag, 'rule', 'del', 'pref', String(rule.priority), 'protocol', PROTOCOL));

    const used = new Set(routes.filter(isOurs).map((route) => route.table ?? 'main'));
    for (const table of [...TABLES, '254', 'main'])
      if (used.has(table)) list.push(ip(flag, 'route', 'flush', 'table', table, 'proto', PROTOCOL));

    for (const entry of await ipJson<ProxyEntry>(flag, 'neigh', 'show', 'proxy').catch(() => []))
      if (isOurs(entry)) list.push(ip(flag, 'neigh', 'del', 'proxy', entry.dst, 'dev', entry.dev));
  }

  if (hadSegmentRouting(facts)) list.push(ip('sr', 'tunsrc', 'set', '::'));
  for (const link of ourLinks(facts))
    if (link.ifname !== keep) list.push(ip('link', 'del', 'dev', link.ifname));
  list.push({ program: 'nft', args: ['delete', 'table', 'inet', NFT_TABLE] });
  return list;
}

const isOurs = (entry: { protocol?: string }): boolean => entry.protocol === PROTOCOL;
