/**
 * Three gateways of one provider in a mesh: two share an IPv4 address, the third has another. The first and third let the kernel
 * encapsulate for the relay, the second does it itself. The provider counts what goes to the relay and what goes from gateway to gateway.
 */
import assert from 'node:assert/strict';
import { Gateway } from '../../lab/gateway.ts';
import { configuration, MAP_E } from '../../lab/lines.ts';
import { addNeighbour, FLATMATE, NEXT_DOOR, type NeighbourLine } from '../../lab/neighbours.ts';
import { type Background, type Namespace, until } from '../../lab/netns.ts';
import { ping } from '../../lab/services.ts';
import { buildLab, GATEWAY_LAN_ADDRESS, type Lab, SERVER } from '../../lab/topology.ts';
import { udp4 } from '../support/packets.ts';
import { requirePrograms } from './support.ts';

const HOST = '192.168.7.11';
const OURS: NeighbourLine = { ...MAP_E };
const UDP_PORT = 5000;
const TCP_PORT = 7000;
const ICMP_AND_IPV4_BYTES = 28;
/** Much more than the buffers of a connection hold, since what lies there at the end is not counted. */
const BYTES = 50_000_000;

/** A UDP socket in the hands of the test: takes "ADDRESS PORT HEX" and sends it, prints what comes. */
const PEER = [
  'import socket, sys, threading',
  's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
  `s.bind(("", ${UDP_PORT}))`,
  'def hear():',
  '  while True:',
  '    data, (address, port) = s.recvfrom(65535)',
  '    print("from", address, port, data.hex(), flush=True)',
  'threading.Thread(target=hear, daemon=True).start()',
  'print("ready", flush=True)',
  'for line in sys.stdin:',
  '  address, port, data = line.split()',
  '  s.sendto(bytes.fromhex(data), (address, int(port)))',
].join('\n');

/** A SYN from the port of the server that comes, so that it has a mapping and knows the neighbour. */
const punch = (address: string, port: number): string =>
  [
    'import socket',
    's = socket.socket(socket.AF_INET, socket.SOCK_STREAM)',
    's.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)',
    `s.bind(("", ${TCP_PORT}))`,
    's.settimeout(0.05)',
    'try:',
    `  s.connect(("${address}", ${port}))`,
    'except OSError: pass',
  ].join('\n');

/** A port of the line, of which nobody there makes use. */
const portOf = ({ psid }: NeighbourLine): number => 0x5000 | (psid << 4);

const STUN = '000100002112a442'.padEnd(40, '0');
const hexOf = (text: string): string => Buffer.from(text).toString('hex');

/** At the provider: tunnel packets from and to the relay, and from gateway to gateway. */
const COUNTERS = [
  'table ip6 mesh {',
  'counter relay { }',
  'counter direct { }',
  'chain passing {',
  'type filter hook forward priority 0;',
  'oifname "up0" ip6 nexthdr 4 counter name relay',
  'iifname "up0" ip6 nexthdr 4 counter name relay',
  'iifname "gw*" oifname "gw*" ip6 nexthdr 4 counter name direct',
  '}',
  '}',
  '',
].join('\n');

interface House {
  line: NeighbourLine;
  lab: Lab;
  gateway: Gateway;
  host: Namespace;
}

function houseOf(
  lab: Lab,
  line: NeighbourLine,
  encapsulation: 'seg6' | 'own',
  preset: 'home' | 'rfc',
): House {
  const config = configuration('map-e', { runtimeDirectory: 'DIR', capacity: 4096, preset })
    .replace(MAP_E.prefix, line.prefix)
    .replace('type = "map-e"', `type = "map-e"\nmesh = true\nencapsulation = "${encapsulation}"`);
  return { line, lab, gateway: new Gateway(lab, { config }), host: lab.hosts[0] };
}

/** The external endpoint of a port of the host. */
const external = ({ gateway }: House, protocol: string, port: number): Promise<string> =>
  until(`a mapping of ${HOST}:${port}`, async () => {
    const { items } = await gateway.control.list('mappings', {});
    return items.find((item) => item.protocol === protocol && item.internal === `${HOST}:${port}`)
      ?.external;
  });

async function dropped({ gateway }: House, reason: string): Promise<number> {
  const { items } = await gateway.control.list('drops', {});
  return items.find((item) => item.reason === reason)?.packets ?? 0;
}

describe('a mesh of three gateways', () => {
  let lab: Lab;
  let us: House;
  let flatmate: House;
  let nextDoor: House;
  const houses = (): House[] => [us, flatmate, nextDoor].filter((house) => house !== undefined);

  before(async function () {
    requirePrograms(this, ['python3', 'iperf3', 'ping', 'nft']);
    lab = await buildLab({ line: 'map-e', hosts: 1 });
    const labs = await Promise.all([
      addNeighbour(lab, 1, FLATMATE),
      addNeighbour(lab, 2, NEXT_DOOR),
    ]);
    us = houseOf(lab, OURS, 'seg6', 'rfc');
    flatmate = houseOf(labs[0], FLATMATE, 'own', 'home');
    nextDoor = houseOf(labs[1], NEXT_DOOR, 'seg6', 'home');
    // One after another: each has so long to start, and a busy machine starts three at once no sooner.
    for (const { gateway } of houses()) await gateway.start();
    await lab.provider.run('nft', ['-f', '-'], { input: COUNTERS });
  });

  after(async () => {
    if (lab === undefined) return;
    const running = houses().filter(({ gateway }) => gateway.running);
    const results = await Promise.all(running.map(({ gateway }) => gateway.stop()));
    lab.remove();
    for (const { code, stderr } of results) assert.equal(code, 0, stderr);
  });

  /** Tunnel packets that passed the provider since the last call. */
  async function passed(): Promise<{ relay: number; direct: number }> {
    const words = ['-j', 'reset', 'counters', 'table', 'ip6', 'mesh'];
    const { stdout } = await lab.provider.run('nft', words);
    const { nftables } = JSON.parse(stdout) as {
      nftables: { counter?: { name: string; packets: number } }[];
    };
    const packets = (name: string): number =>
      nftables.find(({ counter }) => counter?.name === name)?.counter?.packets ?? Number.NaN;
    return { relay: packets('relay'), direct: packets('direct') };
  }

  it('comes up with neighbouring lines, and says so', async () => {
    for (const { gateway, line } of houses()) {
      const [status] = (await gateway.control.status()).lines;
      assert.equal(status.externalAddress, line.externalAddress);
      assert.equal(status.ceAddress, line.ceAddress);
      assert.equal(status.psid, line.psid);
      assert.equal(status.mesh, true);
    }
    assert.match(
      (await flatmate.gateway.portfold('status')).stdout,
      /by own, PSID 87, neighbours dir/,
    );
  });

  it('reaches the internet through the relay', async () => {
    await passed();
    // Of a ping's identifier the relay does not know whose it is on an address that is shared.
    for (const { host } of [us, nextDoor]) {
      const result = await ping(host, SERVER, { count: 2 });
      assert.equal(result.received, 2, result.output);
    }
    assert.deepEqual(await passed(), { relay: 8, direct: 0 });
  });

  it('pings another address, where the neighbour with the same PSID answers', async () => {
    await passed();
    const there = await ping(us.host, NEXT_DOOR.externalAddress, { count: 2 });
    assert.equal(there.received, 2, there.output);
    const back = await ping(nextDoor.host, OURS.externalAddress, { count: 2 });
    assert.equal(back.received, 2, back.output);
    assert.deepEqual(await passed(), { relay: 0, direct: 8 });
  });

  it('lets peers on one address talk at their own ports, each way and directly', async () => {
    const [a, b] = await Promise.all(
      [us, flatmate].map(async ({ host }) => {
        const peer = host.start('python3', ['-u', '-c', PEER]);
        await peer.line(/ready/);
        return peer;
      }),
    );
    const send = (peer: Background, to: string, data: string): void => {
      peer.process.stdin?.write(`${to.replace(':', ' ')} ${data}\n`);
    };
    // A STUN packet gives a host a port of its own; nobody needs to answer it.
    send(a, `${SERVER}:3478`, STUN);
    send(b, `${SERVER}:3478`, STUN);
    const [atUs, atFlatmate] = await Promise.all([
      external(us, 'udp', UDP_PORT),
      external(flatmate, 'udp', UDP_PORT),
    ]);
    assert.equal(atUs.split(':')[0], atFlatmate.split(':')[0]);
    await passed();

    send(a, atFlatmate, hexOf('first'));
    await until(
      'the filter of the neighbour to refuse whom its host does not know',
      async () => (await dropped(flatmate, 'FilteredByOwner')) === 1,
    );
    send(b, atUs, hexOf('second'));
    await a.line(new RegExp(`from ${atFlatmate.replace(':', ' ')} ${hexOf('second')}`));
    send(a, atFlatmate, hexOf('third'));
    await b.line(new RegExp(`from ${atUs.replace(':', ' ')} ${hexOf('third')}`));
    assert.deepEqual(await passed(), { relay: 0, direct: 3 });
    assert.equal(await dropped(us, 'TunnelSourceSpoofed'), 0);

    // A datagram in fragments goes through the relay, both halves of the way. The relay's kernel hands what it took out of a tunnel to
    // the internet, which must send it back.
    await lab.internet.sysctl({ 'net.ipv4.ip_forward': 1 });
    send(b, atUs, '2a'.repeat(3000));
    await a.line(new RegExp(`from ${atFlatmate.replace(':', ' ')} (2a){3000}\n`));
    const { relay, direct } = await passed();
    assert.equal(direct, 0);
    assert.ok(relay >= 6, `${relay} packets passed the relay`);
    await Promise.all([a.stop(), b.stop()]);
  });

  it('carries TCP to a server behind a neighbour, both ways, and none of it over the relay', async () => {
    const clients = [nextDoor, flatmate];
    for (const { line } of clients)
      await us.host.run('python3', ['-c', punch(line.externalAddress, portOf(line))]);
    const [address, port] = (await external(us, 'tcp', TCP_PORT)).split(':');
    const server = us.host.start('iperf3', ['-s', '-p', String(TCP_PORT), '--forceflush']);
    await server.line(/listening/);
    await passed();
    for (const client of clients)
      for (const direction of [[], ['-R']]) {
        const words = ['-c', address, '-p', port, '-n', String(BYTES), '-J', ...direction];
        const { stdout } = await client.host.run('iperf3', words);
        const { end } = JSON.parse(stdout) as {
          end: Record<'sum_sent' | 'sum_received', { bytes: number }>;
        };
        assert.ok(end.sum_sent.bytes >= BYTES, stdout);
        // What is on its way when the sender has sent all is not counted.
        assert.ok(end.sum_received.bytes > BYTES / 2, stdout);
      }
    const { relay, direct } = await passed();
    assert.equal(relay, 0);
    // At 1,460 bytes a packet, and some for the acknowledgements.
    assert.ok(direct > (4 * BYTES) / 2 / MAP_E.ipv4Mtu, `${direct} packets went directly`);
    await server.stop();
  });

  it('tells a host of a narrower path to a neighbour', async () => {
    await lab.provider.ip(['link set gw2 mtu 1400']);
    const bytes = MAP_E.ipv4Mtu - ICMP_AND_IPV4_BYTES;
    const options = { bytes, count: 1, dontFragment: true };
    const { output } = await ping(us.host, NEXT_DOOR.externalAddress, options);
    const said = `From ${GATEWAY_LAN_ADDRESS} icmp_seq=1 Frag needed and DF set \\(mtu = 1360\\)`;
    assert.match(output, new RegExp(said));
  });

  /** Sends tunnel packets to a house from addresses that need not be the sender's own. */
  async function forge(to: House, packets: [packet: Uint8Array, from: string][]): Promise<void> {
    const lines = ['import socket'];
    for (const [packet, from] of packets)
      lines.push(
        's = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 4)',
        // IPV6_FREEBIND
        's.setsockopt(socket.IPPROTO_IPV6, 78, 1)',
        `s.bind(("${from}", 0))`,
        `s.sendto(bytes.fromhex("${Buffer.from(packet).toString('hex')}"), ("${to.line.ceAddress}", 0))`,
      );
    await lab.relay.run('python3', ['-c', lines.join('\n')]);
  }

  it('refuses tunnel packets whose source is not the owner of what is inside, and counts them', async () => {
    const theirs = `${NEXT_DOOR.externalAddress}:${portOf(NEXT_DOOR)}`;
    for (const house of [us, flatmate]) {
      const to = `${house.line.externalAddress}:${portOf(house.line)}`;
      const packet = udp4({ from: theirs, to });
      const spoofed = await dropped(house, 'TunnelSourceSpoofed');
      const nobody = await dropped(house, 'NoSession');
      const other = house === us ? FLATMATE : OURS;
      await forge(house, [
        [packet, other.ceAddress],
        [packet, '2001:db8:beef::2'],
        [udp4({ from: `${SERVER}:9`, to }), NEXT_DOOR.ceAddress],
        [packet, NEXT_DOOR.ceAddress],
      ]);
      await until(
        'the honest one to be let in',
        async () => (await dropped(house, 'NoSession')) === nobody + 1,
      );
      assert.equal(await dropped(house, 'TunnelSourceSpoofed'), spoofed + 3);
    }
  });
});
