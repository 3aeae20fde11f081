/** One WAN line in the words of those who need it: the host's settings, and the engine. */
import type { LanNetwork, Line } from '../core/translate/context.ts';
import type { MeshRules } from '../core/translate/mesh.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import type { HostLink } from '../tun/host/facts.ts';
import type { HostRequest, HostResult } from '../tun/host/index.ts';
import { needInterface } from '../tun/host/inspect.ts';
import { ip, ipJson, run } from '../tun/host/run.ts';
import { parseIpv4Prefix, parseIpv6 } from './config/addresses.ts';
import { ConfigError } from './config/errors.ts';
import { type DerivedLine, deriveLine, ruleSentence, rulesOfLine } from './config/line.ts';
import { resolvePrefix } from './config/prefix.ts';
import { readRule } from './config/rules.ts';
import type { MapEWanConfig, MapRuleConfig, WanConfig } from './config/types.ts';
import { GatewayError } from './errors.ts';
import { iidFormatOf } from './services/services.ts';

const TUNNEL_HEADER_BYTES = 40;

/**
 * The line as the host's settings are asked for it.
 * @param running what was applied at the start: the encapsulation that was chosen then stays chosen at a reload
 */
export function hostLine(
  wan: WanConfig,
  line: DerivedLine,
  running: HostResult | undefined,
): HostRequest['line'] {
  const common = {
    name: wan.name,
    interface: wan.interface,
    externalAddress: line.externalAddress,
  };
  if (wan.type === 'address') return { type: 'address', ...common, ports: line.portRanges };
  const { ceAddress = '', brAddress = '' } = line;
  const chosen = running?.encapsulation ?? 'none';
  const encapsulation = chosen === 'none' ? wan.encapsulation : chosen;
  const mesh = wan.mesh ? { mesh: true } : {};
  return { type: 'map-e', ...common, ceAddress, brAddress, encapsulation, ...mesh };
}

/** The line as the packet path sees it. */
export function engineLine(line: DerivedLine, host: HostResult, mtu: number): Line {
  return {
    externalAddress: parseIpv4(line.externalAddress),
    externalIndex: 0,
    mtu,
    restoreHopsOutbound: host.restoreHopsOutbound,
    restoreHopsInbound: host.restoreHopsInbound,
    isShared: line.psid !== undefined,
    sharedWithHost: host.sharedWithHost ?? false,
    fragmentsHere: host.encapsulation !== 'none',
    encapsulatesHere: host.encapsulation === 'own',
    ...(line.ceAddress ? { ceAddress: parseIpv6(line.ceAddress) } : {}),
    ...(line.brAddress ? { brAddress: parseIpv6(line.brAddress) } : {}),
    ...(line.forwardingRules ? { mesh: meshOf(line, line.forwardingRules) } : {}),
  };
}

function meshOf(line: DerivedLine, texts: MapRuleConfig[]): MeshRules {
  const rules = texts.map((text) => {
    const rule = readRule({ ...text, forwarding: true });
    if ('what' in rule) throw new Error(`${text.ipv6} → ${text.ipv4}: ${ruleSentence(rule)}`);
    return rule;
  });
  return { rules, iidFormat: iidFormatOf(line.iidFormat ?? 'rfc7597') };
}

/**
 * Reads a prefix that is "auto" from the interface. The interface is looked for first: an error about addresses of something
 * that is not there would mislead.
 */
export async function resolveWan(wan: WanConfig): Promise<WanConfig> {
  if (wan.type !== 'map-e' || wan.prefix !== 'auto') return wan;
  const links = await ipJson<HostLink>('link', 'show');
  const names = links.map((link) => link.ifname);
  needInterface(wan.interface, `Line ${wan.name}, prefix = "auto"`, names);
  return withReadPrefix(wan, await run(ip('-6', '-j', 'address', 'show')));
}

/**
 * The line with the prefix that these addresses hold; `addresses` is what `ip -6 -j address` prints. A prefix that was read
 * and does not fit may be followed by the right one, hence exit code 1 where a written one has 78.
 */
export function withReadPrefix(wan: MapEWanConfig, addresses: string): MapEWanConfig {
  const rulePrefixes = rulesOfLine(wan).rules.map((rule) => rule.ipv6);
  const prefix = resolvePrefix(wan.interface, addresses, rulePrefixes);
  const resolved = { ...wan, prefix };
  try {
    deriveLine(resolved);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new GatewayError(
      error.code,
      `prefix = "auto" read ${prefix} from ${wan.interface}: ${error.message}; wait for the router advertisement with the ` +
        'prefix of the line, or write that prefix',
      1,
    );
  }
  return resolved;
}

/** MTU of IPv4 packets on the line. */
export function lineMtu(wan: WanConfig, host: HostResult): number {
  if (wan.mtu !== undefined) return wan.mtu;
  return host.interfaceMtu - (host.encapsulation === 'none' ? 0 : TUNNEL_HEADER_BYTES);
}

/** The LANs as the packet path sees them, most specific first. */
export function engineLans(host: HostResult): LanNetwork[] {
  return host.lanNetworks.map(({ network, gatewayAddress }) => {
    const prefix = parseIpv4Prefix(network);
    if (prefix === undefined) throw new Error(`"${network}" is no IPv4 network`);
    return {
      address: prefix.address | 0,
      mask: prefix.length === 0 ? 0 : (-1 << (32 - prefix.length)) | 0,
      gatewayAddress: parseIpv4(gatewayAddress),
    };
  });
}
