/** What works and may still not be meant: told by `portfold check` and at start, never an error. */

import { isPrivate } from '../../policies/private-destinations.ts';
import { findService } from '../services/services.ts';
import { parseIpv4 } from './addresses.ts';
import { type DerivedLine, deriveLine } from './line.ts';
import type { MapEWanConfig, PortfoldConfig, WanConfig } from './types.ts';

/** MTU of IPv4 inside IPv6 on a network of 1500. */
const TUNNEL_MTU_USUAL = 1460;

/**
 * Sentences about a valid configuration. Lines whose prefix is "auto" are judged as far as they are
 * known.
 */
export function configWarnings(config: PortfoldConfig): string[] {
  return config.wans.flatMap((wan) => lineWarnings(wan, config.policy.upstream !== undefined));
}

function lineWarnings(wan: WanConfig, upstreamIsKnown: boolean): string[] {
  if (wan.type === 'address') {
    const warnings = upstreamIsKnown ? [] : addressWarnings(wan.address);
    return warnings.map((each) => `${wan.name}: ${each}`);
  }
  const line = wan.prefix === 'auto' ? undefined : deriveLine(wan);
  return [...serviceWarnings(wan, line), ...mapEWarnings(wan, line)].map(
    (each) => `${wan.name}: ${each}`,
  );
}

/** What is to be known about the built-in data that a line rests on. */
export function serviceWarnings(
  wan: Pick<MapEWanConfig, 'service' | 'br'>,
  line?: DerivedLine,
): string[] {
  const service = wan.service === undefined ? undefined : findService(wan.service);
  if (service === undefined) return [];
  const warnings: string[] = [];
  if (service.confidence !== 'high') {
    warnings.push(
      `the built-in data of ${service.id} is of ${service.confidence} confidence. ${service.note}`,
    );
  }
  if (line?.confidence === 'low') {
    const rule = `${line.rule?.ipv6} → ${line.rule?.ipv4}`;
    warnings.push(
      `the rule ${rule} has one source only; compare ${line.externalAddress} ` +
        'with what the line shows',
    );
  }
  return warnings;
}

function mapEWarnings(wan: MapEWanConfig, line: DerivedLine | undefined): string[] {
  const warnings: string[] = [];
  if (line?.assignedPrefix !== undefined) {
    const { assignedPrefix, externalAddress } = line;
    warnings.push(`of the IPv4 prefix ${assignedPrefix} only ${externalAddress} is used`);
  }
  if (wan.mtu !== undefined && wan.mtu > TUNNEL_MTU_USUAL) {
    warnings.push(
      `mtu = ${wan.mtu} is more than ${TUNNEL_MTU_USUAL}, what IPv6 packets of 1500 can carry; ` +
        'the network between here and the border relay must take larger ones',
    );
  }
  return warnings;
}

function addressWarnings(text: string): string[] {
  if (!isPrivate(parseIpv4(text) ?? 0)) return [];
  return [
    `${text} is a private address, so another NAT stands above this line; if its table is small, ` +
      'say so with upstream in [wan.policy]',
  ];
}
