/**
 * Which outer addresses a packet gets on a MAP-E line, and whether one from a neighbour is honest.
 *
 *   "1.2.3.4:80>192.0.2.18:1232"             from the Internet to a CE: relay → CE
 *   "192.0.2.18:1232>1.2.3.4:80"             from a CE to the Internet: CE → relay
 *   "192.0.2.18:1232>192.0.2.19:2000"        from CE to CE: straight with the F flag, else by the relay
 *   "192.0.2.18:1232"                        only the destination
 *   "… from 2001:db8:12:3400:0:c000:212:34"  checks this outer source (RFC 7597 section 8.1)
 */
import type { IidFormat } from '../../core/mape/address.ts';
import { IPV6_BYTES } from '../../core/mape/bits.ts';
import {
  checkSource,
  findRuleByIpv4,
  SourceCheck,
  type SourceCheckResult,
  writeNeighbourAddress,
} from '../../core/mape/forward.ts';
import { psidOfPort } from '../../core/mape/psid.ts';
import {
  assignedIpv4Length,
  type MapRule,
  ruleOffsetBits,
  rulePsidBits,
} from '../../core/mape/rule.ts';
import {
  formatIpv4,
  formatIpv4Prefix,
  formatIpv6,
  parseIpv4,
  parseIpv6,
} from '../config/addresses.ts';
import { ConfigError, UsageError } from '../config/errors.ts';

interface Endpoint {
  text: string;
  address: number;
  /** undefined where none is written; it matters only on a shared address. */
  port?: number;
}

export interface PacketReport {
  source: string | null;
  destination: string;
  direction: 'relay-to-ce' | 'ce-to-relay' | 'ce-to-ce';
  /** null where it would be the relay and none is known, or where no source is given. */
  outerSource: string | null;
  outerDestination: string | null;
  /** PSID and IPv4 prefix of the CE that the destination, or else the source, belongs to. */
  psid: number | null;
  assignedPrefix: string | null;
  /** Where an outer source was given: it fits. A source that does not is an error. */
  sourceFits?: true;
}

/** The outer source contradicts the inner one: the packet would be dropped. */
export class SourceMismatch extends Error {
  readonly code = 'MAPE_SOURCE_MISMATCH';
  readonly exitCode = 1;
}

const EXAMPLE = 'write it like "1.2.3.4:80>192.0.2.18:1232"';

/** Works out a packet. `relayOf` gives the relay of a rule. */
export function explainPacket(
  text: string,
  rules: readonly MapRule[],
  format: IidFormat,
  relayOf: (ruleIndex: number) => string | null,
): PacketReport {
  const [flow, outer] = text.split(/\s+from\s+/);
  const ends = flow.split('>').map((each) => each.trim());
  if (ends.length > 2) throw new UsageError('MAPE_BAD_PACKET', `--packet: "${text}": ${EXAMPLE}`);
  const destination = readEndpoint(ends[ends.length - 1]);
  const source = ends.length === 2 && ends[0] !== '' ? readEndpoint(ends[0]) : undefined;

  const sourceRule = source === undefined ? -1 : findRuleByIpv4(rules, source.address, false);
  const destinationRule = findRuleByIpv4(rules, destination.address, false);
  if (sourceRule < 0 && destinationRule < 0) {
    const what =
      source === undefined
        ? `${destination.text} does not lie in the IPv4 prefix of a rule`
        : `neither ${source.text} nor ${destination.text} lies in the IPv4 prefix of a rule`;
    throw new ConfigError('MAPE_NO_RULE', `--packet: ${what}`);
  }

  const direct = destinationRule >= 0 && (sourceRule < 0 || rules[destinationRule].forwarding);
  const [ruleIndex, end] =
    destinationRule >= 0 ? [destinationRule, destination] : [sourceRule, source as Endpoint];
  const rule = rules[ruleIndex];
  const report: PacketReport = {
    source: source?.text ?? null,
    destination: destination.text,
    direction: destinationRule < 0 ? 'ce-to-relay' : sourceRule < 0 ? 'relay-to-ce' : 'ce-to-ce',
    outerSource: null,
    outerDestination: direct
      ? ceAddress(rules[destinationRule], destination, format)
      : relayOf(sourceRule),
    psid: rulePsidBits(rule) === 0 ? null : psidOf(rule, end),
    assignedPrefix: assignedPrefix(rule, end.address),
  };
  if (source !== undefined) {
    report.outerSource =
      sourceRule >= 0 ? ceAddress(rules[sourceRule], source, format) : relayOf(destinationRule);
  }
  if (outer !== undefined) {
    if (source === undefined || sourceRule < 0) {
      const what = 'an outer source can be checked only where the inner source lies in a rule';
      throw new UsageError('MAPE_BAD_PACKET', `--packet: ${what}`);
    }
    checkOuter(rules[sourceRule], source, outer, format);
    report.sourceFits = true;
  }
  return report;
}

function ceAddress(rule: MapRule, end: Endpoint, format: IidFormat): string {
  if (rulePsidBits(rule) > 0 && end.port === undefined) {
    const what = `${end.text} is an address that several share, so the port decides`;
    throw new UsageError('MAPE_BAD_PACKET', `--packet: ${what}; write "${end.text}:PORT"`);
  }
  const out = new Uint8Array(IPV6_BYTES);
  if (writeNeighbourAddress(out, 0, rule, end.address, end.port ?? 0, format))
    return formatIpv6(out);
  throw new ConfigError('MAPE_PORT_UNASSIGNED', `--packet: ${unassignedSentence(rule, end)}`);
}

function unassignedSentence(rule: MapRule, end: Endpoint): string {
  const offset = ruleOffsetBits(rule);
  const first = offset === 0 ? 1 : 1 << (16 - offset);
  return (end.port ?? 0) < first
    ? `nobody owns port ${end.port} of ${formatIpv4(end.address)}; the ports begin at ${first}`
    : `port ${end.port} of ${formatIpv4(end.address)} is outside the port set of PSID ${rule.psid}`;
}

function checkOuter(rule: MapRule, source: Endpoint, text: string, format: IidFormat): void {
  const outer = parseIpv6(text.trim());
  if (outer === undefined) {
    throw new UsageError('MAPE_BAD_PACKET', `--packet: "${text.trim()}" is not an IPv6 address`);
  }
  const result = checkSource(rule, format, outer, 0, source.address, source.port ?? 0);
  if (result === SourceCheck.Fits) return;
  const reason = mismatchSentence(result, rule, source, format);
  const sentence = `${source.text} cannot come from ${formatIpv6(outer)}: ${reason}`;
  throw new SourceMismatch(`${sentence}; such a packet is dropped (RFC 7597 section 8.1)`);
}

function mismatchSentence(
  result: Exclude<SourceCheckResult, 0>,
  rule: MapRule,
  source: Endpoint,
  format: IidFormat,
): string {
  switch (result) {
    case SourceCheck.Ipv6OutsideRule:
      return 'that address is outside the IPv6 prefix of the rule';
    case SourceCheck.Ipv4OutsideRule:
      return 'the inner source is outside the IPv4 prefix of the rule';
    case SourceCheck.PortUnassigned:
      return unassignedSentence(rule, source);
    case SourceCheck.AddressDiffers:
      return `by the rule it is ${ceAddress(rule, source, format)}`;
  }
}

const psidOf = (rule: MapRule, end: Endpoint): number =>
  psidOfPort(end.port ?? 0, ruleOffsetBits(rule), rulePsidBits(rule));

function assignedPrefix(rule: MapRule, address: number): string | null {
  const length = assignedIpv4Length(rule);
  if (length === 32) return null;
  return formatIpv4Prefix(length === 0 ? 0 : address & (-1 << (32 - length)), length);
}

function readEndpoint(text: string): Endpoint {
  const colon = text.indexOf(':');
  const address = parseIpv4(colon < 0 ? text : text.slice(0, colon));
  const digits = colon < 0 ? undefined : text.slice(colon + 1);
  const port = digits !== undefined && /^\d{1,5}$/.test(digits) ? Number(digits) : undefined;
  const portIsWrong = digits !== undefined && (port === undefined || port > 65535);
  if (address === undefined || portIsWrong) {
    throw new UsageError('MAPE_BAD_PACKET', `--packet: "${text}" is not address:port; ${EXAMPLE}`);
  }
  return { text, address, ...(port === undefined ? {} : { port }) };
}
