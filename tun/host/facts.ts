/**
 * What the host has now, as `ip -j` tells it: interfaces, addresses, routes and rules, read once
 * and then looked at by pure functions (networks, plan, inspect).
 */
import { ipJson } from './run.ts';

export interface HostLink {
  ifname: string;
  flags: string[];
  mtu: number;
  ifalias?: string;
  linkinfo?: {
    info_kind?: string;
    info_data?: { type?: string; vnet_hdr?: boolean; multi_queue?: boolean };
  };
}

export interface HostAddress {
  ifname: string;
  family: 'inet' | 'inet6';
  local: string;
  prefixlen: number;
  scope: string;
}

export interface HostRoute {
  dst: string;
  dev?: string;
  gateway?: string;
  /** A number as text; absent for the main table. */
  table?: string;
  protocol?: string;
  prefsrc?: string;
  metric?: number;
  flags?: string[];
}

export interface HostRule {
  priority: number;
  src?: string;
  srclen?: number;
  iif?: string;
  table?: string;
  protocol?: string;
}

export interface HostFacts {
  links: HostLink[];
  addresses: HostAddress[];
  routes4: HostRoute[];
  routes6: HostRoute[];
  rules4: HostRule[];
  rules6: HostRule[];
}

interface LinkWithAddresses {
  ifname: string;
  addr_info?: Omit<HostAddress, 'ifname'>[];
}

/** `ip -N` prints the main table as 254 or not at all. */
export const isMainTable = (route: HostRoute): boolean =>
  route.table === undefined || route.table === '254' || route.table === 'main';

export async function readFacts(): Promise<HostFacts> {
  const [links, withAddresses, routes4, routes6, rules4, rules6] = await Promise.all([
    ipJson<HostLink>('-d', 'link', 'show'),
    ipJson<LinkWithAddresses>('address', 'show'),
    ipJson<HostRoute>('-4', 'route', 'show', 'table', 'all'),
    // A kernel without IPv6 refuses; there is then nothing to know.
    ipJson<HostRoute>('-6', 'route', 'show', 'table', 'all').catch(() => []),
    ipJson<HostRule>('-4', 'rule', 'show'),
    ipJson<HostRule>('-6', 'rule', 'show').catch(() => []),
  ]);

  const addresses = withAddresses.flatMap((link) =>
    // Older versions print empty objects for what a filter left out.
    (link.addr_info ?? [])
      .filter((info) => info.local !== undefined)
      .map((info) => ({ ...info, ifname: link.ifname })),
  );
  return { links, addresses, routes4, routes6, rules4, rules6 };
}
