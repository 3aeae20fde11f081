/**
 * Datagrams of every size, there and back: cut by the sender, by the gateway and by whoever stands
 * behind it, and arriving in any order.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cut, fixHeader, ipv4, put16, SYN, tcp, udp } from '../../bench/fuzz/build.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { Capture } from '../../lab/audit.ts';
import { externalAddress } from '../../lab/lines.ts';
import { type Background, type Namespace, until } from '../../lab/netns.ts';
import { rawSend } from '../../lab/raw.ts';
import { ping } from '../../lab/services.ts';
import { LAN_PREFIX, SERVER } from '../../lab/topology.ts';
import { bareUdp, dropsOf, dropsSince } from './hostile.ts';
import { assertClean, type Bed, type BedOptions, withBed } from './support.ts';

/** Bytes of payload: around the MTU of the tunnel and of the link, and up to 20,000. */
const SIZES = [1000, 1432, 1433, 1440, 1472, 1473, 3000, 9000, 20_000];

const CASES: [string, BedOptions][] = [
  // The relay by the kernel's routes cuts nothing, so answers that need it want the independent one.
  ['a MAP-E line', { line: 'map-e', relay: 'socat', programs: ['socat', 'ethtool', 'ping'] }],
  ['an address line', { line: 'address', programs: ['ping'] }],
];

const SERVER_PORT = 7002;
const HOST_PORT = 5000;
const PROTOCOL_GRE = 47;
/** Of each fragment but the last: fits the MTU of both lines. */
const STEP_BYTES = 1400;
/** Fragments that lie behind a first one at the end must not be more than can wait. */
const RAW_SIZES = [1000, 1433, 3000, 9000, 20_000];

/** From here on: a datagram has the identification of one of the other host, and of no earlier one. */
const ID = 4711;

type Order = (parts: Uint8Array[]) => Uint8Array[];
const ORDERS: [string, Order][] = [
  ['in order', (parts) => parts],
  ['reversed', (parts) => [...parts].reverse()],
  ['the first one last', ([first, ...others]) => [...others, first]],
];

/** One datagram for each host, and the order of its fragments. */
interface Train {
  bytes: number;
  order: string;
  arrange: Order;
  id: number;
}

/** Says of each datagram from whom it came and what was in it. */
const RECEIVER = `
  const [address, port] = process.argv.slice(1);
  const { createHash } = require('node:crypto');
  const socket = require('node:dgram').createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  socket.on('message', (data, from) => {
    const sha256 = createHash('sha256').update(data).digest('hex');
    console.log('got ' + from.address + ' ' + from.port + ' ' + data.length + ' ' + sha256);
  });
  socket.bind(Number(port), address, () => console.log('ready'));
`;

async function startReceiver(namespace: Namespace, address: string, port: number) {
  const child = namespace.start(process.execPath, ['-e', RECEIVER, address, String(port)]);
  await child.line(/ready/);
  return child;
}

interface Got {
  address: string;
  port: number;
  bytes: number;
  sha256: string;
}

function gotBy(receiver: Background): Got[] {
  const matches = receiver.stdout.matchAll(/^got (\S+) (\d+) (\d+) (\w+)$/gm);
  return [...matches].map(([, address, port, bytes, sha256]) => ({
    address,
    port: Number(port),
    bytes: Number(bytes),
    sha256,
  }));
}

/** Other bytes for each seed, so that a fragment in the wrong datagram is noticed. */
const payloadOf = (bytes: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + seed * 31 + (i >> 8)) & 255);

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const hostAddress = (i: number): string => `${LAN_PREFIX}${11 + i}`;

function datagram(from: [string, number], to: [string, number], payload: Uint8Array, id: number) {
  const [source, destination] = [parseIpv4(from[0]), parseIpv4(to[0])];
  const head = { from: source, fromPort: from[1], to: destination, toPort: to[1] };
  return udp({ ...head, df: false, id }, payload);
}

for (const [name, options] of CASES)
  describe(`datagrams of 1,000 to 20,000 bytes through ${name}`, () => {
    const bed = withBed({ ...options, programs: [...(options.programs ?? []), 'tcpdump'] });

    it('come through both ways, from two hosts at once', async () => {
      const capture = await Capture.start(bed.lab);
      for (const bytes of SIZES) {
        const results = await Promise.all(
          bed.lab.hosts.map((host) => ping(host, SERVER, { bytes, dontFragment: false })),
        );
        for (const result of results)
          assert.equal(result.received, 3, `${bytes}: ${result.output}`);
      }
      assertClean(await capture.stop(), SIZES.length * 6);
      const { items } = await bed.gateway.control.list('drops', {});
      const lost = items.filter((item) => item.reason.startsWith('Fragment') && item.packets > 0);
      assert.deepEqual(lost, []);
    });

    it('arrive whole in any order, also when two hosts use one identification', async () => {
      const before = await dropsOf(bed.gateway);
      const server = await startReceiver(bed.lab.internet, SERVER, SERVER_PORT);
      const hosts = await Promise.all(
        bed.lab.hosts.map((host, i) => startReceiver(host, hostAddress(i), HOST_PORT)),
      );
      let sent = 0;
      for (const bytes of RAW_SIZES)
        for (const [order, arrange] of ORDERS) {
          sent += 2;
          const train = { bytes, order, arrange, id: ID + sent };
          const ports = await outwards(bed, server, train, sent);
          await inwards(bed, hosts, ports, train, sent / 2);
        }
      // Nobody got what was another's, nothing came twice, nothing was lost on the way.
      assert.equal(gotBy(server).length, sent);
      for (const host of hosts) assert.equal(gotBy(host).length, sent / 2);
      assert.deepEqual(dropsSince(before, await dropsOf(bed.gateway)), {});
    });

    it('are dropped by name if a fragment is tiny or would overwrite a header', () =>
      dropsWhatIsForged(bed));

    it('keep a UDP checksum of zero', () => keepsZero(bed));
  });

/**
 * Two hosts send at once: all later fragments of both lie at the gateway before either first one
 * comes, where the order has that. Returns where the server saw each host.
 */
async function outwards(
  bed: Bed,
  server: Background,
  { bytes, order, arrange, id }: Train,
  expected: number,
): Promise<number[]> {
  const trains = bed.lab.hosts.map((_, i) => {
    const payload = payloadOf(bytes, i);
    const whole = datagram([hostAddress(i), HOST_PORT], [SERVER, SERVER_PORT], payload, id);
    return arrange(cut(whole, STEP_BYTES));
  });
  const half = Math.ceil(trains[0].length / 2);
  for (const part of [0, 1])
    await Promise.all(
      bed.lab.hosts.map((host, i) => {
        const packets = part === 0 ? trains[i].slice(0, half) : trains[i].slice(half);
        return packets.length === 0 ? 0 : rawSend(host, packets);
      }),
    );
  await until(`${bytes} bytes ${order} at the server`, () => gotBy(server).length >= expected);
  const got = gotBy(server).slice(-2);
  return bed.lab.hosts.map((_, i) => {
    const own = got.find((one) => one.sha256 === sha256Of(payloadOf(bytes, i)));
    assert.ok(own, `${bytes} bytes ${order}: ${JSON.stringify(got)}`);
    assert.equal(own.address, externalAddress(bed.lab.line));
    return own.port;
  });
}

/** The server answers both hosts in the same order. */
async function inwards(
  bed: Bed,
  hosts: Background[],
  ports: number[],
  { bytes, order, arrange, id }: Train,
  expected: number,
): Promise<void> {
  const external = externalAddress(bed.lab.line);
  for (const [i, host] of hosts.entries()) {
    const payload = payloadOf(bytes, 10 + i);
    const whole = datagram([SERVER, SERVER_PORT], [external, ports[i]], payload, id + i);
    await rawSend(bed.lab.internet, arrange(cut(whole, STEP_BYTES)));
    await until(`${bytes} bytes ${order} at a host`, () => gotBy(host).length >= expected);
    const got = gotBy(host).at(-1);
    assert.deepEqual(
      got,
      { address: SERVER, port: SERVER_PORT, bytes, sha256: sha256Of(payload) },
      order,
    );
  }
}

/** RFC 1858: a header in pieces, and a later fragment that replaces a part of it. */
async function dropsWhatIsForged(bed: Bed): Promise<void> {
  const before = await dropsOf(bed.gateway);
  const [source, destination] = [parseIpv4(hostAddress(0)), parseIpv4(SERVER)];
  const head = { from: source, to: destination, df: false };
  const syn = { ...head, fromPort: 5100, toPort: 80, flags: SYN, seq: 1, ack: 0 };
  const tiny = cut(tcp({ ...syn, id: 1 }, payloadOf(40, 1)), 8);
  const overwriting = cut(tcp({ ...syn, id: 2 }, payloadOf(40, 1)), 24)[1];
  put16(overwriting, 6, 0x2001);
  fixHeader(overwriting);
  const tunnel = cut(ipv4(PROTOCOL_GRE, { ...head, id: 3 }, payloadOf(100, 1)), 48);
  // A first fragment that is refused takes its later ones with it, whether they waited for it or come behind it; so does one that
  // has no whole header.
  await rawSend(bed.lab.hosts[0], [
    tiny[3],
    tiny[4],
    tiny[0],
    overwriting,
    tunnel[1],
    tunnel[0],
    tunnel[2],
  ]);
  const drops = await until('the last drop to be counted', async () => {
    const since = dropsSince(before, await dropsOf(bed.gateway));
    return since.FragmentOfDropped === 4 ? since : undefined;
  });
  assert.deepEqual(drops, {
    TruncatedHeader: 1,
    FragmentOverlapsHeader: 1,
    ProtocolNotTranslated: 1,
    FragmentOfDropped: 4,
  });
}

/** In whole packets and in fragments, both ways, seen behind the gateway. */
async function keepsZero(bed: Bed): Promise<void> {
  const { internet, hosts } = bed.lab;
  const port = 7003;
  const bytes = [100, 3000];
  const there = watchChecksums(internet, `dst port ${port}`);
  const back = watchChecksums(hosts[0], `src port ${port}`);
  await Promise.all([there.line(/listening on/), back.line(/listening on/)]);
  const received = await startReceiver(internet, SERVER, port);
  const host = await startReceiver(hosts[0], hostAddress(0), HOST_PORT + 1);

  const outbound = bytes.flatMap((size) =>
    cut(
      bareUdp([hostAddress(0), HOST_PORT + 1], [SERVER, port], payloadOf(size, 1), 9),
      STEP_BYTES,
    ),
  );
  await rawSend(hosts[0], outbound);
  const got = await until('the datagrams', () => {
    const all = gotBy(received);
    return all.length === bytes.length && all;
  });
  assert.deepEqual(
    got.map((one) => one.sha256),
    bytes.map((size) => sha256Of(payloadOf(size, 1))),
  );
  const external = externalAddress(bed.lab.line);
  const inbound = bytes.flatMap((size) =>
    cut(bareUdp([SERVER, port], [external, got[0].port], payloadOf(size, 2), 9), STEP_BYTES),
  );
  // And one whose checksum is not zero: the filters tell the two apart.
  const summed = datagram([SERVER, port], [external, got[0].port], payloadOf(50, 3), 10);
  await rawSend(internet, [...inbound, summed]);
  await until('the answers', () => gotBy(host).length === bytes.length + 1);
  assert.deepEqual(await checksumsOf(there, 2), ['zero', 'zero']);
  assert.deepEqual(await checksumsOf(back, 3), ['zero', 'zero', 'sum']);
}

/** tcpdump with what it takes to read the checksum: first fragments and whole packets, in hexadecimal. */
function watchChecksums(namespace: Namespace, filter: string): Background {
  const words = ['-i', 'eth0', '-n', '-l', '-x', '-s', '64', '--immediate-mode', '-Z', 'root'];
  return namespace.start('tcpdump', [...words, `udp ${filter} and ip[6:2] & 0x1fff = 0`]);
}

async function checksumsOf(dump: Background, count: number): Promise<string[]> {
  const read = (): string[] =>
    // Bytes 26 and 27 of the IP packet are the sixth word of the second line of 16 bytes.
    [...dump.stdout.matchAll(/^\s+0x0010:\s+((?:[0-9a-f]{4}\s+){6})/gm)].map(([, words]) =>
      words.trim().split(/\s+/)[5] === '0000' ? 'zero' : 'sum',
    );
  await until(`${count} packets in the capture`, () => read().length >= count);
  await dump.stop('SIGINT');
  return read();
}
