/** DNS by its bytes on any port, by one question on port 53, and as an answer from port 53. */
import assert from 'node:assert/strict';
import { isDns } from '../../../core/wire/dns.ts';
import { FIRST_PAYLOADS, hex, joined } from '../../support/first-payloads.ts';

const [withEdns, plain] = FIRST_PAYLOADS.filter(({ origin }) => origin.startsWith('dig')).map(
  ({ payload }) => payload,
);
const is = (payload: Uint8Array, remotePort: number, internalPort = 50_000): boolean =>
  isDns(payload, 0, payload.length, remotePort, internalPort);

function changed(payload: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const bytes = payload.slice();
  bytes.set(values, at);
  return bytes;
}

describe('DNS', () => {
  it('queries, on port 53 and on any other', () => {
    for (const port of [53, 5353, 9953]) {
      assert.ok(is(plain, port));
      assert.ok(is(withEdns, port));
      assert.ok(is(hex('000101000001000000000000000002' + '0001'), port), 'the root’s servers');
    }
  });

  it('on port 53 also what is odd: records in the authority, a compressed name, a bit from tomorrow', () => {
    const odd = [changed(plain, 8, 0, 1), changed(plain, 12, 0xc0), changed(plain, 2, 1, 0x60)];
    for (const payload of odd) {
      assert.ok(is(payload, 53));
      assert.ok(!is(payload, 5353));
    }
  });

  it('not with another opcode, another number of questions, or less than a question', () => {
    assert.ok(!is(changed(plain, 2, 0x28), 53), 'an update');
    assert.ok(!is(changed(plain, 4, 0, 2), 53));
    assert.ok(!is(changed(plain, 4, 0, 0), 53));
    assert.ok(!is(plain.slice(0, 16), 53));
  });

  it('elsewhere only whole: name, class, and nothing behind that was not announced', () => {
    assert.ok(!is(plain.slice(0, -1), 5353));
    assert.ok(!is(joined(plain, hex('00')), 5353));
    assert.ok(!is(changed(plain, plain.length - 1, 2), 5353), 'class 2');
    assert.ok(!is(changed(plain, 12, 0x40), 5353), 'a label of 64 bytes');
    assert.ok(!is(changed(plain, 12, 60), 5353), 'a label up to beyond the end');
    assert.ok(!is(changed(withEdns, 10, 0, 3), 5353), 'three other records');
    assert.ok(!is(changed(plain, 6, 0, 1), 5353), 'an answer in a query');
  });

  it('answers of a name server in the LAN, from port 53 only', () => {
    const answer = changed(plain, 2, 0x81, 0x80, 0, 1, 0, 1);
    assert.ok(is(answer, 33_000, 53));
    assert.ok(!is(answer, 33_000, 5353));
    assert.ok(!is(answer, 53));
  });

  it('not a VPN on port 53', () => {
    const vpns = FIRST_PAYLOADS.filter(({ origin }) => /OpenVPN|wireguard/.test(origin));
    assert.equal(vpns.length, 6);
    for (const { payload, origin } of vpns) assert.ok(!is(payload, 53), origin);
  });
});
