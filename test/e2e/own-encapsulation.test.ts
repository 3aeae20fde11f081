/** MAP-E where Portfold puts IPv4 into IPv6 itself and takes it out again. */
import assert from 'node:assert/strict';
import { Capture } from '../../lab/audit.ts';
import { configuration, MAP_E } from '../../lab/lines.ts';
import { type Background, until } from '../../lab/netns.ts';
import {
  download,
  iperf,
  ping,
  startIperf,
  startWebServer,
  tracepath,
  upload,
} from '../../lab/services.ts';
import { GATEWAY_LAN_ADDRESS, SERVER } from '../../lab/topology.ts';
import { echo4, udp4 } from '../support/packets.ts';
import { defineForwarding, FORWARDING_PROGRAMS } from './forwarding.ts';
import { assertClean, type Bed, type BedOptions, withBed } from './support.ts';

const OWN = configuration('map-e', { runtimeDirectory: 'DIR' }).replace(
  'type = "map-e"',
  'type = "map-e"\nencapsulation = "own"',
);
const ICMP_AND_IPV4_BYTES = 28;
const HOST = '192.168.7.11';
const MEASURE_SECONDS = 2;

const ownBed = (relay: 'seg6' | 'socat', more: Partial<BedOptions> = {}): Bed =>
  withBed({
    line: 'map-e',
    relay,
    programs: [...FORWARDING_PROGRAMS, ...(relay === 'socat' ? ['socat', 'ethtool'] : [])],
    gateway: { config: OWN },
    ...more,
  });

async function dropped(bed: Bed, reason: string): Promise<number> {
  const { items } = await bed.gateway.control.list('drops', {});
  return items.find((item) => item.reason === reason)?.packets ?? 0;
}

/** tcpdump, which listens when this returns. */
async function listen(
  at: { start: Bed['lab']['gateway']['start'] },
  words: string[],
): Promise<Background> {
  const child = at.start('tcpdump', ['-n', '-l', '--immediate-mode', ...words]);
  await child.line(/listening on/);
  return child;
}

describe('own encapsulation, relay by the kernel', () => {
  const bed = ownBed('seg6');

  it('is what the status says, and needs no routes of encapsulation', async () => {
    const [line] = (await bed.gateway.control.status()).lines;
    assert.equal(line.encapsulation, 'own');
    assert.equal(line.mtu, MAP_E.ipv4Mtu);
    const routes = await bed.lab.gateway.run('sh', [
      '-c',
      'ip -4 route show table all; ip -6 route show table all; ip sr tunsrc show',
    ]);
    assert.doesNotMatch(routes.stdout, /encap/);
    assert.match(routes.stdout, /tunsrc addr ::/);
  });

  defineForwarding(bed, 'map-e', ['192.168.7.1', '192.0.2.9', SERVER]);

  it('gives the gateway itself IPv4 through its own ports', async () => {
    const result = await ping(bed.lab.gateway, SERVER);
    assert.equal(result.received, result.sent, result.output);
  });

  it('takes one hop of the packet, and sets 64 outside; DSCP and ECN stand outside too', async () => {
    const words = ['-v', '-i', 'gw0', '-Q', 'in', '-c', '1', 'ip6 proto 4'];
    const capture = await listen(bed.lab.provider, words);
    const tos = 0xb9;
    await bed.lab.hosts[0].run('ping', ['-n', '-c', '1', '-Q', String(tos), SERVER]);
    const said = (await capture.ended).stdout.replaceAll('\n', ' ');
    assert.match(said, /IP6 \(class 0xb9, hlim 64, next-header IPIP \(4\) payload length: 84\)/);
    assert.match(said, /\(tos 0xb9,.* ttl 63,/);
  });

  it('writes segments that follow each other as one', async () => {
    const filter = `tcp and src host ${SERVER} and dst host ${HOST} and greater 9000`;
    const capture = await listen(bed.lab.gateway, ['-i', 'portfold0', '-c', '1', filter]);
    await download(bed.lab.hosts[0]);
    await capture.ended;
    assert.match(capture.stdout, /length \d{4,5}/);
  });

  it('cuts a UDP superpacket of a host into its datagrams', async () => {
    const [bytes, size] = [30_500, 1000];
    const server = bed.lab.internet.start('python3', ['-u', '-c', receiver(bytes)]);
    await server.line(/ready/);
    const filter = `udp and src host ${HOST} and greater 9000`;
    const capture = await listen(bed.lab.gateway, ['-i', 'portfold0', '-c', '1', filter]);
    await bed.lab.hosts[0].run('python3', ['-c', superpacketSender(bytes, size)]);
    const [, count, sizes, same] = await server.line(/got (\d+) \[(.*)\] (\w+)/);
    assert.deepEqual([count, sizes, same], ['31', '500, 1000', 'True']);
    await capture.ended;
    assert.match(capture.stdout, /UDP, length 30500/, 'the host sent no superpacket');
  });

  it('tells a host of a narrower path inside the provider', async () => {
    await bed.lab.provider.ip(['link set up0 mtu 1400']);
    const over = { bytes: MAP_E.ipv4Mtu - ICMP_AND_IPV4_BYTES, count: 1, dontFragment: true };
    const { output } = await ping(bed.lab.hosts[1], SERVER, over);
    const said = `From ${GATEWAY_LAN_ADDRESS} icmp_seq=1 Frag needed and DF set \\(mtu = 1360\\)`;
    assert.match(output, new RegExp(said));
  });
});

/** Programs in Python: Node has no UDP segmentation. */
const PATTERN = (bytes: number): string => `bytes(i * 7 & 255 for i in range(${bytes}))`;

const receiver = (bytes: number): string =>
  [
    'import socket',
    's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
    `s.bind(("${SERVER}", 9000))`,
    'print("ready")',
    'got = []',
    `while sum(map(len, got)) < ${bytes}: got.append(s.recv(65535))`,
    `print("got", len(got), sorted(set(map(len, got))), b"".join(got) == ${PATTERN(bytes)})`,
  ].join('\n');

const superpacketSender = (bytes: number, size: number): string =>
  [
    'import socket',
    's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)',
    // UDP_SEGMENT
    `s.setsockopt(17, 103, ${size})`,
    `s.sendto(${PATTERN(bytes)}, ("${SERVER}", 9000))`,
  ].join('\n');

describe('own encapsulation, independent relay, prefix on the link', () => {
  const bed = ownBed('socat', { delegation: 'on-link' });
  defineForwarding(bed, 'map-e', ['192.168.7.1', '192.0.2.13', SERVER]);

  it('datagrams of every size come through both ways', async () => {
    const capture = await Capture.start(bed.lab);
    const sizes = [1000, 1432, 1433, 1472, 1473, 3000, 20_000];
    for (const bytes of sizes) {
      const results = await Promise.all(
        bed.lab.hosts.map((host) => ping(host, SERVER, { bytes, dontFragment: false })),
      );
      for (const result of results) assert.equal(result.received, 3, `${bytes}: ${result.output}`);
    }
    assertClean(await capture.stop(), sizes.length * 6);
  });

  it('a packet too big for the tunnel is answered, one that just fits passes', async () => {
    const [host] = bed.lab.hosts;
    const most = MAP_E.ipv4Mtu - ICMP_AND_IPV4_BYTES;
    const over = await ping(host, SERVER, { bytes: most + 1, count: 1, dontFragment: true });
    const said = `From ${GATEWAY_LAN_ADDRESS} icmp_seq=1 Frag needed and DF set \\(mtu = 1460\\)`;
    assert.match(over.output, new RegExp(said));
    const fits = await ping(bed.lab.hosts[1], SERVER, { bytes: most, dontFragment: true });
    assert.equal(fits.received, fits.sent, fits.output);
    assert.equal((await tracepath(bed.lab.hosts[1])).pmtu, MAP_E.ipv4Mtu);
  });

  /** Sends IPv6 around `packet` from the relay's namespace, as often as `times`. */
  const forge = async (
    packet: Uint8Array,
    options: { from?: string; trafficClass?: number; times?: number } = {},
  ): Promise<void> => {
    const { from = MAP_E.brAddress, trafficClass = 0, times = 1 } = options;
    const lines = [
      'import socket, sys',
      's = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 4)',
      `s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, ${trafficClass})`,
      `s.bind(("${from}", 0))`,
      `for i in range(${times}):`,
      `  s.sendto(bytes.fromhex("${Buffer.from(packet).toString('hex')}"), ("${MAP_E.ceAddress}", 0))`,
    ];
    await bed.lab.relay.run('python3', ['-c', lines.join('\n')]);
  };
  const port = MAP_E.externalAddress.concat(':5472');
  const toUs = udp4({ from: `${SERVER}:9`, to: port });

  for (const [what, reason, packet, options] of [
    ['a forged outer source', 'TunnelPacketNotAccepted', toUs, { from: '2001:db8:beef::2' }],
    [
      'a host of the LAN as inner destination',
      'TunnelPacketNotAccepted',
      udp4({ from: `${SERVER}:9`, to: `${HOST}:9` }),
      {},
    ],
    [
      'a host of the LAN as inner source',
      'SourceIsInternal',
      udp4({ from: `${HOST}:9`, to: port }),
      {},
    ],
    [
      'congestion on a packet that cannot carry the mark',
      'TunnelCongestion',
      toUs,
      { trafficClass: 3 },
    ],
  ] as const)
    it(`${what} is dropped and counted`, async () => {
      const before = await dropped(bed, reason);
      await forge(packet, { ...options, times: 5 });
      await until(`five more ${reason}`, async () => (await dropped(bed, reason)) === before + 5);
    });

  it('a ping of the external address is answered through the tunnel', async () => {
    const words = ['-i', 'gw0', '-Q', 'in', '-c', '1', '-v', 'ip6 proto 4'];
    const capture = await listen(bed.lab.provider, words);
    await forge(echo4({ from: `${SERVER}:77`, to: MAP_E.externalAddress, ttl: 1 }));
    await capture.ended;
    assert.match(capture.stdout, /106\.72\.18\.52 > 203\.0\.113\.10: ICMP echo reply, id 77/);
  });
});

for (const [name, options] of [
  ['own encapsulation', ownBed] as const,
  ['the kernel’s encapsulation', withBed] as const,
])
  describe(`fragments of the tunnel, with ${name}`, () => {
    const programs = ['socat', 'ethtool', 'ping'];
    const bed =
      options === withBed
        ? withBed({ line: 'map-e', relay: 'socat', programs })
        : ownBed('socat', { programs });

    it('are made whole', async () => {
      // The relay believes in a larger MTU than the tunnel has, so that its kernel cuts the IPv6 packet.
      await bed.lab.relay.ip(['link set relay0 mtu 9000']);
      await bed.lab.internet.ip(['link set eth0 mtu 9000']);
      await bed.lab.relay.ip(['link set inet0 mtu 9000']);
      const cutBefore = await fragmentsMade(bed);
      for (const bytes of [1472, 4000, 8000]) {
        const result = await ping(bed.lab.hosts[0], SERVER, { bytes, dontFragment: false });
        assert.equal(result.received, 3, result.output);
      }
      assert.ok((await fragmentsMade(bed)) >= cutBefore + 3 * (2 + 3 + 6));
      assert.equal(await dropped(bed, 'TunnelReassembly'), 0);
      assert.equal(await dropped(bed, 'TunnelPacketNotAccepted'), 0);
    });
  });

/** IPv6 fragments that the relay's kernel has made. */
async function fragmentsMade(bed: Bed): Promise<number> {
  const { stdout } = await bed.lab.relay.run('cat', ['/proc/net/snmp6']);
  return Number(/^Ip6FragCreates\s+(\d+)/m.exec(stdout)?.[1]);
}

describe('throughput of own encapsulation beside the kernel’s', () => {
  const beds: [string, Bed][] = [
    ['seg6', withBed({ line: 'map-e', programs: ['iperf3'] })],
    ['own', ownBed('seg6', { programs: ['iperf3'] })],
  ];

  it('is worth having', async function () {
    this.timeout(60_000);
    const rates = new Map<string, number>();
    for (const [name, bed] of beds) {
      await startIperf(bed.lab.internet);
      for (const reverse of [false, true]) {
        const result = await iperf(bed.lab.hosts[0], { seconds: MEASURE_SECONDS, reverse });
        rates.set(`${name} ${reverse ? 'in' : 'out'}`, result.bitsPerSecond / 1e6);
      }
    }
    const said = [...rates].map(([name, rate]) => `${name} ${rate.toFixed(0)}`).join(', ');
    console.log(`      Mbit/s: ${said}`);
    for (const [name, rate] of rates) assert.ok(rate > 100, `${name}: ${rate} Mbit/s`);
  });

  it('loses nothing', async () => {
    const [, bed] = beds[1];
    const { sha256 } = await startWebServer(bed.lab.internet, bed.lab.folder, 20_000_000);
    assert.equal((await download(bed.lab.hosts[0])).sha256, sha256);
    assert.equal((await upload(bed.lab.hosts[1], bed.lab.folder, 'copy')).sha256, sha256);
    const status = await bed.gateway.control.status();
    assert.equal(status.state, 'forwarding');
  });
});
