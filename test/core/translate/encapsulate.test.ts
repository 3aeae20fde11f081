/** IPv4 put into IPv6 and taken out again by the engine, as far as it is the engine's: the addon's part is in test/tun/segment.test.ts. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HEADROOM_BYTES, VNET_HEADER_BYTES } from '../../../core/frames.ts';
import { ANSWERED, COALESCE, ENCAPSULATE, FORWARDED } from '../../../core/verdict.ts';
import { writeU16 } from '../../../core/wire/bytes.ts';
import { Bench, EXTERNAL, endpoints, outerOf, verdicts } from '../../support/gateway.ts';
import {
  ACK,
  checksumProblems,
  echo4,
  error4,
  joinFragments,
  SYN,
  tcp4,
  udp4,
  withTos,
} from '../../support/packets.ts';
import { BR, CE, inTunnel, OWN_TUNNEL, STRANGER } from '../../support/tunnel.ts';

const HOST = '192.168.1.10';
const SERVER = '198.51.100.7';
const OUTER_BYTES = 40;

const own = (): Bench => new Bench({ line: OWN_TUNNEL });
/** The same gateway where the kernel encapsulates: what is inside the tunnel must be the same. */
const kernels = (): Bench =>
  new Bench({ line: { ceAddress: CE, brAddress: BR, encapsulatesHere: false } });

const query = (change: object = {}): Uint8Array =>
  udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, ...change });

/** A session of the host, and the answer that the server would send. */
function answered(bench: Bench, change: object = {}): Uint8Array {
  const out = bench.pass4(query());
  return udp4({ from: `${SERVER}:9`, to: endpoints(out).from, ...change });
}

describe('what leaves for the relay', () => {
  it('has an outer header of its own, with the traffic class of the packet', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), (tos) => {
        const bench = own();
        bench.pass4(withTos(query(), tos));
        assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
        const outer = outerOf(bench);
        const word = ((outer[0] << 24) | (outer[1] << 16) | (outer[2] << 8) | outer[3]) >>> 0;
        assert.equal(word, 0x60000000 + tos * 0x100000, 'version, traffic class, flow label 0');
        assert.deepEqual([...outer.slice(6, 8)], [4, 65]);
        assert.deepEqual(outer.slice(8, 24), CE);
        assert.deepEqual(outer.slice(24, 40), BR);
      }),
    );
  });

  it('is inside what it is where the kernel encapsulates', () => {
    const packets = [
      query(),
      query({ df: false, payload: new Uint8Array(1400) }),
      tcp4({ from: `${HOST}:6000`, to: `${SERVER}:80`, flags: SYN, mss: 1460 }),
      echo4({ from: `${HOST}:7`, to: SERVER }),
      error4({
        ...{ from: HOST, to: SERVER, type: 3, code: 3 },
        quoted: udp4({ from: `${SERVER}:9`, to: `${HOST}:5000` }),
      }),
    ];
    const [bench, twin] = [own(), kernels()];
    for (const packet of packets) {
      assert.deepEqual(bench.pass4(packet), twin.pass4(packet));
      assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
      assert.deepEqual(verdicts(twin), [FORWARDED]);
    }
  });

  it('leaves the virtio header of a superpacket to the device', () => {
    const bench = own();
    bench.pass4(tcp4({ from: `${HOST}:6000`, to: `${SERVER}:80`, flags: SYN }));
    const packet = tcp4({
      ...{ from: `${HOST}:6000`, to: `${SERVER}:80`, flags: ACK },
      payload: new Uint8Array(20_000),
    });
    bench.setVirtio(20, 16);
    const virtio = HEADROOM_BYTES - VNET_HEADER_BYTES;
    const { bytes } = bench.frames;
    bytes[virtio + 1] = 1;
    writeU16(bytes, virtio + 4, 0x7805);
    const before = bytes.slice(virtio, HEADROOM_BYTES);
    bench.pass4(packet, (0x578 << 16) | (1 << 8) | 1);
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(bytes.slice(virtio, HEADROOM_BYTES), before);
  });

  it('is cut to the MTU first, and each part gets its header', () => {
    const bench = own();
    const packet = query({ df: false, payload: new Uint8Array(5000).map((_, i) => i) });
    bench.pass4(packet);
    const parts = bench.all();
    assert.equal(parts.length, 4);
    assert.deepEqual(verdicts(bench), new Array(4).fill(ENCAPSULATE));
    parts.forEach((part, i) => {
      assert.ok(part.length <= 1460);
      assert.deepEqual(outerOf(bench, i), outerOf(bench));
    });
    const whole = joinFragments(parts);
    assert.deepEqual(checksumProblems(whole), []);
    assert.deepEqual(whole.slice(28), packet.slice(28));
  });

  it('is not what stays in the house', () => {
    const bench = own();
    const tooBig = bench.pass4(query({ payload: new Uint8Array(1450) }));
    assert.deepEqual([tooBig[20], tooBig[21]], [3, 4]);
    assert.deepEqual(verdicts(bench), [ANSWERED], 'an answer to a host');
    assert.equal(
      endpoints(bench.pass4(echo4({ from: `${HOST}:7`, to: EXTERNAL }))).to,
      `${HOST}:7`,
    );
    assert.deepEqual(verdicts(bench), [ANSWERED], 'an echo of our own address');

    // A host that has asked a STUN server owns its port.
    const payload = new Uint8Array([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, ...new Uint8Array(12)]);
    const stun = udp4({ from: `${HOST}:5000`, to: `${SERVER}:3478`, payload });
    const to = endpoints(bench.pass4(stun)).from;
    const hairpin = bench.pass4(udp4({ from: '192.168.1.11:6000', to }));
    assert.equal(endpoints(hairpin).to, `${HOST}:5000`);
    assert.equal(endpoints(hairpin).from.split(':')[0], EXTERNAL);
    assert.deepEqual(verdicts(bench), [FORWARDED], 'a hairpin');
  });

  it('is a neighbour on the same address, and an answer to a ping from outside', () => {
    const bench = own();
    bench.pass4(udp4({ from: `${HOST}:5000`, to: `${EXTERNAL}:2000` }));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);

    const ping = echo4({ from: `${SERVER}:77`, to: EXTERNAL, ttl: 1 });
    const reply = bench.pass4(inTunnel(ping));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(checksumProblems(reply), []);
    assert.deepEqual([reply[20], endpoints(reply).to], [0, `${SERVER}:77`]);
  });
});

describe('what comes from the relay', () => {
  it('is translated as if it had come without the tunnel', () => {
    const [bench, twin] = [own(), kernels()];
    const answer = answered(bench, { payload: new Uint8Array(900) });
    assert.deepEqual(answered(twin, { payload: new Uint8Array(900) }), answer);
    assert.deepEqual(bench.pass4(inTunnel(answer)), twin.pass4(answer));
    assert.deepEqual(verdicts(bench), [COALESCE]);
    assert.deepEqual(bench.pass4(inTunnel(answer, { trafficClass: 0xb8 })), twin.pass4(answer));
  });

  it('keeps a partial checksum that begins 40 bytes earlier', () => {
    const bench = own();
    const answer = answered(bench);
    bench.setVirtio(60, 6);
    const { bytes } = bench.frames;
    bytes[HEADROOM_BYTES - VNET_HEADER_BYTES + 2] = 68;
    bench.pass4(inTunnel(answer), 1);
    const at = bench.frames.descriptors[0];
    assert.equal(at, HEADROOM_BYTES + OUTER_BYTES);
    const virtio = [...bytes.slice(at - VNET_HEADER_BYTES, at)];
    assert.deepEqual(virtio, [1, 0, 28, 0, 0, 0, 20, 0, 6, 0, 0, 0]);
  });

  it('loses what the virtio header said of the outer packet', () => {
    const bench = own();
    const answer = answered(bench);
    bench.frames.bytes.fill(7, HEADROOM_BYTES - VNET_HEADER_BYTES, HEADROOM_BYTES);
    bench.frames.bytes[HEADROOM_BYTES - VNET_HEADER_BYTES] = 2;
    bench.pass4(inTunnel(answer), 2);
    const at = bench.frames.descriptors[0];
    assert.deepEqual(
      [...bench.frames.bytes.slice(at - VNET_HEADER_BYTES, at)],
      new Array(VNET_HEADER_BYTES).fill(0),
    );
  });

  it('combines the marks of congestion as RFC 6040 has it, and leaves DSCP alone', () => {
    const [notEct, ect1, ect0, ce] = [0, 1, 2, 3];
    // Rows: the packet inside; columns: Not-ECT, ECT(0), ECT(1), CE outside.
    const table: [number, (number | undefined)[]][] = [
      [notEct, [notEct, notEct, notEct, undefined]],
      [ect0, [ect0, ect0, ect1, ce]],
      [ect1, [ect1, ect1, ect1, ce]],
      [ce, [ce, ce, ce, ce]],
    ];
    const bench = own();
    const answer = answered(bench);
    for (const [inside, row] of table)
      [notEct, ect0, ect1, ce].forEach((outside, i) => {
        const packet = withTos(answer, 0xb8 | inside);
        const out = bench.send(inTunnel(packet, { trafficClass: 0x28 | outside }));
        if (row[i] === undefined) assert.equal(out, 'TunnelCongestion');
        else {
          assert.ok(typeof out !== 'string');
          assert.equal(out[1], 0xb8 | row[i], `${inside} in ${outside}`);
          assert.deepEqual(checksumProblems(out), []);
        }
      });
    assert.equal(bench.dropCount('TunnelCongestion'), 1);
  });

  it('is refused by name when it is not what it should be', () => {
    const bench = own();
    const answer = answered(bench);
    const to = endpoints(answer).to;
    const short = inTunnel(answer);
    writeU16(short, 4, answer.length + 1);
    const lying = answer.slice();
    writeU16(lying, 2, answer.length + 1);
    const cases: [string, Uint8Array, string][] = [
      ['another source', inTunnel(answer, { from: STRANGER }), 'TunnelPacketNotAccepted'],
      ['another destination', inTunnel(answer, { to: STRANGER }), 'KernelChatter'],
      ['another protocol', inTunnel(answer, { nextHeader: 41 }), 'TunnelPacketNotAccepted'],
      [
        'an inner destination that is not ours',
        inTunnel(udp4({ from: `${SERVER}:9`, to: `${HOST}:5000` })),
        'TunnelPacketNotAccepted',
      ],
      [
        'a neighbouring address',
        inTunnel(udp4({ from: `${SERVER}:9`, to: '203.0.113.6:5000' })),
        'TunnelPacketNotAccepted',
      ],
      [
        'an inner source in a LAN',
        inTunnel(udp4({ from: '192.168.1.11:9', to })),
        'SourceIsInternal',
      ],
      ['our own source', inTunnel(udp4({ from: to, to })), 'LoopedOwnSource'],
      ['IPv6 inside', inTunnel(inTunnel(answer)), 'NotIp'],
      ['nothing inside', inTunnel(new Uint8Array(0)), 'TruncatedHeader'],
      ['half a header', inTunnel(answer.slice(0, 19)), 'TruncatedHeader'],
      ['a payload length beyond the packet', short, 'TruncatedHeader'],
      ['an inner length beyond the outer', inTunnel(lying), 'TruncatedHeader'],
      ['a tunnel header alone', inTunnel(answer).slice(0, 39), 'TruncatedHeader'],
    ];
    for (const [what, packet, reason] of cases) assert.equal(bench.send(packet), reason, what);
    assert.equal(bench.send(inTunnel(answer), 1 << 8), 'TunnelPacketNotAccepted', 'a superpacket');
    assert.ok(typeof bench.send(inTunnel(answer)) !== 'string', 'the packet itself is right');
  });

  it('loses padding behind the outer packet', () => {
    const bench = own();
    const answer = answered(bench);
    const padded = new Uint8Array(100).fill(9);
    padded.set(inTunnel(answer));
    assert.equal(bench.pass4(padded).length, answer.length);
  });

  it('of any bytes never harms the engine', () => {
    const bench = own();
    const answer = answered(bench);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(90), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        fc.nat(71),
        (changes, length) => {
          const packet = inTunnel(answer);
          for (const [at, value] of changes) if (at < packet.length) packet[at] = value;
          packet[0] = 0x60;
          bench.send(packet.slice(0, length));
          bench.send(packet);
        },
      ),
      { numRuns: 2000 },
    );
    assert.ok(typeof bench.send(inTunnel(answer)) !== 'string');
  });
});

describe('hops through the tunnel', () => {
  it('are the kernel’s to take: the engine leaves the TTL alone both ways', () => {
    // What is given back to a hairpin, which the kernel forwards twice, is not given to the tunnel.
    const bench = new Bench({ line: { ...OWN_TUNNEL, restoreHopsInbound: 1 } });
    assert.equal(bench.pass4(query({ ttl: 63 }))[8], 63);
    assert.equal(bench.pass4(inTunnel(answered(bench, { ttl: 50 })))[8], 50);
    assert.equal(bench.pass4(inTunnel(answered(bench, { ttl: 2 })))[8], 2);
  });

  it('run out by name, and the sender hears of it from our address', () => {
    const bench = own();
    const last = answered(bench, { ttl: 1 });
    const told = bench.pass4(inTunnel(last));
    assert.deepEqual(verdicts(bench), [ENCAPSULATE]);
    assert.deepEqual(checksumProblems(told), []);
    assert.deepEqual([told[9], told[20], told[21]], [1, 11, 0]);
    assert.deepEqual(
      [endpoints(told).from.split(':')[0], endpoints(told).to.split(':')[0]],
      [EXTERNAL, SERVER],
    );
    assert.deepEqual(told.slice(28), last);
    assert.equal(bench.dropCount('TtlExpired'), 1);

    const elsewhere = udp4({ from: `${SERVER}:9`, to: `${EXTERNAL}:2000`, ttl: 1 });
    assert.equal(bench.send(inTunnel(elsewhere)), 'TtlExpired', 'a port of a neighbour');
    const reply = echo4({ from: SERVER, to: `${EXTERNAL}:4929`, type: 0, ttl: 1 });
    assert.equal(bench.send(inTunnel(reply)), 'TtlExpired');
    const error = error4({ from: SERVER, to: EXTERNAL, type: 3, code: 1, quoted: last, ttl: 0 });
    assert.equal(bench.send(inTunnel(error)), 'TtlExpired', 'never about an error');
  });

  it('are told of a limited number of times', () => {
    const bench = own();
    const last = inTunnel(answered(bench, { ttl: 1 }));
    const told = Array.from({ length: 300 }, () => bench.send(last)).filter(
      (out) => typeof out !== 'string',
    );
    assert.ok(told.length >= 50 && told.length <= 150, `${told.length} answers`);
    assert.equal(bench.dropCount('TtlExpired'), 300);
  });
});
