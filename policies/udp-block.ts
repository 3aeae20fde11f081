/**
 * UDP block: no UDP but what is excepted, by class, internal network or destination.
 *
 * The last resort of a network that is short of everything: names and clocks go on, and whatever
 * else was tried over UDP goes on over TCP or not at all. A class is what the first packet's bytes
 * show (classify.ts), so that a VPN on port 53 is not taken for DNS.
 *
 *   reject      the sender is told (ICMP 3/13)
 *   drop        it is not
 */
import { DECISION_SILENT, refuseFor } from '../core/policy.ts';
import { Drop } from '../core/verdict.ts';
import { PROTOCOL_UDP } from '../core/wire/ipv4.ts';
import { classBits, isExcepted, NO_OBJECTION, type Rule } from './rule.ts';
import type { UdpSettings } from './settings.ts';

/** @param settings of another mode than `allow` */
export function udpBlock(settings: UdpSettings): Rule {
  const { mode, except } = settings;
  const objection = refuseFor(Drop.UdpBlocked) | (mode === 'drop' ? DECISION_SILENT : 0);
  const open = classBits(except.classes);
  return (first, sessionClass) =>
    first.protocol === PROTOCOL_UDP &&
    ((open >>> sessionClass) & 1) === 0 &&
    !isExcepted(except, first)
      ? objection
      : NO_OBJECTION;
}
