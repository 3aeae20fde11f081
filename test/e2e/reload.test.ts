/** SIGHUP: another configuration is put into force while packets flow, whole or not at all. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { until } from '../../lab/netns.ts';
import { download, ping, resolve, startNameServer, startWebServer } from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { dropsOf } from './hostile.ts';
import { type Bed, withBed } from './support.ts';

const FILE_BYTES = 12_000_000;

/** In no LAN of the lab, and on no public line. */
const PRIVATE = '172.30.1.1';

interface LogLine {
  message: string;
  changes?: string[];
}

/** Rewrites the configuration, sends SIGHUP, and awaits what the gateway says to it. */
async function reload(bed: Bed, edit: (text: string) => string): Promise<LogLine> {
  const { gateway } = bed;
  const text = readFileSync(gateway.configFile, 'utf8');
  const edited = edit(text);
  writeFileSync(gateway.configFile, edited);
  const saidBefore = gateway.process.stderr.length;
  gateway.process.kill('SIGHUP');
  return until(
    'the gateway to tell of the reload',
    async () => {
      const lines = gateway.process.stderr.slice(saidBefore).split('\n').filter(Boolean);
      const said = lines.map((line) => JSON.parse(line) as LogLine);
      return said.find(({ message }) => /reloaded|nothing changed/.test(message));
    },
    10_000,
  );
}

const setPreset = (preset: string) => (text: string) =>
  text.replace(/^preset = .*$/m, `preset = "${preset}"`);
const setNetworks = (networks: string) => (text: string) =>
  text.replace(/^(interfaces = \["lan0"\])(\nnetworks = .*)?$/m, `$1\nnetworks = ${networks}`);

const udpOwned = async (bed: Bed): Promise<number> =>
  (await bed.gateway.control.status()).ports.udp.owned;

describe('reload by SIGHUP', () => {
  const bed = withBed({ line: 'map-e', programs: ['ping', 'nginx', 'curl', 'dnsmasq', 'dig'] });

  before(async () => {
    await startNameServer(bed.lab.internet);
  });

  it('says when nothing changed', async () => {
    assert.equal((await reload(bed, (text) => text)).message, 'nothing changed');
  });

  it('the preset: sessions from now on own their port', async () => {
    assert.equal(await resolve(bed.lab.hosts[0]), SERVER);
    assert.equal(await udpOwned(bed), 0);
    const said = await reload(bed, setPreset('rfc'));
    assert.deepEqual(said.changes, ['policy']);
    assert.equal(await resolve(bed.lab.hosts[0]), SERVER);
    assert.equal(await udpOwned(bed), 1);
  });

  it('the LANs, while a transfer runs: who is taken out and in again, and nobody else notices', async () => {
    const { sha256 } = await startWebServer(bed.lab.internet, bed.lab.folder, FILE_BYTES);
    const transfer = download(bed.lab.hosts[0], { limitRate: '3M' });
    await until(
      'the transfer to run',
      async () => (await bed.gateway.control.status()).counters.bytesInbound > 1_000_000,
      10_000,
    );
    const [, second] = bed.lab.hosts;
    assert.deepEqual((await reload(bed, setNetworks('["192.168.7.11/32"]'))).changes, ['lan']);
    assert.equal((await ping(second, SERVER, { count: 2 })).received, 0);
    const { lans } = await bed.gateway.control.status();
    assert.deepEqual(lans[0].networks, ['192.168.7.11/32']);

    await reload(bed, setNetworks('["192.168.7.0/24"]'));
    assert.equal((await ping(second, SERVER, { count: 2 })).received, 2);
    assert.equal((await transfer).sha256, sha256);
    const hosts = await bed.gateway.control.list('hosts');
    assert.deepEqual([...new Set(hosts.items.map((host) => host.lan))], ['home']);
  });

  it('rules and timers of a policy, at once: a destination that was refused passes, and back', async () => {
    const [host] = bed.lab.hosts;
    const refused = async (): Promise<number> => (await dropsOf(bed.gateway)).PrivateDestination;
    const before = await refused();
    await ping(host, PRIVATE, { count: 3 });
    assert.equal(await refused(), before + 3);

    const allow = 'private-destinations = "allow"\ntimers = { icmp = 1 }';
    const said = await reload(bed, (text) => text.replace(/^preset = .*$/m, `$&\n${allow}`));
    assert.deepEqual(said.changes, ['policy']);
    await ping(host, PRIVATE, { count: 3 });
    assert.equal(await refused(), before + 3);
    await until(
      'the pings to be forgotten after a second',
      async () => (await bed.gateway.control.status()).sessions.icmp === 0,
      5000,
    );

    await reload(bed, (text) => text.replace(`\n${allow}`, ''));
    await ping(host, PRIVATE, { count: 3 });
    assert.equal(await refused(), before + 6);
  });

  it('what needs a restart is refused by name, and all else in that file with it', async () => {
    const owned = await udpOwned(bed);
    const said = await reload(bed, (text) =>
      setPreset('home')(text)
        .replace('[gateway]', '[gateway]\ncapacity = 1024')
        .replace('type = "map-e"', 'type = "map-e"\nmtu = 1400'),
    );
    assert.match(said.message, /^not reloaded.*wan, gateway\.capacity cannot change.*restart it/);
    const status = await bed.gateway.control.status();
    assert.equal(status.sessions.capacity, 262_144);
    assert.equal(status.lines[0].mtu, 1460);
    assert.equal(await resolve(bed.lab.hosts[1]), SERVER);
    assert.equal(await udpOwned(bed), owned + 1, 'the preset is still rfc');
  });

  it('a file that is wrong is refused with its place', async () => {
    const said = await reload(bed, (text) => `${text}\ncapacitty = 5\n`);
    assert.match(said.message, /not reloaded.*portfold\.toml:\d+:\d+: .*capacitty/s);
    assert.equal((await bed.gateway.control.status()).state, 'forwarding');
  });

  it('a LAN that does not fit the host is refused, and the old one goes on', async () => {
    const said = await reload(bed, (text) =>
      text
        .replace(/\ncapacit.*$/gm, '')
        .replace('\nmtu = 1400', '')
        .replace('interfaces = ["lan0"]', 'interfaces = ["lan7"]'),
    );
    assert.match(said.message, /not reloaded.*lan7/s);
    assert.equal((await ping(bed.lab.hosts[0], SERVER, { count: 2 })).received, 2);
  });

  it('the log level, and the preset back, in one go', async () => {
    const said = await reload(bed, (text) =>
      setPreset('home')(text)
        .replace('"lan7"', '"lan0"')
        .replace('[gateway]', '[gateway]\nlog-level = "debug"'),
    );
    assert.deepEqual(said.changes, ['policy', 'gateway.log-level']);
  });
});
