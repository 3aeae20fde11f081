/**
 * Cases of VPP's endpoint-dependent NAT, rebuilt as packets in and packets out.
 *
 * Origin: FDio/vpp, test/test_nat44_ed.py; the name of each case is that of the method there. VPP drops every segment of a connection
 * after both FINs until the transitory time is over; here they pass, since a retransmitted FIN must still be acknowledged (RFC 9293
 * section 3.6.1), and the transitory time ends the session all the same.
 */
import assert from 'node:assert/strict';
import { Counter } from '../../../core/table/counters.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, EXTERNAL, endpoints, mapePorts } from '../../support/gateway.ts';
import {
  ACK,
  checksumProblems,
  cutPacket,
  echo4,
  FIN,
  ipv4,
  joinFragments,
  RST,
  SYN,
  tcp4,
  udp4,
} from '../../support/packets.ts';
import { Conversation } from './conversation.ts';

const HOST = '192.168.1.11';
const SERVER = '198.51.100.9';
const TRANSITORY_SECONDS = 240;
const SWEEP_SECONDS = 3;

/** Whole packets of each protocol, by direction. */
const makers: [string, (from: string, to: string, answer: boolean, bytes: number) => Uint8Array][] =
  [
    [
      'TCP',
      (from, to, answer, bytes) =>
        tcp4({
          from,
          to,
          flags: answer ? SYN | ACK : SYN,
          df: false,
          id: 7,
          payload: new Uint8Array(bytes).fill(65),
        }),
    ],
    [
      'UDP',
      (from, to, _answer, bytes) =>
        udp4({ from, to, df: false, id: 7, payload: new Uint8Array(bytes).fill(66) }),
    ],
    [
      'ICMP',
      (from, to, answer, bytes) =>
        echo4({ from, to, df: false, id: 7, type: answer ? 0 : 8, size: bytes }),
    ],
  ];

describe('VPP: fragments', () => {
  for (const [protocol, make] of makers)
    for (const order of ['frag_in_order', 'frag_out_of_order'])
      it(`${order}: ${protocol}, both ways`, () => {
        const bench = new Bench();
        const through = (whole: Uint8Array): Uint8Array => {
          const parts = cutPacket(whole, 576);
          assert.ok(parts.length > 2);
          if (order === 'frag_out_of_order') parts.reverse();
          const out = parts.flatMap((part) => {
            bench.send(part);
            return bench.all();
          });
          const joined = joinFragments(out);
          assert.deepEqual(checksumProblems(joined), []);
          return joined;
        };
        const out = through(make(`${HOST}:5000`, `${SERVER}:20`, false, 1300));
        const { from } = endpoints(out);
        assert.equal(from.split(':')[0], EXTERNAL);
        const back = through(make(`${SERVER}:20`, from, true, 1300));
        assert.equal(endpoints(back).to, `${HOST}:5000`);
      });
});

describe('VPP: what a port can hold', () => {
  it('dynamic_out_of_ports: the next flow is refused and told, those that stand go on', () => {
    const bench = new Bench({ ports: mapePorts().slice(0, 8), policy: standardPolicy('rfc') });
    const flows = Array.from(
      { length: 8 },
      (_, n) => endpoints(bench.pass4(udp4({ from: `${HOST}:${n + 1}`, to: `${SERVER}:9` }))).from,
    );
    assert.equal(new Set(flows).size, 8);
    const refused = bench.pass4(udp4({ from: `${HOST}:99`, to: `${SERVER}:10` }));
    assert.deepEqual([refused[9], refused[20], refused[21]], [1, 3, 13]);
    flows.forEach((external, n) => {
      const back = bench.pass4(udp4({ from: `${SERVER}:9`, to: external }));
      assert.equal(endpoints(back).to, `${HOST}:${n + 1}`);
    });
  });

  it('lru_cleanup: a full table refuses, forgets nothing that lives, and takes new flows when old ones ended', () => {
    const bench = new Bench({ capacity: 1024 });
    const flow = (n: number): Uint8Array =>
      udp4({ from: `10.0.${n >> 8}.${n & 255}:5000`, to: `198.51.100.${(n % 200) + 1}:9` });
    const first = endpoints(bench.pass4(flow(1))).from;
    for (let n = 2; n <= 1024; n++) bench.pass4(flow(n));
    const refused = bench.pass4(flow(1025));
    assert.deepEqual([refused[9], refused[20], refused[21]], [1, 3, 13]);
    assert.equal(bench.dropCount('SessionTableFull'), 1);
    assert.equal(endpoints(bench.pass4(flow(1))).from, first);
    bench.pass(300 + SWEEP_SECONDS);
    assert.equal(bench.pass4(flow(1025))[9], 17);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('port_restricted: each port is one of the PSID’s', () => {
    const bench = new Bench();
    const set = new Set(mapePorts());
    for (let n = 0; n < 500; n++) {
      const out = bench.pass4(
        tcp4({ from: `10.0.1.9:${6000 + n}`, to: `${SERVER}:${n + 1}`, flags: SYN }),
      );
      assert.ok(set.has(Number(endpoints(out).from.split(':')[1])));
    }
  });
});

describe('VPP: single packets', () => {
  it('icmp_echo_reply_trailer: padding of the link behind the answer is cut off', () => {
    const bench = new Bench();
    const { from } = endpoints(bench.pass4(echo4({ from: `${HOST}:7`, to: SERVER })));
    const answer = echo4({ from: SERVER, to: from, type: 0 });
    const padded = new Uint8Array(answer.length + 14).fill(0xaa);
    padded.set(answer);
    const back = bench.pass4(padded);
    assert.equal(back.length, answer.length);
    assert.equal(endpoints(back).to, `${HOST}:7`);
    assert.deepEqual(checksumProblems(back), []);
  });

  it('unknown_proto: VPP passes GRE by address; on a shared address it is refused, both ways', () => {
    const bench = new Bench();
    const answer = bench.pass4(ipv4(47, { from: HOST, to: SERVER }, new Uint8Array(24)));
    assert.deepEqual([answer[9], answer[20], answer[21]], [1, 3, 2]);
    const inbound = ipv4(47, { from: SERVER, to: EXTERNAL }, new Uint8Array(24));
    assert.equal(bench.send(inbound), 'ProtocolNotTranslated');
  });

  it('hairpinning_avoid_inf_loop: a packet that comes back with our own source is dropped', () => {
    const bench = new Bench();
    const looped = udp4({ from: `${EXTERNAL}:4929`, to: `${EXTERNAL}:4930` });
    assert.equal(bench.send(looped), 'LoopedOwnSource');
    assert.equal(bench.table.parts.sessions.count, 0);
  });

  it('mss_clamping: 1,460 of a SYN becomes what the line carries', () => {
    const bench = new Bench({ line: { mtu: 1440 } });
    const out = bench.pass4(
      tcp4({ from: `${HOST}:5000`, to: `${SERVER}:80`, flags: SYN, mss: 1460 }),
    );
    assert.equal((out[42] << 8) | out[43], 1400);
    assert.deepEqual(checksumProblems(out), []);
  });
});

describe('VPP: TCP sessions end', () => {
  /** Segments after the end pass both ways, and the session goes a transitory time after the host's last. */
  function assertEnds(c: Conversation): void {
    assert.equal(c.state, 'closing');
    assert.ok(c.in(FIN | ACK, 300, 101), 'an extra FIN');
    assert.ok(c.out(ACK, 101, 301), 'its acknowledgement');
    c.bench.pass(TRANSITORY_SECONDS - 1);
    assert.equal(c.state, 'closing');
    c.bench.pass(1 + SWEEP_SECONDS);
    assert.equal(c.state, 'none');
    assert.ok(!c.out(ACK, 101, 301));
    assert.equal(c.bench.dropCount('TcpWithoutSession'), 1);
    assert.deepEqual(selfCheck(c.bench.table.parts), []);
  }

  it('tcp_session_close_in', () => {
    const c = new Conversation().open();
    assert.ok(c.out(FIN | ACK, 100, 300));
    assert.equal(c.state, 'half-closed');
    assert.ok(c.in(ACK, 300, 101));
    assert.ok(c.in(FIN | ACK, 300, 101));
    assert.ok(c.out(ACK, 101, 301));
    assertEnds(c);
  });

  it('tcp_session_close_out', () => {
    const c = new Conversation().open();
    assert.ok(c.in(FIN | ACK, 100, 300));
    assert.equal(c.state, 'half-closed');
    assert.ok(c.out(FIN | ACK, 300, 101));
    assert.ok(c.in(ACK, 101, 301));
    assertEnds(c);
  });

  it('tcp_session_close_simultaneous', () => {
    const c = new Conversation().open();
    assert.ok(c.out(FIN | ACK, 100, 300));
    assert.ok(c.in(FIN | ACK, 300, 100));
    assert.ok(c.out(ACK, 101, 301));
    assert.ok(c.in(ACK, 301, 101));
    assertEnds(c);
  });

  it('session_rst_timeout: a reset session goes after the transitory time', () => {
    const c = new Conversation().open();
    assert.ok(c.out(RST, 1));
    assert.equal(c.state, 'reset');
    c.bench.pass(TRANSITORY_SECONDS - 1);
    assert.equal(c.state, 'reset');
    c.bench.pass(1 + SWEEP_SECONDS);
    assert.equal(c.state, 'none');
  });

  it('session_rst_established_timeout: data after a RST make it live for the established time', () => {
    const c = new Conversation().open();
    assert.ok(c.in(RST, 1));
    assert.equal(c.state, 'reset');
    assert.ok(c.out(ACK, 1, 1, 10));
    assert.equal(c.state, 'established');
    c.bench.pass(TRANSITORY_SECONDS + SWEEP_SECONDS);
    assert.ok(c.in(ACK, 1, 11));
    assert.equal(c.state, 'established');
  });

  it('session_rst_established_timeout: a RST that answers data ends it again', () => {
    const c = new Conversation().open();
    c.in(RST, 1);
    c.out(ACK, 1, 1, 10);
    c.in(RST, 1);
    assert.equal(c.state, 'reset');
  });
});

describe('VPP: TCP sessions open', () => {
  it('tcp_session_open_retransmit1: the SYN sent twice', () => {
    const c = new Conversation();
    assert.ok(c.out(SYN, 0));
    assert.ok(c.out(SYN, 0));
    assert.equal(c.state, 'half-open');
    assert.ok(c.in(SYN | ACK, 0, 1));
    assert.ok(c.out(ACK, 1, 1));
    assert.equal(c.state, 'established');
  });

  it('tcp_session_open_retransmit2: the SYN-ACK sent twice', () => {
    const c = new Conversation();
    c.out(SYN, 0);
    assert.ok(c.in(SYN | ACK, 0, 1));
    assert.ok(c.in(SYN | ACK, 0, 1));
    assert.ok(c.out(ACK, 1, 1));
    assert.equal(c.state, 'established');
    assert.equal(c.bench.table.parts.sessions.count, 1);
  });

  const closed = (): Conversation => {
    const c = new Conversation().open();
    c.out(FIN | ACK, 100, 300);
    c.in(FIN | ACK, 300, 101);
    c.out(ACK, 101, 301);
    return c;
  };

  it('tcp_session_reopen: SYN and SYN-ACK on a closed session establish it anew at the same port', () => {
    const c = closed();
    assert.ok(c.out(SYN, 5000));
    assert.equal(c.state, 'half-open');
    assert.ok(c.in(SYN | ACK, 9000, 5001));
    assert.ok(c.out(ACK, 5001, 9001));
    assert.equal(c.state, 'established');
    c.bench.pass(TRANSITORY_SECONDS + SWEEP_SECONDS);
    assert.equal(c.state, 'established');
    assert.equal(c.bench.table.parts.counters[Counter.SessionsCreated], 1);
  });

  it('tcp_session_half_reopen_inside: a SYN of the host alone leaves the transitory time', () => {
    const c = closed();
    assert.ok(c.out(SYN, 5000));
    assert.equal(c.state, 'half-open');
    c.bench.pass(TRANSITORY_SECONDS + SWEEP_SECONDS);
    assert.equal(c.state, 'none');
  });

  it('tcp_session_half_reopen_outside: a SYN of the remote alone passes and changes nothing', () => {
    const c = closed();
    assert.ok(c.in(SYN, 9000));
    assert.equal(c.state, 'closing');
    c.bench.pass(TRANSITORY_SECONDS + SWEEP_SECONDS);
    assert.equal(c.state, 'none');
  });

  it('tcp_session_half_reopen_outside: the host’s SYN-ACK opens it, the remote’s ACK establishes it', () => {
    const c = closed();
    assert.ok(c.in(SYN, 9000));
    assert.ok(c.out(SYN | ACK, 5000, 9001));
    assert.equal(c.state, 'half-open');
    assert.ok(c.in(ACK, 9001, 5001));
    assert.equal(c.state, 'established');
    c.in(RST, 9001);
    assert.equal(c.state, 'reset');
  });
});
