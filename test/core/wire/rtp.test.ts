/** RTP and RTCP by header and port. */
import assert from 'node:assert/strict';
import { isRtp } from '../../../core/wire/rtp.ts';
import { hex, joined, ofLength } from '../../support/first-payloads.ts';

const packet = (first: number, second: number, length = 172): Uint8Array =>
  ofLength(Uint8Array.of(first, second, 0x12, 0x67), length);
const is = (payload: Uint8Array, port = 16_384): boolean => isRtp(payload, 0, payload.length, port);

describe('RTP', () => {
  it('payload types that are assigned or dynamic, with and without the marker', () => {
    const known = [0, 3, 4, 8, 9, 13, 18, 25, 26, 28, 31, 32, 33, 34, 96, 111, 127];
    const unknown = [1, 2, 19, 20, 24, 27, 29, 30, 35, 64, 95];
    for (const type of known) {
      assert.ok(is(packet(0x80, type)), `${type}`);
      assert.ok(is(packet(0x80, type | 0x80)), `${type} with marker`);
    }
    for (const type of unknown) {
      assert.ok(!is(packet(0x80, type)), `${type}`);
      assert.ok(!is(packet(0x80, type | 0x80)), `${type} with marker`);
    }
  });

  it('a header extension that fits', () => {
    const extended = joined(hex('906f126700000000decafbadbede0001'), new Uint8Array(80));
    assert.ok(is(extended));
    assert.ok(!is(extended.slice(0, 20)), 'no payload behind it');
    assert.ok(is(extended.slice(0, 21)));
    assert.ok(!is(extended.slice(0, 15)));
  });

  it('not to an odd port or one below 1024, of another version, with padding or sources, or empty', () => {
    assert.ok(!is(packet(0x80, 0), 16_385));
    assert.ok(!is(packet(0x80, 0), 1022));
    assert.ok(is(packet(0x80, 0), 1024));
    for (const first of [0x00, 0x40, 0xc0, 0xa0, 0x81]) assert.ok(!is(packet(first, 0)));
    assert.ok(!is(packet(0x80, 0, 12)));
    assert.ok(is(packet(0x80, 0, 13)));
  });
});

describe('RTCP', () => {
  const senderReport = joined(hex('80c80006decafbad'), new Uint8Array(20));
  const description = hex('81ca0003decafbad0104746573740000');

  it('a report, alone or with a description, on even and odd ports', () => {
    assert.ok(is(senderReport));
    assert.ok(is(senderReport, 16_385));
    assert.ok(is(joined(senderReport, description), 16_385));
  });

  it('not cut, with anything behind it, with another type, or below port 1024', () => {
    assert.ok(!is(senderReport.slice(0, -4)));
    assert.ok(!is(joined(senderReport, hex('00'))));
    assert.ok(!is(joined(senderReport, hex('80d00001decafbad'))));
    assert.ok(!is(joined(senderReport, hex('40c90001decafbad'))));
    assert.ok(!is(senderReport, 1023));
  });
});
