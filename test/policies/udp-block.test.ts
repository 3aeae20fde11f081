/** UDP block: everything but what is excepted by class, network or destination. */
import assert from 'node:assert/strict';
import { DECISION_SILENT, refuseFor } from '../../core/policy.ts';
import { CLASS_NAMES, Class } from '../../core/state.ts';
import { Drop } from '../../core/verdict.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, parseIpv4 } from '../../core/wire/ipv4.ts';
import { presetPolicy } from '../../policies/build.ts';
import { NO_EXCEPTIONS, NO_OBJECTION } from '../../policies/rule.ts';
import { PRESETS, UDP_CLASS_NAMES, type UdpClassName } from '../../policies/settings.ts';
import { udpBlock } from '../../policies/udp-block.ts';
import { firstPacket } from '../support/first-packet.ts';
import { FIRST_PAYLOADS } from '../support/first-payloads.ts';
import { Bench } from '../support/gateway.ts';
import { udp4 } from '../support/packets.ts';

const BLOCKED = refuseFor(Drop.UdpBlocked);
const rule = (classes: UdpClassName[], more = {}) =>
  udpBlock({ mode: 'reject', except: { ...NO_EXCEPTIONS, classes, ...more } });

describe('UDP block', () => {
  it('refuses each class but those that are excepted, and nothing that is not UDP', () => {
    for (const excepted of UDP_CLASS_NAMES) {
      const says = rule([excepted]);
      for (const name of UDP_CLASS_NAMES)
        assert.equal(
          says(firstPacket(), CLASS_NAMES.indexOf(name)),
          name === excepted ? NO_OBJECTION : BLOCKED,
          `${name} with ${excepted} excepted`,
        );
      for (const protocol of [PROTOCOL_TCP, PROTOCOL_ICMP, 47])
        assert.equal(says(firstPacket({ protocol }), Class.Other), NO_OBJECTION);
    }
  });

  it('excepts internal networks and destinations', () => {
    const one = (address: string) => [{ address: parseIpv4(address), mask: -1 }];
    const says = rule([], { from: one('192.168.1.11'), to: one('203.0.113.7') });
    assert.equal(says(firstPacket(), Class.Quic), NO_OBJECTION);
    const from = '192.168.1.12:5000';
    assert.equal(says(firstPacket({ from }), Class.Quic), BLOCKED);
    assert.equal(says(firstPacket({ from, to: '203.0.113.7:443' }), Class.Quic), NO_OBJECTION);
  });

  it('drop is silent', () => {
    const silent = udpBlock({ mode: 'drop', except: { ...NO_EXCEPTIONS, classes: [] } });
    assert.equal(silent(firstPacket(), Class.Other), BLOCKED | DECISION_SILENT);
  });

  it('by the bytes of real programs: names and clocks pass, a VPN on port 53 does not', () => {
    const bench = new Bench({
      policy: presetPolicy('home', { udp: { ...PRESETS.home.udp, mode: 'reject' } }),
    });
    for (const [i, { origin, is, payload, remotePort }] of FIRST_PAYLOADS.entries()) {
      const to = `198.51.100.7:${is === Class.Openvpn ? 53 : remotePort}`;
      const answer = bench.send(udp4({ from: `192.168.1.11:${50_000 + i}`, to, payload }));
      assert.ok(answer instanceof Uint8Array, `${origin}: ${answer}`);
      const passes = is === Class.Dns || is === Class.Ntp;
      // A refusal comes back as ICMP (1), what passes goes out as UDP (17).
      assert.equal(answer[9], passes ? 17 : 1, origin);
      if (!passes) assert.deepEqual([...answer.slice(20, 22)], [3, 13], origin);
    }
  });
});
