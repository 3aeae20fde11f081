/** QUIC by its long header: versions, types, lengths; and what only looks like it. */
import assert from 'node:assert/strict';
import { isQuic } from '../../../core/wire/quic.ts';
import {
  CHROMIUM_INITIAL,
  hex,
  ofLength,
  QUIC_V1_INITIAL,
  QUIC_V2_INITIAL,
} from '../../support/first-payloads.ts';

const is = (payload: Uint8Array): boolean => isQuic(payload, 0, payload.length);

/** The packet with another version, and the fixed bit and type as they are. */
function withVersion(packet: Uint8Array, version: string): Uint8Array {
  const bytes = packet.slice();
  bytes.set(hex(version), 1);
  return bytes;
}

function withByte(packet: Uint8Array, at: number, value: number): Uint8Array {
  const bytes = packet.slice();
  bytes[at] = value;
  return bytes;
}

describe('QUIC', () => {
  it('the Initials of RFC 9001 and RFC 9369, and of a browser', () => {
    for (const packet of [QUIC_V1_INITIAL, QUIC_V2_INITIAL, CHROMIUM_INITIAL])
      assert.ok(is(packet));
  });

  it('an Initial whose fixed bit is greased, and one with a token', () => {
    assert.ok(is(withByte(QUIC_V1_INITIAL, 0, 0x80)));
    const token = hex('c000000001088394c8f03e5157080004746f6b6e449a');
    assert.ok(is(ofLength(token, 1200)));
  });

  it('0-RTT and Handshake of both versions, however short', () => {
    for (const lead of ['d000000001', 'e000000001', 'e06b3343cf', 'f06b3343cf'])
      assert.ok(is(ofLength(hex(`${lead}0401020304001e`), 60)), lead);
  });

  it('what a server in the LAN begins with: Retry of RFC 9001 A.4, and version negotiation', () => {
    const retry = 'ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba';
    assert.ok(is(hex(retry)));
    assert.ok(is(hex('80000000000008f067a5502a4262b5000000016b3343cf')));
    assert.ok(!is(hex('80000000000008f067a5502a4262b5')), 'no version');
    assert.ok(!is(hex('80000000000008f067a5502a4262b500000001ff')), 'a quarter of a version');
  });

  it('versions that are greased or drafts, by the invariants alone', () => {
    for (const version of ['0a0a0a0a', '1a2a3a4a', 'fafafafa', 'ff00001d'])
      assert.ok(is(withVersion(QUIC_V1_INITIAL, version)), version);
    for (const version of ['0a0a0a0b', '51303433', 'ff010000', '00000002'])
      assert.ok(!is(withVersion(QUIC_V1_INITIAL, version)), version);
    const greased = withVersion(QUIC_V1_INITIAL, '5a6a7a8a');
    assert.ok(!is(greased.slice(0, 1199)), 'too short to be a first flight');
    assert.ok(!is(withByte(greased, 5, 7)), 'an id that no client makes up');
    assert.ok(!is(withByte(greased, 5, 21)), 'an id that is too long');
    assert.ok(!is(withByte(greased, 14, 21)), 'an own id that is too long');
  });

  it('no Initial below 1,200 bytes, with ids that are too long, or with lengths that do not fit', () => {
    assert.ok(!is(QUIC_V1_INITIAL.slice(0, 1199)));
    assert.ok(!is(withByte(QUIC_V1_INITIAL, 5, 21)));
    assert.ok(!is(withByte(QUIC_V1_INITIAL, 14, 21)));
    assert.ok(!is(ofLength(hex('c000000001088394c8f03e51570800004500'), 1200)), 'length too big');
    assert.ok(!is(ofLength(hex('c000000001088394c8f03e5157080044a0'), 1200)), 'token too big');
    assert.ok(!is(ofLength(hex('c000000001088394c8f03e515708000013'), 1200)), 'no room to sample');
    const huge = 'c000000001088394c8f03e5157080000c0000001000004b0';
    assert.ok(!is(ofLength(hex(huge), 1200)), 'a length of 36 bits');
    assert.ok(is(ofLength(hex('c000000001088394c8f03e5157080000c00000000000040a'), 1200)));
    assert.ok(is(ofLength(hex('c000000001088394c8f03e51570800008000040a'), 1200)));
  });

  it('no short header, nothing on port 443 as such, no other protocol', () => {
    assert.ok(!is(withByte(QUIC_V1_INITIAL, 0, 0x40)));
    assert.ok(!is(new Uint8Array(1250)));
    assert.ok(!is(new Uint8Array(1250).fill(0xff)));
    // Old Google QUIC: public flags, connection id and a version in letters.
    assert.ok(!is(ofLength(hex('0d8394c8f03e51570851303433'), 1350)));
    // A game server is asked with 32 ones in front.
    assert.ok(!is(ofLength(hex('ffffffff54536f7572636520456e67696e65205175657279'), 1200)));
  });
});
