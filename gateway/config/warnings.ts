/** What works and may still not be meant: told by `portfold check` and at start, never an error. */

import { isPrivate } from '../../policies/private-destinations.ts';
import type { PolicySettings } from '../../policies/settings.ts';
import { findService } from '../services/services.ts';
import { parseIpv4 } from './addresses.ts';
import { type DerivedLine, deriveLine } from './line.ts';
import type { MapEWanConfig, PortfoldConfig, WanConfig } from './types.ts';

/** MTU of IPv4 inside IPv6 on a network of 1500. */
const TUNNEL_MTU_USUAL = 1460;
/** Of the session table, for one host: the levels of pressure begin at half of it with preset event, and above that with the others. */
const SHARE_OF_HOST_MAX = 1 / 2;

/**
 * Sentences about a valid configuration. Lines whose prefix is "auto" are judged as far as they are
 * known.
 */
export function configWarnings(config: PortfoldConfig): string[] {
  return [
    ...config.wans.flatMap((wan) => lineWarnings(wan, config.policy.upstream !== undefined)),
    ...limitWarnings(config),
  ];
}

/** Policies that let one host fill so much of the table that the sessions of all others end earlier. */
function limitWarnings({ lans, wans, policy, gateway }: PortfoldConfig): string[] {
  const { capacity } = gateway;
  // Of a line's policy only where a LAN has none of its own: it holds for nobody else's hosts.
  const isShared = lans.some((lan) => lan.policy === undefined);
  const policies = [
    ...(isShared ? wans.map(({ name }) => ({ of: `line ${name}`, settings: policy })) : []),
    ...lans.flatMap(({ name, policy: settings }) =>
      settings === undefined ? [] : [{ of: `lan ${name}`, settings }],
    ),
  ];
  if (!policies.some(({ settings }) => feelsPressure(settings, policy))) return [];
  return policies.flatMap(({ of, settings }) => {
    const { sessions } = settings.limits;
    if (sessions !== 0 && sessions <= capacity * SHARE_OF_HOST_MAX) return [];
    const what = sessions === 0 ? 'no limit' : `more than half of capacity = ${capacity}`;
    return [
      `policy of ${of}: limits.sessions = ${sessions} is ${what}, so that one host can raise the pressure ` +
        `of all, and sessions of others end earlier; ${capacity * SHARE_OF_HOST_MAX} is half`,
    ];
  });
}

/** True if something changes for the hosts of these settings as the table fills. */
const feelsPressure = ({ timers, quic }: PolicySettings, { pressure }: PolicySettings): boolean =>
  pressure.evict ||
  quic.mode === 'pressure' ||
  Object.values(timers).some((seconds) => Math.min(...seconds) < seconds[0]);

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
