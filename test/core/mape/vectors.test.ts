/**
 * Every vector against core/mape: what other implementations and the RFCs compute, Portfold
 * computes.
 */
import assert from 'node:assert/strict';
import { deriveCe } from '../../../core/mape/ce.ts';
import {
  checkSource,
  findRuleByIpv4,
  SourceCheck,
  writeNeighbourAddress,
} from '../../../core/mape/forward.ts';
import { portCount, portRanges, psidOfPort } from '../../../core/mape/psid.ts';
import { assignedIpv4Length, ruleProblem } from '../../../core/mape/rule.ts';
import { isRejection, parseS46Container, parseServerMessage } from '../../../core/mape/s46.ts';
import {
  formatIpv4,
  formatIpv4Prefix,
  formatIpv6,
  formatIpv6Prefix,
  parseIpv6,
  parseIpv6Prefix,
} from '../../../gateway/config/addresses.ts';
import { coreRules, findService } from '../../../gateway/services/services.ts';
import {
  assertRanges,
  iidOf,
  ipv4,
  ofClass,
  ruleOf,
  type Vector,
  vector,
  vectors,
  withoutPortZero,
} from './vectors.ts';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'));
const texts = (ranges: [number, number][]): string[] => ranges.map(([a, b]) => `${a}-${b}`);
const derivable = vectors.filter(
  (v) =>
    (v.end_user_prefix ?? v.input_address) !== undefined &&
    v.cls !== 'must-reject' &&
    v.cls !== 'dhcpv6-s46',
);

describe('core/mape against the vectors', () => {
  it('has them all', () => {
    assert.equal(vectors.length, 100);
    assert.equal(derivable.length, 72);
  });

  for (const v of derivable) it(`${v.id} ${v.service}: from the prefix`, () => checkDerived(v));

  for (const v of vectors.filter((each) => each.packet && each.rule)) {
    it(`${v.id} ${v.service}: from the packet`, () => checkPacket(v));
  }

  for (const id of ['V054', 'V055']) {
    it(`${id}: port set alone`, () => {
      const v = vector(id);
      const offset = v.rule!.psid_offset!;
      const ranges = texts(portRanges(offset, v.rule!.psid_length!, v.psid!));
      assert.deepEqual(ranges, withoutPortZero(v.port_ranges!));
    });
  }

  it('V096: from EA bits', () => {
    const v = vector('V096');
    checkDerived({ ...v, end_user_prefix: '2001:db8:12:3400::/56' });
    assert.equal(v.ea_bits, '0x1234');
  });
});

describe('core/mape: vectors that must be rejected', () => {
  it('V105: a prefix shorter than rule and EA bits', () => {
    const v = vector('V105');
    const prefix = parseIpv6Prefix(v.end_user_prefix!)!;
    const rules = coreRules(findService('v6plus')!);
    assert.equal(deriveCe(rules, prefix.bytes, prefix.length, iidOf(v)), 'PrefixTooShort');
  });

  it('V106: a PSID length that contradicts the EA bits', () => {
    assert.equal(ruleProblem(ruleOf(vector('V106').rule!)), 'PsidLengthContradictsEa');
  });

  it('V107: a prefix that no service covers', () => {
    const v = vector('V107');
    const prefix = parseIpv6Prefix(v.end_user_prefix!)!;
    for (const id of ['v6plus', 'biglobe-ipv6option', 'ocn-virtualconnect', 'nuro']) {
      const rules = coreRules(findService(id)!);
      assert.equal(deriveCe(rules, prefix.bytes, prefix.length, iidOf(v)), 'NoRule');
    }
  });

  it('V108: offset and PSID that exceed a port', () => {
    const rule = { ...vector('V108').rule!, ipv6: '::/0', ipv4: '192.0.2.1/32', ea_length: 8 };
    assert.equal(ruleProblem(ruleOf(rule)), 'OffsetAndPsidExceedPort');
  });

  it('V109: a container without BR, or with a DMR', () => {
    const whole = vector('V112').option94_payload!;
    const br = '005a0010';
    const withoutBr = parseS46Container(bytes(whole.slice(0, whole.indexOf(br))));
    assert(isRejection(withoutBr) && withoutBr.problem === 'NoBr');
    const withDmr = parseS46Container(bytes(`${whole}005b00094020010db8ffff0000`));
    assert(isRejection(withDmr) && withDmr.problem === 'OptionNotPermitted');
    assert.equal(withDmr.value, 91);
  });

  it('V116: port parameters of three octets', () => {
    const result = parseS46Container(bytes(vector('V116').option94_payload!));
    assert(isRejection(result) && result.problem === 'PortParamsLengthWrong');
    assert.equal(result.value, 3);
  });
});

describe('core/mape: DHCPv6 containers', () => {
  const good = ofClass('dhcpv6-s46').filter((v) => v.expect !== 'reject');
  for (const v of good) {
    it(`${v.id} ${v.service}`, () => {
      for (const message of [v.reply_to_information_request!, v.advertise_with_ia_pd!]) {
        const found = parseServerMessage(bytes(message));
        assert.equal(found?.containers.length, 1);
        assert.deepEqual(found.containers[0], bytes(v.option94_payload!));
      }
      const delegated = parseServerMessage(bytes(v.advertise_with_ia_pd!))!.prefixes[0];
      assert.equal(formatIpv6Prefix(delegated.prefix, delegated.length), '2001:db8:12:3400::/56');
      checkContainer(v);
    });
  }
});

function checkContainer(v: Vector): void {
  const container = parseS46Container(bytes(v.option94_payload!));
  assert(!isRejection(container));
  assert.deepEqual(container.brs.map(formatIpv6), [v.expect.br]);
  assert.equal(container.rules.length, 1);
  const [rule] = container.rules;
  assert.equal(rule.forwarding, v.expect.rule.fmr);
  assert.equal(rule.eaLength, v.expect.rule.ea_length);
  assert.equal(formatIpv4Prefix(rule.ipv4, rule.ipv4Length), v.expect.rule.ipv4);
  assert.equal(formatIpv6Prefix(rule.ipv6, rule.ipv6Length), v.expect.rule.ipv6);

  const sent = v.expect.portparams;
  if (sent === null) {
    assert.equal(rule.portParams, undefined);
    assert.equal(rule.offsetBits, 6);
  } else {
    const { offset, psid_length: psidLength, psid } = sent;
    assert.deepEqual(rule.portParams, { offset, psidLength, psid });
  }
  assert.equal(rule.portParamsDiscarded, v.service === 'kea-example');
  assert.equal(ruleProblem(rule), undefined);
}

function checkDerived(v: Vector): void {
  const service = v.rule || v.rules ? undefined : findService(v.service);
  const rules = service ? coreRules(service) : (v.rules ?? [v.rule!]).map(ruleOf);
  for (const rule of rules) assert.equal(ruleProblem(rule), undefined);

  const typed = v.input_prefix ?? v.input_address ?? v.end_user_prefix!;
  const prefix = parseIpv6Prefix(typed)!;
  const ce = deriveCe(rules, prefix.bytes, prefix.length, iidOf(v));
  assert(typeof ce === 'object', `${ce}`);

  assert.equal(formatIpv4(ce.ipv4), v.ipv4);
  if (v.psid === null) assert.equal(ce.psidBits, 0);
  else assert.equal(ce.psid, v.psid);
  if (v.input_prefix) {
    const endUser = formatIpv6Prefix(ce.endUserPrefix, ce.endUserPrefixLength);
    assert.equal(endUser, v.end_user_prefix);
  }
  if (v.ce_ipv6) assert.deepEqual(ce.ceAddress, parseIpv6(v.ce_ipv6));
  if (v.iid) assert.deepEqual(ce.ceAddress.slice(8), parseIpv6(v.iid)!.slice(8));

  const ranges = texts(portRanges(ce.offsetBits, ce.psidBits, ce.psid));
  if (v.port_ranges) assertRanges(ranges, v.port_ranges);
  if (v.first_port_range) assert.equal(ranges[0], v.first_port_range);
  if (v.last_port_range) assert.equal(ranges[ranges.length - 1], v.last_port_range);
  if (v.port_count) assert.equal(portCount(ce.offsetBits, ce.psidBits, ce.psid), v.port_count);
}

function checkPacket(v: Vector): void {
  const rule = ruleOf(v.rule!);
  const packet = v.packet!;
  const out = new Uint8Array(16);
  const fromCe = v.direction === 'CE to BR';
  const [address, port] = fromCe
    ? [ipv4(packet.ipv4_src!), packet.sport!]
    : [ipv4(packet.ipv4_dst), packet.dport ?? 0];

  assert.equal(findRuleByIpv4([rule], address, true), 0);
  assert(writeNeighbourAddress(out, 0, rule, address, port, iidOf(v)));
  const expected = v.ce_ipv6 ?? (fromCe ? v.expect.ipv6_src : v.expect.ipv6_dst);
  assert.equal(formatIpv6(out), formatIpv6(parseIpv6(expected)!));
  assert.equal(checkSource(rule, iidOf(v), out, 0, address, port), SourceCheck.Fits);

  if (v.psid) assert.equal(psidOfPort(port, rule.offsetBits, rule.psidBits!), v.psid);
  if (v.sharing_ratio) assert.equal(1 << rule.psidBits!, v.sharing_ratio);
  if (v.assigned_ipv4_prefix) {
    const length = assignedIpv4Length(rule);
    const network = length === 32 ? address : address & (-1 << (32 - length));
    assert.equal(formatIpv4Prefix(network, length), v.assigned_ipv4_prefix);
  }
  for (const source of v.must_reject_sources ?? []) {
    const outer = parseIpv6(source.split(' ')[0])!;
    assert.notEqual(checkSource(rule, iidOf(v), outer, 0, address, port), SourceCheck.Fits, source);
  }
  if (v.also_reject_port) {
    const outer = parseIpv6(v.ce_ipv6!)!;
    const result = checkSource(rule, iidOf(v), outer, 0, address, v.also_reject_port);
    assert.equal(result, SourceCheck.AddressDiffers);
  }
}
