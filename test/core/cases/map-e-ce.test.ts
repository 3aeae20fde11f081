/** What a MAP-E customer edge takes from its tunnel (RFC 7597 section 8.1). */
import assert from 'node:assert/strict';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import { udp4 } from '../../support/packets.ts';
import { inTunnel } from '../../support/tunnel.ts';

const CE = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
const BR = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const OTHER_CE = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 9, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9]);
const HOST = '192.168.1.11:5000';
const SERVER = '198.51.100.9:9';
const NEXT_HEADER_IPV4 = 4;
const NEXT_HEADER_UDP = 17;

const inIpv6 = (
  inner: Uint8Array,
  from: Uint8Array,
  to: Uint8Array,
  nextHeader = NEXT_HEADER_IPV4,
) => inTunnel(inner, { nextHeader, from, to });

/** A bench with a session of HOST, and its external endpoint. */
function withSession(): { bench: Bench; external: string } {
  const bench = new Bench({ line: { ceAddress: CE, brAddress: BR } });
  const out = bench.pass4(udp4({ from: HOST, to: SERVER }));
  return { bench, external: endpoints(out).from };
}

describe('what comes through the tunnel', () => {
  it('from the relay to the CE address reaches the host', () => {
    const { bench, external } = withSession();
    const answer = udp4({ from: SERVER, to: external });
    assert.equal(endpoints(bench.pass4(inIpv6(answer, BR, CE))).to, HOST);
  });

  it('from another CE or a stranger is dropped in silence and counted, whatever is inside', () => {
    const { bench, external } = withSession();
    const answer = udp4({ from: SERVER, to: external });
    assert.equal(bench.send(inIpv6(answer, OTHER_CE, CE)), 'TunnelPacketNotAccepted');
    assert.equal(bench.dropCount('TunnelPacketNotAccepted'), 1);
  });

  it('with another next header is dropped', () => {
    const { bench, external } = withSession();
    const answer = udp4({ from: SERVER, to: external });
    const packet = inIpv6(answer, BR, CE, NEXT_HEADER_UDP);
    assert.equal(bench.send(packet), 'TunnelPacketNotAccepted');
  });

  it('with an IPv4 destination that is not ours is dropped, and makes no session', () => {
    for (const to of ['192.168.1.11:5000', '192.0.2.19:7', '203.0.113.6:7'])
      for (const from of [SERVER, '192.168.1.12:6000']) {
        const { bench } = withSession();
        assert.equal(
          typeof bench.send(inIpv6(udp4({ from, to }), BR, CE)),
          'string',
          `${from} ${to}`,
        );
        assert.equal(bench.table.parts.sessions.count, 1);
      }
  });

  it('with a source in the LAN is dropped', () => {
    const { bench, external } = withSession();
    const forged = udp4({ from: '192.168.1.12:9', to: external });
    assert.equal(bench.send(inIpv6(forged, BR, CE)), 'SourceIsInternal');
  });

  it('to a port outside our set is dropped', () => {
    const { bench } = withSession();
    const packet = inIpv6(udp4({ from: SERVER, to: `${EXTERNAL}:80` }), BR, CE);
    assert.equal(bench.send(packet), 'NotInPortSet');
  });
});
