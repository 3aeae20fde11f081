/** The relay's configuration: what it means, and for bad ones the exact words and places. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ConfigError } from '../../../gateway/config/errors.ts';
import { coreRulesOf, networkOf, parseRelayConfig } from '../../../gateway/relay/config.ts';

const TOP = 'address = "2001:db8:ffff::1"\ninterface = "wan0"\n';
const RULE = '[[rules]]\nipv6 = "2001:db8::/40"\nipv4 = "192.0.2.0/24"\nea-length = 16\n';

/** The problems of a text, each as "line:column key: what | hint". */
function problemsOf(source: string): string[] {
  try {
    parseRelayConfig(source, 'br.toml');
  } catch (error) {
    assert(error instanceof ConfigError);
    assert.equal(error.exitCode, 78);
    return error.problems.map(
      ({ line, column, key, what, hint }) => `${line}:${column} ${key}: ${what} | ${hint}`,
    );
  }
  return [];
}

const BAD: [string, string, string[]][] = [
  [
    'nothing at all',
    '',
    [
      '1:1 address: is missing | add the IPv6 address of the relay, for instance address = "2001:db8:ffff::1"',
      '1:1 interface: is missing | add the interface towards the CEs, for instance interface = "wan0"',
      '1:1 rules: is missing | add a table [[rules]] with ipv6, ipv4 and ea-length',
    ],
  ],
  [
    'an unknown key, and another mistake in a rule',
    `${TOP}iid-fromat = "rfc7597"\n${RULE.replace('16', '49')}`,
    [
      '3:1 iid-fromat: there is no such key | did you mean "iid-format"? known here: address, interface, tun, ipv4-address, mtu, iid-format, runtime-directory, log-level, rules',
      '7:13 rules[0].ea-length: 49 is not possible | use a whole number from 0 to 48',
    ],
  ],
  [
    'an IPv4 address as that of the relay',
    `address = "192.0.2.1"\ninterface = "wan0"\n${RULE}`,
    [
      '1:11 address: "192.0.2.1" is not an IPv6 address | write one address without a length, for instance "2404:9200:225:100::64"',
    ],
  ],
  [
    'a rule that cannot be one',
    `${TOP}${RULE}psid-offset = 12\n`,
    [
      '7:15 rules[0].psid-offset: PSID offset 12 and PSID length 8 make 20 bits, but a port has 16 | with this PSID length the offset is at most 8',
    ],
  ],
  [
    'all of IPv4',
    `${TOP}${RULE.replace('192.0.2.0/24', '0.0.0.0/0')}`,
    [
      '5:8 rules[0].ipv4: 0.0.0.0/0 is shorter than /8, and all of it would be routed to CEs | write the public IPv4 prefix of the CEs, for instance "192.0.2.0/24"',
    ],
  ],
  [
    'multicast',
    `${TOP}${RULE.replace('192.0.2.0/24', '233.0.0.0/24')}`,
    [
      '5:8 rules[0].ipv4: 233.0.0.0/24 cannot belong to CEs | write the public IPv4 prefix of the CEs, for instance "192.0.2.0/24"',
    ],
  ],
  [
    'one IPv4 prefix twice',
    `${TOP}${RULE}${RULE.replace('192.0.2.0', '192.0.2.9').replace('db8::', 'db8:8000::')}`,
    [
      '9:8 rules[1].ipv4: rules[0] is for 192.0.2.0/24 already | an IPv4 prefix belongs to one rule; divide it into longer ones',
    ],
  ],
  [
    'one name for two interfaces',
    `${TOP}tun = "wan0"\n${RULE}`,
    [
      '3:7 tun: "wan0" is the interface towards the CEs already | give the TUN device a name of its own',
    ],
  ],
  [
    'what only a CE has',
    `${TOP}${RULE}psid = 3\nbr = "2001:db8::1"\n`,
    [
      '7:1 rules[0].psid: there is no such key | did you mean "psid-offset"? known here: ipv6, ipv4, ea-length, psid-offset, psid-length',
      '8:1 rules[0].br: there is no such key | known here are: ipv6, ipv4, ea-length, psid-offset, psid-length',
    ],
  ],
];

describe('configuration of a relay', () => {
  it('fills in what is left out', () => {
    assert.deepEqual(parseRelayConfig(TOP.replace('ffff::1', 'FFFF:0::1') + RULE, 'br.toml'), {
      address: '2001:db8:ffff::1',
      interface: 'wan0',
      tun: 'portfold-br0',
      iidFormat: 'rfc7597',
      runtimeDirectory: '/run/portfold-br',
      logLevel: 'info',
      rules: [{ ipv6: '2001:db8::/40', ipv4: '192.0.2.0/24', eaLength: 16, psidOffset: 6 }],
    });
  });

  it('takes nested prefixes, and routes whole ones', () => {
    const inner = RULE.replace('192.0.2.0/24', '192.0.2.130/25').replace('16', '8');
    const config = parseRelayConfig(TOP + RULE + inner, 'br.toml');
    assert.deepEqual(config.rules.map(networkOf), ['192.0.2.0/24', '192.0.2.128/25']);
    assert.equal(coreRulesOf(config)[1].ipv4Length, 25);
  });

  it('the example is one, also with every commented key switched on', () => {
    const file = new URL('../../../examples/br.toml', import.meta.url);
    const text = readFileSync(file, 'utf8');
    assert.deepEqual(problemsOf(text), []);
    const all = text.replace(/^# ([a-z0-9-]+ = )/gm, '$1');
    assert.notEqual(all, text);
    assert.deepEqual(problemsOf(all), []);
    const config = parseRelayConfig(all, 'br.toml');
    assert.deepEqual([config.mtu, config.ipv4Address], [1460, '198.51.100.1']);
    assert.equal(config.rules[0].psidLength, 8);
  });

  for (const [name, source, problems] of BAD)
    it(`${name}: is told with place and remedy`, () =>
      assert.deepEqual(problemsOf(source), problems));
});
