/**
 * An external address that is also the host's own: some ports of it are the gateway's, everything
 * else stays the host's.
 *
 *   WAN, LAN ─► defragmentation ─► marks (nftables) ─► rule 100: marked ──► 7600 ──► TUN
 *                                                      rule 200: local  ──► the host
 *                                                      rule 300: iif LAN ─► 7600 ──► TUN
 *
 * Marked is what goes to the address and concerns our ports: TCP and UDP by destination port, echo
 * replies by identifier, ICMP errors by the source port of the packet that they quote. So rule 100
 * must come before `local`, which therefore moves from 0 to 200. The host's own sockets come first:
 * a packet for a connection of the host is never marked, even on our ports, since a packet that
 * early demultiplexing gave to a socket is dropped by forwarding.
 *
 * Invariants
 * - There is a rule for `local` at every moment: the new one stands before the old one goes, and the
 *   old one is back before the new one goes. It carries the kernel's protocol number: managers of
 *   routing rules remove what is not theirs when they start, and without this rule nothing reaches
 *   the host any more.
 * - Only whole packets are marked. Later fragments have no ports; the kernel puts packets together
 *   before our chain, since a `tproxy` expression stands in the table, in a chain that nobody calls.
 *
 * Not possible: programs of the host reaching our ports of that address (they stay on `lo`).
 */
import type { HostFacts, HostRule } from './facts.ts';
import {
  MARK,
  PRIORITY_LOCAL,
  PRIORITY_LOCAL_KERNEL,
  PRIORITY_SHARED,
  PROTOCOL,
  PROTOCOL_KERNEL,
  TABLE_LAN,
  TABLE_LOCAL,
} from './numbers.ts';
import type { HostItem } from './plan.ts';
import { ip } from './run.ts';
import type { AddressLineHost, HostRequest } from './types.ts';

/** The line, if its external address is one of the host's own as well. */
export function sharedLine(request: HostRequest, facts: HostFacts): AddressLineHost | undefined {
  const { line } = request;
  if (line.type !== 'address') return undefined;
  return facts.addresses.some((entry) => entry.local === line.externalAddress) ? line : undefined;
}

/** The way of marked packets, and room for it before `local`. */
export function sharedAddressItems(line: AddressLineHost, facts: HostFacts): HostItem[] {
  const marked = ['to', `${line.externalAddress}/32`, 'fwmark', `${MARK}/${MARK}`];
  const words = ['pref', PRIORITY_SHARED, ...marked, 'table', TABLE_LAN, 'protocol', PROTOCOL];
  const items: HostItem[] = [
    {
      id: `rule -4 ${words.join(' ')}`,
      add: [ip('-4', 'rule', 'add', ...words)],
      remove: ip('-4', 'rule', 'del', ...words),
    },
  ];
  if (localIsFirst(facts) || localWasMoved(facts)) items.push(movedLocalRule());
  return items;
}

function movedLocalRule(): HostItem {
  const first = localRule(PRIORITY_LOCAL_KERNEL);
  const moved = localRule(PRIORITY_LOCAL);
  return {
    id: `rule -4 ${moved.join(' ')}`,
    add: [ip('-4', 'rule', 'add', ...moved)],
    remove: ip('-4', 'rule', 'del', ...moved),
    replaces: {
      remove: ip('-4', 'rule', 'del', ...first),
      restore: ip('-4', 'rule', 'add', ...first),
    },
  };
}

/** Words of a rule for the kernel's own table, with the kernel's own protocol number. */
export const localRule = (priority: string): string[] => [
  ...['pref', priority, 'table', TABLE_LOCAL],
  ...['protocol', PROTOCOL_KERNEL],
];

export const isLocalRule = (rule: HostRule): boolean => rule.table === TABLE_LOCAL;

const localIsFirst = (facts: HostFacts): boolean =>
  facts.rules4.some((rule) => isLocalRule(rule) && rule.priority === 0);

/** True if a gateway moved the rule: whenever it did, its rule for marked packets stands too. */
export const localWasMoved = (facts: HostFacts): boolean =>
  facts.rules4.some((rule) => isLocalRule(rule) && String(rule.priority) === PRIORITY_LOCAL) &&
  facts.rules4.some(
    (rule) => rule.protocol === PROTOCOL && String(rule.priority) === PRIORITY_SHARED,
  );

/** Another rule that would lead packets to the host before ours sees them. */
export const localBeforeOurs = (facts: HostFacts): HostRule | undefined =>
  facts.rules4.find(
    (rule) => isLocalRule(rule) && rule.priority > 0 && rule.priority <= Number(PRIORITY_SHARED),
  );

/**
 * The chains that mark, for the table of nft.ts; entered for packets to the address.
 *
 *   ICMP error, bits from its header:   0 type, code, checksum, …   64 quoted IPv4 header
 *     68 length of that header in words   136 its protocol   224 source port   256 echo identifier
 *
 * A quoted header with options has the port elsewhere: such an error stays the host's. Routers fill
 * in options and leave the quoted checksum as it was, so that it could not be relied on anyway.
 */
export function markingChains(ports: [number, number][]): string[] {
  const set = `{ ${ports.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(', ')} }`;
  const errors = 'destination-unreachable, time-exceeded, parameter-problem';
  return [
    '  chain mark_ours {',
    `    meta mark set meta mark | ${MARK} notrack accept`,
    '  }',
    '  chain without_socket {',
    '    socket wildcard 0 return',
    '    goto mark_ours',
    '  }',
    '  chain icmp_errors {',
    '    @th,68,4 != 5 return',
    `    @th,136,8 { 6, 17 } @th,224,16 ${set} goto without_socket`,
    `    @th,136,8 1 @th,256,16 ${set} goto mark_ours`,
    '  }',
    '  chain external_address {',
    `    meta l4proto { tcp, udp } th dport ${set} goto without_socket`,
    `    icmp type echo-reply icmp id ${set} goto mark_ours`,
    `    icmp type { ${errors} } goto icmp_errors`,
    '  }',
    '  chain defragmentation {',
    '    meta l4proto tcp tproxy ip to :1',
    '  }',
  ];
}

/** Leads to the chains above; for packets from the line or a LAN. */
export const markingRules = (address: string): string[] => [
  `ip daddr ${address} jump external_address`,
];
