import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Drop } from '../../../core/verdict.ts';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import {
  checksumProblems,
  cutPacket,
  echo4,
  joinFragments,
  SYN,
  tcp4,
  udp4,
} from '../../support/packets.ts';

const HOST = '192.168.1.11';
const SERVER = '198.51.100.9';
const TEXT = new Uint8Array(60).fill(97);

const datagram = (from: string, to: string, size: number, id = 77): Uint8Array =>
  udp4({ from, to, df: false, id, payload: Uint8Array.from({ length: size }, (_, i) => i * 7) });

/** Sends packets one by one and returns everything that came out. */
function sendAll(bench: Bench, packets: Uint8Array[]): Uint8Array[] {
  return packets.flatMap((packet) => {
    bench.send(packet);
    return bench.all();
  });
}

describe('fragments', () => {
  it('pass in any order, both ways, and arrive as the datagram that was sent', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1500, max: 9000 }),
        fc.infiniteStream(fc.nat()),
        fc.constantFrom(1480, 1000, 576),
        (size, order, mtu) => {
          const bench = new Bench({ line: { mtu: 1500 } });
          const shuffle = (packets: Uint8Array[]): Uint8Array[] => {
            const keys = packets.map(() => order.next().value as number);
            return packets
              .map((packet, i) => [keys[i], packet] as const)
              .sort((a, b) => a[0] - b[0])
              .map(([, packet]) => packet);
          };
          const original = datagram(`${HOST}:5000`, `${SERVER}:9`, size);
          const out = joinFragments(sendAll(bench, shuffle(cutPacket(original, mtu))));
          assert.deepEqual(checksumProblems(out), []);
          assert.equal(endpoints(out).from.split(':')[0], EXTERNAL);
          assert.deepEqual(out.slice(28), original.slice(28));

          const answer = datagram(`${SERVER}:9`, endpoints(out).from, size);
          const back = joinFragments(sendAll(bench, shuffle(cutPacket(answer, mtu))));
          assert.deepEqual(checksumProblems(back), []);
          assert.equal(endpoints(back).to, `${HOST}:5000`);
          assert.deepEqual(back.slice(28), answer.slice(28));
        },
      ),
      { numRuns: 100 },
    );
  });

  it('of two hosts with the same identification get different ones', () => {
    const bench = new Bench({ line: { mtu: 1500 } });
    const cut = (host: string): Uint8Array[] =>
      cutPacket(datagram(`${host}:5000`, `${SERVER}:9`, 3000, 4242), 1500);
    const a = cut(HOST);
    const b = cut('192.168.1.12');
    const out = sendAll(bench, [a[0], b[0], b[1], a[1], a[2], b[2]]);
    const ids = new Set(out.map((packet) => (packet[4] << 8) | packet[5]));
    assert.equal(ids.size, 2);
    for (const id of ids) {
      const own = out.filter((packet) => ((packet[4] << 8) | packet[5]) === id);
      assert.deepEqual(checksumProblems(joinFragments(own)), []);
    }
  });

  it('without a first one wait two seconds and are then counted', () => {
    const bench = new Bench();
    const [, later] = cutPacket(datagram(`${HOST}:5000`, `${SERVER}:9`, 2000), 1400);
    bench.send(later);
    assert.equal(bench.dropCount('FragmentWithoutFirst'), 0);
    bench.pass(3);
    assert.equal(bench.dropCount('FragmentWithoutFirst'), 1);
  });

  it('of a packet that was refused are refused too', () => {
    const bench = new Bench();
    const [first, later] = cutPacket(datagram('172.16.0.1:5000', `${SERVER}:9`, 2000), 1400);
    bench.send(later);
    assert.equal(bench.send(first), 'SourceNotInternal');
    assert.equal(bench.dropCount('FragmentOfDropped'), 1);
    assert.deepEqual(bench.all(), []);
  });

  it('of a packet that was refused or answered are refused at once, in any order, both ways', () => {
    const inbound = (bench: Bench, from: string): Uint8Array[] => {
      const out = bench.pass4(datagram(`${HOST}:5000`, `${SERVER}:9`, 10));
      return cutPacket(datagram(from, endpoints(out).from, 4000, 99), 1400);
    };
    const outbound = (from: string, more = {}): Uint8Array[] =>
      cutPacket(
        udp4({ from, to: `${SERVER}:9`, df: false, payload: new Uint8Array(4000), ...more }),
        1400,
      );
    const unheld = (bench: Bench): number => bench.table.parts.ports.set.ports[0];
    const syn = tcp4({ from: `${HOST}:1`, to: `${SERVER}:9`, flags: SYN, payload: TEXT });
    const cases: [keyof typeof Drop, (bench: Bench) => Uint8Array[]][] = [
      ['NoSession', (bench) => inbound(bench, '198.51.100.77:10')],
      ['NoSession', (bench) => outbound(`${HOST}:1`, { to: `${EXTERNAL}:${unheld(bench)}` })],
      ['SourceNotInternal', () => outbound('172.16.0.1:1')],
      ['TtlExpired', () => outbound(`${HOST}:1`, { ttl: 0 })],
      // Of a header in pieces, the first; the second would overwrite it, the others follow.
      ['TruncatedHeader', () => cutPacket(syn, 28).filter((_, i) => i !== 1 && i !== 2)],
    ];
    for (const [reason, make] of cases)
      for (const place of [0, 1, 2]) {
        const bench = new Bench({ line: { mtu: 1500 } });
        const [first, ...later] = make(bench);
        bench.all();
        const train = later.slice(0, 2);
        train.splice(place, 0, first);
        for (const packet of train) bench.send(packet);
        const what = `${reason}, the first one at ${place}`;
        assert.equal(bench.dropCount(reason), 1, what);
        assert.equal(bench.dropCount('FragmentOfDropped'), 2, what);
        assert.equal(bench.send(later[0]), 'FragmentOfDropped', what);
        bench.pass(3);
        assert.equal(bench.dropCount('FragmentWithoutFirst'), 0, what);
      }
  });

  it('follow a first one that is forwarded after another was refused, and go on when one is refused later', () => {
    const bench = new Bench({ line: { mtu: 1500 } });
    const [first, later] = cutPacket(datagram(`${HOST}:5000`, `${SERVER}:9`, 2000), 1400);
    const [refused] = cutPacket(
      udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, df: false, id: 77, ttl: 0, payload: TEXT }),
      28,
    );
    bench.send(refused);
    assert.equal(bench.send(later), 'FragmentOfDropped');
    bench.pass4(first);
    const out = bench.pass4(later);
    assert.equal(endpoints(out).from.split(':')[0], EXTERNAL);
    bench.send(refused);
    assert.deepEqual(bench.pass4(later), out);
  });

  it('that would overwrite a TCP header are dropped by name', () => {
    const bench = new Bench();
    const [, later] = cutPacket(datagram(`${HOST}:5000`, `${SERVER}:9`, 2000), 28);
    later[9] = 6;
    assert.equal(bench.send(later), 'FragmentOverlapsHeader');
  });

  it('without a first one, a hundred thousand of them, do not disturb anybody else', () => {
    const bench = new Bench();
    const mine = cutPacket(datagram(`${HOST}:5000`, `${SERVER}:9`, 3000), 1400);
    bench.send(mine[0]);
    const [, noise] = cutPacket(datagram(`${SERVER}:5000`, `${EXTERNAL}:9`, 2000), 1400);
    for (let i = 0; i < 100_000; i++) {
      noise[4] = i >> 8;
      noise[5] = i;
      noise[15] = i >> 12;
      bench.send(noise);
      if (i % 1000 === 0) bench.pass4(echo4({ from: `${HOST}:7`, to: SERVER }));
    }
    assert.equal(endpoints(bench.pass4(mine[1])).from.split(':')[0], EXTERNAL);
    bench.pass(3);
    assert.equal(bench.dropCount('FragmentWithoutFirst'), 100_000);
  });
});

describe('packets too big for a tunnel', () => {
  it('are cut when they may be, in order, and say the same when joined', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1433, max: 20000 }), fc.boolean(), (size, isPartial) => {
        const bench = new Bench();
        const original = datagram(`${HOST}:5000`, `${SERVER}:9`, size);
        bench.send(isPartial ? partialOf(bench, original) : original, isPartial ? 1 : 0);
        const parts = bench.all();
        assert.ok(parts.length >= 2);
        for (const part of parts) {
          assert.ok(part.length <= 1460);
          assert.ok(!checksumProblems(part).includes('IPv4 header checksum'));
        }
        const joined = joinFragments(parts);
        assert.deepEqual(checksumProblems(joined), []);
        assert.deepEqual(joined.slice(28), original.slice(28));
      }),
      { numRuns: 100 },
    );
  });

  it('are cut again when they are fragments already', () => {
    const bench = new Bench();
    const original = datagram(`${HOST}:5000`, `${SERVER}:9`, 8000);
    const out = sendAll(bench, cutPacket(original, 1500));
    assert.ok(out.every((part) => part.length <= 1460));
    assert.deepEqual(joinFragments(out).slice(28), original.slice(28));
    assert.deepEqual(checksumProblems(joinFragments(out)), []);
  });

  it('are left whole on a line where the kernel cuts', () => {
    const bench = new Bench({ line: { fragmentsHere: false } });
    const original = datagram(`${HOST}:5000`, `${SERVER}:9`, 2000);
    assert.equal(bench.pass4(original).length, original.length);
  });
});

/** The packet with a partial checksum, as a host with checksum offload hands it over. */
function partialOf(bench: Bench, packet: Uint8Array): Uint8Array {
  const partial = packet.slice();
  let sum = 17 + packet.length - 20;
  for (let i = 12; i < 20; i += 2) sum += (packet[i] << 8) | packet[i + 1];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  partial[26] = sum >> 8;
  partial[27] = sum;
  // csum_start 20, csum_offset 6, little endian, in the virtio header in front.
  bench.setVirtio(20, 6);
  return partial;
}
