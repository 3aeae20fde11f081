/** The DHT of BitTorrent by the beginning of its dictionary. */
import assert from 'node:assert/strict';
import { isDht } from '../../../core/wire/dht.ts';
import { joined, text } from '../../support/first-payloads.ts';

const ID = text('abcdefghij0123456789');
const is = (payload: Uint8Array): boolean => isDht(payload, 0, payload.length);

describe('DHT', () => {
  it('the examples of BEP 5: a query, an answer, an error', () => {
    assert.ok(is(joined(text('d1:ad2:id20:'), ID, text('e1:q4:ping1:t2:aa1:y1:qe'))));
    assert.ok(is(joined(text('d1:rd2:id20:'), ID, text('e1:t2:aa1:y1:re'))));
    assert.ok(is(text('d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee')));
  });

  it('answers that tell the asker its endpoint (BEP 42)', () => {
    const answer = joined(text('1:rd2:id20:'), ID, text('e1:t2:aa1:y1:re'));
    assert.ok(is(joined(text('d2:ip6:abcdef'), answer)));
    assert.ok(is(joined(text('d2:ip18:'), text('abcdefghijklmnopqr'), answer)));
    assert.ok(is(text('d2:ip6:abcdef1:eli203e3:bade1:t2:aa1:y1:ee')));
    assert.ok(!is(joined(text('d2:ip7:abcdefg'), answer)));
    assert.ok(!is(joined(text('d2:ip18:'), text('abcdef'), answer)));
  });

  it('no other dictionary, nothing cut within its head', () => {
    const query = joined(text('d1:ad2:id20:'), ID);
    assert.ok(is(query));
    assert.ok(!is(query.slice(0, -1)));
    for (const words of [
      'd1:bd2:id20:',
      'd2:ad2:id20:',
      'd1:ai2:id20:',
      'd1:ad0:id20:',
      'l1:ad2:id20:',
    ])
      assert.ok(!is(joined(text(words), ID)), words);
    assert.ok(!is(text('d1:e23:text instead of a list')));
    assert.ok(!is(text('d8:announce35:udp://tracker.example.com:80')), 'a torrent file');
  });
});
