/** Lines: what a [[wan]] comes to, where "auto" finds its prefix, and the verb that tells it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  formatIpv4,
  formatIpv6,
  parseIpv4,
  parseIpv4Prefix,
  parseIpv6,
  parseIpv6Prefix,
} from '../../../gateway/config/addresses.ts';
import { deriveLine } from '../../../gateway/config/line.ts';
import { loadConfig, parseConfig } from '../../../gateway/config/load.ts';
import { resolvePrefix } from '../../../gateway/config/prefix.ts';
import { nearest } from '../../../gateway/config/suggest.ts';
import type { MapEWanConfig } from '../../../gateway/config/types.ts';
import { withReadPrefix } from '../../../gateway/line.ts';
import { check } from '../../../gateway/verbs/check.ts';

const example = (name: string): string =>
  new URL(`../../../examples/${name}`, import.meta.url).pathname;

const V6PLUS: MapEWanConfig = {
  name: 'v6plus',
  interface: 'wan0',
  type: 'map-e',
  service: 'v6plus',
  prefix: '240b:10:1234:5678::/64',
  encapsulation: 'auto',
};

describe('gateway/config: lines', () => {
  it('derives a line of a service', () => {
    const line = deriveLine(V6PLUS);
    assert.equal(line.externalAddress, '106.72.18.52');
    assert.equal(line.psid, 86);
    assert.equal(line.endUserPrefix, '240b:10:1234:5600::/56');
    assert.equal(line.ceAddress, '240b:10:1234:5600:6a:4812:3400:5600');
    assert.equal(line.brAddress, '2404:9200:225:100::64');
    assert.equal(line.iidFormat, 'draft-ietf-softwire-map-03');
    assert.equal(line.portRanges.length, 15);
    assert.deepEqual([line.ports.length, line.ports[0], line.ports[239]], [240, 5472, 62831]);
    assert.deepEqual(line.rule, {
      ipv6: '240b:10::/32',
      ipv4: '106.72.0.0/16',
      eaLength: 24,
      psidOffset: 4,
      br: '2404:9200:225:100::64',
    });
  });

  it('lets the configuration override relay and format', () => {
    const line = deriveLine({ ...V6PLUS, br: '2001:DB8::1', iidFormat: 'rfc7597' });
    assert.equal(line.brAddress, '2001:db8::1');
    assert.equal(line.ceAddress, '240b:10:1234:5600:0:6a48:1234:56');
  });

  it('derives a line of rules by hand: a prefix, a whole address, a PSID from outside', () => {
    const rule = { ipv6: '2001:db8::/40', ipv4: '192.0.2.0/24', psidOffset: 6, br: '2001:db8::1' };
    const { service: _, ...wan } = { ...V6PLUS, prefix: '2001:db8:12:3400::/56' };
    const prefix = deriveLine({ ...wan, rules: [{ ...rule, eaLength: 4 }] });
    assert.equal(prefix.assignedPrefix, '192.0.2.16/28');
    assert.equal(prefix.externalAddress, '192.0.2.16');
    assert.equal(prefix.psid, undefined);
    assert.deepEqual(prefix.portRanges, [[1, 65535]]);

    const whole = deriveLine({ ...wan, rules: [{ ...rule, eaLength: 8 }] });
    assert.deepEqual([whole.externalAddress, whole.ports.length], ['192.0.2.18', 65535]);
    assert.equal(whole.assignedPrefix, undefined);

    const explicit = { ...rule, eaLength: 8, psidLength: 8, psid: 52 };
    const shared = deriveLine({ ...wan, rules: [explicit] });
    assert.deepEqual([shared.psid, shared.ports.length], [52, 252]);
    assert.equal(shared.ceAddress, '2001:db8:12::c000:212:34');
  });

  it('derives a line with an address', () => {
    const [wan] = parseConfig(
      '[[lan]]\ninterfaces=["l"]\n[[wan]]\ninterface="w"\ntype="address"\naddress="198.51.100.1"\nports="10-12,20"',
      'x',
    ).wans;
    const line = deriveLine(wan);
    assert.deepEqual([...line.ports], [10, 11, 12, 20]);
    assert.equal(line.externalAddress, '198.51.100.1');
  });

  it('refuses a prefix that was not resolved, and one outside the rules', () => {
    assert.throws(() => deriveLine({ ...V6PLUS, prefix: 'auto' }), {
      code: 'CONFIG_PREFIX_UNRESOLVED',
      exitCode: 78,
    });
    assert.throws(() => deriveLine({ ...V6PLUS, prefix: '2001:db8::/56' }), {
      code: 'MAPE_NO_RULE',
    });
    assert.throws(() => deriveLine({ ...V6PLUS, service: 'x' }), { code: 'MAPE_UNKNOWN_SERVICE' });
  });
});

describe('gateway/config: prefix = "auto"', () => {
  const info = (local: string, more: object = {}) => ({
    family: 'inet6',
    local,
    prefixlen: 64,
    scope: 'global',
    ...more,
  });
  const addr = (...addresses: object[]) =>
    JSON.stringify([
      { ifname: 'lo', addr_info: [info('2001:db8:ffff::1')] },
      { ifname: 'wan0', addr_info: addresses },
    ]);

  it('takes the network of the global address', () => {
    const text = addr(
      { ...info('fe80::1'), scope: 'link' },
      info('fd00:1::1'),
      info('240b:10:1:1::9', { deprecated: true }),
      info('240b:10:2:2::9', { tentative: true }),
      info('240b:10:1234:5678:1:2:3:4', { dynamic: true }),
      info('240b:10:1234:5678:5:6:7:8', { temporary: true }),
    );
    assert.equal(resolvePrefix('wan0', text), '240b:10:1234:5678::/64');
    assert.equal(deriveLine({ ...V6PLUS, prefix: resolvePrefix('wan0', text) }).psid, 86);
  });

  it('prefers what lies inside the rules, and asks when that is not enough', () => {
    const text = addr(info('2001:db8:1::1'), info('240b:10:1234:5678::1'));
    assert.equal(resolvePrefix('wan0', text, ['240b:10::/32']), '240b:10:1234:5678::/64');
    assert.throws(() => resolvePrefix('wan0', text), {
      code: 'CONFIG_PREFIX_AMBIGUOUS',
      message: /2001:db8:1::\/64, 240b:10:1234:5678::\/64/,
    });
  });

  it('reads routes, also a delegated prefix that is unreachable', () => {
    const routes = JSON.stringify([
      { dst: 'default', gateway: 'fe80::1', dev: 'wan0' },
      { dst: 'fe80::/64', dev: 'wan0' },
      { dst: '2001:db8:9::/64', dev: 'lan0' },
      { type: 'unreachable', dst: '240b:10:1234:5600::/56', dev: 'lo' },
    ]);
    assert.equal(resolvePrefix('wan0', routes), '240b:10:1234:5600::/56');
  });

  it('says what is missing', () => {
    for (const text of ['[]', '', addr(), addr(info('fd00::1'))]) {
      assert.throws(() => resolvePrefix('wan0', text), {
        code: 'CONFIG_PREFIX_NOT_FOUND',
        exitCode: 1,
        message: /^prefix = "auto": wan0 has no global IPv6 prefix yet.*wait for/,
      });
    }
    const early = addr(
      { ...info('fe80::1'), scope: 'link' },
      info('fd00::1'),
      info('240b:10:1:1::9', { tentative: true }),
      info('240b:10:1:2::9', { deprecated: true }),
    );
    assert.throws(() => resolvePrefix('wan0', early), {
      message:
        /fe80::1 \(link-local\), fd00::1 \(unique local\), 240b:10:1:1::9 \(tentative.*9 \(deprecated\)/,
    });
    assert.throws(() => resolvePrefix('wan0', 'Device "wan0" does not exist.'), {
      code: 'CONFIG_PREFIX_UNREADABLE',
    });
  });

  it('says of a prefix outside the rules that "auto" read it, and may be tried again', () => {
    const auto = { ...V6PLUS, prefix: 'auto' };
    assert.equal(
      withReadPrefix(auto, addr(info('240b:10:1234:5678::1'))).prefix,
      '240b:10:1234:5678::/64',
    );
    assert.throws(() => withReadPrefix(auto, addr(info('2001:db8:1::1'))), {
      code: 'MAPE_NO_RULE',
      exitCode: 1,
      message: /^prefix = "auto" read 2001:db8:1::\/64 from wan0: .*240b:10::\/30.*wait for/,
    });
    const two = addr(info('2001:db8:1::1'), info('2001:db8:2::1'));
    assert.throws(() => withReadPrefix(auto, two), {
      code: 'CONFIG_PREFIX_FOREIGN',
      exitCode: 1,
      message: /^prefix = "auto": wan0 has .*2001:db8:1::\/64, 2001:db8:2::\/64/,
    });
    const choice = addr(info('240b:10:1234:5678::1'), info('240b:10:1234:5778::1'));
    assert.throws(() => withReadPrefix(auto, choice), {
      code: 'CONFIG_PREFIX_AMBIGUOUS',
      exitCode: 78,
    });
  });
});

describe('portfold check', () => {
  async function run(file: string, output: 'table' | 'json') {
    let out = '';
    let words = '';
    const code = await check(
      file,
      { output },
      (text) => {
        out += text;
      },
      (text) => {
        words += text;
      },
    );
    return { code, out, words };
  }

  it('tells what the v6 Plus example means', async () => {
    const { code, out, words } = await run(example('v6plus.toml'), 'table');
    assert.equal(code, 0);
    assert.equal(words, '');
    for (const row of [
      'line v6plus on wan0, map-e',
      '  address     106.72.18.52',
      '  ports       240 in 15 ranges: 5472-5487 9568-9583 13664-13679 … 62816-62831',
      '  CE address  240b:10:1234:5600:6a:4812:3400:5600',
      '  relay (BR)  2404:9200:225:100::64',
    ]) {
      assert(out.split('\n').includes(row), row);
    }
  });

  it('tells it as JSON', async () => {
    const { out } = await run(example('address.toml'), 'json');
    const report = JSON.parse(out);
    assert.equal(report.valid, true);
    assert.equal(report.lines[0].externalAddress, '198.51.100.1');
    assert.equal(report.lines[0].portCount, 61_439);
    assert.deepEqual(report.lines[0].portRanges, ['4096-65534']);
  });

  it('answers 78 with the problems on stderr, or all in JSON', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portfold-check-'));
    const file = join(folder, 'bad.toml');
    writeFileSync(file, '[[lan]]\ninterfaces = ["lan0"]\n');
    const table = await run(file, 'table');
    assert.deepEqual([table.code, table.out], [78, '']);
    assert(table.words.includes(`${file}:1:1: wan: is missing`));
    const json = await run(file, 'json');
    assert.deepEqual([json.code, json.words], [78, '']);
    assert.equal(JSON.parse(json.out).problems[0].key, 'wan');
    rmSync(folder, { recursive: true });
  });

  it('knows the examples with every commented key switched on', () => {
    for (const name of ['v6plus.toml', 'address.toml']) {
      const plain = readFileSync(example(name), 'utf8');
      const full = plain.replace(/^# (?=[a-z-]+ = )/gm, '');
      const keys = full.match(/^[a-z-]+ = /gm)!;
      assert(keys.length > plain.match(/^[a-z-]+ = /gm)!.length + 4);
      const config = parseConfig(full, name);
      const { lans, ...rest } = config;
      assert.equal(lans.length, 1);
      // Switched on, the defaults say what they say when they are left out.
      const { policy, gateway } = loadConfig(example(name));
      // What depends on the machine has no default in a file.
      assert.deepEqual([rest.policy, rest.gateway], [policy, { ...gateway, realtime: true }]);
    }
  });
});

describe('gateway/config: texts', () => {
  it('reads back every address that it wrote', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        assert.deepEqual(parseIpv6(formatIpv6(bytes)), bytes);
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: -0x80000000, max: 0x7fffffff }), (address) => {
        assert.equal(parseIpv4(formatIpv4(address)), address);
      }),
    );
  });

  it('writes IPv6 as RFC 5952 says', () => {
    for (const text of ['::', '::1', '2001:db8::1', '2001:db8:0:1:1:1:1:1', '2001:0:0:1::1']) {
      assert.equal(formatIpv6(parseIpv6(text)!), text);
    }
    assert.equal(formatIpv6(parseIpv6('2001:DB8:0:0:1:0:0:1')!), '2001:db8::1:0:0:1');
  });

  it('refuses what only looks like an address', () => {
    for (const text of [
      '1.2.3',
      '01.2.3.4',
      '1.2.3.256',
      '1.2.3.4 ',
      '',
      '1.2.3.4/24',
      'a.b.c.d',
    ]) {
      assert.equal(parseIpv4(text), undefined, text);
    }
    for (const text of ['', '1', '1.2.3.4', ':::', '2001:db8', 'fe80::1%eth0', '::/0', '1::2::3']) {
      assert.equal(parseIpv6(text), undefined, text);
    }
    for (const text of ['::/129', '::/-1', '::/', '::/ 8', '::/08', '::/8/8']) {
      assert.equal(parseIpv6Prefix(text), undefined, text);
    }
    assert.equal(parseIpv4Prefix('10.0.0.0/33'), undefined);
    assert.deepEqual(parseIpv4Prefix('10.0.0.1'), { address: 0x0a000001, length: 32 });
  });

  it('suggests what is near, and nothing else', () => {
    assert.equal(nearest('intefaces', ['name', 'interfaces']), 'interfaces');
    assert.equal(nearest('v6puls', ['v6plus', 'nuro']), 'v6plus');
    assert.equal(nearest('V6PLUS', ['v6plus']), 'v6plus');
    assert.equal(nearest('colour', ['tun', 'capacity']), undefined);
    assert.equal(nearest('ab', ['xy']), undefined);
  });
});
