/** Faults of the packet path that fuzzing and reading have found. */
import assert from 'node:assert/strict';
import { HEADROOM_BYTES } from '../../../core/frames.ts';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import {
  checksumProblems,
  cutPacket,
  echo4,
  error4,
  SYN,
  tcp4,
  udp4,
} from '../../support/packets.ts';

const HOST = '192.168.1.11';
const SERVER = '198.51.100.9';

describe('packets that never were', () => {
  it('a frame of no bytes is dropped whatever lies behind it', () => {
    for (const fill of [0, 0x45, 0x60, 0xff]) {
      const bench = new Bench();
      bench.frames.bytes.fill(fill, HEADROOM_BYTES, 1000);
      assert.equal(bench.send(new Uint8Array(0)), 'TruncatedHeader');
    }
  });
});

describe('packets from LAN to LAN', () => {
  it('take no external port and do not come out with the external address', () => {
    const bench = new Bench();
    for (const to of ['192.168.1.1:9', '10.3.2.1:9']) {
      assert.equal(bench.send(udp4({ from: `${HOST}:1`, to })), 'UnroutableDestination');
      const syn = tcp4({ from: `${HOST}:1`, to, flags: SYN });
      assert.equal(bench.send(syn), 'UnroutableDestination');
    }
    assert.equal(bench.table.parts.sessions.count, 0);
  });

  it('nor do ICMP errors to where no packet could have come from', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    const delivered = bench.pass4(udp4({ from: `${SERVER}:9`, to: endpoints(out).from }));
    for (const to of ['192.168.1.12', '224.0.0.1', '255.255.255.255', '127.0.0.1']) {
      const error = error4({ from: HOST, to, type: 3, code: 3, quoted: delivered });
      assert.equal(bench.send(error), 'UnroutableDestination');
    }
  });
});

describe('identifications on the line', () => {
  const id = (packet: Uint8Array): number => (packet[4] << 8) | packet[5];

  it('of two hosts differ for fragments with "do not fragment" too', () => {
    const bench = new Bench();
    const first = (host: string): Uint8Array => {
      const whole = udp4({
        from: `${host}:5000`,
        to: `${SERVER}:9`,
        df: false,
        id: 7,
        payload: new Uint8Array(2000),
      });
      const [part] = cutPacket(whole, 1400);
      part[6] |= 0x40;
      part[10] = part[11] = 0;
      let sum = 0;
      for (let i = 0; i < 20; i += 2) sum += (part[i] << 8) | part[i + 1];
      sum = (sum & 0xffff) + (sum >>> 16);
      sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
      part[10] = sum >> 8;
      part[11] = sum;
      return part;
    };
    const a = bench.pass4(first(HOST));
    const b = bench.pass4(first('192.168.1.12'));
    assert.notEqual(id(a), id(b));
  });

  it('of ICMP errors that may be fragmented are the gateway’s own', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    const quoted = bench.pass4(udp4({ from: `${SERVER}:9`, to: endpoints(out).from }));
    const error = { from: HOST, to: SERVER, type: 3, code: 3, quoted, df: false, id: 7 };
    const a = bench.pass4(error4(error));
    const b = bench.pass4(error4(error));
    assert.notEqual(id(a), id(b));
    assert.deepEqual(checksumProblems(b), []);
  });
});

describe('ICMP errors about later fragments', () => {
  it('are not read as if their payload were ports', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` }));
    const later = out.slice();
    later[6] = 0;
    later[7] = 100;
    later[10] = later[11] = 0;
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += (later[i] << 8) | later[i + 1];
    sum = (sum & 0xffff) + (sum >>> 16);
    sum = ~((sum & 0xffff) + (sum >>> 16)) & 0xffff;
    later[10] = sum >> 8;
    later[11] = sum;
    const error = error4({ from: SERVER, to: EXTERNAL, type: 11, code: 0, quoted: later });
    assert.equal(bench.send(error), 'IcmpErrorWithoutSession');
  });
});

describe('quoted UDP checksums', () => {
  it('that come to zero are written as all ones', () => {
    const bench = new Bench();
    for (let value = 0; value < 0x10000; value++) {
      const payload = new Uint8Array([value >> 8, value]);
      const out = bench.pass4(udp4({ from: `${HOST}:5000`, to: `${SERVER}:9`, payload }));
      const told = bench.pass4(
        error4({ from: SERVER, to: EXTERNAL, type: 3, code: 3, quoted: out }),
      );
      assert.notEqual((told[54] << 8) | told[55], 0, `payload ${value}`);
    }
  });
});

describe('a virtio header that names the wrong place for a checksum', () => {
  const options = new Array(32).fill(1);
  const big = (): Uint8Array =>
    udp4({
      from: `${HOST}:5000`,
      to: `${SERVER}:9`,
      df: false,
      ipOptions: options,
      payload: new Uint8Array(2000),
    });

  it('does not get the translated source port overwritten when the packet is cut', () => {
    const honest = new Bench();
    const external = endpoints(honest.pass4(big())).from;
    const bench = new Bench();
    // 36 + 16 is the source port behind an IPv4 header of 52 bytes.
    bench.setVirtio(36, 16);
    assert.equal(endpoints(bench.pass4(big(), 1)).from, external);
    assert.ok(bench.all().length > 1);
  });

  it('is corrected before the packet is handed back', () => {
    const bench = new Bench();
    const packet = udp4({ from: `${HOST}:5000`, to: `${SERVER}:9` });
    bench.setVirtio(12, 0);
    bench.pass4(packet, 1);
    const virtio = bench.frames.descriptors[0] - 12;
    const { bytes } = bench.frames;
    assert.deepEqual([bytes[virtio], bytes[virtio + 6], bytes[virtio + 8]], [1, 20, 6]);
  });

  it('is not believed about a fragment or ICMP at all', () => {
    const bench = new Bench();
    const [first] = cutPacket(big(), 1400);
    for (const packet of [first, echo4({ from: `${HOST}:7`, to: SERVER })]) {
      bench.setVirtio(12, 0);
      bench.pass4(packet, 1);
      assert.equal(bench.frames.bytes[bench.frames.descriptors[0] - 12] & 1, 0);
      assert.equal(bench.frames.descriptors[2] & 1, 0);
    }
  });
});
