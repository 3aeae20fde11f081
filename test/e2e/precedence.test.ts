/** The thread that forwards goes before other programs, where it is to and may; the rest of the gateway does not. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Gateway } from '../../lab/gateway.ts';
import { configuration } from '../../lab/lines.ts';
import { ping } from '../../lab/services.ts';
import { withBed } from './support.ts';

/** SCHED_FIFO and SCHED_RR, as they stand in /proc. */
const REALTIME_POLICIES = ['1', '2'];
const POLICY_FIELD = 38;
/** This process may have a policy itself, which the gateway would inherit. */
const ORDINARY = ['chrt', '-o', '0'];
const MAY_NOT = [
  ...['setpriv', '--bounding-set', '-sys_nice', '--inh-caps', '-sys_nice'],
  ...['prlimit', '--rtprio=0'],
];

function realtimeThreads(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  const policies = readdirSync(tasks).map(
    (thread) =>
      readFileSync(`${tasks}/${thread}/stat`, 'utf8').split(') ')[1].split(' ')[POLICY_FIELD],
  );
  return policies.filter((policy) => REALTIME_POLICIES.includes(policy)).length;
}

describe('precedence of the thread that forwards', () => {
  const bed = withBed({ line: 'address', start: false, programs: ['chrt', 'setpriv', 'prlimit'] });

  /** Starts a gateway, sees that it forwards, and ends it: how many of its threads go before others, and what it said. */
  async function lived(realtime: boolean, prefix: readonly string[]) {
    const config = configuration('address', { runtimeDirectory: 'DIR', realtime });
    const gateway = new Gateway(bed.lab, { config, prefix: [...ORDINARY, ...prefix] });
    const { pid } = await gateway.start();
    assert.equal((await ping(bed.lab.hosts[0])).received, 3);
    const threads = realtimeThreads(pid);
    const { code, stdout, stderr } = await gateway.stop();
    assert.equal(code, 0);
    return { threads, said: stdout + stderr };
  }

  it('is that of one thread, and of nothing else in the gateway', async () => {
    const { threads, said } = await lived(true, []);
    assert.equal(threads, 1);
    assert.doesNotMatch(said, /LimitRTPRIO/);
  });

  it('is left alone with realtime = false', async () => {
    const { threads, said } = await lived(false, []);
    assert.equal(threads, 0);
    assert.doesNotMatch(said, /LimitRTPRIO/);
  });

  it('is missed with a word where the gateway may not, and it forwards all the same', async () => {
    const { threads, said } = await lived(true, MAY_NOT);
    assert.equal(threads, 0);
    assert.match(said, /may not go before other programs \(EPERM; a service needs LimitRTPRIO=1\)/);
  });
});
