/**
 * prefix = "auto": the end-user IPv6 prefix, picked from what the kernel knows.
 *
 * Pure: whoever calls runs `ip -6 -j addr` or `ip -6 -j route` and passes the text. Counted are
 * global unicast prefixes that are neither deprecated nor unique local; of an address, its network.
 * A delegated prefix that shows as a route (also an unreachable one on lo) counts only when the
 * text holds routes. If several are left, those inside the rules go first.
 *
 * What is not there may come with the next router advertisement: such an error has exit code 1, and
 * the service manager tries again. Several prefixes that all fit have 78: a person must choose.
 */
import { copyPrefix, IPV6_BYTES, prefixMatches } from '../../core/mape/bits.ts';
import { GatewayError } from '../errors.ts';
import { formatIpv6Prefix, type Ipv6Prefix, parseIpv6, parseIpv6Prefix } from './addresses.ts';
import { ConfigError } from './errors.ts';

interface AddressItem {
  ifname?: string;
  addr_info?: AddressInfo[];
}

interface AddressInfo {
  family?: string;
  local?: string;
  prefixlen?: number;
  scope?: string;
  deprecated?: boolean;
  tentative?: boolean;
  dadfailed?: boolean;
}

interface RouteItem {
  dst?: string;
  dev?: string;
  type?: string;
}

/**
 * The prefix of `interfaceName` as text.
 * @param addresses output of `ip -6 -j addr` or of `ip -6 -j route`
 * @param rulePrefixes IPv6 prefixes of the rules of the line, to choose when there are several
 */
export function resolvePrefix(
  interfaceName: string,
  addresses: string,
  rulePrefixes: readonly string[] = [],
): string {
  const found = new Map<string, Ipv6Prefix>();
  const items = readItems(addresses);
  for (const prefix of candidates(interfaceName, items)) {
    if (!isGlobal(prefix.bytes)) continue;
    const bytes = new Uint8Array(IPV6_BYTES);
    copyPrefix(bytes, 0, prefix.bytes, prefix.length);
    found.set(formatIpv6Prefix(bytes, prefix.length), { bytes, length: prefix.length });
  }
  const rules = rulePrefixes
    .map((each) => parseIpv6Prefix(each))
    .filter((each) => each !== undefined);
  const inside = [...found].filter(([, prefix]) =>
    rules.some(
      (rule) =>
        rule.length <= prefix.length && prefixMatches(prefix.bytes, 0, rule.bytes, rule.length),
    ),
  );
  const chosen = inside.length > 0 ? inside : [...found];
  if (chosen.length === 1) return chosen[0][0];
  if (chosen.length === 0) throw notYet(interfaceName, items);
  if (rules.length === 0 || inside.length > 0) return sharedPrefix(interfaceName, chosen);
  const list = chosen.map(([text]) => text).join(', ');
  throw new GatewayError(
    'CONFIG_PREFIX_FOREIGN',
    `prefix = "auto": ${interfaceName} has the global IPv6 prefixes ${list}, and every rule of the ` +
      'line lies elsewhere; wait for the router advertisement with the prefix of the line, or write ' +
      'that prefix',
    1,
  );
}

function notYet(interfaceName: string, items: (AddressItem & RouteItem)[]): GatewayError {
  const own = items.filter((item) => item.ifname === interfaceName);
  const seen = own
    .flatMap((item) => item.addr_info ?? [])
    .filter((info) => info.family === 'inet6')
    .map((info) => `${info.local} (${reasonAgainst(info)})`);
  const known = seen.length > 0 ? `it has ${seen.join(', ')}` : 'it has no IPv6 address at all';
  return new GatewayError(
    'CONFIG_PREFIX_NOT_FOUND',
    `prefix = "auto": ${interfaceName} has no global IPv6 prefix yet, ${known}; wait for the router ` +
      `advertisement on ${interfaceName} (ip -6 address show dev ${interfaceName}), or write the ` +
      'prefix of the line',
    1,
  );
}

/** Why an address that is there was not taken. */
function reasonAgainst(info: AddressInfo): string {
  if (info.dadfailed) return 'duplicate';
  if (info.tentative) return 'tentative: still checked for a duplicate';
  if (info.deprecated) return 'deprecated';
  if (info.scope === 'link') return 'link-local';
  const first = parseIpv6(info.local ?? '')?.[0] ?? 0;
  return (first & 0xfe) === 0xfc ? 'unique local' : 'not global';
}

/** Several addresses may lie in one network: then the longest of them says everything. */
function sharedPrefix(interfaceName: string, chosen: [string, Ipv6Prefix][]): string {
  const [longest, ...others] = chosen.sort(([, a], [, b]) => b.length - a.length);
  const nested = others.every(([, each]) =>
    prefixMatches(longest[1].bytes, 0, each.bytes, each.length),
  );
  if (nested) return longest[0];
  const list = chosen.map(([text]) => text).join(', ');
  throw new ConfigError(
    'CONFIG_PREFIX_AMBIGUOUS',
    `${interfaceName} has several global IPv6 prefixes (${list}); write the one of the line`,
  );
}

function readItems(text: string): (AddressItem & RouteItem)[] {
  try {
    const items = JSON.parse(text === '' ? '[]' : text);
    if (Array.isArray(items)) return items.filter((item) => typeof item === 'object' && item);
  } catch {
    // Said below in words that name the command.
  }
  throw new ConfigError(
    'CONFIG_PREFIX_UNREADABLE',
    'what `ip -6 -j addr` printed is not a JSON list; write the prefix of the line',
  );
}

function* candidates(name: string, items: (AddressItem & RouteItem)[]): Generator<Ipv6Prefix> {
  for (const item of items) {
    if (item.addr_info !== undefined) {
      if (item.ifname !== name) continue;
      for (const info of item.addr_info) {
        const usable = !info.deprecated && !info.tentative && !info.dadfailed;
        if (info.family !== 'inet6' || info.scope !== 'global' || !usable) continue;
        const bytes = parseIpv6(info.local ?? '');
        if (bytes !== undefined) yield { bytes, length: info.prefixlen ?? 64 };
      }
    } else if (item.dst !== undefined && item.dst !== 'default') {
      const delegated = item.type === 'unreachable' || item.type === 'blackhole';
      const prefix = parseIpv6Prefix(item.dst);
      if (prefix !== undefined && (item.dev === name || delegated)) yield prefix;
    }
  }
}

/** 2000::/3, which leaves out link-local, unique local and multicast. */
const isGlobal = (bytes: Uint8Array): boolean => bytes[0] >>> 5 === 1;
