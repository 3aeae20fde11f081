/** What the kernel says of a device in /proc/net/dev. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { transmitDrops } from '../../../gateway/source/tun-losses.ts';

const TEXT = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1000      10    0    1    0     0          0         0     1000      10    0    2    0     0       0          0
portfold0:5120      40    0    3    0     0          0         0 99999999999  88888    0 1234    0     0       0          0
portfold01:5120      40    0    3    0     0          0         0    777      88    0 5    0     0       0          0
`;

describe('packets lost at the TUN', () => {
  it('are the drops of the transmitting side of just that device', () => {
    assert.equal(transmitDrops(TEXT, 'portfold0'), 1234);
    assert.equal(transmitDrops(TEXT, 'lo'), 2);
    assert.equal(transmitDrops(TEXT, 'portfold'), 0);
  });

  it('the columns are those of this kernel', () => {
    const [, head] = readFileSync('/proc/self/net/dev', 'utf8').split('\n');
    const [, receive, transmit] = head.split('|').map((part) => part.trim().split(/\s+/));
    assert.deepEqual([receive.length, transmit[3]], [8, 'drop']);
  });
});
