/** NTP by port, mode, version and length. */
import assert from 'node:assert/strict';
import { isNtp } from '../../../core/wire/ntp.ts';
import { ofLength } from '../../support/first-payloads.ts';

const message = (lead: number, length = 48, stratum = 0): Uint8Array =>
  ofLength(Uint8Array.of(lead, stratum), length);
const is = (payload: Uint8Array, remotePort = 123, internalPort = 50_000): boolean =>
  isNtp(payload, 0, payload.length, remotePort, internalPort);

const lead = (version: number, mode: number): number => (version << 3) | mode;

describe('NTP', () => {
  it('requests of the versions 1 to 4, with and without authentication', () => {
    for (const version of [1, 2, 3, 4])
      for (const mode of [1, 3]) assert.ok(is(message(lead(version, mode))), `${version} ${mode}`);
    for (const length of [52, 68, 72, 232]) assert.ok(is(message(0x23, length)), `${length}`);
    assert.ok(is(message(0xe3)), 'not synchronised');
    assert.ok(is(message(0x23, 48, 16)));
  });

  it('answers only from port 123', () => {
    for (const mode of [2, 4]) {
      assert.ok(!is(message(lead(4, mode))));
      assert.ok(is(message(lead(4, mode)), 40_000, 123));
    }
    assert.ok(!is(message(0x23), 40_000, 123), 'a request from there to elsewhere');
    assert.ok(is(message(0x23), 123, 123), 'old clients ask from there');
  });

  it('nothing on another port, too short, of another version, mode or stratum', () => {
    assert.ok(!is(message(0x23), 124));
    assert.ok(!is(message(0x23, 47)));
    assert.ok(!is(message(0x23, 44)));
    assert.ok(!is(message(0x23, 50)));
    assert.ok(!is(message(lead(0, 3))));
    assert.ok(!is(message(lead(5, 3))));
    for (const mode of [0, 5, 6, 7]) assert.ok(!is(message(lead(2, mode))), `mode ${mode}`);
    assert.ok(!is(message(0x23, 48, 17)));
  });
});
