import assert from 'node:assert/strict';
import { Bench, EXTERNAL, endpoints } from '../../support/gateway.ts';
import { echo4, error4, SYN, tcp4, udp4 } from '../../support/packets.ts';

const A = '192.168.1.11:5000';
const SERVER = '198.51.100.7';

describe('an address that the host uses too', () => {
  const reply = (identifier: number): Uint8Array =>
    echo4({ from: SERVER, to: `${EXTERNAL}:${identifier}`, type: 0 });

  it('gives ICMP that belongs to no session back to the host, and counts no loss', () => {
    const bench = new Bench({ line: { sharedWithHost: true } });
    const [ours] = bench.table.parts.ports.set.ports;
    const quoted = udp4({ from: `${EXTERNAL}:${ours}`, to: `${SERVER}:9` });
    const error = error4({ from: SERVER, to: EXTERNAL, type: 3, code: 3, quoted });
    for (const packet of [reply(ours), reply(1), error])
      assert.deepEqual(bench.pass4(packet), packet);
    for (const reason of ['NoSession', 'NotInPortSet', 'IcmpErrorWithoutSession'] as const)
      assert.equal(bench.dropCount(reason), 0);
  });

  it('keeps what belongs to a session, and drops TCP and UDP that does not', () => {
    const bench = new Bench({ line: { sharedWithHost: true } });
    const { from } = endpoints(bench.pass4(echo4({ from: A, to: SERVER })));
    const back = bench.pass4(reply(Number(from.split(':')[1])));
    assert.deepEqual(endpoints(back).to, A);

    const [ours] = bench.table.parts.ports.set.ports;
    const to = `${EXTERNAL}:${ours}`;
    assert.equal(bench.send(udp4({ from: `${SERVER}:9`, to })), 'NoSession');
    assert.equal(bench.send(tcp4({ from: `${SERVER}:9`, to, flags: SYN })), 'NoSession');
    assert.equal(bench.dropCount('NoSession'), 2);
  });

  it('is the only one that gives anything back', () => {
    assert.equal(new Bench().send(reply(1)), 'NotInPortSet');
  });
});
