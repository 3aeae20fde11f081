/** Mail from inside: TCP port 25 of the outside, and nothing else. */
import assert from 'node:assert/strict';
import { PROTOCOL_TCP, PROTOCOL_UDP, parseIpv4 } from '../../core/wire/ipv4.ts';
import { presetPolicy } from '../../policies/build.ts';
import { outboundMail } from '../../policies/outbound-mail.ts';
import { NO_EXCEPTIONS, NO_OBJECTION } from '../../policies/rule.ts';
import { firstPacket } from '../support/first-packet.ts';
import { Bench } from '../support/gateway.ts';
import { SYN, tcp4 } from '../support/packets.ts';

const toPort = (port: number, protocol: number = PROTOCOL_TCP) =>
  firstPacket({ to: `198.51.100.7:${port}`, protocol });

describe('outbound mail', () => {
  const rule = outboundMail({ mode: 'reject', except: NO_EXCEPTIONS });

  it('objects to TCP port 25 and to no other port or protocol', () => {
    assert.ok(rule);
    assert.notEqual(rule(toPort(25), 0), NO_OBJECTION);
    for (const port of [24, 26, 465, 587, 80]) assert.equal(rule(toPort(port), 0), NO_OBJECTION);
    assert.equal(rule(toPort(25, PROTOCOL_UDP), 0), NO_OBJECTION);
  });

  it('is no rule at all where mail is allowed, as it is in every preset', () => {
    assert.equal(outboundMail({ mode: 'allow', except: NO_EXCEPTIONS }), undefined);
  });

  it('leaves a mail server of one’s own alone, and the way to one relay', () => {
    const server = { address: parseIpv4('192.168.1.25'), mask: -1 };
    const relay = { address: parseIpv4('198.51.100.0'), mask: -256 };
    const excepted = outboundMail({ mode: 'reject', except: { from: [server], to: [] } });
    const mail = firstPacket({
      from: '192.168.1.25:9',
      to: '198.51.100.7:25',
      protocol: PROTOCOL_TCP,
    });
    assert.equal(excepted?.(mail, 0), NO_OBJECTION);
    assert.notEqual(excepted?.(toPort(25), 0), NO_OBJECTION);
    const only = outboundMail({ mode: 'reject', except: { from: [], to: [relay] } });
    assert.equal(only?.(toPort(25), 0), NO_OBJECTION);
    assert.notEqual(only?.(firstPacket({ to: '203.0.113.9:25', protocol: PROTOCOL_TCP }), 0), 0);
  });

  it('in the engine: answered with ICMP 3/13, counted by name, and no session', () => {
    const mail = { mode: 'reject', except: NO_EXCEPTIONS } as const;
    const bench = new Bench({ policy: presetPolicy('home', { mail }) });
    const syn = (to: string) => tcp4({ from: '192.168.1.11:4000', to, flags: SYN, seq: 1 });
    const answer = bench.pass4(syn('198.51.100.7:25'));
    assert.deepEqual([answer[9], answer[20], answer[21]], [1, 3, 13]);
    assert.equal(bench.dropCount('RefusedByPolicy'), 1);
    assert.equal(bench.table.parts.sessions.count, 0);
    assert.equal(bench.pass4(syn('198.51.100.7:587'))[9], PROTOCOL_TCP);
  });
});
