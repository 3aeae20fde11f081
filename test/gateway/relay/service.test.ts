/** What a relay says over the control API, and how the command line shows it. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '../../../cli/program.ts';
import { type ControlServer, startControlServer } from '../../../gateway/control/server.ts';
import { makeLogger } from '../../../gateway/log.ts';
import { parseRelayConfig } from '../../../gateway/relay/config.ts';
import { inspect } from '../../../gateway/relay/host.ts';
import { RelayService } from '../../../gateway/relay/service.ts';
import type { HostFacts } from '../../../tun/host/facts.ts';
import { FakeTerminal, FakeVerbs } from '../../cli/fake-terminal.ts';

const config = parseRelayConfig(
  'address = "2001:db8:ffff::1"\ninterface = "wan0"\nmtu = 1420\n' +
    '[[rules]]\nipv6 = "2001:db8::/40"\nipv4 = "192.0.2.0/24"\nea-length = 16\n',
  'br.toml',
);

describe('what a relay says', () => {
  const directory = mkdtempSync(join(tmpdir(), 'pfbr-'));
  const socket = join(directory, 'portfold.sock');
  const relay = new RelayService({
    config,
    configFile: 'br.toml',
    socket,
    version: '0.1.0',
    logger: makeLogger('error'),
    onFailure: () => {},
  });
  let server: ControlServer;
  let terminal: FakeTerminal;
  const portfold = (...words: string[]): Promise<number> =>
    runProgram(['--socket', socket, ...words], new FakeVerbs(), { terminal });

  before(async () => {
    server = await startControlServer({ socket, source: relay });
  });
  after(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    terminal = new FakeTerminal();
  });

  it('status: that it is one, its address, its rules', async () => {
    assert.equal(await portfold('status'), 1, 'it was not started');
    assert.match(terminal.out, /^portfold border relay 0\.1\.0 {2}starting for /);
    assert.match(terminal.out, /^relay {5}2001:db8:ffff::1 on wan0, mtu /m);
    assert.match(
      terminal.out,
      /^rules {5}192\.0\.2\.0\/24 to 2001:db8::\/40, 16 EA bits, PSID offset 6$/m,
    );
    assert.match(terminal.out, /a relay is stateless/);
    assert.equal(terminal.words, '');
  });

  it('status as JSON: a table of its own, and no lines', async () => {
    await portfold('status', '-o', 'json');
    const { relay: said, lines, sessions } = JSON.parse(terminal.out);
    assert.equal(said.address, '2001:db8:ffff::1');
    assert.deepEqual(said.rules, config.rules);
    assert.deepEqual([lines, sessions.used, sessions.capacity], [[], 0, 0]);
  });

  it('drops: every reason there is, with its meaning', async () => {
    assert.equal(await portfold('drops', '--all', '-o', 'json'), 0);
    const { items } = JSON.parse(terminal.out);
    const spoofed = items.find((item: { reason: string }) => item.reason === 'SourceSpoofed');
    assert.deepEqual(spoofed.packets, 0);
    assert.match(spoofed.meaning, /does not own the IPv4 address and port/);
    assert.ok(items.some((item: { reason: string }) => item.reason === 'TunQueueFull'));
  });

  for (const list of ['sessions', 'mappings', 'hosts', 'ports', 'events'])
    it(`${list}: that it has none`, async () => {
      assert.equal(await portfold(list), 2);
      assert.equal(terminal.out, '');
      assert.match(
        terminal.words,
        new RegExp(`^portfold: this is a border relay: it is stateless and has no ${list};`),
      );
    });
});

describe('a host for a relay', () => {
  const facts = (change: Partial<HostFacts> = {}): HostFacts => ({
    links: [
      { ifname: 'lo', flags: [], mtu: 65536 },
      { ifname: 'wan0', flags: [], mtu: 1500 },
    ],
    addresses: [
      { ifname: 'lo', family: 'inet', local: '127.0.0.1', prefixlen: 8, scope: '254' },
      { ifname: 'lan0', family: 'inet', local: '10.0.0.1', prefixlen: 8, scope: '0' },
      { ifname: 'inet0', family: 'inet', local: '198.51.100.9', prefixlen: 24, scope: '0' },
    ],
    routes4: [{ dst: 'default', dev: 'inet0' }],
    routes6: [],
    rules4: [],
    rules6: [],
    ...change,
  });

  it('gives the MTU of the interface, and the IPv4 address by which it is known', () => {
    const expected = { interfaceMtu: 1500, ipv4Address: '198.51.100.9' };
    assert.deepEqual(inspect(config, facts()), expected);
    assert.equal(inspect(config, facts({ routes4: [] })).ipv4Address, '10.0.0.1');
    const routes4 = [{ dst: 'default', dev: 'inet0', prefsrc: '198.51.100.77' }];
    assert.equal(inspect(config, facts({ routes4 })).ipv4Address, '198.51.100.77');
    const named = { ...config, ipv4Address: '192.0.0.8' };
    assert.equal(inspect(named, facts({ addresses: [] })).ipv4Address, '192.0.0.8');
  });

  it('is refused while another relay lives there, whatever its TUN is called, and not by a dead one', () => {
    const info_data = { type: 'tun' };
    const other = {
      mtu: 1500,
      ifalias: 'portfold relay',
      linkinfo: { info_kind: 'tun', info_data },
    };
    for (const ifname of ['portfold-br0', 'br9']) {
      const withOther = (flags: string[]): HostFacts =>
        facts({ links: [...facts().links, { ...other, ifname, flags }] });
      assert.throws(
        () => inspect(config, withOther(['UP', 'LOWER_UP'])),
        (error: Error & { code?: string; exitCode?: number }) => {
          assert.deepEqual([error.code, error.exitCode], ['HOST_RELAY_RUNNING', 1]);
          assert.match(error.message, new RegExp(`its TUN is ${ifname}\\).*stop that one first`));
          return true;
        },
      );
      assert.equal(inspect(config, withOther(['NO-CARRIER', 'UP'])).interfaceMtu, 1500);
    }
  });

  it('is refused with the reason where it does not fit', () => {
    const refused = (change: Partial<HostFacts>, code: string, words: RegExp): void =>
      assert.throws(
        () => inspect(config, facts(change)),
        (error: Error & { code?: string; exitCode?: number }) => {
          assert.equal(error.code, code);
          assert.equal(error.exitCode, 78);
          assert.match(error.message, words);
          return true;
        },
      );
    refused({ links: [] }, 'HOST_INTERFACE_MISSING', /no interface "wan0"/);
    const taken = { ifname: 'portfold-br0', flags: [], mtu: 1500, ifalias: 'theirs' };
    refused({ links: [...facts().links, taken] }, 'HOST_TUN_TAKEN', /choose another name/);
    const early = { ...config, tun: 'early0' };
    const links = [...facts().links, { ...taken, ifname: 'early0', ifalias: undefined }];
    assert.throws(() => inspect(early, facts({ links })), /choose another name/);
    assert.doesNotThrow(
      () => inspect(early, facts({ links }), 'early0'),
      'of a start killed early',
    );
    refused({ addresses: [] }, 'HOST_NO_IPV4', /write ipv4-address/);
    const own = { family: 'inet6', local: '2001:db8:ffff:0::1', prefixlen: 128, scope: '0' };
    refused(
      { addresses: [{ ...own, ifname: 'lo', family: 'inet6' }] },
      'HOST_ADDRESS_TAKEN',
      /2001:db8:ffff::1 is an address of lo/,
    );
  });
});
