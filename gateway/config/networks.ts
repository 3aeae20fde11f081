/**
 * The networks of the LANs where they are written by hand: what cannot be a source on a LAN, and
 * what two tables contradict each other in.
 *
 *   alone        the default route; 0.0.0.0/8, loopback, multicast and reserved   networkProblem
 *   together     a network of another LAN; the external address of the line        checkNetworks
 *
 * A packet whose source lies in such a network would be translated as one of the LAN's, so that a
 * slip here takes away the host's own traffic, or the line's answers.
 */
import { formatIpv4Prefix, type Ipv4Prefix, parseIpv4, parseIpv4Prefix } from './addresses.ts';
import type { Complaint, Finding } from './problems.ts';

/** Never a source on a LAN, and what each is called. */
const IMPOSSIBLE: [network: string, name: string][] = [
  ['0.0.0.0/8', 'this host and its network (0.0.0.0/8)'],
  ['127.0.0.0/8', 'loopback (127.0.0.0/8)'],
  ['224.0.0.0/4', 'multicast (224.0.0.0/4)'],
  ['240.0.0.0/4', 'reserved and broadcast (240.0.0.0/4)'],
];

/** The form alone, of any network or address. */
export function prefixProblem(network: string, hint: string): Complaint | undefined {
  const prefix = parseIpv4Prefix(network);
  if (prefix === undefined) return { what: `"${network}" is not an IPv4 network`, hint };
  const { address, length } = prefix;
  if ((address & ~maskOf(length)) === 0) return undefined;
  const right = formatIpv4Prefix(address & maskOf(length), length);
  return { what: `"${network}" has bits set after /${length}`, hint: `write "${right}"` };
}

/** A network of a LAN judged alone. */
export function networkProblem(network: string): Complaint | undefined {
  const hint = 'write it like "192.168.1.0/24"';
  const complaint = prefixProblem(network, hint);
  const prefix = parseIpv4Prefix(network);
  if (complaint !== undefined || prefix === undefined) return complaint;
  const { length } = prefix;
  if (length === 0) {
    const what = `"${network}" is every address, and a LAN holds only its own`;
    return { what, hint: 'write the networks of the LAN, for instance "192.168.1.0/24"' };
  }
  const name = IMPOSSIBLE.find(([text]) => overlap(parseIpv4Prefix(text)!, prefix))?.[1];
  if (name === undefined) return undefined;
  return { what: `"${network}" holds addresses of ${name}, which no LAN host has`, hint };
}

/** A network by hand, and where it stands. */
interface Placed {
  prefix: Ipv4Prefix;
  text: string;
  lan: number;
  index: number;
}

/**
 * The networks of all LANs against one another and against the line. Those that are wrong by
 * themselves have been reported.
 * @param lans the tables [[lan]] as they stand in the file
 * @param externalAddress of the line, where it is known
 */
export function checkNetworks(
  lans: readonly unknown[],
  externalAddress: string | undefined,
  findings: Finding[],
): void {
  const external = externalAddress === undefined ? undefined : parseIpv4(externalAddress);
  const before: Placed[] = [];
  for (const placed of lans.flatMap(placedNetworks)) {
    const { prefix, text, lan, index } = placed;
    const path = ['lan', lan, 'networks', index];
    const other = before.find((each) => each.lan !== lan && overlap(each.prefix, prefix));
    before.push(placed);
    if (other !== undefined) {
      const what = `"${text}" overlaps "${other.text}" of lan[${other.lan}]`;
      const hint = 'an internal address belongs to one LAN: give each its own networks';
      findings.push({ code: 'CONFIG_DUPLICATE', path, what, hint });
    }
    if (external !== undefined && overlap({ address: external, length: 32 }, prefix)) {
      const what = `"${text}" holds ${externalAddress}, the external address of the line`;
      const hint = 'leave the external address out: no LAN host has it';
      findings.push({ code: 'CONFIG_CONFLICT', path, what, hint });
    }
  }
}

function placedNetworks(table: unknown, lan: number): Placed[] {
  const { networks } = (table ?? {}) as { networks?: unknown };
  if (!Array.isArray(networks)) return [];
  return networks.flatMap((text, index) => {
    if (typeof text !== 'string' || networkProblem(text) !== undefined) return [];
    return [{ prefix: parseIpv4Prefix(text)!, text, lan, index }];
  });
}

const maskOf = (length: number): number => (length === 0 ? 0 : -1 << (32 - length));

/** Two networks share addresses exactly if they agree in the bits of the shorter one. */
const overlap = (a: Ipv4Prefix, b: Ipv4Prefix): boolean =>
  ((a.address ^ b.address) & maskOf(Math.min(a.length, b.length))) === 0;
