/** Faults of TCP tracking that fuzzing and reading have found. */
import assert from 'node:assert/strict';
import { STATE_NAMES } from '../../../core/state.ts';
import { S_COMMIT } from '../../../core/table/arena.ts';
import { selfCheck } from '../../../core/table/self-check.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { ACK, checksumProblems, FIN, SYN, tcp4 } from '../../support/packets.ts';

const HOST = '192.168.1.11:5000';
const SERVER = '198.51.100.9';

/** A host whose TCP port is its own and that has sent to SERVER:80 before. */
function owner(): { bench: Bench; external: string } {
  const bench = new Bench({ policy: standardPolicy('rfc') });
  const out = bench.pass4(tcp4({ from: HOST, to: `${SERVER}:80`, flags: SYN }));
  return { bench, external: endpoints(out).from };
}

describe('a TCP connection from outside to a port that a host owns', () => {
  it('is answered through a session of its own, which is established and kept', () => {
    const { bench, external } = owner();
    const remote = `${SERVER}:4000`;
    const came = bench.pass4(tcp4({ from: remote, to: external, flags: SYN, seq: 700, mss: 1460 }));
    assert.equal(endpoints(came).to, HOST);
    const answer = bench.pass4(
      tcp4({ from: HOST, to: remote, flags: SYN | ACK, seq: 90, ack: 701 }),
    );
    assert.deepEqual(endpoints(answer), { from: external, to: remote });
    assert.deepEqual(checksumProblems(answer), []);
    bench.pass4(tcp4({ from: remote, to: external, flags: ACK, seq: 701, ack: 91 }));
    bench.pass(300);
    const late = bench.pass4(tcp4({ from: HOST, to: remote, flags: ACK, seq: 91, ack: 701 }));
    assert.equal(endpoints(late).from, external);
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });

  it('has its MSS clamped like any other', () => {
    const { bench, external } = owner();
    const syn = tcp4({ from: `${SERVER}:4000`, to: external, flags: SYN, mss: 1460 });
    const came = bench.pass4(syn);
    assert.equal((came[42] << 8) | came[43], 1420);
    assert.deepEqual(checksumProblems(came), []);
  });

  it('is not opened by an answer from a host that owns no port', () => {
    const bench = new Bench();
    bench.pass4(tcp4({ from: HOST, to: `${SERVER}:80`, flags: SYN }));
    const answer = tcp4({ from: HOST, to: `${SERVER}:4000`, flags: SYN | ACK });
    assert.equal(bench.send(answer), 'TcpWithoutSession');
  });

  it('between two hosts of the LAN goes by the external address, both ways', () => {
    const { bench, external } = owner();
    const client = '192.168.1.12:6000';
    const came = bench.pass4(tcp4({ from: client, to: external, flags: SYN, seq: 5 }));
    const { from, to } = endpoints(came);
    assert.equal(to, HOST);
    const answer = bench.pass4(tcp4({ from: HOST, to: from, flags: SYN | ACK, ack: 6 }));
    assert.deepEqual(endpoints(answer), { from: external, to: client });
  });
});

describe('a closed session', () => {
  it('that the remote side opens anew is established by the answer, not half-open for good', () => {
    const { bench, external } = owner();
    const remote = `${SERVER}:80`;
    const out = (flags: number, seq: number, ack: number): unknown =>
      bench.pass4(tcp4({ from: HOST, to: remote, flags, seq, ack }));
    const back = (flags: number, seq: number, ack: number): unknown =>
      bench.pass4(tcp4({ from: remote, to: external, flags, seq, ack }));
    back(SYN | ACK, 7000, 1001);
    out(ACK, 1001, 7001);
    back(FIN | ACK, 7001, 1001);
    out(FIN | ACK, 1001, 7002);
    back(SYN, 90_000, 0);
    out(SYN | ACK, 50_000, 90_001);
    back(ACK, 90_001, 50_001);
    assert.equal(STATE_NAMES[bench.table.parts.sessions.words[S_COMMIT] & 63], 'established');
  });
});
