/**
 * Our own nftables table, `inet portfold`. Others' tables are never touched.
 *
 * - notrack: conntrack would hold two entries for each flow (before and after translation) and
 *   fill. Flows of the gateway itself stay tracked, since a stateful input chain of the host must
 *   know their answers. What is not tracked is also safe from a second translation by others.
 * - The belt: an IPv4 packet never goes from a LAN to the line past the TUN, whatever the routes
 *   say.
 * - Where the host uses the external address too, only what concerns our ports is ours: the chains of
 *   shared-address.ts mark it.
 * - Fragments of the tunnel are marked: the kernel would decapsulate the first one, and lose the others.
 * - Where the host did not forward from the line before, packets to LAN addresses stay out:
 *   Portfold opened that door for the TUN alone.
 */
import type { LanNetwork } from './networks.ts';
import { MARK } from './numbers.ts';
import type { HostItem } from './plan.ts';
import type { HostCommand } from './run.ts';
import { markingChains, markingRules } from './shared-address.ts';
import type { AddressLineHost, HostRequest } from './types.ts';

export const NFT_TABLE = 'portfold';
export const FIREWALL_ID = 'nftables table';

export function nftRules(
  request: HostRequest,
  networks: LanNetwork[],
  closeInbound: boolean,
  shared: AddressLineHost | undefined,
): HostItem {
  const { tun, line } = request;
  const wan = quote(line.interface);
  const names = new Set(request.lans.flatMap((lan) => lan.interfaces));
  const lans = `{ ${[...names].map(quote).join(', ')} }`;
  const kept = [...new Set(networks.map((entry) => entry.network))];
  const outer = line.type === 'map-e' ? tunnelRules(wan, line.ceAddress) : [];
  const ours =
    shared === undefined
      ? [`iifname ${wan} ip daddr ${line.externalAddress} notrack`]
      : markingRules(
          `{ ${[line.interface, ...names].map(quote).join(', ')} }`,
          line.externalAddress,
        );
  const inbound = closeInbound
    ? kept.map((network) => `iifname ${wan} oifname ${lans} ip daddr ${network} counter drop`)
    : [];

  // `add` and `delete` first make the replacement one transaction, whether or not the table exists.
  const script = [
    `add table inet ${NFT_TABLE}`,
    `delete table inet ${NFT_TABLE}`,
    `table inet ${NFT_TABLE} {`,
    ...(shared === undefined ? [] : markingChains(shared.ports)),
    '  chain prerouting {',
    '    type filter hook prerouting priority raw; policy accept;',
    ...indent([
      `iifname ${quote(tun)} fib daddr type local accept`,
      `iifname ${quote(tun)} notrack`,
      ...ours,
      ...outer,
      ...kept.map((network) => `iifname ${lans} ip daddr ${network} accept`),
      `iifname ${lans} fib daddr type { local, broadcast, multicast } accept`,
      `iifname ${lans} meta protocol ip notrack`,
    ]),
    '  }',
    '  chain forward {',
    '    type filter hook forward priority filter; policy accept;',
    ...indent([`iifname ${lans} oifname ${wan} meta protocol ip counter drop`, ...inbound]),
    '  }',
    '}',
    '',
  ].join('\n');

  return {
    id: FIREWALL_ID,
    add: [nft(script)],
    remove: nft(`delete table inet ${NFT_TABLE}\n`),
  };
}

/**
 * For the kernel's rules a fragment of an IPv4 packet is IPv4 as well, but it cannot be decapsulated: only
 * the mark tells them apart.
 */
const tunnelRules = (wan: string, ceAddress: string): string[] => [
  `iifname ${wan} ip6 daddr ${ceAddress} notrack`,
  `iifname ${wan} ip6 daddr ${ceAddress} exthdr frag exists meta mark set meta mark | ${MARK}`,
];

const nft = (script: string): HostCommand => ({
  program: 'nft',
  args: ['-f', '-'],
  input: script,
});

/**
 * Names with a quote or an asterisk, which nft would read as a pattern, are refused by inspectHost.
 */
const quote = (name: string): string => `"${name}"`;

const indent = (rules: string[]): string[] => rules.map((rule) => `    ${rule}`);
