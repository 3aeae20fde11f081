/**
 * The TCP sequences of Linux' connection tracking tests, rebuilt as packets in and packets out.
 *
 * Origin: torvalds/linux, tools/testing/selftests/net/netfilter/packetdrill; each case names its script. There the host under test is
 * one end of the connection and segments that tracking finds invalid are dropped by a rule. Here the tracked host is in the LAN, a
 * segment of a known session is always forwarded, and what matters is the state that it leaves behind: the end that is alive answers
 * for itself (RFC 5961).
 */
import assert from 'node:assert/strict';
import { ACK, FIN, RST, SYN } from '../../support/packets.ts';
import { Conversation } from './conversation.ts';

/** Three segments of 1,000 bytes from the remote, acknowledged. */
function threeSegments(): Conversation {
  const c = new Conversation().open();
  for (let i = 0; i < 3; i++) {
    assert.ok(c.in(ACK, 1 + i * 1000, 1, 1000));
    assert.ok(c.out(ACK, 1, 1001 + i * 1000));
  }
  return c;
}

describe('Linux: conntrack_rst_invalid', () => {
  it('only the RST that continues what came in order ends the connection', () => {
    const c = threeSegments();
    for (const seq of [0, 1_000_000, 42]) {
      assert.ok(c.in(RST, seq), `RST at ${seq} is left to the host to judge`);
      assert.equal(c.state, 'established', `RST at ${seq}`);
    }
    assert.ok(c.out(ACK, 1, 3001, 1000));
    assert.ok(c.in(ACK, 3001, 1001));
    c.in(RST | ACK, 3000, 1001);
    assert.equal(c.state, 'established', 'one byte too early');
    c.in(RST | ACK, 3001, 1001);
    assert.equal(c.state, 'reset');
  });

  it('it counts before the host has acknowledged the data in front of it', () => {
    const c = new Conversation().open();
    c.in(ACK, 1, 1, 1000);
    c.in(ACK, 1001, 1, 500);
    c.in(RST, 1501);
    assert.equal(c.state, 'reset');
  });

  it('data that came out of order move nothing', () => {
    const c = new Conversation().open();
    c.in(ACK, 1001, 1, 1000);
    c.in(RST, 2001);
    assert.equal(c.state, 'established');
    c.in(RST, 1);
    assert.equal(c.state, 'reset');
  });
});

describe('Linux: conntrack_inexact_rst', () => {
  it('after the RST of the host a late RST of the remote passes and changes nothing', () => {
    const c = threeSegments();
    assert.ok(c.out(ACK, 1, 3001, 1000));
    assert.ok(c.in(FIN | ACK, 3001, 1001));
    assert.ok(c.out(ACK, 1001, 3002));
    assert.equal(c.state, 'half-closed');
    assert.ok(c.out(RST | ACK, 1001, 3002));
    assert.equal(c.state, 'reset');
    assert.ok(c.in(RST, 2001));
    assert.equal(c.state, 'reset');
  });

  it('an inexact RST alone does not end a half-closed connection, although it does on Linux', () => {
    const c = threeSegments();
    c.in(FIN | ACK, 3001, 1);
    assert.ok(c.in(RST, 2001));
    assert.equal(c.state, 'half-closed');
    c.in(RST, 3002);
    assert.equal(c.state, 'reset');
  });
});

describe('Linux: conntrack_syn_challenge_ack', () => {
  it('a challenge ACK about an older connection passes, the RST to it too, and the SYN stays open', () => {
    const c = new Conversation();
    assert.ok(c.out(SYN, 0));
    assert.ok(c.in(ACK, 145_824_453, 643_160_523));
    assert.equal(c.state, 'half-open');
    assert.ok(c.out(RST, 643_160_523));
    assert.equal(c.state, 'half-open');
    assert.ok(c.out(SYN, 0));
    assert.ok(c.in(SYN | ACK, 0, 1));
    assert.ok(c.out(ACK, 1, 1));
    assert.equal(c.state, 'established');
  });
});

describe('Linux: conntrack_synack_old', () => {
  it('a SYN-ACK that acknowledges another SYN does not establish, the right one after it does', () => {
    const c = new Conversation();
    assert.ok(c.out(SYN, 0));
    assert.ok(c.in(SYN | ACK, 145_824_453, 643_160_523));
    assert.equal(c.state, 'half-open');
    assert.ok(c.out(SYN, 0));
    assert.ok(c.in(SYN | ACK, 145_758_918, 1));
    assert.equal(c.state, 'established');
    assert.ok(c.out(ACK, 1, 145_758_919, 1));
    c.in(RST, 145_758_919);
    assert.equal(c.state, 'reset', 'the numbers are those of the right answer');
  });
});

describe('Linux: conntrack_synack_reuse', () => {
  it('a SYN on an open connection, a challenge ACK, a RST: the next SYN begins anew', () => {
    const c = new Conversation().open();
    assert.ok(c.out(ACK, 1, 1, 100));
    assert.ok(c.in(ACK, 1, 101));
    assert.ok(c.out(SYN, 2000));
    assert.equal(c.state, 'established', 'a SYN alone changes nothing');
    assert.ok(c.in(ACK, 1, 101), 'the challenge ACK reaches the host');
    assert.ok(c.out(RST | ACK, 101, 1));
    assert.equal(c.state, 'reset');
    assert.ok(c.out(SYN, 2000));
    assert.equal(c.state, 'half-open');
    assert.ok(c.in(SYN | ACK, 5_000_000, 2001));
    assert.equal(c.state, 'established');
  });

  it('a remote that has forgotten the connection agrees at once, and its numbers count', () => {
    const c = new Conversation().open();
    c.out(SYN, 900_000_000);
    assert.ok(c.in(SYN | ACK, 77_000, 900_000_001));
    assert.equal(c.state, 'established');
    c.in(RST, 1);
    assert.equal(c.state, 'established', 'the numbers of the old connection');
    c.in(RST, 77_001);
    assert.equal(c.state, 'reset');
  });

  it('a SYN-ACK sent twice does not set the numbers back', () => {
    const c = new Conversation().open();
    c.in(ACK, 1, 1, 1000);
    c.out(ACK, 1, 1001);
    assert.ok(c.in(SYN | ACK, 0, 1));
    c.in(RST, 1001);
    assert.equal(c.state, 'reset');
  });
});

describe('Linux: conntrack_ack_loss_stall', () => {
  it('data sent again after they were acknowledged pass, from either side', () => {
    const c = new Conversation().open();
    const end = 1 + 46 * 1400;
    for (let at = 1; at < end; at += 1400) {
      assert.ok(c.out(ACK, at, 1, 1400));
      assert.ok(c.in(ACK, 1, at + 1400));
    }
    assert.ok(c.out(ACK, 1, 1, 1400));
    assert.ok(c.in(ACK, 1, end));
    assert.ok(c.in(ACK, 1, end, 1400));
    c.out(ACK, end, 1401);
    assert.ok(c.in(ACK, 1, end, 1400));
    assert.equal(c.state, 'established');
    c.in(RST, 1401);
    assert.equal(c.state, 'reset');
  });
});
