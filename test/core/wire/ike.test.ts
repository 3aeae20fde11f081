/** IKE of both versions, and ESP beside it on port 4500. */
import assert from 'node:assert/strict';
import { isEspInUdp, isIke } from '../../../core/wire/ike.ts';
import { hex, joined, ofLength } from '../../support/first-payloads.ts';

const SPI = 'e0a2133c6e713449';

/** A header and `length` in it; the datagram has as many bytes unless said otherwise. */
function message(version: number, exchange: number, flags: number, length = 60): Uint8Array {
  const bytes = ofLength(hex(`${SPI}000000000000000021`), length);
  bytes.set([version, exchange, flags], 17);
  bytes.set([0, 0, length >> 8, length & 255], 24);
  return bytes;
}
const is = (payload: Uint8Array): boolean => isIke(payload, 0, payload.length);
const isEsp = (payload: Uint8Array, remotePort = 4500, internalPort = 50_000): boolean =>
  isEspInUdp(payload, 0, payload.length, remotePort, internalPort);

describe('IKE', () => {
  it('IKEv2 exchanges, from the initiator and from the responder', () => {
    for (const exchange of [34, 35, 36, 37, 43, 44])
      for (const flags of [0x08, 0x20, 0x28]) assert.ok(is(message(0x20, exchange, flags)));
  });

  it('IKEv1 exchanges', () => {
    for (const exchange of [1, 2, 4, 5, 6, 32, 33]) assert.ok(is(message(0x10, exchange, 0)));
    assert.ok(is(message(0x10, 2, 1)), 'encrypted');
  });

  it('behind the non-ESP marker, also where the SPI begins with zeros', () => {
    const whole = message(0x20, 34, 8);
    assert.ok(is(joined(new Uint8Array(4), whole)));
    const zeros = whole.slice();
    zeros.set([0, 0, 0, 0], 0);
    assert.ok(is(zeros));
    assert.ok(!is(joined(new Uint8Array(8), whole)));
  });

  it('no other version, exchange, flag or length, and no SPI of zeros', () => {
    assert.ok(!is(message(0x30, 34, 8)));
    assert.ok(!is(message(0x20, 33, 8)));
    assert.ok(!is(message(0x20, 45, 8)));
    assert.ok(!is(message(0x20, 34, 0x48)));
    assert.ok(!is(message(0x10, 34, 0)));
    assert.ok(!is(message(0x10, 0, 0)));
    assert.ok(!is(message(0x10, 2, 8)));
    assert.ok(!is(message(0x20, 34, 8).slice(0, -1)));
    assert.ok(!is(joined(message(0x20, 34, 8), hex('00'))));
    assert.ok(!is(message(0x20, 34, 8, 28).slice(0, 27)));
    const nobody = message(0x20, 34, 8);
    nobody.fill(0, 0, 8);
    assert.ok(!is(nobody));
  });
});

describe('ESP in UDP', () => {
  const esp = ofLength(hex('c8a3190e00000001'), 100);

  it('on port 4500 of either side: a packet, and the keep-alive', () => {
    assert.ok(isEsp(esp));
    assert.ok(isEsp(esp, 40_000, 4500));
    assert.ok(isEsp(ofLength(hex('0000010000000001'), 24)), 'the lowest SPI, the shortest packet');
    assert.ok(isEsp(hex('ff')));
  });

  it('not elsewhere, with a reserved SPI, without a sequence, or of another length', () => {
    assert.ok(!isEsp(esp, 4501));
    assert.ok(!isEsp(hex('ff'), 4501));
    assert.ok(!isEsp(hex('fe')));
    assert.ok(!isEsp(ofLength(hex('000000ff00000001'), 100)));
    assert.ok(!isEsp(ofLength(hex('0000000000000001'), 100)));
    assert.ok(!isEsp(ofLength(hex('c8a3190e00000000'), 100)));
    assert.ok(!isEsp(ofLength(esp, 20)));
    assert.ok(!isEsp(ofLength(esp, 101)));
    assert.ok(!isEsp(new Uint8Array(0)));
  });
});
