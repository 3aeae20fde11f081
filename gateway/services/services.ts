/**
 * MAP-E services whose rules are known, as built-in data.
 *
 *   services.json ──read once──▶ Service[] ──coreRules──▶ MapRule[] of core/mape
 *
 * The table lies beside this module, in the source tree and in dist/. Its header names origin and
 * caution: rules are public facts about operators, who change them, so every value can be
 * overridden by the configuration. A service of low confidence is usable, but whoever uses it is
 * told so.
 */
import { readFileSync } from 'node:fs';
import { IID_DRAFT03, IID_RFC7597, type IidFormat } from '../../core/mape/address.ts';
import { type MapRule, PSID_FROM_EA } from '../../core/mape/rule.ts';
import { parseIpv4Prefix, parseIpv6Prefix } from '../config/addresses.ts';

export type IidFormatName = 'rfc7597' | 'draft-ietf-softwire-map-03';
export type Confidence = 'high' | 'medium' | 'low';

export interface ServiceRule {
  ipv6: string;
  ipv4: string;
  eaLength: number;
  psidOffset: number;
  br: string;
  /** Where the operator lets neighbours send to each other directly. */
  forwarding: boolean;
  confidence: Confidence;
}

export interface Service {
  id: string;
  name: string;
  operator: string;
  iidFormat: IidFormatName;
  /** Absent where each customer has a rule of his own. */
  endUserPrefixLength?: number;
  /** MTU of IPv4 on a line of this service. */
  mtu: number;
  confidence: Confidence;
  /** What to know before relying on it, one or two sentences. */
  note: string;
  /** Empty where the rule is the customer's own. */
  rules: ServiceRule[];
}

interface StoredService extends Omit<Service, 'rules'> {
  offset?: number;
  br?: string;
  forwarding?: boolean;
  ruleConfidence?: Confidence;
  rules: { ipv6: string; ipv4: string; ea: number; br?: string; confidence?: Confidence }[];
}

let loaded: Service[] | undefined;

/** All built-in services, in the order of the table. */
export function listServices(): Service[] {
  loaded ??= readServices();
  return loaded;
}

export const findService = (id: string): Service | undefined =>
  listServices().find((service) => service.id === id);

/** The interface-identifier format as core counts it. */
export const iidFormatOf = (name: IidFormatName): IidFormat =>
  name === 'rfc7597' ? IID_RFC7597 : IID_DRAFT03;

/** The rules of a service in the numbers of core/mape, in the same order. */
export function coreRules(service: Service): MapRule[] {
  return service.rules.map((rule) => {
    const ipv6 = parseIpv6Prefix(rule.ipv6);
    const ipv4 = parseIpv4Prefix(rule.ipv4);
    if (ipv6 === undefined || ipv4 === undefined) {
      throw new Error(`services.json: ${service.id}: ${rule.ipv6} → ${rule.ipv4} is not a rule`);
    }
    return {
      ipv6: ipv6.bytes,
      ipv6Length: ipv6.length,
      ipv4: ipv4.address,
      ipv4Length: ipv4.length,
      eaLength: rule.eaLength,
      offsetBits: rule.psidOffset,
      psid: PSID_FROM_EA,
      forwarding: rule.forwarding,
    };
  });
}

function readServices(): Service[] {
  const text = readFileSync(new URL('./services.json', import.meta.url), 'utf8');
  const stored: { services: StoredService[] } = JSON.parse(text);
  return stored.services.map(({ offset, br, forwarding, ruleConfidence, rules, ...service }) => ({
    ...service,
    rules: rules.map((rule) => ({
      ipv6: rule.ipv6,
      ipv4: rule.ipv4,
      eaLength: rule.ea,
      psidOffset: offset!,
      br: rule.br ?? br!,
      forwarding: forwarding!,
      confidence: rule.confidence ?? ruleConfidence!,
    })),
  }));
}
