/** `portfold mape` run with every vector, as a user would type it. */
import assert from 'node:assert/strict';
import { parseIpv6 } from '../../../gateway/config/addresses.ts';
import { type MapeOptions, type MapeReport, mape } from '../../../gateway/verbs/mape.ts';
import {
  assertRanges,
  ofClass,
  type Vector,
  type VectorRule,
  vector,
  vectors,
} from '../../core/mape/vectors.ts';

type Options = Omit<MapeOptions, 'output'>;

/** Runs the verb for JSON and reads what it printed. */
async function run(options: Options): Promise<MapeReport> {
  let text = '';
  const code = await mape({ ...options, output: 'json' }, (part) => {
    text += part;
  });
  assert.equal(code, 0);
  return JSON.parse(text);
}

async function table(options: Options): Promise<{ out: string; words: string }> {
  let out = '';
  let words = '';
  const add = (part: string) => {
    out += part;
  };
  const warn = (part: string) => {
    words += part;
  };
  assert.equal(await mape({ ...options, output: 'table' }, add, warn), 0);
  return { out, words };
}

/** Runs the verb and expects an error for people. */
async function refused(options: Options, exitCode: number, words: RegExp): Promise<void> {
  await assert.rejects(
    () => run(options),
    (error: Error & { exitCode?: number; code?: string }) => {
      assert.match(error.message, words);
      assert.equal(error.exitCode, exitCode, error.message);
      assert.equal(typeof error.code, 'string');
      return true;
    },
  );
}

function ruleText(rule: VectorRule): string {
  const fields: [string, unknown][] = [
    ['ipv6', rule.ipv6],
    ['ipv4', rule.ipv4],
    ['ea', rule.ea_length],
    ['offset', rule.psid_offset],
    ['psid-length', rule.psid_length],
  ];
  return fields
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${value}`)
    .join(',');
}

/** The options that ask for what a vector holds. */
function optionsOf(v: Vector): Options {
  // A rule without a PSID length follows the vector's own PSID of 8 bits.
  const rules = v.rules?.map((rule) => ruleText({ psid_offset: 4, ...rule }));
  const prefix = v.input_prefix ?? v.input_address ?? v.end_user_prefix;
  const known = ['v6plus', 'biglobe-ipv6option', 'ocn-virtualconnect', 'nuro'].includes(v.service);
  return {
    ...(known ? { service: v.service } : { rule: rules ?? [ruleText(v.rule!)] }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(v.iid_format && !known ? { iidFormat: v.iid_format } : {}),
    ...(v.br && !known ? { br: v.br } : {}),
    ...(v.rule?.psid_from_dhcp === undefined ? {} : { psid: String(v.rule.psid_from_dhcp) }),
    ...(v.packet ? { packet: packetText(v.packet) } : {}),
  };
}

const packetText = ({ ipv4_src, sport, ipv4_dst, dport }: NonNullable<Vector['packet']>): string =>
  (ipv4_src === undefined ? '' : `${ipv4_src}:${sport}>`) +
  (dport === undefined ? ipv4_dst : `${ipv4_dst}:${dport}`);

const sameIpv6 = (actual: string | null | undefined, expected: string): void =>
  assert.deepEqual(parseIpv6(actual ?? ''), parseIpv6(expected), `${actual} is not ${expected}`);

function checkLine(v: Vector, { line }: MapeReport): void {
  assert(line);
  assert.equal(line.address, v.ipv4);
  assert.equal(line.psid, v.psid);
  if (v.input_prefix) assert.equal(line.endUserPrefix, v.end_user_prefix);
  if (v.ce_ipv6) sameIpv6(line.ceAddress, v.ce_ipv6);
  if (v.iid) {
    assert.deepEqual(parseIpv6(line.ceAddress)!.slice(8), parseIpv6(v.iid)!.slice(8));
  }
  if (v.br) sameIpv6(line.brAddress, v.br);
  if (v.port_ranges) assertRanges(line.portRanges, v.port_ranges);
  if (v.port_count) assert.equal(line.portCount, v.port_count);
  if (v.first_port_range) assert.equal(line.portRanges[0], v.first_port_range);
  if (v.last_port_range) assert.equal(line.portRanges.at(-1), v.last_port_range);
}

function checkPacket(v: Vector, { packet }: MapeReport): void {
  assert(packet);
  if (v.expect) {
    sameIpv6(packet.outerSource, v.expect.ipv6_src);
    sameIpv6(packet.outerDestination, v.expect.ipv6_dst);
  }
  if (v.ce_ipv6) sameIpv6(packet.outerDestination, v.ce_ipv6);
  if (v.psid !== undefined) assert.equal(packet.psid, v.psid);
  if (v.assigned_ipv4_prefix) assert.equal(packet.assignedPrefix, v.assigned_ipv4_prefix);
}

const SPECIAL = ['V054', 'V055', 'V096'];

describe('portfold mape: what other implementations compute', () => {
  const plain = vectors.filter(
    (v) => v.cls !== 'must-reject' && v.cls !== 'dhcpv6-s46' && !SPECIAL.includes(v.id),
  );
  it('covers all classes', () => assert.equal(plain.length + SPECIAL.length + 5 + 7, 100));

  for (const v of plain) {
    it(`${v.id} ${v.service}`, async () => {
      const report = await run(optionsOf(v));
      const derivable = v.end_user_prefix !== undefined || v.input_address !== undefined;
      if (derivable) checkLine(v, report);
      if (v.packet) checkPacket(v, report);
      assert(derivable || v.packet, 'a vector that nothing was checked of');
    });
  }

  it('V054 and V055: a port set alone', async () => {
    for (const id of ['V054', 'V055']) {
      const v = vector(id);
      const { portSet } = await run({ rule: [ruleText(v.rule!)], psid: String(v.psid) });
      assertRanges(portSet!.portRanges, v.port_ranges!);
    }
  });

  it('V096: EA bits 0x1234 after the rule prefix', async () => {
    const v = { ...vector('V096'), end_user_prefix: '2001:db8:12:3400::/56' };
    checkLine(v, await run(optionsOf(v)));
  });

  it('V082: the sharing ratio', async () => {
    const v = vector('V082');
    const report = await run({ ...optionsOf(v), prefix: '2001:db8:12:3400::/56' });
    assert.equal(report.line!.sharingRatio, v.sharing_ratio);
  });

  it('V086: sources that a relay must drop', async () => {
    const v = vector('V086');
    const { packet, ...options } = optionsOf(v);
    assert(packet);
    const from = (port: number, outer: string) => ({
      ...options,
      packet: `198.18.0.12:${port}>1.2.3.4:80 from ${outer}`,
    });
    for (const source of v.must_reject_sources!) {
      await refused(from(16606, source.split(' ')[0]), 1, /198\.18\.0\.12:16606 cannot come from/);
    }
    await refused(from(v.also_reject_port!, v.ce_ipv6!), 1, /cannot come from/);
    const honest = await run(from(16606, v.ce_ipv6!));
    assert.equal(honest.packet!.sourceFits, true);
  });
});

describe('portfold mape: what must be rejected', () => {
  it('V105: a prefix that is too short', () =>
    refused(
      { service: 'v6plus', prefix: vector('V105').end_user_prefix },
      78,
      /^240b:10::\/55 is too short: the rule 240b:10::\/32 with 24 EA bits needs a prefix of \/56/,
    ));

  it('V106: a PSID length that contradicts the EA bits', () =>
    refused(
      { rule: [ruleText(vector('V106').rule!)], prefix: '240b:10::/56' },
      78,
      /^PSID length 7 contradicts EA length 25 - 17 bits of IPv4 suffix = 8; leave the PSID length/,
    ));

  it('V107: a prefix that no rule covers', async () => {
    const prefix = vector('V107').end_user_prefix;
    await refused({ prefix }, 78, /is outside every rule of the built-in services/);
    for (const service of ['v6plus', 'biglobe-ipv6option', 'ocn-virtualconnect', 'nuro']) {
      await refused(
        { service, prefix },
        78,
        /is outside every rule of .*; the rules of .* lie in 2/,
      );
    }
  });

  it('V108: offset and PSID that exceed a port', () =>
    refused(
      { rule: [ruleText(vector('V108').rule!)] },
      78,
      /^PSID offset 10 and PSID length 8 make 18 bits, but a port has 16/,
    ));

  it('V109: a container without relay, or with a DMR', async () => {
    const whole = vector('V112').option94_payload!;
    const withoutBr = whole.slice(0, whole.indexOf('005a0010'));
    await refused({ s46: withoutBr }, 78, /^the container holds no border relay \(option 90\)/);
    const withDmr = `${whole}005b00094020010db8ffff0000`;
    await refused({ s46: withDmr }, 78, /^option 91 at byte 45 is not permitted there; a client/);
  });

  it('V116: port parameters of three octets', () =>
    refused(
      { s46: vector('V116').option94_payload },
      78,
      /^the port parameters at byte 20 have 3 bytes instead of 4/,
    ));
});

describe('portfold mape: DHCPv6 containers', () => {
  for (const v of ofClass('dhcpv6-s46').filter((each) => each.expect !== 'reject')) {
    it(`${v.id} ${v.service}: payload, option and whole messages`, async () => {
      const payload = v.option94_payload!;
      const length = (payload.length / 2).toString(16).padStart(4, '0');
      const forms = [
        payload,
        `005e${length}${payload}`,
        v.reply_to_information_request!,
        v.advertise_with_ia_pd!,
      ];
      for (const s46 of forms) checkRules(v, await run({ s46 }));
    });
  }

  it('V112: derives from the prefix that the same message delegates', async () => {
    const v = vector('V112');
    const { line } = await run({ s46: v.advertise_with_ia_pd });
    checkLine({ ...vector('V049'), br: v.expect.br }, { line } as MapeReport);
  });

  it('V113: the explicit PSID wins', async () => {
    const { line } = await run({ s46: vector('V113').option94_payload });
    checkLine({ ...vector('V053'), br: '2001:db8:ffff::1' }, { line } as MapeReport);
  });

  it('V110: derives a v6 Plus line by the rule of 31 bits', async () => {
    const options = { s46: vector('V110').option94_payload, iidFormat: 'draft-03' };
    const v = vector('V002');
    checkLine(v, await run({ ...options, prefix: v.input_prefix }));
  });

  it('V115: says that the port parameters are discarded', async () => {
    const { line, warnings } = await run({ s46: vector('V115').option94_payload });
    assert.equal(line!.assignedPrefix, '192.0.2.0/24');
    assert.equal(line!.psid, null);
    assert.match(warnings.join(), /discarded/);
  });
});

function checkRules(v: Vector, report: MapeReport): void {
  const { rule, portparams, br } = v.expect;
  assert.equal(report.rules?.length, 1);
  const [read] = report.rules;
  assert.deepEqual([read.ipv6, read.ipv4], [rule.ipv6, rule.ipv4]);
  assert.deepEqual([read.eaLength, read.fmr], [rule.ea_length, rule.fmr]);
  sameIpv6(read.br, br);
  if (v.service === 'kea-example') assert.equal(read.psid, null);
  else {
    assert.equal(read.psidOffset, portparams?.offset ?? 6);
    assert.equal(read.psid, portparams?.psid_length ? portparams.psid : null);
  }
}

describe('portfold mape: usage', () => {
  const rule = ['ipv6=2001:db8::/40,ipv4=192.0.2.0/24,ea=16,offset=6'];
  const bad: [string, Options, number, RegExp][] = [
    ['nothing', {}, 2, /^say where the rules come from/],
    ['two sources', { service: 'v6plus', rule }, 2, /^use one of --service, --rule and --s46$/],
    ['no prefix', { service: 'v6plus' }, 2, /^add --prefix PREFIX/],
    ['a bad prefix', { service: 'v6plus', prefix: '240b:10' }, 78, /^"240b:10" is not an IPv6 pre/],
    ['an unknown service', { service: 'v6puls', prefix: '::' }, 78, /did you mean "v6plus"\?/],
    ['a service without rules', { service: 'ocn-fixed-ip', prefix: '::' }, 78, /Each customer has/],
    ['a rule key', { rule: ['ipv5=x'] }, 2, /^--rule: there is no "ipv5"; did you mean "ipv6"\?/],
    ['a rule without =', { rule: ['ipv6'] }, 2, /^--rule: "ipv6" has no "="/],
    ['half a rule', { rule: ['ipv6=::/0,ea=8'] }, 2, /^--rule: ipv4= is missing/],
    ['a key twice', { rule: ['ea=8,ea=8'] }, 2, /^--rule: ea is given twice/],
    ['a number', { rule: [`${rule[0]}x`] }, 2, /^--rule: offset: "6x" is not a number/],
    [
      'an IPv4 prefix',
      { rule: ['ipv6=::/0,ipv4=1.2.3/24,ea=8'] },
      78,
      /^"1.2.3\/24" is not an IPv4/,
    ],
    ['a format', { rule, iidFormat: 'rfc7598' }, 2, /did you mean "rfc7597"\?/],
    ['a relay', { rule, br: '2001:db8::/64' }, 2, /^--br: "2001:db8::\/64" is not an IPv6 address/],
    ['no hexadecimal', { s46: 'zz' }, 2, /^--s46: this is not a row of bytes/],
    ['other bytes', { s46: '0a0b0c' }, 2, /^--s46: these bytes are neither/],
    ['a message without MAP-E', { s46: '07123456' }, 78, /^the message holds no MAP-E container/],
    ['a PSID alone', { service: 'v6plus', psid: '3' }, 2, /^--psid goes with --rule or --s46$/],
    ['a port set without PSID', { rule: ['offset=6,psid-length=8'] }, 2, /add --psid N$/],
    ['a packet that is none', { rule, packet: '1.2.3.4:x' }, 2, /"1.2.3.4:x" is not address:port/],
    [
      'a packet of others',
      { rule, packet: '1.2.3.4:1>5.6.7.8:2' },
      78,
      /neither .* nor .* lies in/,
    ],
    ['a packet without port', { rule, packet: '192.0.2.18' }, 2, /so the port decides/],
    ['a port of nobody', { rule, packet: '192.0.2.18:80' }, 78, /nobody owns port 80 .* at 1024$/],
  ];
  for (const [what, options, code, words] of bad) {
    it(`${what}: exit ${code}`, () => refused(options, code, words));
  }

  it('lists the services', async () => {
    const { out } = await table({ list: true });
    assert.match(out, /^SERVICE +RULES +CONFIDENCE +NAME\nv6plus +8 rules +high /);
  });

  it('finds the service by the prefix alone', async () => {
    const { service } = await run({ prefix: '2400:4050:5c00:af00::/56' });
    assert.equal(service, 'ocn-virtualconnect');
  });

  it('prints a table, and warnings apart from it', async () => {
    const { out, words } = await table({ prefix: '240d:f:a900:6500::/56' });
    assert.match(out, /^service +nuro$/m);
    assert.match(out, /^address +219\.105\.41\.0 \(shared by 256\)$/m);
    assert.match(out, /^ports +240 in 15 ranges$/m);
    assert.match(words, /low confidence/);
    assert.match(words, /has one source only/);
  });

  it('sends a packet between neighbours straight only where the rule says so', async () => {
    const packet = '192.0.2.18:1232>192.0.2.19:1232';
    const br = '2001:db8:ffff::1';
    const relayed = await run({ rule, br, packet });
    assert.equal(relayed.packet!.direction, 'ce-to-ce');
    assert.equal(relayed.packet!.outerDestination, br);
    const direct = await run({ rule: [`${rule[0]},fmr=yes`], br, packet });
    sameIpv6(direct.packet!.outerDestination, '2001:db8:13:3400:0:c000:213:34');
  });
});
