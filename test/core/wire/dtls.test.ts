/** DTLS by its row of records. */
import assert from 'node:assert/strict';
import { isDtls } from '../../../core/wire/dtls.ts';
import { FIRST_PAYLOADS, hex, joined } from '../../support/first-payloads.ts';

const hello = FIRST_PAYLOADS.find(({ origin }) => origin.includes('dtls'))?.payload as Uint8Array;
const is = (payload: Uint8Array): boolean => isDtls(payload, 0, payload.length);

const record = (type: number, version: string, bytes: number, epoch = 0): Uint8Array => {
  const header = hex(`00${version}00000000000000000000`);
  header[0] = type;
  header[4] = epoch;
  header[11] = bytes >> 8;
  header[12] = bytes & 255;
  return joined(header, new Uint8Array(bytes));
};

describe('DTLS', () => {
  it('a ClientHello, and records of each type and version', () => {
    assert.ok(is(hello));
    for (const version of ['feff', 'fefd', '0100'])
      for (let type = 20; type <= 26; type++) assert.ok(is(record(type, version, 40, 1)));
  });

  it('a row of records that ends with the datagram, up to sixteen of them', () => {
    assert.ok(is(joined(hello, record(22, 'fefd', 12), record(20, 'fefd', 1))));
    assert.ok(!is(joined(hello, record(22, 'fefd', 12).slice(0, -1))));
    assert.ok(!is(joined(hello, hex('16'))));
    assert.ok(!is(joined(hello, record(27, 'fefd', 12))));
    assert.ok(is(joined(...Array(20).fill(record(23, 'fefd', 1, 1)))));
  });

  it('no other type, version or length, and no TLS', () => {
    assert.ok(!is(record(19, 'fefd', 40)));
    assert.ok(!is(record(22, 'fefe', 40)));
    assert.ok(!is(record(22, '0303', 40)));
    assert.ok(!is(record(22, 'fefd', 0)));
    assert.ok(!is(hello.slice(0, -1)));
    assert.ok(!is(hello.slice(0, 12)));
  });
});
