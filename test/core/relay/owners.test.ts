/** The memory of owners never says anything else than the rules. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IID_DRAFT03, IID_RFC7597 } from '../../../core/mape/address.ts';
import { writeNeighbourAddress } from '../../../core/mape/forward.ts';
import { NOBODY, Owners } from '../../../core/relay/owners.ts';
import { RFC_RULE, WHOLE_RULE } from '../../support/relay.ts';

describe('owners', () => {
  it('are those of the rules, asked in any order and again', () => {
    const question = fc.tuple(
      fc.integer({ min: 0, max: 1 }),
      fc.integer({ min: 0, max: 255 }),
      // Few enough that slots meet, and every kind of port.
      fc.oneof(fc.integer({ min: 0, max: 65535 }), fc.constantFrom(0, 1, 1023, 1024, 1232, 65535)),
    );
    let nobody = 0;
    fc.assert(
      fc.property(
        fc.array(question, { maxLength: 3000, size: 'max' }),
        fc.boolean(),
        (questions, draft) => {
          const rules = [RFC_RULE, WHOLE_RULE];
          const format = draft ? IID_DRAFT03 : IID_RFC7597;
          const owners = new Owners(rules, format);
          for (const [rule, last, port] of questions) {
            const ipv4 = rules[rule].ipv4 | last;
            const at = owners.find(rule, ipv4, port);
            const address = new Uint8Array(16);
            const isOwned = writeNeighbourAddress(address, 0, rules[rule], ipv4, port, format);
            assert.equal(at !== NOBODY, isOwned);
            if (isOwned) assert.deepEqual(owners.addresses.slice(at, at + 16), address);
            else nobody++;
          }
        },
      ),
      { numRuns: 30 },
    );
    assert.ok(nobody > 100, `only ${nobody} were nobody's`);
  });
});
