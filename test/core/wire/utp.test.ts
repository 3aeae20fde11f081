/** uTP by its header. */
import assert from 'node:assert/strict';
import { isUtp } from '../../../core/wire/utp.ts';
import { hex, joined } from '../../support/first-payloads.ts';

const is = (payload: Uint8Array, port = 6881): boolean => isUtp(payload, 0, payload.length, port);

/** Type and version, extension; window; what else a header holds as in a connection that runs. */
const packet = (lead: string, window = '00100000', rest = ''): Uint8Array =>
  hex(`${lead}4b9d5f64800300001234${window}5bce0007${rest}`);

const SYN = '41004b9d5f64800300000000000000005bce0000';

describe('uTP', () => {
  it('SYN, alone and with the extension bits of old clients', () => {
    assert.ok(is(hex(SYN)));
    assert.ok(is(hex(`4102${SYN.slice(4)}00080000000000000000`)));
  });

  it('no SYN that acknowledges, has measured, or brings data', () => {
    assert.ok(!is(hex(`${SYN.slice(0, -1)}1`)));
    assert.ok(!is(hex(`${SYN.slice(0, 16)}00000001${SYN.slice(24)}`)));
    assert.ok(!is(hex(`${SYN}00`)));
  });

  it('the other types: an answer to a call, and data after a mapping went', () => {
    assert.equal(packet('2100').length, 20);
    assert.ok(is(packet('2100')), 'STATE');
    assert.ok(is(packet('3100')), 'RESET');
    assert.ok(is(packet('1100')), 'FIN');
    assert.ok(is(packet('0100', '00100000', 'ffff')), 'DATA');
    assert.ok(!is(packet('0100')), 'DATA without any');
    assert.ok(!is(packet('2100', '00100000', 'ffff')), 'STATE with data');
    assert.ok(is(packet('2101', '00100000', '0004ffffffff')), 'a selective acknowledgement');
  });

  it('no other type or version, window, extension or port', () => {
    assert.ok(!is(packet('5100')));
    assert.ok(!is(packet('2000')));
    assert.ok(!is(packet('2200')));
    assert.ok(!is(packet('2100', '01000001')));
    assert.ok(!is(packet('2100', 'ffffffff')));
    assert.ok(!is(packet('2104', '00100000', '0004ffffffff')));
    assert.ok(!is(packet('2101')), 'an extension that is not there');
    assert.ok(!is(packet('2101', '00100000', '0005ffffffff')), 'one that does not end');
    assert.ok(!is(packet('2101', '00100000', '0100'.repeat(5))), 'one behind the other');
    assert.ok(!is(hex(SYN), 1023));
    assert.ok(is(joined(hex(SYN)), 1024));
    assert.ok(!is(hex(SYN).slice(0, 19)));
  });
});
