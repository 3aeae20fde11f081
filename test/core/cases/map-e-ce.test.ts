/** What a MAP-E customer edge takes from its tunnel (RFC 7597 section 8.1). */
import assert from 'node:assert/strict';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import { cutPacket, echo4, error4, RST, SYN, tcp4, udp4 } from '../../support/packets.ts';
import { inTunnel, STRANGER } from '../../support/tunnel.ts';

const CE = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
const BR = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
const OTHER_CE = Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 9, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9]);
const HOST = '192.168.1.11:5000';
const SERVER = '198.51.100.9:9';
const NEXT_HEADER_IPV4 = 4;
const NEXT_HEADER_UDP = 17;
const NEXT_HEADER_FRAGMENT = 44;

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
    const tcp = { from: SERVER, to: external };
    const quoted = udp4({ from: external, to: SERVER });
    const [first, later] = cutPacket(udp4({ ...tcp, payload: new Uint8Array(2000) }), 1400);
    const insides: [string, Uint8Array][] = [
      ['the answer that the session waits for', answer],
      ['a UDP packet that would be told that it expired', udp4({ ...tcp, ttl: 0 })],
      ['a SYN', tcp4({ ...tcp, flags: SYN })],
      ['a RST', tcp4({ ...tcp, flags: RST })],
      ['an echo request', echo4({ from: '198.51.100.9:7', to: external.split(':')[0] })],
      ['an echo reply', echo4({ from: SERVER, to: external, type: 0 })],
      ['an ICMP error', error4({ from: SERVER, to: external, type: 3, code: 3, quoted })],
      ['a first fragment', first],
      ['a later fragment', later],
      ['a source in the LAN', udp4({ from: HOST, to: SERVER })],
      ['our own source', udp4({ from: external, to: external })],
      ['another destination', udp4({ from: SERVER, to: '192.0.2.19:7' })],
      ['half a header', answer.slice(0, 19)],
      ['nothing', new Uint8Array(0)],
      ['zeros', new Uint8Array(100)],
      ['garbage', Uint8Array.from({ length: 300 }, (_, i) => i * 151 + 7)],
      ['IPv6', inIpv6(answer, BR, CE)],
    ];
    // As a tunnel fragment too: next header, reserved, offset 0 with more to come, identification.
    const cut = Uint8Array.of(NEXT_HEADER_IPV4, 0, 0, 1, 0, 0, 0, 9);
    const { sessions } = bench.table.parts;
    let dropped = 0;
    for (const from of [OTHER_CE, STRANGER, CE])
      for (const [what, inner] of insides) {
        const packets = [
          inIpv6(inner, from, CE),
          inIpv6(Uint8Array.of(...cut, ...inner), from, CE, NEXT_HEADER_FRAGMENT),
        ];
        for (const packet of packets) {
          assert.equal(bench.send(packet), 'TunnelPacketNotAccepted', what);
          assert.deepEqual(bench.all(), [], what);
          assert.equal(bench.dropCount('TunnelPacketNotAccepted'), ++dropped, what);
          assert.equal(sessions.count, 1, what);
        }
      }
    bench.pass(15);
    for (const reason of ['FragmentWithoutFirst', 'TunnelReassembly'] as const)
      assert.equal(bench.dropCount(reason), 0, 'nothing of it was kept');
    assert.equal(endpoints(bench.pass4(inIpv6(answer, BR, CE))).to, HOST);
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
