/** Packets that the kernel throws away since the gateway does not read: nobody but the kernel saw them, and they are told all the same. */
import assert from 'node:assert/strict';
import { until } from '../../lab/netns.ts';
import { SERVER } from '../../lab/topology.ts';
import { withBed } from './support.ts';

/** More than the queue of the TUN holds. */
const PACKETS = 15_000;

describe('a queue towards the gateway that overflows', () => {
  const bed = withBed({ line: 'address' });

  it('is counted in status and drops', async () => {
    assert.equal((await bed.gateway.control.status()).counters.packetsLostAtTun, 0);
    bed.gateway.process.kill('SIGSTOP');
    try {
      const burst = ['-q', '-l', `${PACKETS}`, '-c', `${PACKETS}`, '-W', '1', SERVER];
      await bed.lab.hosts[0].run('ping', burst, { check: false });
    } finally {
      bed.gateway.process.kill('SIGCONT');
    }
    const lost = await until('the counter to move', async () => {
      const { counters } = await bed.gateway.control.status();
      return counters.packetsLostAtTun > 0 ? counters.packetsLostAtTun : undefined;
    });
    assert.ok(lost <= PACKETS, `${lost} lost`);
    const drops = await bed.gateway.control.list('drops');
    const item = drops.items.find(({ reason }) => reason === 'TunQueueFull');
    assert.equal(item?.packets, lost);
    const status = await bed.gateway.portfold('status');
    assert.match(status.stdout, /! [\d,]+ packets were lost since the start/);
    assert.equal(status.code, 0);
  });
});
