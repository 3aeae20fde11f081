/**
 * The MAP-E vectors of other implementations and of the RFCs, typed, with helpers to bring them to
 * core's numbers.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { IID_DRAFT03, IID_RFC7597, type IidFormat } from '../../../core/mape/address.ts';
import { OFFSET_BITS_DEFAULT } from '../../../core/mape/psid.ts';
import { type MapRule, PSID_FROM_EA } from '../../../core/mape/rule.ts';
import { parseIpv4, parseIpv4Prefix, parseIpv6Prefix } from '../../../gateway/config/addresses.ts';

export interface VectorRule {
  ipv6?: string;
  ipv4?: string;
  ea_length?: number;
  psid_offset?: number | null;
  psid_length?: number;
  psid_from_dhcp?: number;
}

export interface Vector {
  id: string;
  cls: 'calculator' | 'rfc' | 'other-implementation-test' | 'must-reject' | 'dhcpv6-s46';
  service: string;
  why?: string;
  rule?: VectorRule;
  rules?: VectorRule[];
  direction?: string;
  input_prefix?: string;
  input_address?: string;
  end_user_prefix?: string;
  ea_bits?: string;
  packet?: { ipv4_src?: string; sport?: number; ipv4_dst: string; dport?: number };
  ipv4?: string;
  psid?: number | null;
  port_ranges?: string[];
  port_count?: number;
  first_port_range?: string;
  last_port_range?: string;
  ce_ipv6?: string;
  iid?: string;
  iid_format?: 'rfc7597' | 'draft-ietf-softwire-map-03';
  br?: string;
  sharing_ratio?: number;
  assigned_ipv4_prefix?: string;
  must_reject_sources?: string[];
  also_reject_port?: number;
  option94_payload?: string;
  reply_to_information_request?: string;
  advertise_with_ia_pd?: string;
  // biome-ignore lint/suspicious/noExplicitAny: each kind of vector expects something of its own shape
  expect?: any;
}

const file = new URL('../../data/map-vectors.json', import.meta.url);
export const vectors: Vector[] = JSON.parse(readFileSync(file, 'utf8')).vectors;

export const ofClass = (cls: Vector['cls']): Vector[] => vectors.filter((v) => v.cls === cls);

export const vector = (id: string): Vector => {
  const found = vectors.find((v) => v.id === id);
  assert(found, `vector ${id} is missing`);
  return found;
};

export const iidOf = (v: Vector): IidFormat =>
  v.iid_format === 'draft-ietf-softwire-map-03' ? IID_DRAFT03 : IID_RFC7597;

/** A vector's rule as core wants it. */
export function ruleOf(rule: VectorRule): MapRule {
  const ipv6 = parseIpv6Prefix(rule.ipv6!);
  const ipv4 = parseIpv4Prefix(rule.ipv4!);
  assert(ipv6 && ipv4);
  return {
    ipv6: ipv6.bytes,
    ipv6Length: ipv6.length,
    ipv4: ipv4.address,
    ipv4Length: ipv4.length,
    eaLength: rule.ea_length!,
    offsetBits: rule.psid_offset ?? OFFSET_BITS_DEFAULT,
    ...(rule.psid_length === undefined ? {} : { psidBits: rule.psid_length }),
    psid: rule.psid_from_dhcp ?? PSID_FROM_EA,
    forwarding: true,
  };
}

export const ipv4 = (text: string): number => {
  const address = parseIpv4(text);
  assert(address !== undefined, text);
  return address;
};

/** What the vectors call "0-65535": port 0 is in the formula's range, but never in a port set. */
export const withoutPortZero = (ranges: string[]): string[] =>
  ranges.map((range) => range.replace(/^0-/, '1-'));

/** Some vectors print the first ranges and the last one. */
export function assertRanges(actual: string[], printed: string[]): void {
  const expected = withoutPortZero(printed);
  if (actual.length === expected.length) {
    assert.deepEqual(actual, expected);
    return;
  }
  const head = expected.length - 1;
  assert.deepEqual(actual.slice(0, head), expected.slice(0, head));
  assert.equal(actual[actual.length - 1], expected[head]);
}
