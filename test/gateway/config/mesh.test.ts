/** `mesh = true`: what it needs, what it comes to, and who says so. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IID_DRAFT03, IID_RFC7597 } from '../../../core/mape/address.ts';
import { ConfigError } from '../../../gateway/config/errors.ts';
import { deriveLine } from '../../../gateway/config/line.ts';
import { parseConfig } from '../../../gateway/config/load.ts';
import type { MapEWanConfig } from '../../../gateway/config/types.ts';
import { engineLine, hostLine } from '../../../gateway/line.ts';
import { changesBetween } from '../../../gateway/reload.ts';
import { check } from '../../../gateway/verbs/check.ts';
import type { HostResult } from '../../../tun/host/index.ts';

const HEAD = '[[lan]]\ninterfaces = ["lan0"]\n[[wan]]\ninterface = "wan0"\ntype = "map-e"\n';
const SERVICE = 'service = "v6plus"\nprefix = "240b:10:1234:5600::/56"\n';

const rule = (n: number, more = ''): string =>
  `[[wan.rules]]\nipv6 = "2001:db8:${n}000::/36"\nipv4 = "192.0.${n}.0/24"\nea-length = 16\n${more}\n`;
const byHand = (mesh: string, ...more: string[]): string =>
  `${HEAD}prefix = "2001:db8:1123:4000::/52"\nbr = "2001:db8:ffff::1"\n${mesh}\n` +
  more.map((each, n) => rule(n + 1, each)).join('');

function wanOf(text: string): MapEWanConfig {
  const [wan] = parseConfig(text, 'x').wans;
  assert(wan.type === 'map-e');
  return wan;
}

function problemOf(text: string): { code: string; place: string; message: string } {
  try {
    parseConfig(text, 'x');
  } catch (error) {
    assert(error instanceof ConfigError);
    assert.equal(error.problems.length, 1, error.message);
    const [{ code, line, column, what, hint }] = error.problems;
    return { code, place: `${line}:${column}`, message: `${what}; ${hint}` };
  }
  assert.fail('it was accepted');
}

const HOST: HostResult = {
  encapsulation: 'seg6',
  interfaceMtu: 1500,
  lanNetworks: [],
  restoreHopsOutbound: 0,
  restoreHopsInbound: 1,
  sharedWithHost: false,
};

describe('mesh = true', () => {
  it('is not the default, and false is as good as absent', () => {
    for (const mesh of ['', 'mesh = false\n']) {
      const wan = wanOf(HEAD + SERVICE + mesh);
      assert.equal(wan.mesh, undefined);
      assert.equal(deriveLine(wan).forwardingRules, undefined);
      assert.equal(engineLine(deriveLine(wan), HOST, 1460).mesh, undefined);
    }
  });

  it('makes forwarding rules of those of a service', () => {
    const wan = wanOf(`${HEAD}${SERVICE}mesh = true\n`);
    const line = deriveLine(wan);
    assert.equal(line.forwardingRules?.length, 8);
    const { mesh } = engineLine(line, HOST, 1460);
    assert.equal(mesh?.iidFormat, IID_DRAFT03);
    assert.equal(mesh.rules.length, 8);
    assert.ok(mesh.rules.every((each) => each.forwarding && each.eaLength === 24));
  });

  it('makes them of rules by hand, but for those that say fmr = false', () => {
    const line = deriveLine(wanOf(byHand('mesh = true', '', 'fmr = false', 'fmr = true')));
    const ipv4 = line.forwardingRules?.map((each) => each.ipv4);
    assert.deepEqual(ipv4, ['192.0.1.0/24', '192.0.3.0/24']);
    const { mesh } = engineLine(line, HOST, 1460);
    assert.equal(mesh?.iidFormat, IID_RFC7597);
    assert.equal(mesh.rules.length, 2);
    assert.equal(line.externalAddress, '192.0.1.18', 'the basic rule of the line may be any');
    const own = deriveLine(wanOf(byHand('mesh = true', 'fmr = false', '')));
    assert.equal(own.externalAddress, '192.0.1.18');
    assert.deepEqual(
      own.forwardingRules?.map((each) => each.ipv4),
      ['192.0.2.0/24'],
    );
  });

  it('needs a rule that leads to neighbours', () => {
    const none = problemOf(byHand('mesh = true', 'fmr = false'));
    assert.deepEqual([none.code, none.place], ['CONFIG_CONFLICT', '8:1']);
    assert.match(none.message, /each rule says fmr = false; remove that where a rule leads/);

    const service = 'service = "ocn-virtualconnect"\nprefix = "auto"\nmesh = true\n';
    const spokes = problemOf(HEAD + service);
    assert.deepEqual([spokes.code, spokes.place], ['CONFIG_CONFLICT', '8:1']);
    assert.match(spokes.message, /customers of ocn-virtualconnect reach each other by the relay/);
  });

  it('needs an encapsulation with many ends', () => {
    const problem = problemOf(`${HEAD}${SERVICE}encapsulation = "ip6tnl"\nmesh = true\n`);
    assert.deepEqual([problem.code, problem.place], ['CONFIG_CONFLICT', '9:1']);
    assert.match(problem.message, /"ip6tnl" reaches the relay alone; use "auto", "seg6" or "own"/);
    for (const encapsulation of ['auto', 'seg6', 'own']) {
      const wan = wanOf(`${HEAD}${SERVICE}encapsulation = "${encapsulation}"\nmesh = true\n`);
      const host = hostLine(wan, deriveLine(wan), undefined);
      assert.ok(host.type === 'map-e' && host.mesh === true);
    }
  });

  it('is true or false, on a MAP-E line', () => {
    const text = problemOf(`${HEAD}${SERVICE}mesh = "yes"\n`);
    assert.equal(text.code, 'CONFIG_WRONG_TYPE');
    assert.match(text.message, /expected true or false, found the text "yes"; write true or false/);
    const address =
      '[[lan]]\ninterfaces = ["lan0"]\n[[wan]]\ninterface = "wan0"\ntype = "address"\n';
    const line = `${address}address = "198.51.100.1"\nports = "4096-65534"\nmesh = true\n`;
    assert.equal(problemOf(line).code, 'CONFIG_UNKNOWN_KEY');
  });

  it('is told by `portfold check`, also where the prefix is read later', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'portfold-config-'));
    const file = join(folder, 'line.toml');
    const told = async (text: string, output: 'table' | 'json'): Promise<string> => {
      writeFileSync(file, text);
      let out = '';
      assert.equal(await check(file, { output }, (said) => (out += said)), 0);
      return out;
    };
    const mesh = byHand('mesh = true', '', 'fmr = false', '');
    const row = '  mesh        2 rules lead to neighbours: 192.0.1.0/24 192.0.3.0/24';
    assert.ok((await told(mesh, 'table')).split('\n').includes(row));
    const later = mesh.replace('"2001:db8:1123:4000::/52"', '"auto"');
    assert.ok((await told(later, 'table')).split('\n').includes(row));
    assert.doesNotMatch(await told(byHand('', ''), 'table'), /mesh|neighbour/);
    const [line] = JSON.parse(await told(mesh, 'json')).lines;
    assert.equal(line.forwardingRules.length, 2);
    rmSync(folder, { recursive: true });
  });

  it('cannot change while the gateway runs', () => {
    const now = parseConfig(HEAD + SERVICE, 'x');
    const next = parseConfig(`${HEAD}${SERVICE}mesh = true\n`, 'x');
    assert.throws(() => changesBetween(now, next), { code: 'RELOAD_NEEDS_RESTART' });
  });
});
