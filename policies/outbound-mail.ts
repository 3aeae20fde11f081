/**
 * Outbound mail: TCP to port 25 outside is refused, as many providers do it.
 *
 * Programs hand mail in at ports 465 and 587. What speaks to port 25 of ever new servers from inside a LAN is mostly a machine that
 * somebody else uses, and the line's address is soon on every block list. A mail server of one's own is an exception by its network.
 */
import { refuseFor } from '../core/policy.ts';
import { Drop } from '../core/verdict.ts';
import { PROTOCOL_TCP } from '../core/wire/ipv4.ts';
import { isExcepted, NO_OBJECTION, type Rule } from './rule.ts';
import type { MailSettings } from './settings.ts';

const SMTP_PORT = 25;

/** The rule for these settings, or undefined where it would never object. */
export function outboundMail({ mode, except }: MailSettings): Rule | undefined {
  if (mode === 'allow') return undefined;
  return (first) =>
    first.protocol === PROTOCOL_TCP && first.remotePort === SMTP_PORT && !isExcepted(except, first)
      ? refuseFor(Drop.RefusedByPolicy)
      : NO_OBJECTION;
}
