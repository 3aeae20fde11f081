/** Legal TCP sequences of RFC 5382 and RFC 7857 that no suite of others has in this form. */
import assert from 'node:assert/strict';
import { selfCheck } from '../../../core/table/self-check.ts';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, endpoints } from '../../support/gateway.ts';
import { ACK, FIN, RST, SYN, tcp4 } from '../../support/packets.ts';
import { Conversation } from './conversation.ts';

describe('simultaneous open', () => {
  it('is established by the SYN-ACK, not by the SYN that crossed ours', () => {
    const c = new Conversation();
    assert.ok(c.out(SYN, 1000));
    assert.ok(c.in(SYN, 7000));
    assert.equal(c.state, 'half-open');
    assert.ok(c.out(SYN | ACK, 1000, 7001));
    assert.equal(c.state, 'half-open');
    assert.ok(c.in(SYN | ACK, 7000, 1001));
    assert.equal(c.state, 'established');
    c.in(RST, 7001);
    assert.equal(c.state, 'reset');
  });

  it('is established by a plain ACK when only our SYN-ACK arrived', () => {
    const c = new Conversation();
    c.out(SYN, 1000);
    c.in(SYN, 7000);
    c.out(SYN | ACK, 1000, 7001);
    assert.ok(c.in(ACK, 7001, 1001));
    assert.equal(c.state, 'established');
  });

  it('a plain ACK without a SYN of the remote establishes nothing', () => {
    const c = new Conversation();
    c.out(SYN, 1000);
    assert.ok(c.in(ACK, 7001, 1001));
    assert.equal(c.state, 'half-open');
  });
});

describe('a SYN from outside that nobody asked for', () => {
  /** A host with a mapping towards another server, and a SYN from REMOTE to it. */
  const remote = '198.51.100.77:4000';

  for (const preset of ['home', 'rfc'] as const)
    it(`preset ${preset}: is dropped without any answer, for 6 seconds and after`, () => {
      const other = new Conversation({ policy: standardPolicy(preset) }).open();
      const { bench } = other;
      const reason = preset === 'rfc' ? 'FilteredByOwner' : 'NoSession';
      for (let second = 0; second < 8; second++) {
        const syn = tcp4({ from: remote, to: other.external, flags: SYN, seq: 7000 });
        assert.equal(bench.send(syn), reason);
        assert.equal(bench.frames.count, 1, 'nothing was appended to the batch');
        bench.pass(1);
      }
      assert.equal(bench.dropCount(reason), 8);
    });

  it('passes when the host has meanwhile sent a SYN to the same remote', () => {
    const first = new Conversation().open();
    const c = new Conversation(first.bench, first.host, remote);
    const syn = tcp4({ from: remote, to: first.external, flags: SYN, seq: 7000 });
    assert.equal(c.bench.send(syn), 'NoSession');
    c.bench.pass(3);
    assert.ok(c.out(SYN, 1000));
    assert.equal(c.external, first.external, 'the mapping is the same towards both');
    assert.ok(c.in(SYN, 7000));
    assert.ok(c.out(SYN | ACK, 1000, 7001));
    assert.ok(c.in(SYN | ACK, 7000, 1001));
    assert.equal(c.state, 'established');
  });

  it('a RST with which the host refuses it goes back to the remote, and makes no session', () => {
    const c = new Conversation({ policy: standardPolicy('rfc') }).open();
    const known = '198.51.100.9:9999';
    const { bench } = c;
    bench.pass4(tcp4({ from: known, to: c.external, flags: SYN, seq: 7000 }));
    const refusal = tcp4({ from: c.host, to: known, flags: RST | ACK, seq: 0, ack: 7001 });
    const sent = bench.pass4(refusal);
    assert.deepEqual(endpoints(sent), { from: c.external, to: known });
    assert.equal(bench.table.parts.sessions.count, 1);
    const stranger = tcp4({ from: c.host, to: '198.51.100.77:1', flags: RST | ACK });
    assert.equal(bench.send(stranger), 'TcpWithoutSession');
    const guest = new Bench();
    assert.equal(guest.send(refusal), 'TcpWithoutSession');
    assert.deepEqual(selfCheck(bench.table.parts), []);
  });
});

describe('SYN with data (RFC 7413)', () => {
  for (const [accepted, ack] of [
    ['the data', 1501],
    ['the SYN alone', 1001],
  ] as const)
    it(`is established by an answer that acknowledges ${accepted}`, () => {
      const c = new Conversation();
      assert.ok(c.out(SYN, 1000, 0, 500));
      assert.ok(c.in(SYN | ACK, 7000, ack));
      assert.equal(c.state, 'established');
    });
});

describe('a closed session', () => {
  const closed = (): Conversation => {
    const c = new Conversation().open();
    c.in(FIN | ACK, 1, 1);
    c.out(FIN | ACK, 1, 2);
    assert.equal(c.state, 'closing');
    return c;
  };

  it('is not opened by a SYN-ACK that comes after the refusal', () => {
    const c = new Conversation();
    c.out(SYN, 1000);
    c.in(RST | ACK, 0, 1001);
    assert.equal(c.state, 'reset');
    assert.ok(c.in(SYN | ACK, 7000, 1001));
    assert.equal(c.state, 'reset');
  });

  it('is not kept alive by the remote', () => {
    const c = closed();
    for (let i = 0; i < 5; i++) {
      c.in(FIN | ACK, 1, 2);
      c.bench.pass(60);
    }
    assert.equal(c.state, 'none');
  });

  for (const side of ['remote', 'host'] as const)
    it(`a RST of the ${side} after a long silence leaves it four minutes`, () => {
      const c = new Conversation().open();
      c.bench.pass(3000);
      if (side === 'remote') c.in(RST, 1);
      else c.out(RST, 1);
      c.bench.pass(239);
      assert.equal(c.state, 'reset');
      c.bench.pass(4);
      assert.equal(c.state, 'none');
    });

  it('is not kept alive by the RSTs with which the host answers what still comes in', () => {
    const c = new Conversation().open();
    c.out(RST, 1);
    for (let i = 0; i < 5; i++) {
      c.in(ACK, 1, 1, 10);
      c.out(RST, 1);
      c.bench.pass(60);
    }
    assert.equal(c.state, 'none');
  });

  it('is kept alive by the host', () => {
    const c = closed();
    for (let i = 0; i < 5; i++) {
      c.out(ACK, 2, 2);
      c.bench.pass(60);
    }
    assert.equal(c.state, 'closing');
  });
});
