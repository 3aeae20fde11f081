/**
 * Private destinations: packets to addresses that no public line leads to get no external port.
 *
 * A program that looks for a printer of another house, or for a laptop at the address it once had, sends to 192.168.…; on a line whose
 * own address is public nothing will ever answer, and each try would hold a port until its timer runs out. The sender is told at once.
 *
 *   10.0.0.0/8  172.16.0.0/12  192.168.0.0/16    private                        RFC 1918
 *   100.64.0.0/10                                between provider and customer   RFC 6598
 *   169.254.0.0/16                               link-local                      RFC 3927
 *   192.0.0.0/24                                 protocol assignments, but for the anycast addresses of PCP and TURN   RFC 6890
 *
 * Below another NAT the line's own address is one of these, and so they are ordinary destinations there: a venue's name server, say.
 *
 * Loopback, multicast, broadcast, 0.0.0.0/8 and 240.0.0.0/4 never come here: the engine asks no policy about them. The networks for
 * documentation and for benchmarks (RFC 5737, 2544) are let through. They stand for the internet in laboratories, and no device of a
 * real network is looked for there.
 */
import { refuseFor } from '../core/policy.ts';
import { Drop } from '../core/verdict.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import { holds, type Network, NO_OBJECTION, type Rule } from './rule.ts';
import type { PolicySettings } from './settings.ts';

/** PCP and TURN by anycast (RFC 7723, RFC 8155): the first addresses of the block that are routed globally. */
const GLOBAL_IN_ASSIGNMENTS: readonly number[] = [parseIpv4('192.0.0.9'), parseIpv4('192.0.0.10')];

/** True for an address that is routed on no public line. Two comparisons for most of the others. */
export function isPrivate(address: number): boolean {
  switch (address >>> 24) {
    case 10:
      return true;
    case 100:
      return ((address >>> 22) & 3) === 1;
    case 169:
      return ((address >>> 16) & 255) === 254;
    case 172:
      return ((address >>> 20) & 15) === 1;
    case 192: {
      const second = (address >>> 16) & 255;
      if (second === 168) return true;
      const isAssignment = second === 0 && ((address >>> 8) & 255) === 0;
      return isAssignment && !GLOBAL_IN_ASSIGNMENTS.includes(address);
    }
    default:
      return false;
  }
}

/**
 * The rule for these settings, or undefined where it would never object.
 * @param except networks behind the line that are there all the same: a modem's own page, for instance
 */
export function privateDestinations(
  mode: PolicySettings['privateDestinations'],
  except: readonly Network[],
  lineIsPrivate: boolean,
): Rule | undefined {
  if (mode === 'allow' || (mode === 'auto' && lineIsPrivate)) return undefined;
  return (first) =>
    isPrivate(first.remoteAddress) && !holds(except, first.remoteAddress)
      ? refuseFor(Drop.PrivateDestination)
      : NO_OBJECTION;
}
