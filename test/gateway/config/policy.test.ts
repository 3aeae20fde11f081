/** The policy tables: what they come to, who overrides whom, and what is said about mistakes. */
import assert from 'node:assert/strict';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import { ConfigError } from '../../../gateway/config/errors.ts';
import { loadConfig, parseConfig } from '../../../gateway/config/load.ts';
import { configWarnings } from '../../../gateway/config/warnings.ts';
import { changesBetween } from '../../../gateway/reload.ts';
import { check } from '../../../gateway/verbs/check.ts';
import { type PolicySettings, PRESETS } from '../../../policies/settings.ts';
import { UPSTREAM_MODELS } from '../../../policies/upstream-models.ts';

const WAN =
  '[[wan]]\ninterface = "wan0"\ntype = "address"\naddress = "198.51.100.1"\nports = "4096-8191"\n';
const LAN = '[[lan]]\ninterfaces = ["lan0"]\n';

const parse = (text: string) => parseConfig(text, 'portfold.toml');
/** Settings of a file with these lines in [policy]. */
const policy = (lines: string): PolicySettings => parse(`${LAN}${WAN}[policy]\n${lines}\n`).policy;

/** Problems of a file with these lines in [policy], which is its ninth line. */
function problems(lines: string, head = `${LAN}${WAN}\n[policy]\n`): string[] {
  try {
    parse(`${head}${lines}\n`);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems.map(
      ({ line, column, key, what, hint }) => `${line}:${column} ${key}: ${what} | ${hint}`,
    );
  }
  return [];
}

describe('[policy]', () => {
  it('is home where nothing is written, and each preset as it stands in policies/presets', () => {
    assert.deepEqual(parse(`${LAN}${WAN}`).policy, PRESETS.home);
    for (const preset of ['home', 'event', 'rfc', 'game'] as const)
      assert.deepEqual(policy(`preset = "${preset}"`), PRESETS[preset]);
  });

  it('changes single keys of a preset', () => {
    const settings = policy(`
      preset = "event"
      sharing = false
      filtering = "open"
      peers = ["stun", "other"]
      owned-percent = 50
      evict-unanswered = false
      unanswered-per-remote = 7
      limits = { sessions = 100, owned-ports = 3, new-per-second = 0 }
      reserve = { percent = 10, few-sessions = 5 }
      pressure = { levels = [10, 20, 30], evict = false }
      quic = "reject"
      quic-from = { level = 3, upstream = 75 }
      quic-except = { from = ["192.168.1.0/24"], to = ["192.0.2.7"] }
      udp = "drop"
      udp-except = { classes = ["dns"], to = ["0.0.0.0/0"] }
      private-destinations = "allow"
      private-except = ["192.168.100.1"]
      mail = "reject"
      mail-except = { from = ["192.168.1.25"] }`);
    const network = (address: string, mask: number) => ({ address: parseIpv4(address), mask });
    assert.deepEqual(settings, {
      ...PRESETS.event,
      sharing: false,
      filtering: 'open',
      peers: ['stun', 'other'],
      ownedPercent: 50,
      evictUnanswered: false,
      unansweredPerRemote: 7,
      limits: { sessions: 100, ownedPorts: 3, newPerSecond: 0, newAtOnce: 500 },
      reserve: { percent: 10, fewSessions: 5 },
      pressure: { levelsPercent: [10, 20, 30], evict: false },
      quic: {
        mode: 'reject',
        fromLevel: 3,
        fromUpstream256: 192,
        except: { from: [network('192.168.1.0', -256)], to: [network('192.0.2.7', -1)] },
      },
      udp: {
        mode: 'drop',
        except: { from: [], to: [network('0.0.0.0', 0)], classes: ['dns'] },
      },
      privateDestinations: 'allow',
      privateExcept: [network('192.168.100.1', -1)],
      mail: { mode: 'reject', except: { from: [network('192.168.1.25', -1)], to: [] } },
    });
  });

  it('one number for a timer holds without pressure, and pressure shortens it as the preset does', () => {
    const { timers } = policy('timers = { dns = 20, quic = 600, wireguard = 600, ntp = 1 }');
    assert.deepEqual(timers.dns, [20, 20, 10, 10]);
    assert.deepEqual(timers.quic, [600, 300, 150, 100]);
    assert.deepEqual(timers.wireguard, [600, 600, 600, 600]);
    assert.deepEqual(timers.ntp, [1, 1, 1, 1]);
    assert.deepEqual(timers.stun, PRESETS.home.timers.stun);
  });

  it('four numbers for a timer are for the four levels', () => {
    const { timers } = policy('timers.tcp-established = [9000, 8000, 8000, 7440]');
    assert.deepEqual(timers['tcp-established'], [9000, 8000, 8000, 7440]);
  });

  it('the NAT above: a model by name, or numbers, or none', () => {
    assert.deepEqual(policy('upstream = "rtx1200"').upstream, UPSTREAM_MODELS.rtx1200);
    assert.equal(UPSTREAM_MODELS.rtx1200.entries, 20_000);
    assert.deepEqual(policy('upstream = { entries = 8192 }').upstream, {
      entries: 8192,
      udpSeconds: 900,
      tcpSeconds: 900,
      icmpSeconds: 900,
    });
    assert.deepEqual(
      policy('upstream = { entries = 9000, timers = { udp = 30, tcp = 40, icmp = 50, dns = 5 } }')
        .upstream,
      { entries: 9000, udpSeconds: 30, tcpSeconds: 40, icmpSeconds: 50, dnsSeconds: 5 },
    );
    assert.equal(policy('').upstream, undefined);
    const above = `${LAN}${WAN}wan.policy.upstream = "none"\n`;
    assert.throws(() => parse(above), ConfigError);
    const none = parse(
      `policy.upstream = "rtx1200"\n${LAN}${WAN}[wan.policy]\nupstream = "none"\n`,
    );
    assert.equal(none.policy.upstream, undefined);
  });
});

describe('[wan.policy] and [lan.policy]', () => {
  it('change what stands above them: the line all of it, a LAN its own', () => {
    const { policy, lans } = parse(`
      policy = { quic = "reject", unanswered-per-remote = 9 }
      ${LAN}
      [lan.policy]
      udp = "reject"
      [[lan]]
      interfaces = ["lan1"]
      ${WAN}
      [wan.policy]
      quic = "allow"`);
    assert.equal(policy.quic.mode, 'allow');
    assert.equal(policy.unansweredPerRemote, 9);
    assert.deepEqual(lans[0].policy, { ...policy, udp: { ...policy.udp, mode: 'reject' } });
    assert.equal(lans[1].policy, undefined);
  });

  it('begin anew with a preset of their own, but for what concerns the whole line', () => {
    const { policy, lans } = parse(`
      [policy]
      quic = "reject"
      upstream = "rtx1200"
      ${LAN}
      policy.preset = "rfc"
      ${WAN}`);
    const { reserve, pressure, upstream } = policy;
    assert.deepEqual(lans[0].policy, { ...PRESETS.rfc, reserve, pressure, upstream });
  });

  it('are at most four that differ, that of the line among them', () => {
    const lan = (n: number) =>
      `[[lan]]\ninterfaces = ["lan${n}"]\npolicy.unanswered-per-remote = ${n}\n`;
    const four = `${WAN}${lan(11)}${lan(12)}${lan(13)}`;
    assert.equal(problems('', four).length, 0);
    assert.equal(problems('', `${four}${lan(13).replace('lan13', 'lan99')}`).length, 0);
    assert.deepEqual(problems('', `${four}${lan(14)}`), [
      '17:1 lan[3].policy: is another policy than the 4 before it | a gateway has up to 4 ' +
        'different policies, that of the line among them: let some LANs share one',
    ]);
  });

  it('of a LAN may not speak of what concerns the whole line', () => {
    const text = `[[lan]]\ninterfaces = ["lan0"]\n[lan.policy]\nupstream = "rtx1200"\n${WAN}`;
    assert.deepEqual(problems('', text), [
      '4:1 lan[0].policy.upstream: holds for the line as a whole, not for one LAN | ' +
        'write it into [policy] or [wan.policy]',
    ]);
  });
});

describe('mistakes in a policy', () => {
  for (const [lines, ...expected] of [
    [
      'preset = "evnt"',
      '10:10 policy.preset: "evnt" is unknown | did you mean "event"? possible: home, event, rfc, game',
    ],
    [
      'preset = "rfc"\nowned-percent = 0',
      '11:1 policy.owned-percent: lets no session begin while sharing is false: no port may be owned, and none shared | ' +
        'write owned-percent = 100, or sharing = true',
    ],
    [
      'quick = "reject"',
      '10:1 policy.quick: there is no such key | did you mean "quic"? known here: preset, sharing, filtering, peers, ' +
        'owned-percent, timers, evict-unanswered, unanswered-per-remote, limits, reserve, pressure, upstream, quic, ' +
        'quic-from, quic-except, udp, udp-except, private-destinations, private-except, mail, mail-except',
    ],
    [
      'timers = { tcp-establisht = 5 }',
      '10:12 policy.timers.tcp-establisht: there is no such key | did you mean "tcp-established"? known here: ' +
        'tcp-half-open, tcp-established, tcp-half-closed, tcp-closing, tcp-reset, icmp, unanswered, dns, ntp, quic, ' +
        'stun, dtls, sip, rtp, dht, utp, wireguard, ike, esp-in-udp, openvpn, other',
    ],
    [
      'timers.dns = 0',
      '10:14 policy.timers.dns: 0 is not possible | write seconds from 1 to 604800, or a list of four: for the ' +
        'pressure levels 0 to 3',
    ],
    [
      'timers.dns = [5, 4, 3]',
      '10:14 policy.timers.dns: 3 timers are not one for each pressure level | write seconds from 1 to 604800, or a ' +
        'list of four: for the pressure levels 0 to 3',
    ],
    [
      'timers.dns = [5, 4, 3, 4]',
      '10:14 policy.timers.dns: at level 3 the timer is longer than at level 2 | a timer stays or becomes shorter ' +
        'from level to level',
    ],
    [
      'timers.dns = "10 s"',
      '10:14 policy.timers.dns: "10 s" is not possible | write seconds from 1 to 604800, or a list of four: for the ' +
        'pressure levels 0 to 3',
    ],
    ['timers = 5', '10:10 policy.timers: expected a table, found the number 5 | '],
    [
      'quic = true',
      '10:8 policy.quic: expected a text, found true | write one of "allow", "reject", "drop", "pressure"',
    ],
    [
      'quic-except = { to = ["192.0.2.1/24"] }',
      '10:23 policy.quic-except.to[0]: "192.0.2.1/24" has bits set after /24 | write "192.0.2.0/24"',
    ],
    [
      'quic-except = { dst = ["192.0.2.0/24"] }',
      '10:17 policy.quic-except.dst: there is no such key | known here are: from, to',
    ],
    [
      'private-except = ["modem"]',
      '10:19 policy.private-except[0]: "modem" is not an IPv4 network | write it like "192.0.2.0/24"',
    ],
    [
      'udp-except = { classes = ["dnss"] }',
      '10:27 policy.udp-except.classes[0]: "dnss" is unknown | did you mean "dns"? possible: dns, ntp, quic, stun, ' +
        'dtls, sip, rtp, dht, utp, wireguard, ike, esp-in-udp, openvpn, other',
    ],
    [
      'pressure.levels = [60, 50, 90]',
      '10:19 policy.pressure.levels: the levels do not rise | write three percentages, each above the one before, for ' +
        'instance [60, 75, 90]',
    ],
    [
      'pressure.levels = [60, 90]',
      '10:19 policy.pressure.levels: [60,90] are not three levels | write three percentages, each above the one ' +
        'before, for instance [60, 75, 90]',
    ],
    [
      'pressure.evict = "never"',
      '10:18 policy.pressure.evict: expected true or false, found the text "never" | write true or false, without quotes',
    ],
    [
      'limits.sessions = -1',
      '10:19 policy.limits.sessions: -1 is not possible | use a whole number from 0 to 1048576',
    ],
    [
      'preset = "rfc"\nlimits = { new-per-second = 50 }',
      '11:1 policy.limits: new-per-second = 50 lets no session begin while new-at-once is 0 | add new-at-once, for ' +
        'instance ten times new-per-second',
    ],
    [
      'owned-percent = 101',
      '10:17 policy.owned-percent: 101 is not possible | use a whole number from 0 to 100',
    ],
    [
      'upstream = "rtx120"',
      '10:12 policy.upstream: there is no model "rtx120" | did you mean "rtx1200"? known models: rtx1100, nvr500, ' +
        'rtx810, rtx1200, rtx3000, rtx830, rtx1210, rtx3500, nvr510, rtx1300, ix2105, ix2106, ix2107, ix2215, ix2235, ' +
        'ix2310, ix3110, ix3315, none',
    ],
    [
      'upstream = { timers = { udp = 900 } }',
      '10:1 policy.upstream.entries: is missing | add how many entries its table holds, for instance entries = 20000',
    ],
    [
      'upstream = { entries = 20 }',
      '10:24 policy.upstream.entries: 20 is not possible | use a whole number from 256 to 1048576',
    ],
    [
      'upstream = 20000',
      '10:12 policy.upstream: 20000 is not a model and not a table | write a model, for instance "rtx1200", or ' +
        '{ entries = 20000 }',
    ],
  ])
    it(lines, () => assert.deepEqual(problems(lines), expected));

  it('are told all at once, with those of other tables', () => {
    const found = problems('quic = "no"\nudp = "no"\n[gateway]\ncapacity = 5');
    assert.deepEqual(
      found.map((each) => each.split(' ')[1]),
      ['policy.quic:', 'policy.udp:', 'gateway.capacity:'],
    );
  });
});

describe('a reload of policies', () => {
  const base = `[[lan]]\nname = "a"\ninterfaces = ["lan0"]\n${WAN}`;

  it('tells which tables differ, and refuses none of their keys', () => {
    const changes = (text: string) => changesBetween(parse(base), parse(text));
    assert.deepEqual(changes(`policy.timers.dns = 3\n${base}`), ['policy']);
    assert.deepEqual(changes(`${base}policy.upstream = "rtx1200"\n`), ['policy']);
    const own = base.replace('["lan0"]', '["lan0"]\npolicy.preset = "game"');
    assert.deepEqual(changes(own), ['lan.policy']);
    assert.deepEqual(changes(`policy.preset = "home"\n${base}`), []);
  });
});

describe('examples/event.toml', () => {
  it('is right, and says what it means', () => {
    const config = loadConfig(new URL('../../../examples/event.toml', import.meta.url).pathname);
    assert.equal(config.policy.preset, 'event');
    assert.deepEqual(config.policy.upstream, UPSTREAM_MODELS.rtx1200);
    assert.equal(config.lans[1].policy?.limits.sessions, 16_000);
    assert.deepEqual(configWarnings(config), []);
  });
});

describe('portfold check on policies', () => {
  it('names each requirement that is departed from, and each that is kept, with key, value and what is asked for', async () => {
    const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
    const { tmpdir } = await import('node:os');
    const { join } = await import('node:path');
    const folder = mkdtempSync(join(tmpdir(), 'portfold-check-'));
    const file = join(folder, 'portfold.toml');
    const run = async (text: string, output: 'table' | 'json'): Promise<string> => {
      writeFileSync(file, text);
      let said = '';
      const say = (part: string): void => {
        said += part;
      };
      assert.equal(await check(file, { output }, say), 0);
      return said;
    };
    try {
      const rfc = `policy.preset = "rfc"\n${LAN}${WAN}`;
      assert.match(
        await run(rfc, 'table'),
        /^policy of line wan0: rfc, which keeps every requirement$/m,
      );
      const twice = `${LAN}policy.quic = "allow"\n${WAN}`;
      assert.match(
        await run(twice, 'table'),
        /^policy of lan lan0: home; as to requirements the same as line wan0$/m,
      );
      assert.match(
        await run(`policy.upstream = "rtx1200"\n${LAN}${WAN}`, 'table'),
        /^ {2}NAT above +20000 entries; UDP 900 s, 10 s behind a DNS answer; TCP 900 s, 60 s when closed; ICMP 900 s$/m,
      );
      const short = `policy = { preset = "rfc", timers = { icmp = 20 } }\n${LAN}${WAN}`;
      assert.match(
        await run(short, 'table'),
        /rfc, which departs from\n {2}RFC 5508 REQ-2: 60 s at least\n {4}timers\.icmp +20 s\nand keeps\n {2}RFC 4787/,
      );
      const report = JSON.parse(await run(short, 'json'));
      const [{ keeps, ...policy }] = report.policies;
      assert.deepEqual(policy, {
        name: 'line wan0',
        preset: 'rfc',
        departures: [
          {
            requirement: 'RFC 5508 REQ-2',
            values: [{ key: 'timers.icmp', value: '20 s' }],
            wanted: '60 s at least',
          },
        ],
      });
      assert.deepEqual(keeps.at(-2), {
        requirement: 'RFC 7857 section 2.2',
        values: [{ key: 'timers.tcp-reset', value: '240 s' }],
        wanted: '240 s',
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
