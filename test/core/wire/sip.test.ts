/** SIP by its first line. */
import assert from 'node:assert/strict';
import { isSip } from '../../../core/wire/sip.ts';
import { text } from '../../support/first-payloads.ts';

const is = (words: string): boolean => {
  const payload = text(words);
  return isSip(payload, 0, payload.length);
};

describe('SIP', () => {
  it('requests of any method, to any kind of URI', () => {
    for (const method of ['REGISTER', 'INVITE', 'OPTIONS', 'ACK', 'BYE', 'SUBSCRIBE', 'PRACK'])
      assert.ok(is(`${method} sip:example.com SIP/2.0\r\nVia: x\r\n`), method);
    assert.ok(is('INVITE tel:+81-3-1234-5678 SIP/2.0\r\n'));
    assert.ok(is('INVITE sips:[2001:db8::1]:5061 sip/2.0\r\n'), 'small letters');
    assert.ok(is('MESSAGE sip:a@b SIP/2.0\nTo: x'), 'a bare line feed');
  });

  it('answers', () => {
    assert.ok(is('SIP/2.0 200 OK\r\n'));
    assert.ok(is('SIP/2.0 603 Decline\r\n'));
    for (const line of ['SIP/2.0 099 x', 'SIP/2.0 700 x', 'SIP/2.0 2x0 x', 'SIP/2.0  200 x'])
      assert.ok(!is(`${line}\r\n`), line);
  });

  it('not HTTP over UDP, another version, small methods, an empty URI, or half a line', () => {
    for (const line of [
      'M-SEARCH * HTTP/1.1',
      'NOTIFY * HTTP/1.1',
      'INVITE sip:a@b SIP/3.0',
      'INVITE sip:a@b SIP/2.1',
      'invite sip:a@b SIP/2.0',
      'I sip:a@b SIP/2.0',
      'ABCDEFGHIJKLMNOPQ sip:a@b SIP/2.0',
      'INVITE  SIP/2.0',
      'INVITE sip:a b SIP/2.0',
      'INVITE sip:a@b SIP/2.0x',
      'INVITE sip:a@b',
      'INVITE',
    ])
      assert.ok(!is(`${line}\r\n`), line);
    assert.ok(!is('INVITE sip:a@b SIP/2.0'), 'no end of the line');
    assert.ok(!is(`INVITE sip:${'a'.repeat(600)} SIP/2.0\r\n`), 'a line that does not end');
    assert.ok(!is('\r\n\r\n'), 'a keep-alive');
  });
});
