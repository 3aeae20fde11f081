/**
 * The built-in table: every rule is possible, no two overlap, and it gives the addresses that the
 * vectors give.
 */
import assert from 'node:assert/strict';
import { deriveCe } from '../../../core/mape/ce.ts';
import { eaPsidBits, endUserPrefixLength, ruleProblem } from '../../../core/mape/rule.ts';
import {
  formatIpv4,
  formatIpv4Prefix,
  formatIpv6,
  formatIpv6Prefix,
  parseIpv6,
  parseIpv6Prefix,
} from '../../../gateway/config/addresses.ts';
import {
  coreRules,
  findService,
  iidFormatOf,
  listServices,
} from '../../../gateway/services/services.ts';
import { vectors } from '../../core/mape/vectors.ts';

const COUNTS: Record<string, [number, number]> = {
  v6plus: [8, 8],
  'biglobe-ipv6option': [126, 8],
  'ocn-virtualconnect': [160, 6],
  'ocn-fixed-ip': [0, 0],
  nuro: [18, 8],
};

describe('gateway/services', () => {
  it('holds these services', () => {
    const counts = listServices().map((service) => [service.id, service.rules.length]);
    assert.deepEqual(
      counts,
      Object.entries(COUNTS).map(([id, [count]]) => [id, count]),
    );
  });

  for (const service of listServices()) {
    it(`${service.id}: every rule is possible and written in its shortest form`, () => {
      const rules = coreRules(service);
      service.rules.forEach((rule, n) => {
        const core = rules[n];
        assert.equal(ruleProblem(core), undefined, rule.ipv6);
        assert.equal(endUserPrefixLength(core), service.endUserPrefixLength);
        assert.equal(eaPsidBits(core), COUNTS[service.id][1]);
        assert.equal(formatIpv6Prefix(core.ipv6, core.ipv6Length), rule.ipv6);
        assert.equal(formatIpv4Prefix(core.ipv4, core.ipv4Length), rule.ipv4);
        assert.equal(core.ipv4 & ~(-1 << (32 - core.ipv4Length)), 0, `${rule.ipv4} is aligned`);
        assert.equal(formatIpv6(parseIpv6(rule.br)!), rule.br);
      });
    });
  }

  it('has no two rules that cover one prefix', () => {
    const all = listServices().flatMap(coreRules);
    for (const rule of all) {
      const covering = all.filter((other) => {
        const length = Math.min(rule.ipv6Length, other.ipv6Length);
        const cut = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
        return cut(rule.ipv6) >> BigInt(128 - length) === cut(other.ipv6) >> BigInt(128 - length);
      });
      assert.equal(covering.length, 1, formatIpv6Prefix(rule.ipv6, rule.ipv6Length));
    }
  });

  const known = vectors.filter(
    (v) => findService(v.service) && v.end_user_prefix && v.cls !== 'must-reject',
  );

  it('is tried with many vectors', () => assert.equal(known.length, 54));

  for (const v of known) {
    it(`${v.id} ${v.service}: the table leads to the same address, rule and relay`, () => {
      const service = findService(v.service)!;
      const prefix = parseIpv6Prefix(v.input_prefix ?? v.end_user_prefix!)!;
      const format = iidFormatOf(service.iidFormat);
      const ce = deriveCe(coreRules(service), prefix.bytes, prefix.length, format);
      assert(typeof ce === 'object');
      assert.equal(formatIpv4(ce.ipv4), v.ipv4);
      assert.equal(ce.psid, v.psid);
      if (v.ce_ipv6) assert.deepEqual(ce.ceAddress, parseIpv6(v.ce_ipv6));
      const rule = service.rules[ce.ruleIndex];
      if (v.br) assert.equal(rule.br, v.br);
      if (v.rule) {
        assert.deepEqual([rule.ipv6, rule.ipv4], [v.rule.ipv6, v.rule.ipv4]);
        assert.deepEqual([rule.eaLength, rule.psidOffset], [v.rule.ea_length, v.rule.psid_offset]);
      }
    });
  }

  it('names origin and caution, and a note for each service', () => {
    for (const service of listServices()) assert(service.note.length > 20, service.id);
    assert.equal(findService('nuro')!.confidence, 'low');
    assert.equal(findService('nowhere'), undefined);
  });
});
