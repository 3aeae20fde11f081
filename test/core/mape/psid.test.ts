/**
 * PSID arithmetic: the sets of all PSIDs divide the ports among them, nobody gets port 0, and every
 * form of a set agrees.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  blockOfPort,
  placeOfPort,
  portArray,
  portAt,
  portBitsFit,
  portCount,
  portInSet,
  portIsAssigned,
  portRanges,
  psidOfPort,
} from '../../../core/mape/psid.ts';

const fields = fc
  .tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 0, max: 16 }))
  .filter(([offset, psid]) => portBitsFit(offset, psid));
const sets = fields.chain(([offset, bits]) =>
  fc.tuple(fc.constant(offset), fc.constant(bits), fc.integer({ min: 0, max: (1 << bits) - 1 })),
);

describe('core/mape/psid', () => {
  it('gives v6 Plus 15 blocks of 16', () => {
    const ranges = portRanges(4, 8, 0x56);
    assert.equal(ranges.length, 15);
    assert.deepEqual(ranges[0], [5472, 5487]);
    assert.deepEqual(ranges[14], [62816, 62831]);
    assert.equal(portCount(4, 8, 0x56), 240);
  });

  it('gives all ports but 0 to a whole address', () => {
    assert.deepEqual(portRanges(0, 0, 0), [[1, 65535]]);
    assert.equal(portCount(0, 0, 0), 65535);
    assert.equal(portArray(0, 0, 0)[0], 1);
  });

  it('joins blocks that touch', () => {
    assert.deepEqual(portRanges(6, 0, 0), [[1024, 65535]]);
  });

  it('keeps port 0 out when nothing else is excluded', () => {
    assert.deepEqual(portRanges(0, 6, 0), [[1, 1023]]);
    assert.deepEqual(portRanges(0, 6, 1), [[1024, 2047]]);
    assert.deepEqual(portRanges(0, 16, 0), []);
    assert.equal(portCount(0, 16, 0), 0);
  });

  it('refuses fields that do not fit into a port', () => {
    assert.equal(portBitsFit(10, 8), false);
    assert.equal(portBitsFit(16, 0), false);
    assert.equal(portBitsFit(8, 8), true);
    assert.equal(portBitsFit(-1, 8), false);
  });

  it('agrees with itself in ranges, ports, count and membership', () => {
    fc.assert(
      fc.property(sets, ([offset, bits, psid]) => {
        const ports = portArray(offset, bits, psid);
        const members = [];
        for (let port = 0; port < 65536; port++) {
          if (portInSet(port, offset, bits, psid)) members.push(port);
        }
        assert.deepEqual([...ports], members);
        assert.equal(portCount(offset, bits, psid), members.length);
      }),
      { numRuns: 60 },
    );
  });

  it('divides all assigned ports among the PSIDs', () => {
    fc.assert(
      fc.property(
        fields.filter(([, bits]) => bits <= 10),
        ([offset, bits]) => {
          const holders = new Uint8Array(65536);
          for (let psid = 0; psid < 1 << bits; psid++) {
            for (const port of portArray(offset, bits, psid)) holders[port]++;
          }
          for (let port = 0; port < 65536; port++) {
            assert.equal(holders[port], portIsAssigned(port, offset) ? 1 : 0);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('takes a port apart and puts it together again', () => {
    fc.assert(
      fc.property(fields, fc.integer({ min: 0, max: 65535 }), ([offset, bits], port) => {
        const i = blockOfPort(port, offset);
        const j = placeOfPort(port, offset, bits);
        assert.equal(portAt(i, psidOfPort(port, offset, bits), j, offset, bits), port);
      }),
    );
  });
});
