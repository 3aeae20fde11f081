/** Configuration files: what they mean, and for bad ones the exact words and places. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ConfigError } from '../../../gateway/config/errors.ts';
import { loadConfig, parseConfig } from '../../../gateway/config/load.ts';
import { configWarnings } from '../../../gateway/config/warnings.ts';
import { check } from '../../../gateway/verbs/check.ts';
import { PRESETS } from '../../../policies/settings.ts';

const LAN = '[[lan]]\ninterfaces = ["lan0"]\n';
const MAP_E = 'interface = "wan0"\ntype = "map-e"\n';
const V6PLUS = `[[wan]]\n${MAP_E}service = "v6plus"\nprefix = "240b:10:1234:5600::/56"\n`;
const ADDRESS = '[[wan]]\ninterface = "wan0"\ntype = "address"\n';
const RULE = 'ipv6 = "2001:db8::/40", ipv4 = "192.0.2.0/24", ea-length = 16';

const withGateway = (line: string) => `${LAN}${V6PLUS}[gateway]\n${line}\n`;
const withAddress = (line: string) => `${LAN}${ADDRESS}${line}\n`;
const withRules = (rules: string) =>
  `${LAN}[[wan]]\n${MAP_E}prefix = "2001:db8:12:3400::/56"\nrules = [{ ${rules} }]\n`;

/** The problems of a text, each as "line:column key: what | hint". */
function problemsOf(source: string): string[] {
  try {
    parseConfig(source, 'test.toml');
  } catch (error) {
    assert(error instanceof ConfigError);
    assert.equal(error.exitCode, 78);
    for (const { line, column } of error.problems) {
      assert(error.message.includes(`test.toml:${line}:${column}: `));
    }
    return error.problems.map(
      ({ line, column, key, what, hint }) => `${line}:${column} ${key}: ${what} | ${hint}`,
    );
  }
  return [];
}

const SERVICES = 'v6plus, biglobe-ipv6option, ocn-virtualconnect, ocn-fixed-ip, nuro';
const PORTS_EXAMPLE =
  'write for instance ports = "4096-65534", or ports = ["4096-8191", "10000-10999"]';

const BAD: [string, string, string[]][] = [
  [
    'nothing at all',
    '',
    [
      '1:1 lan: is missing | add a table [[lan]] with interfaces = ["lan0"]',
      '1:1 wan: is missing | add a table [[wan]] with interface = "wan0" and type = "map-e" or "address"',
    ],
  ],
  [
    'a key with a typing error',
    withGateway('capasity = 1024'),
    [
      '9:1 gateway.capasity: there is no such key | ' +
        'did you mean "capacity"? known here: capacity, tun, runtime-directory, log-level, realtime',
    ],
  ],
  [
    'a table that nobody knows',
    `${LAN}${V6PLUS}[dns]\n`,
    ['8:1 dns: there is no such key | known here are: lan, wan, policy, gateway'],
  ],
  [
    'a table written as a list, and a list as a value',
    `lan = "lan0"\n${V6PLUS}`,
    [
      '1:7 lan: expected a list, found the text "lan0" | ' +
        'add a table [[lan]] with interfaces = ["lan0"]',
    ],
  ],
  [
    'one interface without brackets',
    `[[lan]]\ninterfaces = "lan0"\n${V6PLUS}`,
    [
      '2:14 lan[0].interfaces: expected a list, found the text "lan0" | ' +
        'add for instance interfaces = ["lan0"]',
    ],
  ],
  [
    'no interface',
    `[[lan]]\ninterfaces = []\n${V6PLUS}`,
    ['2:14 lan[0].interfaces: is empty | add for instance interfaces = ["lan0"]'],
  ],
  [
    'an interface name of 16 characters',
    `[[lan]]\ninterfaces = ["lan0", "abcdefghijklmnop"]\n${V6PLUS}`,
    [
      '2:23 lan[0].interfaces[1]: "abcdefghijklmnop" is longer than 15 characters | ' +
        'use the name that `ip link` shows, 1 to 15 characters',
    ],
  ],
  [
    'an interface name that cannot be',
    `[[lan]]\ninterfaces = ["a b"]\n${V6PLUS}`,
    [
      '2:15 lan[0].interfaces[0]: "a b" cannot be the name of an interface | ' +
        'use the name that `ip link` shows, 1 to 15 characters',
    ],
  ],
  [
    'an interface that is LAN and line',
    `[[lan]]\ninterfaces = ["wan0"]\n${V6PLUS}`,
    [
      '4:13 wan[0].interface: "wan0" is named by lan[0] already | ' +
        'an interface belongs to one LAN or to the line',
    ],
  ],
  [
    'two LANs of one name',
    `[[lan]]\nname = "a"\ninterfaces = ["lan0"]\n[[lan]]\nname = "a"\ninterfaces = ["lan1"]\n${V6PLUS}`,
    ['5:8 lan[1].name: another [[lan]] is called "a" already | give each its own name'],
  ],
  [
    'networks that no LAN host can be in',
    `[[lan]]\ninterfaces = ["lan0"]\nnetworks = ["0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/24", "0.1.0.0/16", "255.255.255.255", "128.0.0.0/1"]\n${V6PLUS}`,
    [
      '3:13 lan[0].networks[0]: "0.0.0.0/0" is every address, and a LAN holds only its own | write the networks of the LAN, for instance "192.168.1.0/24"',
      '3:26 lan[0].networks[1]: "127.0.0.0/8" holds addresses of loopback (127.0.0.0/8), which no LAN host has | write it like "192.168.1.0/24"',
      '3:41 lan[0].networks[2]: "224.0.0.0/24" holds addresses of multicast (224.0.0.0/4), which no LAN host has | write it like "192.168.1.0/24"',
      '3:57 lan[0].networks[3]: "0.1.0.0/16" holds addresses of this host and its network (0.0.0.0/8), which no LAN host has | write it like "192.168.1.0/24"',
      '3:71 lan[0].networks[4]: "255.255.255.255" holds addresses of reserved and broadcast (240.0.0.0/4), which no LAN host has | write it like "192.168.1.0/24"',
      '3:90 lan[0].networks[5]: "128.0.0.0/1" holds addresses of multicast (224.0.0.0/4), which no LAN host has | write it like "192.168.1.0/24"',
    ],
  ],
  [
    'networks that hold the address of the line, given or derived',
    `[[lan]]\ninterfaces = ["lan0"]\nnetworks = ["198.51.100.0/24", "192.168.1.0/24"]\n${ADDRESS}address = "198.51.100.1"\nports = "4096-65534"\n`,
    [
      '3:13 lan[0].networks[0]: "198.51.100.0/24" holds 198.51.100.1, the external address of the line | leave the external address out: no LAN host has it',
    ],
  ],
  [
    'a network that holds the address which the prefix gives',
    `[[lan]]\ninterfaces = ["lan0"]\nnetworks = ["106.72.0.0/16"]\n${V6PLUS}`,
    [
      '3:13 lan[0].networks[0]: "106.72.0.0/16" holds 106.72.18.52, the external address of the line | leave the external address out: no LAN host has it',
    ],
  ],
  [
    'networks of two LANs that overlap',
    `[[lan]]\ninterfaces = ["lan0"]\nnetworks = ["10.0.0.0/8", "10.1.0.0/16"]\n[[lan]]\ninterfaces = ["lan1"]\nnetworks = ["192.168.1.0/24", "10.2.0.0/16"]\n${V6PLUS}`,
    [
      '6:31 lan[1].networks[1]: "10.2.0.0/16" overlaps "10.0.0.0/8" of lan[0] | an internal address belongs to one LAN: give each its own networks',
    ],
  ],
  [
    'networks that are none',
    `[[lan]]\ninterfaces = ["lan0"]\nnetworks = ["192.168.1.1/24", "10.0.0.0/33", "fd00::/8"]\n${V6PLUS}`,
    [
      '3:13 lan[0].networks[0]: "192.168.1.1/24" has bits set after /24 | write "192.168.1.0/24"',
      '3:31 lan[0].networks[1]: "10.0.0.0/33" is not an IPv4 network | write it like "192.168.1.0/24"',
      '3:46 lan[0].networks[2]: "fd00::/8" is not an IPv4 network | write it like "192.168.1.0/24"',
    ],
  ],
  [
    'an unknown service',
    `${LAN}[[wan]]\n${MAP_E}service = "v6-plus"\nprefix = "auto"\n`,
    [
      '6:11 wan[0].service: there is no service "v6-plus" | ' +
        `did you mean "v6plus"? known services: ${SERVICES}`,
    ],
  ],
  [
    'neither service nor rules',
    `${LAN}[[wan]]\n${MAP_E}prefix = "auto"\n`,
    [
      '3:1 wan[0]: neither service nor rules are given | ' +
        `add service = "v6plus" (known: ${SERVICES}), or rules = [ … ]`,
    ],
  ],
  [
    'service and rules',
    `${LAN}${V6PLUS}rules = [{ ${RULE}, br = "2001:db8:ffff::1" }]\n`,
    [
      '6:1 wan[0].service: service and rules are both given | ' +
        'keep the service, or the rules by hand',
    ],
  ],
  [
    'a prefix outside the rules',
    `${LAN}[[wan]]\n${MAP_E}service = "v6plus"\nprefix = "2001:db8::/56"\n`,
    [
      '7:10 wan[0].prefix: 2001:db8::/56 is outside every rule of v6plus | ' +
        'the rules of v6plus lie in 240b:10::/30, 240b:250::/30',
    ],
  ],
  [
    'a prefix that is too short',
    `${LAN}[[wan]]\n${MAP_E}service = "v6plus"\nprefix = "240b:10::/48"\n`,
    [
      '7:10 wan[0].prefix: 240b:10::/48 is too short: the rule 240b:10::/32 with 24 EA bits ' +
        'needs a prefix of /56 | give the prefix that the line received, /56 or longer',
    ],
  ],
  [
    'a prefix that is none',
    `${LAN}[[wan]]\n${MAP_E}service = "v6plus"\nprefix = "240b:10"\n`,
    [
      '7:10 wan[0].prefix: "240b:10" is not an IPv6 prefix | ' +
        'write it like "240b:10:1234:5600::/56", or "auto" to read it from the interface',
    ],
  ],
  [
    'a prefix outside the rules beside another mistake',
    `${LAN}[[wan]]\n${MAP_E}service = "v6plus"\nprefix = "2001:db8::/56"\nmtu = 100\n`,
    [
      '7:10 wan[0].prefix: 2001:db8::/56 is outside every rule of v6plus | ' +
        'the rules of v6plus lie in 240b:10::/30, 240b:250::/30',
      '8:7 wan[0].mtu: 100 is not possible | use a whole number from 576 to 65535',
    ],
  ],
  [
    'a type with a typing error',
    `${LAN}[[wan]]\ninterface = "wan0"\ntype = "mape"\n`,
    ['5:8 wan[0].type: "mape" is unknown | did you mean "map-e"? possible: map-e, address'],
  ],
  [
    'no type',
    `${LAN}[[wan]]\ninterface = "wan0"\n`,
    ['3:1 wan[0].type: is missing | add type = "map-e" or type = "address"'],
  ],
  [
    'two lines of one name',
    `${LAN}${V6PLUS}${V6PLUS}`,
    [
      '8:1 wan[1]: one line runs at a time, and this is another [[wan]] | ' +
        'keep one [[wan]] and remove the others',
    ],
  ],
  [
    'no ports',
    withAddress('address = "198.51.100.1"'),
    [
      '3:1 wan[0].ports: is missing | ' +
        'add the external ports that may be used, for instance ports = "4096-65534"',
    ],
  ],
  [
    'a range that ends before it begins',
    withAddress('address = "198.51.100.1"\nports = "8191-4096"'),
    ['7:9 wan[0].ports: "8191-4096" ends before it begins | did you mean "4096-8191"?'],
  ],
  [
    'a port above 65535',
    withAddress('address = "198.51.100.1"\nports = ["1024-2047", "60000-65536"]'),
    [`7:9 wan[0].ports: "60000-65536" leaves the ports 1 to 65535 | ${PORTS_EXAMPLE}`],
  ],
  [
    'port 0',
    withAddress('address = "198.51.100.1"\nports = 0'),
    [`7:9 wan[0].ports: "0" leaves the ports 1 to 65535 | ${PORTS_EXAMPLE}`],
  ],
  [
    'ports that are words',
    withAddress('address = "198.51.100.1"\nports = "all"'),
    [`7:9 wan[0].ports: "all" is not a port or a range of ports | ${PORTS_EXAMPLE}`],
  ],
  [
    'an empty port set',
    withAddress('address = "198.51.100.1"\nports = []'),
    [`7:9 wan[0].ports: the port set is empty | ${PORTS_EXAMPLE}`],
  ],
  [
    'ranges that share ports',
    withAddress('address = "198.51.100.1"\nports = "2000-3000, 1000-2000"'),
    ['7:9 wan[0].ports: 1000-2000 and 2000-3000 share ports | name every port once'],
  ],
  [
    'an address that no line can have',
    withAddress('address = "127.0.0.1"\nports = "4096-65534"'),
    [
      '6:11 wan[0].address: 127.0.0.1 cannot be the address of a line | ' +
        'write the one address of the line, for instance "198.51.100.1"',
    ],
  ],
  [
    'a capacity between powers of two',
    withGateway('capacity = 200000'),
    [
      '9:12 gateway.capacity: 200000 sessions are not possible | ' +
        'use a power of two from 1024 to 1048576, for instance 262144',
    ],
  ],
  [
    'a capacity that is too large',
    withGateway('capacity = 4194304'),
    [
      '9:12 gateway.capacity: 4194304 sessions are not possible | ' +
        'use a power of two from 1024 to 1048576, for instance 1048576',
    ],
  ],
  [
    'a number in quotes',
    withGateway('capacity = "1024"'),
    [
      '9:12 gateway.capacity: expected a number, found the text "1024" | ' +
        'write a number without quotes',
    ],
  ],
  [
    'a relative directory',
    withGateway('runtime-directory = "run"'),
    [
      '9:21 gateway.runtime-directory: "run" is not an absolute path | ' +
        'write it like "/run/portfold"',
    ],
  ],
  [
    'a log level',
    `${LAN}${V6PLUS}[gateway]\nlog-level = "warning"\n`,
    [
      '9:13 gateway.log-level: "warning" is unknown | ' +
        'did you mean "warn"? possible: debug, info, warn, error',
    ],
  ],
  [
    'a preset',
    `policy.preset = "house"\n${LAN}${V6PLUS}`,
    [
      '1:17 policy.preset: "house" is unknown | did you mean "home"? possible: home, event, rfc, game',
    ],
  ],
  [
    'a rule whose PSID length contradicts its EA length',
    withRules(`${RULE}, psid-length = 7, br = "2001:db8:ffff::1"`),
    [
      '7:89 wan[0].rules[0].psid-length: PSID length 7 contradicts EA length 16 - 8 bits of ' +
        'IPv4 suffix = 8 | leave the PSID length out, or use 8',
    ],
  ],
  [
    'a rule whose PSID does not fit into a port',
    withRules(`${RULE}, psid-offset = 9, br = "2001:db8:ffff::1"`),
    [
      '7:89 wan[0].rules[0].psid-offset: PSID offset 9 and PSID length 8 make 17 bits, but a ' +
        'port has 16 | with this PSID length the offset is at most 8',
    ],
  ],
  [
    'a rule without relay',
    withRules(RULE),
    [
      '7:10 wan[0].rules[0].br: is missing | add the address of the border relay, ' +
        'br = "2001:db8:ffff::1", here or to the line',
    ],
  ],
  [
    'a rule without EA length',
    withRules('ipv6 = "2001:db8::/40", ipv4 = "192.0.2.0/24", br = "2001:db8:ffff::1"'),
    ['7:10 wan[0].rules[0].ea-length: is missing | add for instance ea-length = 16'],
  ],
  [
    'a syntax error',
    `${LAN}${V6PLUS}mtu = \n`,
    [
      '8:7 : invalid value | the file is not TOML from here on; ' +
        'texts, addresses and prefixes stand in quotes',
    ],
  ],
];

describe('gateway/config: bad files', () => {
  for (const [what, source, problems] of BAD) {
    it(what, () => assert.deepEqual(problemsOf(source), problems));
  }

  it('tells all problems at once, in the order of the file', () => {
    const source = `[[lan]]\nintefaces = ["lan0"]\n[[wan]]\ninterface = ""\ntype = "address"\naddress = "x"\nports = ""\n[gateway]\ntun = "a/b"\n`;
    const lines = problemsOf(source).map((problem) => problem.split(' ').slice(0, 2).join(' '));
    assert.deepEqual(lines, [
      '1:1 lan[0].interfaces:',
      '2:1 lan[0].intefaces:',
      '4:13 wan[0].interface:',
      '6:11 wan[0].address:',
      '7:9 wan[0].ports:',
      '9:7 gateway.tun:',
    ]);
  });

  it('shows the line with a caret below, also behind tabs', () => {
    const source = `${LAN}${V6PLUS}[gateway]\n\tcapacity =\t3\n`;
    assert.throws(
      () => parseConfig(source, '/etc/portfold/portfold.toml'),
      (error: Error) => {
        assert.equal(
          error.message,
          '/etc/portfold/portfold.toml has 1 problem\n\n' +
            '/etc/portfold/portfold.toml:9:13: gateway.capacity: 3 sessions are not possible\n' +
            '    9 | \tcapacity =\t3\n' +
            '      | \t          \t^\n' +
            '  use a power of two from 1024 to 1048576, for instance 1024',
        );
        return true;
      },
    );
  });

  it('never throws anything but a ConfigError', () => {
    const lines = ['v6plus', 'event']
      .map((name) => new URL(`../../../examples/${name}.toml`, import.meta.url))
      .flatMap((file) => readFileSync(file, 'utf8').split('\n'))
      .filter((line) => line !== '' && !line.startsWith('#'));
    const junk = fc.constantFrom(
      '[[lan]]',
      '[wan]',
      'a = [1, {b = 2}]',
      'type = 3',
      'wan = 1',
      '[',
    );
    const line = fc.oneof(fc.constantFrom(...lines), junk, fc.string({ maxLength: 12 }));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 14 }), (parts) => {
        try {
          parseConfig(parts.join('\n'), 'x.toml');
        } catch (error) {
          assert(error instanceof ConfigError, String(error));
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('gateway/config: files that cannot be read', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portfold-config-'));
  after(() => rmSync(folder, { recursive: true }));

  const refused = (path: string, words: RegExp): void =>
    assert.throws(
      () => loadConfig(path),
      (error: unknown) => {
        assert(error instanceof ConfigError);
        assert.equal(error.exitCode, 78);
        assert.equal(error.code, 'CONFIG_UNREADABLE');
        assert.match(error.message, words);
        return true;
      },
    );
  const written = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };

  it('says that a file is missing', () => {
    refused(join(folder, 'none.toml'), /none\.toml does not exist; name it with -c FILE$/);
  });

  it('does not speak of -c to those who have none', async () => {
    const words: string[] = [];
    const file = join(folder, 'none.toml');
    const warn = (text: string): void => void words.push(text);
    assert.equal(await check(file, { output: 'table' }, () => {}, warn), 78);
    assert.deepEqual(words, [`${file} does not exist; name it with \`portfold check FILE\`\n`]);
  });

  it('says that it is a directory', () => {
    mkdirSync(join(folder, 'sub'));
    refused(join(folder, 'sub'), /sub is a directory; name the file in it$/);
  });

  it('refuses a device', () => refused('/dev/zero', /^\/dev\/zero is not a file; name a TOML/));

  it('refuses binary junk', () => {
    refused(written('junk', Uint8Array.of(127, 69, 76, 70, 0, 1)), /junk is not a text file/);
  });

  it('names the line that is not UTF-8', () => {
    const bytes = Uint8Array.from(Buffer.from('# fine\nname = "\xe9"\n', 'latin1'));
    refused(written('latin1', bytes), /latin1:2:1 is not UTF-8; save the file/);
  });

  it('refuses what is far too large', () => {
    refused(written('large', new Uint8Array((1 << 20) + 1).fill(35)), /large has 1048577 bytes/);
  });

  it('reads a file that begins with a byte order mark', () => {
    const path = written('bom', Buffer.from(`\ufeff${LAN}${V6PLUS}`));
    assert.equal(loadConfig(path).wans[0].name, 'wan0');
  });

  it('reads from a pipe', () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const code = `import { openSync, writeSync } from 'node:fs';
      writeSync(openSync(process.argv[1], 'w'), process.argv[2]);`;
    const options = ['--input-type=module', '-e', code, fifo, `${LAN}${V6PLUS}`];
    spawn(process.execPath, options, { stdio: 'ignore' });
    assert.equal(loadConfig(fifo).lans[0].name, 'lan0');
  });
});

describe('gateway/config: good files', () => {
  it('fills in the defaults', () => {
    assert.deepEqual(parseConfig(`${LAN}${V6PLUS}`, 'x'), {
      lans: [{ name: 'lan0', interfaces: ['lan0'] }],
      wans: [
        {
          name: 'wan0',
          interface: 'wan0',
          type: 'map-e',
          service: 'v6plus',
          prefix: '240b:10:1234:5600::/56',
          encapsulation: 'auto',
        },
      ],
      policy: PRESETS.home,
      gateway: {
        capacity: 262_144,
        tun: 'portfold0',
        runtimeDirectory: '/run/portfold',
        logLevel: 'info',
      },
    });
  });

  it('takes every key', () => {
    const source =
      `[[lan]]\nname = "l"\ninterfaces = ["a", "b"]\nnetworks = ["10.0.0.0/8"]\n[[wan]]\nname = "w"\n` +
      `${MAP_E}mtu = 1400\nprefix = "auto"\niid-format = "rfc7597"\nbr = "2001:db8::1"\n` +
      `encapsulation = "seg6"\n[[wan.rules]]\nipv6 = "2001:db8::/40"\nipv4 = "192.0.2.0/24"\n` +
      'ea-length = 8\npsid-offset = 4\npsid-length = 8\npsid = 52\n[policy]\npreset = "rfc"\n' +
      '[gateway]\ncapacity = 1024\ntun = "t0"\nruntime-directory = "/run/x"\nlog-level = "debug"\nrealtime = false\n';
    assert.deepEqual(parseConfig(source, 'x'), {
      lans: [{ name: 'l', interfaces: ['a', 'b'], networks: ['10.0.0.0/8'] }],
      wans: [
        {
          name: 'w',
          interface: 'wan0',
          type: 'map-e',
          mtu: 1400,
          rules: [
            {
              ipv6: '2001:db8::/40',
              ipv4: '192.0.2.0/24',
              eaLength: 8,
              psidOffset: 4,
              psidLength: 8,
              psid: 52,
              br: '2001:db8::1',
            },
          ],
          prefix: 'auto',
          iidFormat: 'rfc7597',
          br: '2001:db8::1',
          encapsulation: 'seg6',
        },
      ],
      policy: PRESETS.rfc,
      gateway: {
        capacity: 1024,
        tun: 't0',
        runtimeDirectory: '/run/x',
        logLevel: 'debug',
        realtime: false,
      },
    });
  });

  it('sorts and joins port ranges', () => {
    const source = withAddress(
      'address = "198.51.100.1"\nports = ["5000-5999, 4096", 7000, "6000-6999"]',
    );
    const [wan] = parseConfig(source, 'x').wans;
    assert(wan.type === 'address');
    assert.deepEqual(wan.ports, [
      [4096, 4096],
      [5000, 7000],
    ]);
  });

  it('warns where the data or the address is doubtful, and only there', () => {
    const warningsOf = (wan: string) => configWarnings(parseConfig(`${LAN}[[wan]]\n${wan}`, 'x'));
    const mapE = (service: string, prefix: string) =>
      warningsOf(`${MAP_E}service = "${service}"\nprefix = "${prefix}"\n`);
    assert.deepEqual(mapE('v6plus', '240b:10:1234:5600::/56'), []);
    assert.match(mapE('nuro', 'auto')[0], /^wan0: the built-in data of nuro is of low confidence/);
    assert.match(mapE('nuro', '240d:f:a900:6500::/56')[1], /has one source only; compare 219\.105/);
    const address = (text: string) =>
      warningsOf(`interface = "wan0"\ntype = "address"\naddress = "${text}"\nports = "4096-65534"`);
    assert.deepEqual(address('198.51.100.1'), []);
    for (const text of ['10.1.2.3', '172.31.0.1', '192.168.0.2', '100.64.0.1', '169.254.1.1']) {
      assert.match(address(text)[0], /is a private address/, text);
    }
    for (const text of ['11.0.0.1', '172.32.0.1', '192.169.0.2', '100.128.0.1', '169.253.1.1']) {
      assert.deepEqual(address(text), [], text);
    }
  });
});
