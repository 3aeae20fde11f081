/**
 * Settings of the host that are said to make a gateway faster: tried on one of two gateways, which then run in turn.
 *
 *   rps            the packets that Portfold writes are forwarded on every core, not in the thread that wrote them
 *                  (receive packet steering of the TUN)
 *   threaded-napi  lan0 and wan0 hand their packets over in threads of the kernel (veth does so with GRO on)
 *   fq-codel       the queue of the TUN is shared by flows, not first come, first served
 *   busy-poll      the kernel looks for packets for 50 µs before a poll sleeps (net.core.busy_poll)
 */
import { availableParallelism } from 'node:os';
import type { Namespace } from '../../lab/netns.ts';
import { LabError } from '../../lab/programs.ts';

const ALL_CORES = ((1 << availableParallelism()) - 1).toString(16);
const BUSY_POLL_MICROSECONDS = 50;
const LINKS = ['lan0', 'wan0'];

type Trial = (gateway: Namespace, tun: string) => Promise<unknown>;

const TRIALS: Record<string, Trial> = {
  rps: (gateway, tun) => write(gateway, `/sys/class/net/${tun}/queues/rx-0/rps_cpus`, ALL_CORES),
  'threaded-napi': async (gateway) => {
    for (const link of LINKS) {
      await gateway.run('ethtool', ['-K', link, 'gro', 'on']);
      await write(gateway, `/sys/class/net/${link}/threaded`, '1');
    }
  },
  'fq-codel': (gateway, tun) =>
    gateway.run('tc', ['qdisc', 'replace', 'dev', tun, 'root', 'fq_codel']),
  'busy-poll': (gateway) => gateway.sysctl({ 'net.core.busy_poll': BUSY_POLL_MICROSECONDS }),
};

export function trialOf(name: string): Trial {
  const trial = TRIALS[name];
  if (trial !== undefined) return trial;
  const known = Object.keys(TRIALS).join(', ');
  throw new LabError('BENCH_BAD_OPTION', 2, `--try is "${name}"; possible are ${known}`);
}

const write = (gateway: Namespace, file: string, value: string): Promise<unknown> =>
  gateway.run('sh', ['-c', `echo ${value} > ${file}`]);
