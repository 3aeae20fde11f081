/**
 * An external address that the gateway's host uses too: 20,000 of its ports are the gateway's, all
 * else stays the host's, and neither notices the other.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from '../../lab/audit.ts';
import { startEcho, udpFlows } from '../../lab/flows.ts';
import { Gateway } from '../../lab/gateway.ts';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import { ADDRESS, configuration, SHARED_PORTS } from '../../lab/lines.ts';
import { type Namespace, until } from '../../lab/netns.ts';
import {
  download,
  page,
  pageAt,
  ping,
  resolve,
  startNameServer,
  startWebServer,
  traceroute,
  WEB_GREETING,
} from '../../lab/services.ts';
import { GATEWAY_LAN_ADDRESS, PROVIDER_SHARED, SERVER } from '../../lab/topology.ts';
import { defineForwarding, FORWARDING_PROGRAMS } from './forwarding.ts';
import { type Bed, withBed } from './support.ts';

const PROGRAMS = [
  'tcpdump',
  'ping',
  'traceroute',
  'nginx',
  'curl',
  'dnsmasq',
  'dig',
  'socat',
  'conntrack',
];
const FLOWS = 24_000;
const LOAD = { flows: FLOWS, addresses: 100, remotes: 100, ratePerSecond: 20_000 };
const HOST = ADDRESS.externalAddress;
const WAY = [PROVIDER_SHARED, '192.0.2.6', SERVER];
const FILE_BYTES = 60_000_000;
const OWN_CONNECTIONS = 2000;
const ECHO_PORT = 7000;
const CURL_TIMEOUT = 28;

const isOurs = (port: number): boolean => port >= SHARED_PORTS.first && port <= SHARED_PORTS.last;

/** Runs a script of Node.js inside; what it prints. */
const script = async (where: Namespace, code: string): Promise<string> =>
  (await where.run(process.execPath, ['-e', code])).stdout.trim();

/** A web server of the host at the shared address, in a folder of its own. */
async function startHostServer(bed: Bed): Promise<void> {
  const folder = join(bed.lab.folder, 'host');
  mkdirSync(folder);
  await startWebServer(bed.lab.gateway, folder, 1000, HOST);
}

async function assertDrops(bed: Bed, reasons: string[]): Promise<void> {
  const { items } = await bed.gateway.control.list('drops', {});
  const found = items.filter((item) => item.packets > 0).map((item) => item.reason);
  assert.deepEqual(
    found.filter((reason) => !reasons.includes(reason)),
    [],
  );
}

describe('an address that the host uses too', () => {
  const bed = withBed({ line: 'address', shared: true, programs: PROGRAMS });

  before(async () => {
    await startNameServer(bed.lab.internet);
    await startEcho(bed.lab.internet);
    await startWebServer(bed.lab.internet, bed.lab.folder, FILE_BYTES);
    await startHostServer(bed);
  });

  it('is pinged from the WAN and the LAN, and the host answers', async () => {
    for (const from of [bed.lab.internet, bed.lab.hosts[0]]) {
      const result = await ping(from, HOST);
      assert.equal(result.received, 3, result.output);
    }
    const { counters } = await bed.gateway.control.status();
    assert.equal(counters.packetsAnswered, 0);
  });

  it("shows the host's own pages to the WAN and the LAN", async () => {
    for (const from of [bed.lab.internet, ...bed.lab.hosts])
      assert.equal(await pageAt(from, HOST), WEB_GREETING);
  });

  it('lets the host out: page, ping whatever its identifier, traceroute by everything', async () => {
    const host = bed.lab.gateway;
    assert.equal(await page(host), WEB_GREETING);
    for (const identifier of [SHARED_PORTS.first - 1, SHARED_PORTS.first, SHARED_PORTS.last]) {
      const words = ['-n', '-c', '2', '-i', '0.05', '-W', '2', '-e', String(identifier), SERVER];
      const { stdout } = await host.run('ping', words, { check: false });
      assert.match(stdout, /2 received/);
    }
    for (const kind of ['udp', 'icmp', 'tcp'] as const)
      assert.deepEqual(await traceroute(host, SERVER, kind), WAY);
    await assertDrops(bed, []);
  });

  it('brings the host errors about packets with options, and with identifiers of ours', async () => {
    for (const words of [['-R'], ['-e', String(SHARED_PORTS.first)]]) {
      const all = ['-n', '-c', '1', '-W', '2', '-t', '1', ...words, SERVER];
      const { stdout } = await bed.lab.gateway.run('ping', all, { check: false });
      assert.match(stdout, new RegExp(`From ${PROVIDER_SHARED} .*Time to live exceeded`));
    }
    await assertDrops(bed, []);
  });

  it("keeps the host's own connections off our ports", async () => {
    const ports = await script(
      bed.lab.gateway,
      `const sockets = Array.from({ length: ${OWN_CONNECTIONS} }, () => {
         const socket = require('dgram').createSocket('udp4');
         return new Promise((done) => socket.connect(9, '${SERVER}', () => done(socket)));
       });
       Promise.all(sockets).then((all) => {
         console.log(all.map((socket) => socket.address().port).join(' '));
         process.exit();
       });`,
    );
    const chosen = ports.split(' ').map(Number);
    assert.equal(chosen.length, OWN_CONNECTIONS);
    assert.deepEqual(chosen.filter(isOurs), []);
  });

  it('carries the LAN: ping, names, pages, traceroute with the gateway once', async () => {
    const [h1, h2] = bed.lab.hosts;
    const results = await Promise.all([h1, h2].map((host) => ping(host)));
    for (const result of results) assert.equal(result.received, 3, result.output);
    assert.equal(await resolve(h1), SERVER);
    assert.deepEqual(await Promise.all([page(h1), page(h2)]), [WEB_GREETING, WEB_GREETING]);
    for (const kind of ['udp', 'icmp', 'tcp'] as const)
      assert.deepEqual(await traceroute(h1, SERVER, kind), [GATEWAY_LAN_ADDRESS, ...WAY]);
  });

  it('tells LAN hosts of refused ports and expired echoes', async () => {
    const said = await script(
      bed.lab.hosts[0],
      `const socket = require('dgram').createSocket('udp4');
       socket.on('error', (error) => { console.log(error.code); process.exit(); });
       socket.connect(9, '${SERVER}', () => socket.send('anybody there?'));
       setTimeout(() => process.exit(), 3000);`,
    );
    assert.equal(said, 'ECONNREFUSED');

    // Echoes with another checksum each, so that nothing but the identifier leads their errors here.
    const words = ['-n', '-c', '5', '-i', '0.05', '-W', '2', '-t', '2', SERVER];
    const { stdout } = await bed.lab.hosts[0].run('ping', words, { check: false });
    assert.equal(stdout.match(/Time to live exceeded/g)?.length, 5, stdout);
  });

  it('carries fragments both ways, for the LAN and for the host', async () => {
    for (const bytes of [1473, 9000, 65_507])
      for (const [from, to] of [
        [bed.lab.hosts[0], SERVER],
        [bed.lab.gateway, SERVER],
        [bed.lab.internet, HOST],
      ] as const) {
        const result = await ping(from, to, { bytes, dontFragment: false });
        assert.equal(result.received, 3, `${bytes} bytes: ${result.output}`);
      }
    const answer = await script(
      bed.lab.hosts[1],
      `const socket = require('dgram').createSocket('udp4');
       socket.on('message', (bytes) => { console.log(bytes.length); process.exit(); });
       socket.send(Buffer.alloc(2000), ${ECHO_PORT}, '${SERVER}');
       setTimeout(() => process.exit(), 3000);`,
    );
    assert.equal(answer, '2000');
  });

  it('holds 24,000 flows at its ports alone, while the host is served as before', async () => {
    const capture = await Capture.start(bed.lab);
    const flows = udpFlows(bed.lab.load, { ...LOAD, rounds: 2, pauseSeconds: 3 });
    await until(
      'all sessions to stand',
      async () => (await bed.gateway.control.status()).sessions.udp >= FLOWS,
      20_000,
    );
    assert.equal(await pageAt(bed.lab.internet, HOST), WEB_GREETING);
    const result = await flows;
    assert.equal(result.samePort, FLOWS, JSON.stringify(result));
    assert.equal(result.foreign, 0);
    const audit = await capture.stop();
    assert.ok(audit.packets >= 2 * FLOWS, `only ${audit.packets} packets were captured`);
    assert.equal(audit.privateSources + audit.otherSources, 0, audit.examples.join('\n'));
    // The page is the one thing of the host that left.
    const foreign = [...audit.ports.keys()].filter((port) => !isOurs(port));
    assert.deepEqual(foreign, [80]);
  });

  it("keeps the gateway's flows out of the host's connection tracking, and tracks the host's", async () => {
    await bed.lab.gateway.run('nft', ['add table ip host_firewall']);
    await bed.lab.gateway.run('nft', ['-f', '-'], {
      input: `table ip host_firewall {
        chain input {
          type filter hook input priority 0; policy drop;
          ct state established accept
          iifname != "wan0" accept
        }
      }`,
    });
    try {
      assert.equal(await page(bed.lab.gateway), WEB_GREETING);
      assert.equal(await page(bed.lab.hosts[0]), WEB_GREETING);
      const { stdout: tracked } = await bed.lab.gateway.run('conntrack', ['-L']);
      assert.ok(tracked.includes(`src=${HOST} dst=${SERVER}`), tracked);
      const ports = [...tracked.matchAll(/port=(\d+)/g)].map((match) => Number(match[1]));
      assert.deepEqual(ports.filter(isOurs), [], tracked);
      for (const identifier of [SHARED_PORTS.first - 1, SHARED_PORTS.first]) {
        const words = ['-n', '-c', '1', '-W', '2', '-e', String(identifier), SERVER];
        const { stdout } = await bed.lab.gateway.run('ping', words, { check: false });
        assert.match(stdout, /1 received/, `identifier ${identifier}`);
      }
    } finally {
      await bed.lab.gateway.run('nft', ['delete table ip host_firewall']);
    }
  });
});

describe('forwarding on an address that the host uses too', () => {
  const bed = withBed({ line: 'address', shared: true, programs: FORWARDING_PROGRAMS });
  defineForwarding(bed, 'address', [GATEWAY_LAN_ADDRESS, ...WAY]);
});

describe('hairpin on an address that the host uses too', () => {
  const bed = withBed({ line: 'address', shared: true, gateway: { preset: 'rfc' } });

  it('two LAN hosts meet at the external address', async () => {
    const [h1, h2] = bed.lab.hosts;
    await startEcho(bed.lab.internet);
    const called = h2.start(process.execPath, [
      '-e',
      `const socket = require('dgram').createSocket('udp4');
       socket.on('message', (bytes, from) => {
         console.log(bytes + ' from ' + from.address + ':' + from.port);
         if (from.address !== '${SERVER}') socket.send('welcome', from.port, from.address);
       });
       socket.bind(5000, () => socket.send('first', ${ECHO_PORT}, '${SERVER}'));`,
    ]);
    await called.line(/first from/);
    const { items } = await bed.gateway.control.list('mappings', {});
    const mapping = items.find((item) => item.internal.endsWith('.12:5000'));
    const port = Number(mapping?.external.split(':')[1]);
    assert.ok(isOurs(port), JSON.stringify(items));

    const answer = await script(
      h1,
      `const socket = require('dgram').createSocket('udp4');
       socket.on('message', (bytes, from) => {
         console.log(bytes + ' from ' + from.address + ':' + from.port);
         process.exit();
       });
       socket.send('hello', ${port}, '${HOST}');
       setTimeout(() => process.exit(), 3000);`,
    );
    assert.equal(answer, `welcome from ${HOST}:${port}`);
    const caller = /hello from (\S+):(\d+)/.exec(called.stdout);
    assert.equal(caller?.[1], HOST, called.stdout);
    assert.ok(isOurs(Number(caller?.[2])), called.stdout);
    await called.stop();
  });
});

describe('a gateway that died on an address that the host uses too', () => {
  const bed = withBed({ line: 'address', shared: true, start: false, programs: PROGRAMS });

  it('leaves the host reachable and our ports silent; the next one leaves all as before', async () => {
    await startHostServer(bed);
    const before = await hostState(bed.lab.gateway);
    await bed.gateway.start();
    await bed.gateway.stop('SIGKILL');
    for (const from of [bed.lab.internet, bed.lab.hosts[0]]) {
      assert.equal(await pageAt(from, HOST), WEB_GREETING);
      const url = `http://${HOST}:${SHARED_PORTS.first}/`;
      const result = await from.run('curl', ['-s', '-m', '1', url], { check: false });
      assert.equal(result.code, CURL_TIMEOUT, 'somebody answered on a port of the gateway');
    }
    await bed.gateway.start();
    assert.equal((await ping(bed.lab.hosts[0])).received, 3);
    await bed.gateway.stop();
    assert.deepEqual(stateDifferences(before, await hostState(bed.lab.gateway)), []);
    assert.equal(await pageAt(bed.lab.internet, HOST), WEB_GREETING);
  });
});

describe('a host in use when the gateway comes', () => {
  const bed = withBed({ line: 'address', shared: true, start: false, programs: PROGRAMS });

  it('keeps a transfer that runs on one of our ports', async () => {
    const { sha256 } = await startWebServer(bed.lab.internet, bed.lab.folder, FILE_BYTES);
    const transfer = bed.lab.gateway.run('sh', [
      '-c',
      `curl -s -S -f -m 60 --local-port ${SHARED_PORTS.first + 1} --limit-rate 15M ` +
        `http://${SERVER}/file | sha256sum`,
    ]);
    await until('the transfer to begin', async () => {
      const sockets = await bed.lab.gateway.run('ss', ['-Htn', 'state', 'established']);
      return sockets.stdout.includes(`${HOST}:${SHARED_PORTS.first + 1}`);
    });
    await bed.gateway.start();
    assert.equal((await transfer).stdout.split(' ')[0], sha256);
    assert.equal((await download(bed.lab.hosts[0])).sha256, sha256);
    await bed.gateway.stop();
  });

  it('is not robbed of a port on which it listens: exit code 78, with the port', async () => {
    const port = SHARED_PORTS.first + 7;
    const server = bed.lab.gateway.start('socat', ['-d', '-d', `TCP-LISTEN:${port}`, 'PIPE']);
    await server.line(/listening on/);
    const result = await bed.gateway.spawn().ended;
    assert.equal(result.code, 78, result.stderr);
    assert.match(result.stderr, new RegExp(`TCP port ${port} of ${HOST}`));
    await server.stop();
  });

  it('keeps ports for its own connections: exit code 78 where none would be left', async () => {
    const config = configuration('address', { runtimeDirectory: 'DIR' });
    const result = await new Gateway(bed.lab, { config }).spawn().ended;
    assert.equal(result.code, 78, result.stderr);
    assert.match(result.stderr, /would keep 0 of its ports 32768-60999/);
  });
});
