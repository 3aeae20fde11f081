/**
 * Rules that cannot be, prefixes that fit none, and the way back from address and port to the CE.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IID_DRAFT03, IID_RFC7597, type IidFormat } from '../../../core/mape/address.ts';
import { readBits, writeBits } from '../../../core/mape/bits.ts';
import { deriveCe, findBasicRule } from '../../../core/mape/ce.ts';
import {
  checkSource,
  checkSourceOfLaterFragment,
  findRuleByIpv4,
  SourceCheck,
  writeNeighbourAddress,
} from '../../../core/mape/forward.ts';
import { portArray } from '../../../core/mape/psid.ts';
import { type MapRule, PSID_FROM_EA, ruleProblem } from '../../../core/mape/rule.ts';
import { isRejection, parseS46Container, parseServerMessage } from '../../../core/mape/s46.ts';
import { formatIpv6, parseIpv6, parseIpv6Prefix } from '../../../gateway/config/addresses.ts';
import { ipv4 } from './vectors.ts';

const RULE: MapRule = {
  ipv6: parseIpv6('2001:db8::')!,
  ipv6Length: 40,
  ipv4: ipv4('192.0.2.0'),
  ipv4Length: 24,
  eaLength: 16,
  offsetBits: 6,
  psid: PSID_FROM_EA,
  forwarding: true,
};

const derive = (rules: MapRule[], text: string, format: IidFormat = IID_RFC7597) => {
  const prefix = parseIpv6Prefix(text)!;
  return deriveCe(rules, prefix.bytes, prefix.length, format);
};

describe('core/mape/rule', () => {
  const bad: [string, Partial<MapRule>, string][] = [
    ['an IPv6 length above 128', { ipv6Length: 129 }, 'Ipv6LengthOutOfRange'],
    ['an IPv4 length above 32', { ipv4Length: 33 }, 'Ipv4LengthOutOfRange'],
    ['a length that is no integer', { ipv4Length: 1.5 }, 'Ipv4LengthOutOfRange'],
    ['more EA bits than an address and a PSID', { eaLength: 49 }, 'EaLengthOutOfRange'],
    ['an end-user prefix above 128', { ipv6Length: 120 }, 'EndUserPrefixTooLong'],
    ['an offset above 15', { offsetBits: 16 }, 'OffsetOutOfRange'],
    ['a PSID of 17 bits', { eaLength: 25 }, 'PsidTooLong'],
    ['a stated PSID of 17 bits', { psidBits: 17 }, 'PsidTooLong'],
    ['offset and PSID above 16', { offsetBits: 9 }, 'OffsetAndPsidExceedPort'],
    ['a PSID length that contradicts the EA bits', { psidBits: 7 }, 'PsidLengthContradictsEa'],
    ['PSID length 0 beside PSID bits', { psidBits: 0 }, 'PsidLengthContradictsEa'],
    ['a PSID length without PSID', { eaLength: 8, psidBits: 8 }, 'PsidLengthWithoutPsid'],
    ['a PSID above its length', { eaLength: 8, psidBits: 4, psid: 16 }, 'PsidExceedsLength'],
    ['a PSID beside a prefix', { eaLength: 4, psidBits: 4, psid: 1 }, 'PsidWithoutFullAddress'],
    [
      'the one port of PSID 0 of 16 bits',
      { eaLength: 8, offsetBits: 0, psidBits: 16, psid: 0 },
      'PortSetEmpty',
    ],
  ];
  for (const [what, change, problem] of bad) {
    it(`refuses ${what}`, () => assert.equal(ruleProblem({ ...RULE, ...change }), problem));
  }

  it('takes an offset of any size where nobody shares', () => {
    assert.equal(ruleProblem({ ...RULE, eaLength: 8, offsetBits: 15 }), undefined);
  });
});

describe('core/mape/ce', () => {
  it('chooses the longest match', () => {
    const long = { ...RULE, ipv6Length: 48, ipv4: ipv4('198.51.100.0') };
    const inside = parseIpv6('2001:db8:0:3400::')!;
    assert.equal(findBasicRule([RULE, long], inside, 64), 1);
    assert.equal(findBasicRule([long, RULE], inside, 64), 0);
    assert.equal(findBasicRule([RULE, long], inside, 44), 0);
    assert.equal(findBasicRule([RULE, long], parseIpv6('2001:db9::')!, 64), -1);
  });

  it('clears the bits after rule and EA: MAP lives in the first subnet', () => {
    const ce = derive([RULE], '2001:db8:12:34ab:1:2:3:4');
    assert(typeof ce === 'object');
    assert.equal(formatIpv6(ce.ceAddress), '2001:db8:12:3400:0:c000:212:34');
  });

  it('needs all EA bits', () => {
    assert.equal(derive([RULE], '2001:db8:12::/55'), 'PrefixTooShort');
    assert.equal(derive([RULE], '2001:db8::/39'), 'NoRule');
  });

  it('has no ports for PSID 0 of sixteen bits', () => {
    const rule = { ...RULE, eaLength: 24, offsetBits: 0 };
    assert.equal(ruleProblem(rule), undefined);
    assert.equal(derive([rule], '2001:db8:12::/64'), 'PortSetEmpty');
    assert.equal(typeof derive([rule], '2001:db8:12:1::/64'), 'object');
  });

  it('lets a prefix beyond 64 bits overwrite the interface identifier', () => {
    const rule = { ...RULE, ipv6Length: 64, ipv6: parseIpv6('2001:db8:1:2::')! };
    const ce = derive([rule], '2001:db8:1:2:1234::/80');
    assert(typeof ce === 'object');
    assert.equal(formatIpv6(ce.ceAddress), '2001:db8:1:2:1234:c000:212:34');
  });
});

describe('core/mape/forward', () => {
  it('leads from every port of a CE back to it, and from no other port', () => {
    const rules = fc.record({
      ipv6Length: fc.integer({ min: 8, max: 40 }),
      ipv4Length: fc.integer({ min: 8, max: 32 }),
      psidBits: fc.integer({ min: 0, max: 10 }),
      offsetBits: fc.integer({ min: 0, max: 6 }),
      seed: fc.uint8Array({ minLength: 16, maxLength: 16 }),
      ipv4: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
      format: fc.constantFrom<IidFormat>(IID_RFC7597, IID_DRAFT03),
      port: fc.integer({ min: 0, max: 65535 }),
    });
    fc.assert(
      fc.property(rules, (r) => {
        const eaLength = 32 - r.ipv4Length + r.psidBits;
        if (r.ipv6Length + eaLength > 64) return;
        const rule = { ...RULE, ...r, ipv6: r.seed, eaLength };
        assert.equal(ruleProblem({ ...rule, psid: PSID_FROM_EA }), undefined);
        const ce = deriveCe([rule], r.seed, 128, r.format);
        assert(typeof ce === 'object');
        const ports = portArray(ce.offsetBits, ce.psidBits, ce.psid);
        const out = new Uint8Array(20);
        for (const port of [ports[0], ports[ports.length >> 1], ports[ports.length - 1]]) {
          assert(writeNeighbourAddress(out, 4, rule, ce.ipv4, port, r.format));
          assert.deepEqual(out.slice(4), ce.ceAddress);
        }
        const fits = checkSource(rule, r.format, ce.ceAddress, 0, ce.ipv4, r.port);
        const owned = ports.includes(r.port) || (r.psidBits === 0 && r.port === 0);
        if (r.port !== 0) assert.equal(fits === SourceCheck.Fits, owned);

        // A later fragment has no port: of all addresses that differ from the right one in a bit none fits.
        out.set(ce.ceAddress, 4);
        const later = (address: number): number =>
          checkSourceOfLaterFragment(rule, r.format, out, 4, address);
        assert.equal(later(ce.ipv4), SourceCheck.Fits);
        for (let bit = 0; bit < 128; bit++) {
          out[4 + (bit >> 3)] ^= 0x80 >> (bit & 7);
          assert.notEqual(later(ce.ipv4), SourceCheck.Fits, `bit ${bit}`);
          out[4 + (bit >> 3)] ^= 0x80 >> (bit & 7);
        }
        for (let bit = 0; bit < 32; bit++)
          assert.notEqual(later(ce.ipv4 ^ (1 << bit)), SourceCheck.Fits);
      }),
    );
  });

  it('passes over rules without the F flag', () => {
    const address = ipv4('192.0.2.18');
    const quiet = { ...RULE, forwarding: false };
    assert.equal(findRuleByIpv4([quiet], address, true), -1);
    assert.equal(findRuleByIpv4([quiet], address, false), 0);
    const host = { ...RULE, ipv4: address, ipv4Length: 32, eaLength: 8 };
    assert.equal(findRuleByIpv4([RULE, host], address, true), 1);
  });

  it('knows no owner of a port below the first block', () => {
    const out = new Uint8Array(16);
    const address = ipv4('192.0.2.18');
    assert.equal(writeNeighbourAddress(out, 0, RULE, address, 1023, IID_RFC7597), false);
    assert.equal(
      checkSource(RULE, IID_RFC7597, parseIpv6('2001:db8:12:3400:0:c000:212:34')!, 0, address, 80),
      SourceCheck.PortUnassigned,
    );
  });

  it('tells in which way a source does not fit', () => {
    const at = (text: string, address: string) =>
      checkSource(RULE, IID_RFC7597, parseIpv6(text)!, 0, ipv4(address), 1232);
    const honest = '2001:db8:12:3400:0:c000:212:34';
    assert.equal(at(honest, '192.0.2.18'), SourceCheck.Fits);
    assert.equal(at(honest, '192.0.2.19'), SourceCheck.AddressDiffers);
    assert.equal(at(honest, '198.51.100.18'), SourceCheck.Ipv4OutsideRule);
    assert.equal(at('2001:db9:12:3400:0:c000:212:34', '192.0.2.18'), SourceCheck.Ipv6OutsideRule);
  });
});

describe('core/mape/bits', () => {
  it('reads back what it wrote, and touches nothing else', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
    const span = fc.tuple(fc.integer({ min: 0, max: 96 }), fc.integer({ min: 0, max: 32 }));
    fc.assert(
      fc.property(bytes, span, fc.integer({ min: 0, max: 0xffffffff }), (b, [from, count], v) => {
        const before = b.slice();
        const value = count === 32 ? v : v % 2 ** count;
        writeBits(b, 0, from, count, value);
        assert.equal(readBits(b, 0, from, count), value);
        writeBits(b, 0, from, count, readBits(before, 0, from, count));
        assert.deepEqual(b, before);
      }),
    );
  });
});

describe('core/mape/s46', () => {
  const GOOD = '00590015001018c00002002820010db800005d000406000000005a0010';
  const BR = '20010db8ffff00000000000000000001';
  const read = (hex: string) => parseS46Container(Uint8Array.from(Buffer.from(hex, 'hex')));
  const bad: [string, string, string][] = [
    ['nothing', '', 'NoRule'],
    ['a relay and no rule', `005a0010${BR}`, 'NoRule'],
    ['an option that is cut off', `${GOOD}${BR}0059`, 'Truncated'],
    ['a length beyond the end', '0059ffff00', 'Truncated'],
    ['a relay of 15 bytes', `${GOOD.slice(0, -4)}000f${BR.slice(2)}`, 'BrLengthWrong'],
    ['more EA bits than 48', `${GOOD.replace('5001018', '5003118')}${BR}`, 'EaLengthOutOfRange'],
    ['an IPv4 length of 33', `${GOOD.replace('5001018', '5001021')}${BR}`, 'Ipv4LengthOutOfRange'],
    ['an IPv6 length of 129', '005900080010180102030481', 'Ipv6LengthOutOfRange'],
    ['a prefix that is not there', '005900080010180102030428', 'RuleTooShort'],
    ['a rule of 3 bytes', '00590003001018', 'RuleTooShort'],
    ['an offset of 16', `${GOOD.replace('0004060', '0004100')}${BR}`, 'OffsetOutOfRange'],
    ['offset 6 and PSID 11', `${GOOD.replace('00040600', '0004060b')}${BR}`, 'PsidTooLong'],
    ['an unknown option', `${GOOD}${BR}00010000`, 'OptionNotPermitted'],
  ];
  for (const [what, hex, problem] of bad) {
    it(`rejects ${what}`, () => {
      const result = read(hex);
      assert(isRejection(result));
      assert.equal(result.problem, problem);
    });
  }

  it('reads several rules and several relays', () => {
    const result = read(`${GOOD}${BR}${GOOD}${BR}`);
    assert(!isRejection(result));
    assert.equal(result.rules.length, 2);
    assert.equal(result.brs.length, 2);
  });

  it('never throws, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        parseS46Container(bytes);
        parseServerMessage(bytes);
      }),
    );
  });
});
