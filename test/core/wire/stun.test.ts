/** STUN by its cookie on any port, and the older form on the ports of STUN. */
import assert from 'node:assert/strict';
import { isStun } from '../../../core/wire/stun.ts';
import { hex, joined } from '../../support/first-payloads.ts';

const REQUEST = '000100002112a442b550ef5353eb333d669194ed';
const is = (payload: Uint8Array, port: number): boolean => isStun(payload, 0, payload.length, port);

describe('STUN', () => {
  it('requests, indications and answers with the cookie, on any port', () => {
    assert.ok(is(hex(REQUEST), 19_302));
    assert.ok(is(hex(`0101${REQUEST.slice(4)}`), 5000));
    assert.ok(is(joined(hex(`00010008${REQUEST.slice(8)}`), new Uint8Array(8)), 5000));
    assert.ok(is(hex(`0003${REQUEST.slice(4)}`), 3478), 'Allocate of TURN');
  });

  it('a Binding Request of RFC 3489 only on its ports, and with nothing behind it', () => {
    const old = hex('00010000' + '5a'.repeat(16));
    assert.ok(is(old, 3478));
    assert.ok(is(old, 3479));
    assert.ok(!is(old, 3480));
    assert.ok(!is(joined(old, hex('00000000')), 3478));
    assert.ok(!is(hex('00020000' + '5a'.repeat(16)), 3478));
  });

  it('not cut, with a length that does not fit, or with one of the first two bits', () => {
    assert.ok(!is(hex(REQUEST).slice(0, 19), 3478));
    assert.ok(!is(hex(`00010004${REQUEST.slice(8)}`), 5000));
    assert.ok(!is(hex(`00010002${REQUEST.slice(8)}0000`), 5000));
    assert.ok(!is(hex(`4001${REQUEST.slice(4)}`), 5000), 'channel data of TURN');
    assert.ok(!is(hex(`8001${REQUEST.slice(4)}`), 5000));
  });
});
