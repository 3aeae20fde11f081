/** OpenVPN by the hard reset, in the clear and under each protection. */
import assert from 'node:assert/strict';
import { isOpenvpn } from '../../../core/wire/openvpn.ts';
import { FIRST_PAYLOADS, hex, joined, ofLength } from '../../support/first-payloads.ts';

const is = (payload: Uint8Array): boolean => isOpenvpn(payload, 0, payload.length);
const sent = (origin: string): Uint8Array =>
  FIRST_PAYLOADS.find((each) => each.origin === `OpenVPN 2.6, ${origin}`)?.payload as Uint8Array;

const SESSION = '3b714c65f550feb5';
const REPLAY = '000000016b02a924';

function changed(payload: Uint8Array, at: number, value: number): Uint8Array {
  const bytes = payload.slice();
  bytes[at] = value;
  return bytes;
}

describe('OpenVPN', () => {
  it('a reset with an HMAC of each length in use, and of no other', () => {
    for (const bytes of [16, 20, 28, 32, 48, 64]) {
      const hmac = '5a'.repeat(bytes);
      assert.ok(is(hex(`38${SESSION}${hmac}${REPLAY}0000000000`)), `${bytes}`);
    }
    assert.ok(!is(hex(`38${SESSION}${'5a'.repeat(24)}${REPLAY}0000000000`)));
  });

  it('the answer of a server: one acknowledgement, and the client’s session id', () => {
    const acknowledged = `0100000000${SESSION}`;
    assert.ok(is(hex(`40${SESSION}${acknowledged}00000000`)));
    assert.ok(is(hex(`40${SESSION}${'5a'.repeat(20)}${REPLAY}${acknowledged}00000000`)));
    assert.ok(is(ofLength(hex(`40${SESSION}${REPLAY}`), 66)), 'tls-crypt');
    assert.ok(!is(hex(`40${SESSION}00000000000000000000000000000000`)), 'without the mark of it');
    assert.ok(!is(hex(`40${SESSION}0000000000`)), 'without it');
  });

  it('no key id, no other opcode, no message but the first', () => {
    const plain = sent('plain');
    assert.ok(is(plain));
    for (const lead of [0x39, 0x20, 0x30, 0x48, 0x08]) assert.ok(!is(changed(plain, 0, lead)));
    assert.ok(!is(changed(plain, 9, 1)));
    assert.ok(!is(changed(plain, 13, 1)));
    assert.ok(!is(plain.slice(0, 13)));
    assert.ok(!is(joined(plain, hex('00'))));
  });

  it('a replay id that has just begun to count, and a wrapped key that reaches to the end', () => {
    const crypt = sent('tls-crypt');
    assert.ok(is(crypt));
    assert.ok(is(changed(crypt, 12, 255)), 'after 255 packets');
    assert.ok(!is(changed(crypt, 12, 0)));
    assert.ok(!is(changed(crypt, 11, 1)));
    const second = sent('tls-crypt-v2');
    assert.ok(is(second));
    assert.ok(!is(second.slice(0, -1)));
    assert.ok(!is(changed(second, second.length - 1, 0)));
    assert.ok(is(changed(second, 9, 0)), 'as before version 2.6');
    assert.ok(!is(changed(second, 9, 0x10)));
  });
});
