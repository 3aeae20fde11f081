import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Bench, EXTERNAL, endpoints, mapePorts } from '../../support/gateway.ts';
import {
  ACK,
  checksumProblems,
  echo4,
  error4,
  ipv4,
  SYN,
  tcp4,
  udp4,
} from '../../support/packets.ts';

const HOST = '192.168.1.11';
const SERVER = '198.51.100.9';
const ports = new Set(mapePorts());

const portOf = (endpoint: string): number => Number(endpoint.split(':')[1]);

describe('translation of packets', () => {
  it('gives an outbound packet an external source in the port set, and undoes it for the answer', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:53` }));
    const { from, to } = endpoints(out);
    assert.equal(from.split(':')[0], EXTERNAL);
    assert.ok(ports.has(portOf(from)), `${from} is outside the port set`);
    assert.equal(to, `${SERVER}:53`);
    assert.deepEqual(checksumProblems(out), []);

    const back = bench.pass4(udp4({ from: `${SERVER}:53`, to: from }));
    assert.deepEqual(endpoints(back), { from: `${SERVER}:53`, to: `${HOST}:5000` });
    assert.deepEqual(checksumProblems(back), []);
  });

  it('keeps every checksum right, for any protocol, payload and endpoint', () => {
    const bench = new Bench();
    const port = fc.integer({ min: 1, max: 65535 });
    const octet = fc.integer({ min: 1, max: 254 });
    const payload = fc.uint8Array({ minLength: 0, maxLength: 80 });
    fc.assert(
      fc.property(
        fc.constantFrom('udp', 'tcp', 'icmp'),
        octet,
        port,
        octet,
        port,
        payload,
        (kind, host, a, server, b, data) => {
          const inside = `192.168.1.${host}:${a}`;
          const outside = `198.51.100.${server}:${b}`;
          const make = (from: string, to: string, isAnswer: boolean): Uint8Array => {
            if (kind === 'udp') return udp4({ from, to, payload: data });
            if (kind === 'icmp')
              return echo4({ from, to, type: isAnswer ? 0 : 8, size: data.length });
            return tcp4({ from, to, flags: isAnswer ? SYN | ACK : SYN, mss: 1460, payload: data });
          };
          const out = bench.pass4(make(inside, outside, false));
          assert.deepEqual(checksumProblems(out), []);
          const external = endpoints(out).from;
          assert.ok(ports.has(portOf(external)));
          const back = bench.pass4(make(outside, external, true));
          assert.deepEqual(checksumProblems(back), []);
          assert.equal(endpoints(back).to, inside);
        },
      ),
      { numRuns: 600 },
    );
  });

  it('leaves a UDP checksum of zero at zero and never sends a computed zero', () => {
    const bench = new Bench();
    const none = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, checksum: 0 }));
    assert.equal((none[26] << 8) | none[27], 0);
    for (let value = 0; value < 0x10000; value += 1) {
      const payload = new Uint8Array([value >> 8, value & 255]);
      const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, payload }));
      assert.notEqual((out[26] << 8) | out[27], 0, `payload ${value}`);
      assert.deepEqual(checksumProblems(out), []);
    }
  });

  it('does not repair a wrong transport checksum', () => {
    const bench = new Bench();
    const packet = udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` });
    packet[26] ^= 0x55;
    assert.deepEqual(checksumProblems(bench.pass4(packet)), ['transport checksum of protocol 17']);
  });

  it('adjusts a partial checksum by the addresses only', () => {
    const bench = new Bench();
    const partial = (bytes: Uint8Array): number => {
      let sum = bytes[9] + bytes.length - 20;
      for (let i = 12; i < 20; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
      return sum;
    };
    const packet = tcp4({ from: `${HOST}:5000`, to: `${SERVER}:80`, flags: SYN, mss: 9000 });
    const sum = partial(packet);
    packet[36] = sum >> 8;
    packet[37] = sum & 255;
    const out = bench.pass4(packet, 1);
    assert.equal(((out[36] << 8) | out[37]) % 0xffff, partial(out) % 0xffff);
  });

  it('takes ICMP identifiers from the port set, the same towards every destination', () => {
    const bench = new Bench();
    const first = bench.pass4(echo4({ from: `${HOST}:7`, to: SERVER }));
    const second = bench.pass4(echo4({ from: `${HOST}:7`, to: '198.51.100.10' }));
    const other = bench.pass4(echo4({ from: '192.168.1.12:7', to: SERVER }));
    assert.equal(endpoints(first).from, endpoints(second).from);
    assert.ok(ports.has(portOf(endpoints(first).from)));
    assert.notEqual(endpoints(other).from, endpoints(first).from);
  });

  it('clamps the MSS of a SYN to the line and never raises it', () => {
    const bench = new Bench();
    const mss = (packet: Uint8Array): number => (packet[42] << 8) | packet[43];
    const out = bench.pass4(
      tcp4({ from: `${HOST}:5000`, to: `${SERVER}:80`, flags: SYN, mss: 1460 }),
    );
    assert.equal(mss(out), 1420);
    assert.deepEqual(checksumProblems(out), []);
    const back = bench.pass4(
      tcp4({ from: `${SERVER}:80`, to: endpoints(out).from, flags: SYN | ACK, mss: 8960 }),
    );
    assert.equal(mss(back), 1420);
    assert.deepEqual(checksumProblems(back), []);
    const small = tcp4({ from: `${HOST}:5001`, to: `${SERVER}:80`, flags: SYN, mss: 536 });
    assert.equal(mss(bench.pass4(small)), 536);
  });

  it('answers a packet too big for the line from the LAN address, with the MTU and the original quoted', () => {
    const bench = new Bench();
    const packet = udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, payload: new Uint8Array(1433) });
    const answer = bench.pass4(packet);
    assert.deepEqual(checksumProblems(answer), []);
    assert.deepEqual([answer[20], answer[21]], [3, 4]);
    assert.equal((answer[26] << 8) | answer[27], 1460);
    assert.equal(endpoints(answer).from, '192.168.1.1:0');
    assert.equal(endpoints(answer).to, `${HOST}:0`);
    assert.equal(answer.length, 576);
    assert.deepEqual(answer.slice(28), packet.slice(0, 548));
    const fits = udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, payload: new Uint8Array(1432) });
    assert.equal(endpoints(bench.pass4(fits)).to, `${SERVER}:9`);
  });

  it('measures a superpacket by its segments', () => {
    const bench = new Bench();
    bench.pass4(tcp4({ from: `${HOST}:5000`, to: `${SERVER}:80`, flags: SYN }));
    const big = tcp4({
      from: `${HOST}:5000`,
      to: `${SERVER}:80`,
      flags: ACK,
      payload: new Uint8Array(20000),
    });
    const offload = (gsoSize: number): number => (gsoSize << 16) | (1 << 8);
    assert.equal(bench.pass4(big, offload(1420)).length, big.length);
    const answer = bench.pass4(big, offload(1421));
    assert.deepEqual([answer[20], answer[21]], [3, 4]);
  });

  it('restores the hop that the kernel takes twice', () => {
    const bench = new Bench({ line: { restoreHopsOutbound: 1, restoreHopsInbound: 1 } });
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, ttl: 1 }));
    assert.equal(out[8], 2);
    assert.deepEqual(checksumProblems(out), []);
    const back = bench.pass4(udp4({ from: `${SERVER}:9`, to: endpoints(out).from, ttl: 60 }));
    assert.equal(back[8], 61);
    assert.deepEqual(checksumProblems(back), []);
  });

  it('refuses protocols without ports with ICMP 3/2 and leaks nothing', () => {
    const bench = new Bench();
    for (const protocol of [47, 50, 97, 41]) {
      const answer = bench.pass4(ipv4(protocol, { from: HOST, to: SERVER }, new Uint8Array(24)));
      assert.deepEqual([answer[9], answer[20], answer[21]], [1, 3, 2]);
      assert.equal(endpoints(answer).to.split(':')[0], HOST);
    }
  });
});

describe('packets that are not forwarded', () => {
  const cases: [string, Uint8Array][] = [
    ['NotIp', new Uint8Array(40)],
    ['TruncatedHeader', udp4({ from: `${HOST}:1`, to: `${SERVER}:2` }).slice(0, 27)],
    ['LoopedOwnSource', udp4({ from: `${EXTERNAL}:1`, to: `${SERVER}:2` })],
    ['SourceNotInternal', udp4({ from: '172.16.0.1:1', to: `${SERVER}:2` })],
    ['UnroutableDestination', udp4({ from: `${HOST}:1`, to: '239.1.1.1:2' })],
    ['UnroutableDestination', udp4({ from: `${HOST}:1`, to: '255.255.255.255:2' })],
    ['TcpWithoutSession', tcp4({ from: `${HOST}:1`, to: `${SERVER}:2`, flags: ACK })],
    ['NotInPortSet', udp4({ from: `${SERVER}:1`, to: `${EXTERNAL}:80` })],
    ['NoSession', udp4({ from: `${SERVER}:1`, to: `${EXTERNAL}:4928` })],
    ['NoSession', udp4({ from: `${HOST}:1`, to: `${EXTERNAL}:4928` })],
    ['ProtocolNotTranslated', ipv4(50, { from: SERVER, to: EXTERNAL }, new Uint8Array(8))],
  ];
  for (const [reason, packet] of cases)
    it(`${reason}: is named and counted`, () => {
      const bench = new Bench();
      assert.equal(bench.send(packet), reason);
      assert.equal(bench.dropCount(reason as 'NotIp'), 1);
    });

  it('a port of our address outside our set is a neighbour’s and goes out', () => {
    const out = new Bench().pass4(udp4({ from: `${HOST}:1`, to: `${EXTERNAL}:80` }));
    assert.equal(endpoints(out).to, `${EXTERNAL}:80`);
  });
});

describe('ICMP errors', () => {
  const makers: [string, (from: string, to: string) => Uint8Array][] = [
    ['UDP', (from, to) => udp4({ from, to })],
    ['TCP', (from, to) => tcp4({ from, to, flags: SYN })],
    ['ICMP', (from, to) => echo4({ from, to })],
  ];
  for (const [name, make] of makers)
    it(`from the path about ${name} reach the host with the original inside`, () => {
      const bench = new Bench();
      const original = make(`${HOST}:5000`, `${SERVER}:9`);
      const out = bench.pass4(original);
      const error = error4({
        from: '100.64.0.1',
        to: EXTERNAL,
        type: 3,
        code: 4,
        parameter: 1400,
        quoted: out,
      });
      const told = bench.pass4(error);
      assert.deepEqual(checksumProblems(told), []);
      assert.equal(endpoints(told).from, '100.64.0.1:0');
      assert.equal(endpoints(told).to, `${HOST}:0`);
      const quoted = told.slice(28);
      assert.deepEqual(endpoints(quoted), endpoints(original));
      assert.deepEqual(checksumProblems(quoted), []);
    });

  it('quoting 8 transport bytes only are enough', () => {
    const bench = new Bench();
    const out = bench.pass4(tcp4({ from: `${HOST}:5000`, to: `${SERVER}:80`, flags: SYN }));
    const error = error4({
      from: SERVER,
      to: EXTERNAL,
      type: 3,
      code: 3,
      quoted: out.slice(0, 28),
    });
    const told = bench.pass4(error);
    assert.deepEqual(checksumProblems(told), []);
    assert.equal(endpoints(told.slice(28)).from, `${HOST}:5000`);
  });

  it('skip options of the quoted header', () => {
    const bench = new Bench();
    const out = bench.pass4(
      udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, ipOptions: [7, 7, 4, 0, 0, 0, 0, 0] }),
    );
    const told = bench.pass4(error4({ from: SERVER, to: EXTERNAL, type: 3, code: 3, quoted: out }));
    assert.equal(endpoints(told.slice(28)).from, `${HOST}:5000`);
    assert.deepEqual(checksumProblems(told.slice(28)), []);
  });

  it('are dropped by name when broken or about nothing of ours', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    const error = (quoted: Uint8Array): Uint8Array =>
      error4({ from: SERVER, to: EXTERNAL, type: 3, code: 3, quoted });
    const badSum = error(out);
    badSum[22] ^= 1;
    assert.equal(bench.send(badSum), 'IcmpBadChecksum');
    const badQuote = out.slice();
    badQuote[10] ^= 1;
    assert.equal(bench.send(error(badQuote)), 'IcmpBadQuote');
    assert.equal(bench.send(error(out.slice(0, 27))), 'IcmpBadQuote');
    const foreign = udp4({ from: `${EXTERNAL}:4929`, to: '198.51.100.77:9' });
    assert.equal(bench.send(error(foreign)), 'IcmpErrorWithoutSession');
    const quench = error4({ from: SERVER, to: EXTERNAL, type: 4, code: 0, quoted: out });
    assert.equal(bench.send(quench), 'IcmpTypeNotTranslated');
  });

  it('neither end nor refresh the session', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    const error = error4({ from: SERVER, to: EXTERNAL, type: 3, code: 3, quoted: out });
    for (let i = 0; i < 5; i++) {
      bench.pass(59);
      bench.pass4(error);
    }
    assert.equal(
      endpoints(bench.pass4(udp4({ from: `${SERVER}:9`, to: endpoints(out).from }))).to,
      `${HOST}:5000`,
    );
    bench.pass(302);
    assert.equal(bench.send(error), 'IcmpErrorWithoutSession');
  });

  it('from a LAN host leave with the external address, outside and inside', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    const external = endpoints(out).from;
    const delivered = bench.pass4(udp4({ from: `${SERVER}:9`, to: external }));
    const told = bench.pass4(
      error4({ from: HOST, to: SERVER, type: 3, code: 3, quoted: delivered }),
    );
    assert.deepEqual(checksumProblems(told), []);
    assert.equal(endpoints(told).from, `${EXTERNAL}:0`);
    assert.equal(endpoints(told.slice(28)).to, external);
    assert.deepEqual(checksumProblems(told.slice(28)), []);
  });
});
