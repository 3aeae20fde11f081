/** WireGuard by type, zeros and length. */
import assert from 'node:assert/strict';
import { isWireguard } from '../../../core/wire/wireguard.ts';
import { hex, ofLength } from '../../support/first-payloads.ts';

const is = (lead: string, length: number): boolean =>
  isWireguard(ofLength(hex(lead), length), 0, length);

describe('WireGuard', () => {
  it('each type at its length', () => {
    assert.ok(is('01000000', 148));
    assert.ok(is('02000000', 92));
    assert.ok(is('03000000', 64));
    for (const length of [32, 48, 1360]) assert.ok(is('04000000', length), `${length}`);
  });

  it('no type at another length, no other type, nothing in the reserved bytes', () => {
    assert.ok(!is('01000000', 147));
    assert.ok(!is('01000000', 149));
    assert.ok(!is('02000000', 148));
    assert.ok(!is('03000000', 32));
    assert.ok(!is('04000000', 40));
    assert.ok(!is('04000000', 16));
    assert.ok(!is('05000000', 148));
    assert.ok(!is('00000000', 148));
    assert.ok(!is('01000001', 148));
    assert.ok(!is('00000001', 148), 'the other order of bytes');
  });
});
