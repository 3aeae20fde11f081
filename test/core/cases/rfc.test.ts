/**
 * Requirements of RFC 4787, 5508, 7857 and 6888 that no other test shows; the compliance page names them. Where a preset departs from
 * one, the test shows what it does instead.
 */
import assert from 'node:assert/strict';
import { Counter } from '../../../core/table/counters.ts';
import { mayBeAnswered } from '../../../core/translate/answer.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, EXTERNAL, endpoints, mapePorts } from '../../support/gateway.ts';
import {
  checksumProblems,
  cutPacket,
  echo4,
  error4,
  SYN,
  tcp4,
  udp4,
  withTos,
} from '../../support/packets.ts';

const HOST = '192.168.1.11:5000';
const SERVER = '198.51.100.9:9';
const PRESETS = ['home', 'rfc'] as const;

const presetBench = (preset: 'home' | 'rfc', ports = mapePorts()): Bench =>
  new Bench({ policy: standardPolicy(preset), ports });
const externalOf = (packet: Uint8Array): string => endpoints(packet).from;
const answers = (bench: Bench, external: string, from = SERVER): boolean =>
  typeof bench.send(udp4({ from, to: external })) !== 'string';

for (const preset of PRESETS)
  describe(`UDP timers, preset ${preset}`, () => {
    const open = (): { bench: Bench; external: string } => {
      const bench = presetBench(preset);
      return { bench, external: externalOf(bench.pass4(udp4({ from: HOST, to: SERVER }))) };
    };

    it('a mapping lives for 300 seconds of silence, and not much longer', () => {
      const early = open();
      early.bench.pass(299);
      assert.ok(answers(early.bench, early.external));
      const late = open();
      late.bench.pass(303);
      assert.ok(!answers(late.bench, late.external));
    });

    it('a packet from inside refreshes it, and an answer does', () => {
      const { bench, external } = open();
      for (let i = 0; i < 4; i++) {
        bench.pass(200);
        if (i % 2 === 0) bench.pass4(udp4({ from: HOST, to: SERVER }));
        else assert.ok(answers(bench, external));
      }
      bench.pass(299);
      assert.ok(answers(bench, external));
    });

    it('a packet that the filter refuses does not refresh it', () => {
      const { bench, external } = open();
      for (let i = 0; i < 6; i++) {
        assert.ok(!answers(bench, external, '203.0.113.200:1'));
        bench.pass(51);
      }
      assert.ok(!answers(bench, external));
    });

    it('an ICMP query lives for 60 seconds', () => {
      for (const [seconds, isAlive] of [
        [59, true],
        [63, false],
      ] as const) {
        const bench = presetBench(preset);
        const out = bench.pass4(echo4({ from: '192.168.1.11:7', to: '198.51.100.9' }));
        bench.pass(seconds);
        const reply = echo4({ from: '198.51.100.9', to: externalOf(out), type: 0 });
        assert.equal(typeof bench.send(reply) !== 'string', isAlive, `${seconds} s`);
      }
    });
  });

describe('mapping under load, preset rfc', () => {
  it('is the same towards every remote when 1, 50 and 99 in a hundred ports are taken', () => {
    const bench = presetBench('rfc');
    let endpointsOpen = 0;
    for (const share of [0.01, 0.5, 0.99]) {
      for (; endpointsOpen < Math.floor(240 * share) - 1; endpointsOpen++)
        bench.pass4(udp4({ from: `10.0.0.9:${2000 + endpointsOpen}`, to: SERVER }));
      const seen = new Set(
        [1, 2, 3, 4].map((n) =>
          externalOf(bench.pass4(udp4({ from: HOST, to: `203.0.113.${n + 20}:${n}` }))),
        ),
      );
      assert.equal(seen.size, 1, `${share * 100} %`);
    }
  });

  it('overloads no port: as many endpoints as ports, each alone at its own', () => {
    const bench = presetBench('rfc', mapePorts().slice(0, 16));
    const seen = new Set<string>();
    for (let n = 0; n < 16; n++)
      seen.add(
        externalOf(
          bench.pass4(
            tcp4({ from: `10.0.0.${n + 1}:5000`, to: `198.51.100.${n + 1}:80`, flags: SYN }),
          ),
        ),
      );
    assert.equal(seen.size, 16);
  });
});

describe('mapping and filtering, preset home', () => {
  it('endpoints share a port towards different remotes, and an endpoint is diverted when its 5-tuple is taken', () => {
    const bench = presetBench('home', mapePorts().slice(0, 2));
    const a = externalOf(bench.pass4(udp4({ from: '10.0.0.1:1', to: '198.51.100.1:1' })));
    const b = externalOf(bench.pass4(udp4({ from: '10.0.0.2:1', to: '198.51.100.1:1' })));
    const c = externalOf(bench.pass4(udp4({ from: '10.0.0.3:1', to: '198.51.100.2:1' })));
    assert.notEqual(a, b);
    assert.ok(c === a || c === b, 'the third endpoint shares');
    const other = c === a ? '10.0.0.1:1' : '10.0.0.2:1';
    const diverted = externalOf(bench.pass4(udp4({ from: other, to: '198.51.100.2:1' })));
    assert.notEqual(diverted, c);
  });

  it('a port without owner lets in the exact remote endpoint only', () => {
    const bench = presetBench('home');
    const external = externalOf(bench.pass4(udp4({ from: HOST, to: SERVER })));
    assert.ok(answers(bench, external));
    assert.equal(bench.send(udp4({ from: '198.51.100.9:10', to: external })), 'NoSession');
  });
});

for (const preset of PRESETS)
  describe(`both presets: ${preset}`, () => {
    it('a TCP mapping opens nothing for UDP at the same port', () => {
      const bench = presetBench(preset);
      const external = externalOf(bench.pass4(tcp4({ from: HOST, to: SERVER, flags: SYN })));
      assert.equal(bench.send(udp4({ from: SERVER, to: external })), 'NoSession');
    });

    it('payloads that name addresses leave as they came', () => {
      const payload = new TextEncoder().encode(
        'PORT 192,168,1,11,19,136 Contact: <sip:192.168.1.11>',
      );
      for (const to of ['198.51.100.9:21', '198.51.100.9:5060', '198.51.100.9:69']) {
        const bench = presetBench(preset);
        const udp = bench.pass4(udp4({ from: HOST, to, payload }));
        assert.deepEqual(udp.slice(28), payload);
        const tcp = bench.pass4(tcp4({ from: HOST, to, flags: SYN, payload }));
        assert.deepEqual(tcp.slice(40), payload);
      }
    });

    it('ports are chosen at random: no order, and all of the set', () => {
      const ports: number[] = [];
      for (let seed = 1; seed <= 12; seed++) {
        const bench = new Bench({ policy: standardPolicy(preset), seed: seed * 7919 });
        for (let n = 0; n < 200; n++)
          ports.push(
            Number(
              externalOf(bench.pass4(udp4({ from: `10.0.0.1:${1000 + n}`, to: SERVER }))).split(
                ':',
              )[1],
            ),
          );
      }
      const numbers = ports.map((port) => mapePorts().indexOf(port));
      assert.equal(new Set(numbers).size, 240);
      const ascents = numbers.slice(1).filter((number, i) => number > numbers[i]).length;
      assert.ok(
        Math.abs(ascents / numbers.length - 0.5) < 0.05,
        `${ascents} of ${numbers.length} rise`,
      );
      const next = numbers
        .slice(1)
        .filter((number, i) => Math.abs(number - numbers[i]) === 1).length;
      assert.ok(next < numbers.length * 0.03, `${next} lie next to the one before`);
    });

    it('ICMP errors of every code of type 3 leave TCP and UDP sessions as they were', () => {
      const bench = presetBench(preset);
      const udp = bench.pass4(udp4({ from: HOST, to: SERVER }));
      const tcp = bench.pass4(tcp4({ from: HOST, to: SERVER, flags: SYN }));
      for (let code = 0; code < 16; code++)
        for (const quoted of [udp, tcp])
          bench.pass4(error4({ from: '100.64.0.1', to: EXTERNAL, type: 3, code, quoted }));
      assert.ok(answers(bench, externalOf(udp)));
      assert.equal(
        externalOf(bench.pass4(tcp4({ from: HOST, to: SERVER, flags: SYN }))),
        externalOf(tcp),
      );
      assert.equal(bench.table.parts.sessions.count, 2);
    });

    it('a mapping of another host is free for use as soon as it has ended', () => {
      const bench = presetBench(preset, mapePorts().slice(0, 1));
      const first = externalOf(bench.pass4(udp4({ from: HOST, to: SERVER })));
      bench.pass(303);
      assert.equal(externalOf(bench.pass4(udp4({ from: '10.0.0.2:1', to: SERVER }))), first);
    });
  });

describe('answers that are not given', () => {
  it('to errors, and about packets to multicast addresses', () => {
    const bench = new Bench();
    const out = bench.pass4(udp4({ from: HOST, to: SERVER }));
    const delivered = bench.pass4(udp4({ from: SERVER, to: externalOf(out) }));
    const error = { from: '192.168.1.11', to: '198.51.100.9', type: 3, code: 3 };
    const broken = delivered.slice();
    broken[10] ^= 1;
    assert.equal(bench.send(error4({ ...error, quoted: broken })), 'IcmpBadQuote');
    assert.equal(bench.send(udp4({ from: HOST, to: '224.0.0.251:5353', ttl: 0 })), 'TtlExpired');
    const answer = bench.pass4(udp4({ from: HOST, to: SERVER, ttl: 0 }));
    assert.deepEqual([answer[9], answer[20], answer[21]], [1, 11, 0]);
    assert.equal(externalOf(answer), '192.168.1.1:0');
  });

  it('to broadcasts, and about later fragments, whatever is wrong with them', () => {
    const bench = new Bench({ line: { mtu: 1500 } });
    const silent = (packet: Uint8Array, what: string): void => {
      bench.send(packet);
      for (const out of bench.all()) assert.notEqual(out[9], 1, what);
      assert.equal(bench.table.parts.counters[Counter.PacketsAnswered], 0, what);
    };
    for (const to of ['255.255.255.255:67', '192.168.1.255:67', '127.0.0.1:67', '240.0.0.1:67'])
      for (const ttl of [0, 64])
        for (const size of [10, 1480])
          silent(udp4({ from: HOST, to, ttl, payload: new Uint8Array(size) }), `${to} ${ttl}`);
    // Of a datagram whose first fragment nobody saw, and of one that was forwarded; a fragment may have "do not fragment" too.
    const parts = (id: number, ttl: number): Uint8Array[] =>
      cutPacket(udp4({ from: HOST, to: SERVER, id, ttl, payload: new Uint8Array(4000) }), 2000);
    for (const later of parts(1, 0).slice(1)) silent(later, 'a later fragment alone');
    bench.pass(3);
    silent(cutPacket(parts(2, 64)[0], 1000)[0], 'a first fragment that fits');
    for (const later of parts(2, 0).slice(1)) silent(later, 'a later fragment');

    const [first, later] = parts(3, 64);
    assert.ok(mayBeAnswered(first, 0));
    assert.ok(!mayBeAnswered(later, 0));
  });

  it('but those that are given are internetwork control: DSCP 48', () => {
    const bench = new Bench({ line: { mtu: 1400 } });
    const big = udp4({ from: HOST, to: SERVER, payload: new Uint8Array(1400) });
    const gre = udp4({ from: HOST, to: SERVER });
    gre[9] = 47;
    const given: [Uint8Array, code: string][] = [
      [udp4({ from: HOST, to: SERVER, ttl: 0 }), '11/0'],
      [big, '3/4'],
      [gre, '3/2'],
    ];
    for (const [packet, code] of given) {
      const answer = bench.pass4(withTos(packet, 0x2e << 2));
      assert.equal(`${answer[20]}/${answer[21]}`, code);
      assert.equal(answer[1] >> 2, 48, code);
      assert.deepEqual(checksumProblems(answer), [], code);
    }
  });

  it('a thousand packets whose hops have run out get a limited number of answers', () => {
    const bench = new Bench();
    let answered = 0;
    for (let n = 0; n < 1000; n++)
      if (typeof bench.send(udp4({ from: HOST, to: `198.51.100.9:${n + 1}`, ttl: 0 })) !== 'string')
        answered++;
    assert.ok(answered >= 100 && answered <= 300, `${answered} answers`);
  });
});
