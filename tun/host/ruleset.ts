/**
 * Others' nftables rules, as far as they can stand in the way of a gateway. Read from `nft -j`;
 * pure behind the reading. Rules of iptables-nft are among them, rules of iptables-legacy are not.
 */
import { NFT_TABLE } from './nft.ts';
import { run } from './run.ts';

export interface NftRule {
  family: string;
  table: string;
  chain: string;
  /** "masquerade" or "snat"; "drop" for a chain with that policy. */
  kind: string;
}

export interface NftRuleset {
  /** Rules that change source addresses. */
  translating: NftRule[];
  /** Chains on the forward hook that drop what no rule accepts. */
  forwardDropChains: NftRule[];
}

interface NftEntry {
  chain?: { family: string; table: string; name: string; hook?: string; policy?: string };
  rule?: { family: string; table: string; chain: string; expr?: Record<string, unknown>[] };
}

const TRANSLATIONS = ['masquerade', 'snat'];

export async function readRuleset(): Promise<NftRuleset> {
  const text = await run({ program: 'nft', args: ['-j', 'list', 'ruleset'] });
  return parseRuleset(text);
}

export function parseRuleset(text: string): NftRuleset {
  const entries = (JSON.parse(text) as { nftables: NftEntry[] }).nftables;
  const ruleset: NftRuleset = { translating: [], forwardDropChains: [] };

  for (const { rule, chain } of entries) {
    if (chain !== undefined && chain.hook === 'forward' && chain.policy === 'drop') {
      const { family, table, name } = chain;
      ruleset.forwardDropChains.push({ family, table, chain: name, kind: 'drop' });
    }
    const kind = TRANSLATIONS.find((name) => rule?.expr?.some((expression) => name in expression));
    if (rule === undefined || kind === undefined || isOurs(rule)) continue;
    const { family, table, chain: name } = rule;
    ruleset.translating.push({ family, table, chain: name, kind });
  }
  return ruleset;
}

/** Source translation of IPv4: only that meets packets of ours. */
export const translatingRules = (ruleset: NftRuleset): NftRule[] =>
  ruleset.translating.filter((rule) => rule.family !== 'ip6');

const isOurs = (rule: { family: string; table: string }): boolean =>
  rule.family === 'inet' && rule.table === NFT_TABLE;
