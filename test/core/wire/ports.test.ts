import assert from 'node:assert/strict';
import { NO_PORT, portOfDestination, portOfSource } from '../../../core/wire/ports.ts';
import { ACK, cutPacket, echo4, error4, ipv4, tcp4, udp4 } from '../../support/packets.ts';

const ends = { from: '192.0.2.1:1000', to: '192.0.2.2:2000' };

/** Ports of source and destination, read from a buffer in which the packet does not stand first. */
function ports(packet: Uint8Array, end = packet.length): [number, number] {
  const bytes = new Uint8Array(packet.length + 40).fill(0xee);
  bytes.set(packet, 20);
  return [portOfSource(bytes, 20, 20 + end), portOfDestination(bytes, 20, 20 + end)];
}

describe('the ports that tell whose a packet is', () => {
  it('are those of TCP and UDP, behind options too', () => {
    assert.deepEqual(ports(udp4(ends)), [1000, 2000]);
    assert.deepEqual(ports(tcp4({ ...ends, flags: ACK })), [1000, 2000]);
    assert.deepEqual(ports(udp4({ ...ends, ipOptions: [1, 1, 1, 1] })), [1000, 2000]);
  });

  it('are the identifier of a query on both sides, in the question and in the answer', () => {
    assert.deepEqual(ports(echo4({ from: '192.0.2.1:77', to: '192.0.2.2' })), [77, 77]);
    assert.deepEqual(ports(echo4({ from: '192.0.2.1', to: '192.0.2.2:77', type: 0 })), [77, 77]);
  });

  it('change sides in an error: its sender is who should have got the quoted packet', () => {
    const error = { from: '192.0.2.2', to: '192.0.2.1', type: 3, code: 3 };
    assert.deepEqual(ports(error4({ ...error, quoted: udp4(ends) })), [2000, 1000]);
    const ping = echo4({ from: '192.0.2.1:77', to: '192.0.2.2' });
    assert.deepEqual(ports(error4({ ...error, quoted: ping })), [77, 77]);
  });

  it('are none in what has no port', () => {
    const none = [NO_PORT, NO_PORT];
    assert.deepEqual(ports(ipv4(47, ends, new Uint8Array(20))), none, 'another protocol');
    const later = cutPacket(udp4({ ...ends, payload: new Uint8Array(100) }), 60)[1];
    assert.deepEqual(ports(later), none, 'a later fragment');
    assert.deepEqual(ports(udp4(ends), 23), none, 'three bytes of a header');
    const error = { from: '192.0.2.2', to: '192.0.2.1', type: 3, code: 3 };
    const inside = error4({ ...error, quoted: udp4(ends) });
    assert.deepEqual(ports(error4({ ...error, quoted: inside })), none, 'an error about an error');
    assert.deepEqual(ports(error4({ ...error, quoted: udp4(ends).slice(0, 22) })), none);
    const timestamp = echo4({ from: '192.0.2.1:77', to: '192.0.2.2' });
    timestamp[20] = 13;
    assert.deepEqual(ports(timestamp), none, 'a query that no NAT translates');
  });
});
