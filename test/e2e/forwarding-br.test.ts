/** Everything that people do, through the project's own border relay; then what only a relay does. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Gateway } from '../../lab/gateway.ts';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import { configuration, MAP_E } from '../../lab/lines.ts';
import { addNeighbour, FLATMATE, NEXT_DOOR } from '../../lab/neighbours.ts';
import { until } from '../../lab/netns.ts';
import { projectFolder } from '../../lab/programs.ts';
import type { PortfoldRelay } from '../../lab/relay.ts';
import { ping, tracepath } from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { udp4 } from '../support/packets.ts';
import { defineForwarding, FORWARDING_PROGRAMS } from './forwarding.ts';
import { withBed } from './support.ts';

const RELAY_IPV4 = '192.0.2.9';
const ICMP_AND_IPV4_BYTES = 28;
/** The first port, or identifier, of the CE. */
const IDENTIFIER = '5472';

describe('forwarding on a MAP-E line, relay by portfold br', () => {
  const bed = withBed({
    line: 'map-e',
    relay: 'portfold',
    programs: [...FORWARDING_PROGRAMS, 'tracepath', 'python3', 'nft'],
  });
  const relay = (): PortfoldRelay => bed.lab.border!;
  const neighbours: Gateway[] = [];
  after(() => Promise.all(neighbours.map((gateway) => gateway.stop())));

  defineForwarding(bed, 'map-e', ['192.168.7.1', RELAY_IPV4, SERVER]);

  it('says what it is, and that it has no sessions', async () => {
    const { relay: said, counters } = await relay().control.status();
    assert.equal(said?.address, MAP_E.brAddress);
    assert.equal(said?.ipv4Address, RELAY_IPV4);
    assert.equal(said?.mtu, MAP_E.ipv4Mtu);
    assert.ok(counters.packetsOutbound > 1000 && counters.packetsInbound > 1000);
    const page = await relay().portfold('status');
    assert.equal(page.code, 0, page.stderr);
    assert.match(page.stdout, /border relay.*forwarding[\s\S]*106\.72\.0\.0\/16 to 240b:10::\/32/);
    const sessions = await relay().portfold('sessions');
    assert.equal(sessions.code, 2);
    assert.match(sessions.stderr, /stateless and has no sessions/);
  });

  it('the path has the MTU of the tunnel, and datagrams of every size come through', async () => {
    const found = await tracepath(bed.lab.hosts[0]);
    assert.equal(found.pmtu, MAP_E.ipv4Mtu, found.output);
    for (const bytes of [1432, 1433, 4000, 20_000]) {
      const [host] = bed.lab.hosts;
      const { received, output } = await ping(host, SERVER, { bytes, dontFragment: false });
      assert.equal(received, 3, `${bytes}: ${output}`);
    }
  });

  /** A ping from the Internet to the CE, by an identifier of its own. */
  const pingCe = async (bytes: number): Promise<string> => {
    const words = ['-n', '-c', '1', '-W', '1', '-e', IDENTIFIER, '-M', 'do', '-s', String(bytes)];
    const { externalAddress } = MAP_E;
    const { stdout } = await bed.lab.internet.run('ping', [...words, externalAddress], {
      check: false,
    });
    return stdout;
  };

  it('tells the Internet what does not fit, here and further inside, and which port is nobody’s', async () => {
    const most = MAP_E.ipv4Mtu - ICMP_AND_IPV4_BYTES;
    const here = await pingCe(most + 1);
    assert.match(here, /From 192\.0\.2\.9 .*Frag needed and DF set \(mtu = 1460\)/);
    await bed.lab.internet.ip(['route flush cache']);
    await bed.lab.provider.ip(['link set gw0 mtu 1400']);
    const inside = await pingCe(most);
    assert.match(inside, /From 192\.0\.2\.9 .*Frag needed and DF set \(mtu = 1360\)/);
    await bed.lab.provider.ip(['link set gw0 mtu 1500']);
    await bed.lab.internet.ip(['route flush cache']);

    const program = [
      'import socket',
      's = socket.socket()',
      's.settimeout(3)',
      `try: s.connect(("${MAP_E.externalAddress}", 80))`,
      'except OSError as error: print(error.errno)',
    ].join('\n');
    const { stdout } = await bed.lab.internet.run('python3', ['-c', program]);
    assert.equal(stdout.trim(), '113', 'EHOSTUNREACH');
    assert.ok((await relay().dropped('DestinationUnassigned')) > 0);
  });

  it('refuses a CE that sends from its neighbour’s port, and tells it', async () => {
    const forged = udp4({ from: `${MAP_E.externalAddress}:5488`, to: `${SERVER}:9` });
    const program = [
      'import socket, select',
      'e = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)',
      's = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 4)',
      's.bind(("2001:db8:feed::2", 0))',
      `s.sendto(bytes.fromhex("${Buffer.from(forged).toString('hex')}"), ("${MAP_E.brAddress}", 0))`,
      'while select.select([e], [], [], 3)[0]:',
      '  said, who = e.recvfrom(2000)',
      '  if said[0] == 1: print(who[0], said[0], said[1]); break',
    ].join('\n');
    const before = await relay().dropped('SourceSpoofed');
    const { stdout } = await bed.lab.gateway.run('python3', ['-c', program]);
    assert.equal(stdout.trim(), `${MAP_E.brAddress} 1 5`);
    assert.equal(await relay().dropped('SourceSpoofed'), before + 1);
  });

  it('answers a ping of its IPv6 address', async () => {
    const { received, output } = await ping(bed.lab.provider, MAP_E.brAddress);
    assert.equal(received, 3, output);
  });

  it('serves two CEs on one address, and carries packets from CE to CE', async () => {
    for (const [number, line] of [FLATMATE, NEXT_DOOR].entries()) {
      const lab = await addNeighbour(bed.lab, number + 1, line);
      const config = configuration('map-e', { runtimeDirectory: 'DIR', capacity: 4096 });
      const gateway = new Gateway(lab, { config: config.replace(MAP_E.prefix, line.prefix) });
      neighbours.push(gateway);
      await gateway.start();
      const { received, output } = await ping(lab.hosts[0], SERVER);
      assert.equal(received, 3, output);
    }
    const before = (await relay().control.status()).relay!.packetsBetweenCes;
    // Next door has the same PSID on another address, so that its identifiers are ours on our address.
    const { received, output } = await ping(neighbours[1].lab.hosts[0], MAP_E.externalAddress);
    assert.equal(received, 3, output);
    const after = (await relay().control.status()).relay!.packetsBetweenCes;
    assert.equal(after - before, 6);
  });

  it('refuses a second relay beside it, and to clean up after one, and touches nothing', async () => {
    const file = readFileSync(relay().configFile, 'utf8');
    const second = join(relay().runtimeDirectory, '..', 'second.toml');
    const directory = join(relay().runtimeDirectory, '..', 'second');
    const before = await hostState(bed.lab.relay);
    for (const tun of ['portfold-br0', 'second-br0'])
      for (const words of [[], ['--clean']]) {
        const own = file.replace(relay().runtimeDirectory, directory);
        writeFileSync(second, `tun = "${tun}"\n${own}`);
        const program = join(projectFolder(), 'bin', 'portfold.js');
        const { code, stderr } = await bed.lab.relay.run(
          process.execPath,
          [program, 'br', '-c', second, ...words],
          { check: false },
        );
        assert.equal(code, 1, stderr);
        assert.match(stderr, /Another Portfold relay runs in this network namespace \(its TUN is/);
        assert.deepEqual(stateDifferences(before, await hostState(bed.lab.relay)), []);
        assert.equal(existsSync(directory), false);
      }
    rmSync(second);
    const { received, output } = await ping(bed.lab.hosts[0]);
    assert.equal(received, 3, output);
  });

  it('adopts what a killed one left: no route goes, not even with another TUN', async () => {
    const namespace = bed.lab.relay;
    const monitor = namespace.start('ip', ['-o', 'monitor', 'route', 'link']);
    /** What the kernel told up to now: until a route of our own is heard. */
    const heard = async (marker: string): Promise<string> => {
      await until('the monitor to hear', async () => {
        await namespace.ip([`route replace blackhole ${marker}`, `route del blackhole ${marker}`]);
        return monitor.stdout.includes(`Deleted blackhole ${marker}`);
      });
      return monitor.stdout;
    };
    const tuns = async (): Promise<string[]> => {
      const { stdout } = await namespace.run('ip', ['-j', 'link', 'show', 'type', 'tun']);
      const links = JSON.parse(stdout) as { ifname: string; ifindex: number }[];
      return links.filter((link) => link.ifname).map((link) => `${link.ifname} ${link.ifindex}`);
    };
    const file = readFileSync(relay().configFile, 'utf8');
    await heard('198.18.1.1');
    const before = await tuns();

    await relay().stop('SIGKILL');
    await relay().start();
    assert.deepEqual(await tuns(), before);
    const same = await heard('198.18.1.2');
    assert.doesNotMatch(same, /^Deleted .*(proto 177|portfold-br0)/m);
    assert.equal((await ping(bed.lab.hosts[0])).received, 3);

    const more = '[[rules]]\nipv6 = "240b:11::/32"\nipv4 = "106.73.0.0/16"\nea-length = 24\n';
    writeFileSync(relay().configFile, `tun = "other-br0"\n${file}\n${more}`);
    await relay().stop('SIGKILL');
    await relay().start();
    assert.match((await tuns()).join(), /^other-br0 \d+$/);
    const other = (await heard('198.18.1.3')).slice(same.length);
    const gone = other.search(/^Deleted \d+: portfold-br0/m);
    for (const destination of ['106.72.0.0/16', MAP_E.brAddress]) {
      const taken = other.indexOf(`${destination} dev other-br0 proto 177`);
      assert.ok(taken >= 0 && taken < gone, `${destination} in\n${other}`);
    }
    assert.equal((await ping(bed.lab.hosts[0])).received, 3);

    writeFileSync(relay().configFile, file);
    await relay().stop('SIGKILL');
    await relay().start();
    const { stdout } = await namespace.run('ip', ['route', 'show', 'proto', '177']);
    assert.match(stdout, /^106\.72\.0\.0\/16 dev portfold-br0/);
    assert.doesNotMatch(stdout, /106\.73/);
    await monitor.stop('SIGTERM');
  });

  it('starts again after it was killed, and takes everything back at its end', async () => {
    await relay().stop('SIGKILL');
    assert.notDeepEqual(stateDifferences(bed.lab.hostOfRelay!, await hostState(bed.lab.relay)), []);
    await relay().start();
    await until(
      'a ping to come through',
      async () => (await ping(bed.lab.hosts[0])).received === 3,
    );
    const { code, stderr } = await relay().stop();
    assert.equal(code, 0, stderr);
    assert.deepEqual(stateDifferences(bed.lab.hostOfRelay!, await hostState(bed.lab.relay)), []);

    await relay().start();
    await relay().stop('SIGKILL');
    const cleaned = await relay().portfold('br', '-c', relay().configFile, '--clean');
    assert.equal(cleaned.code, 0, cleaned.stderr);
    assert.deepEqual(stateDifferences(bed.lab.hostOfRelay!, await hostState(bed.lab.relay)), []);
    assert.equal(existsSync(join(relay().runtimeDirectory, 'gateway.lock')), false);
    assert.equal(existsSync(join(relay().runtimeDirectory, 'portfold.sock')), false);
  });
});
