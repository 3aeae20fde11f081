/**
 * Faults that fuzzing and reading have found where somebody owns a port at which others are guests. What an owner sends without a
 * session is translated by its mapping alone; under the 5-tuple of a guest it would be taken for the guest's.
 */
import assert from 'node:assert/strict';
import { standardPolicy } from '../../../policies/standard.ts';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import { ACK, checksumProblems, error4, RST, SYN, tcp4, udp4 } from '../../support/packets.ts';

const GUEST = '192.168.1.11:5000';
const OWNER = '192.168.1.12:6000';
const SERVER = '198.51.100.9';
const PORT = 40_000;

/** A gateway with one port, at which a guest is. A new preset lets whoever comes next own it, as a reload of the configuration does. */
const oneGuest = (packet: Uint8Array): Bench => {
  const bench = new Bench({ ports: Uint16Array.of(PORT) });
  bench.pass4(packet);
  bench.table.setPolicy(standardPolicy('rfc'));
  return bench;
};

describe('the owner of a port, towards a remote endpoint that a guest of the port talks to', () => {
  it('cannot reset the connection of the guest', () => {
    const bench = oneGuest(tcp4({ from: GUEST, to: `${SERVER}:80`, flags: SYN }));
    bench.pass4(tcp4({ from: OWNER, to: `${SERVER}:81`, flags: SYN }));
    const reset = (port: number): Uint8Array =>
      tcp4({ from: OWNER, to: `${SERVER}:${port}`, flags: RST | ACK });
    assert.equal(bench.send(reset(80)), 'TcpWithoutSession');
    const { from, to } = endpoints(bench.pass4(reset(82)));
    assert.deepEqual([from, to], [`${EXTERNAL}:${PORT}`, `${SERVER}:82`]);
    const answer = tcp4({ from: `${SERVER}:80`, to: from, flags: SYN | ACK });
    assert.equal(endpoints(bench.pass4(answer)).to, GUEST);
  });

  it('cannot send an ICMP error about what was delivered to the guest', () => {
    const bench = oneGuest(udp4({ from: GUEST, to: `${SERVER}:9` }));
    bench.pass4(udp4({ from: OWNER, to: `${SERVER}:8` }));
    const error = (port: number): Uint8Array => {
      const quoted = udp4({ from: `${SERVER}:${port}`, to: OWNER });
      return error4({ from: OWNER.split(':')[0], to: SERVER, type: 3, code: 3, quoted });
    };
    assert.equal(bench.send(error(9)), 'IcmpErrorWithoutSession');
    assert.deepEqual(checksumProblems(bench.pass4(error(10))), []);
  });
});
