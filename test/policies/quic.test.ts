/** QUIC by policy: modes, exceptions, thresholds, and what the engine makes of a refusal. */
import assert from 'node:assert/strict';
import { DECISION_SILENT, refuseFor } from '../../core/policy.ts';
import { Class } from '../../core/state.ts';
import { Drop } from '../../core/verdict.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { presetPolicy } from '../../policies/build.ts';
import { quic } from '../../policies/quic.ts';
import { NO_EXCEPTIONS, NO_OBJECTION } from '../../policies/rule.ts';
import { PRESETS, type QuicSettings } from '../../policies/settings.ts';
import { firstPacket } from '../support/first-packet.ts';
import { CHROMIUM_INITIAL } from '../support/first-payloads.ts';
import { Bench } from '../support/gateway.ts';
import { udp4 } from '../support/packets.ts';

const settings = (more: Partial<QuicSettings>): QuicSettings => ({
  mode: 'reject',
  fromLevel: 2,
  fromUpstream256: 192,
  except: NO_EXCEPTIONS,
  ...more,
});
const REJECTED = refuseFor(Drop.QuicRejected);
const network = (address: string, length: number) => ({
  address: parseIpv4(address),
  mask: (-1 << (32 - length)) | 0,
});

describe('QUIC by policy', () => {
  it('reject says so, drop does not, and both concern QUIC alone', () => {
    const first = firstPacket();
    assert.equal(quic(settings({}))(first, Class.Quic), REJECTED);
    assert.equal(quic(settings({ mode: 'drop' }))(first, Class.Quic), REJECTED | DECISION_SILENT);
    for (const other of [Class.Other, Class.Tcp, Class.Dns, Class.Stun, Class.Dtls])
      assert.equal(quic(settings({}))(first, other), NO_OBJECTION);
  });

  it('pressure rejects from its level on, or from its fill of the NAT above', () => {
    const rule = quic(settings({ mode: 'pressure' }));
    const says = (pressure: number, upstreamFill256: number) =>
      rule(firstPacket({ pressure, upstreamFill256 }), Class.Quic);
    assert.equal(says(0, 0), NO_OBJECTION);
    assert.equal(says(1, 191), NO_OBJECTION);
    assert.equal(says(2, 0), REJECTED);
    assert.equal(says(3, 0), REJECTED);
    assert.equal(says(0, 192), REJECTED);
    assert.equal(says(0, 256), REJECTED);
  });

  it('pressure does not take the absence of a NAT above for a full one', () => {
    const rule = quic(settings({ mode: 'pressure', fromUpstream256: 0 }));
    const says = (upstreamFill256: number) => rule(firstPacket({ upstreamFill256 }), Class.Quic);
    assert.equal(says(0), NO_OBJECTION);
    assert.equal(says(1), REJECTED);
  });

  it('excepts internal networks and destinations', () => {
    const except = { from: [network('192.168.1.8', 29)], to: [network('203.0.113.0', 24)] };
    const rule = quic(settings({ except }));
    const says = (from: string, to: string) => rule(firstPacket({ from, to }), Class.Quic);
    assert.equal(says('192.168.1.15:5000', '198.51.100.7:443'), NO_OBJECTION);
    assert.equal(says('192.168.1.16:5000', '198.51.100.7:443'), REJECTED);
    assert.equal(says('192.168.1.16:5000', '203.0.113.255:443'), NO_OBJECTION);
    assert.equal(says('192.168.1.16:5000', '203.0.114.0:443'), REJECTED);
  });

  it('leaves a server in the LAN alone: what it answers from a port below 1024', () => {
    const rule = quic(settings({}));
    const says = (port: number) =>
      rule(firstPacket({ from: `192.168.1.11:${port}`, to: '198.51.100.7:50000' }), Class.Quic);
    assert.equal(says(443), NO_OBJECTION);
    assert.equal(says(1023), NO_OBJECTION);
    assert.equal(says(1024), REJECTED);
  });

  it('both datagrams of a first flight are answered, and nothing is kept of them', () => {
    const bench = new Bench({
      policy: presetPolicy('home', { quic: { ...PRESETS.home.quic, mode: 'reject' } }),
    });
    const packet = { from: '192.168.1.11:50000', to: '198.51.100.7:443' };
    for (let datagram = 0; datagram < 2; datagram++) {
      const answer = bench.send(udp4({ ...packet, payload: CHROMIUM_INITIAL }));
      assert.ok(answer instanceof Uint8Array);
      assert.deepEqual([...answer.slice(20, 22)], [3, 13], 'administratively prohibited');
    }
    assert.equal(bench.table.parts.sessions.count, 0);
    const other = bench.send(udp4({ ...packet, payload: CHROMIUM_INITIAL.slice(0, 1100) }));
    assert.ok(other instanceof Uint8Array && other[9] === 17, 'what is no QUIC passes on port 443');
  });

  it('drop answers nothing', () => {
    const bench = new Bench({
      policy: presetPolicy('home', { quic: { ...PRESETS.home.quic, mode: 'drop' } }),
    });
    const packet = { from: '192.168.1.11:50000', to: '198.51.100.7:443' };
    assert.equal(bench.send(udp4({ ...packet, payload: CHROMIUM_INITIAL })), 'QuicRejected');
  });
});
