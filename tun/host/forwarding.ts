/**
 * Which doors are Portfold's work: interfaces from which the host forwarded nothing before, and forwards
 * now because the TUN needs it. The kernel decides by the interface of arrival alone, to all others at once,
 * so that the table of nft.ts has to shut what the TUN does not need.
 *
 *   IPv4   conf.INTERFACE.forwarding
 *   IPv6   conf.all.forwarding, or conf.INTERFACE.force_forwarding (kernel 6.17 and later)
 *
 * Who makes a router of the host while Portfold runs (ip_forward, conf.all.forwarding) means all interfaces:
 * Portfold writes neither, so that the value of now tells. Before kernel 6.17 it must write the second,
 * and only the snapshot knows.
 */
import { readSetting } from './sysctl.ts';
import type { HostRequest } from './types.ts';

export interface OpenedDoors {
  /** Interfaces of the line and of LANs from which the host forwarded no IPv4. */
  ipv4: string[];
  /**
   * From where the host forwarded no IPv6: the line's interface, or all of them where the kernel has one
   * switch for all. It counts only if the plan touches IPv6 forwarding.
   */
  ipv6: 'none' | 'line' | 'all';
}

/**
 * @param before the value of a setting before Portfold wrote it first
 * @param routerBefore `ip_forward` then; undefined while nothing was written
 */
export function readOpenedDoors(
  request: HostRequest,
  before: (path: string) => string | undefined,
  routerBefore: string | undefined,
): OpenedDoors {
  const { line, lans } = request;
  const isOn = (value: string | undefined): boolean => value === '1';
  const becameRouter = routerBefore === '0' && isOn(readSetting('net/ipv4/ip_forward'));
  const names = new Set([line.interface, ...lans.flatMap((lan) => lan.interfaces)]);
  const ipv4 = [...names].filter(
    (name) => !becameRouter && !isOn(before(`net/ipv4/conf/${name}/forwarding`)),
  );

  const all = 'net/ipv6/conf/all/forwarding';
  const forced = before(`net/ipv6/conf/${line.interface}/force_forwarding`);
  if (forced === undefined) return { ipv4, ipv6: isOn(before(all)) ? 'none' : 'all' };
  return { ipv4, ipv6: isOn(forced) || isOn(readSetting(all)) ? 'none' : 'line' };
}
