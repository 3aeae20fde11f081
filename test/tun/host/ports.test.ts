import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import fc from 'fast-check';
import { parseSockets, withoutPorts, withPorts } from '../../../tun/host/ports.ts';

/** Text as a little-endian machine prints it, for the machine that runs the test. */
const native = (text: string): string =>
  endianness() === 'LE'
    ? text
    : text.replace(/\b[0-9A-F]{8}(?=[0-9A-F]*:)/g, (word) =>
        Buffer.from(word, 'hex').reverse().toString('hex').toUpperCase(),
      );

const TCP =
  native(`  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 026433C6:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 026433C6:9C41 0A7100CB:0050 01 00000000:00000000 00:00000000 00000000     0        0 4 1
`);
const TCP6 =
  native(`  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A
   1: 0000000000000000FFFF0000026433C6:20FB 00000000000000000000000000000000:0000 0A
   2: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A
`);

describe('ports of the host', () => {
  it('are those that wait for anybody, at the address or at all', () => {
    assert.deepEqual(parseSockets(TCP, '198.51.100.2', '0A'), [22, 8080]);
    assert.deepEqual(parseSockets(TCP6, '198.51.100.2', '0A'), [443, 8443]);
    assert.deepEqual(parseSockets(TCP, '198.51.100.3', '0A'), [22]);
    assert.deepEqual(parseSockets('', '198.51.100.2', '0A'), []);
  });

  it('are added to a list and taken out again without those that stood there', () => {
    assert.equal(withPorts('', [[1, 1]]), '1');
    assert.equal(withPorts('5-6,9\n', [[7, 8]]), '5-9');
    assert.equal(withPorts('', [[65535, 65535]]), '65535');
    assert.equal(withoutPorts('5-9', '7-8', ''), '5-6,9');
    assert.equal(withoutPorts('5-9', '6-8', '6'), '5-6,9');
    assert.equal(withoutPorts('5-9', '5-9', ''), '');
  });

  it('are the same list after adding and taking out, whatever it was', () => {
    const range = fc
      .tuple(fc.integer({ min: 0, max: 65535 }), fc.integer({ min: 0, max: 300 }))
      .map(([first, more]): [number, number] => [first, Math.min(65535, first + more)]);
    fc.assert(
      fc.property(fc.array(range), fc.array(range, { minLength: 1 }), (others, ours) => {
        const before = withPorts('', others);
        const during = withPorts(before, ours);
        assert.equal(withoutPorts(during, withPorts('', ours), before), before);
      }),
      { numRuns: 200 },
    );
  });
});
