/**
 * What may make a gateway faster, tried on one of two gateways, which then run in turn: settings of the host, and doing less.
 *
 *   rps            the packets that Portfold writes are forwarded on every core, not in the thread that wrote them
 *                  (receive packet steering of the TUN)
 *   threaded-napi  the links of the gateway that have NAPI hand their packets over in threads of the kernel (veth does so with GRO on)
 *   no-policies    every session is allowed and nothing is limited: what the policies cost
 *   ordinary       the thread that forwards waits for its turn like any program
 */
import { availableParallelism } from 'node:os';
import type { Namespace } from '../../lab/netns.ts';
import { LabError } from '../../lab/programs.ts';

const ALL_CORES = ((1 << availableParallelism()) - 1).toString(16);
/** A bridge has no NAPI of its own, its ports have. */
const THREADED =
  'n=0; for d in /sys/class/net/*; do ethtool -K $(basename $d) gro on; echo 1 > $d/threaded && n=$((n+1)); done 2>/dev/null; test $n -gt 0';

export interface Trial {
  /** Made when the gateway runs. */
  change?: (gateway: Namespace, tun: string) => Promise<unknown>;
  /** Lines of [policy] besides the preset. */
  policy?: readonly string[];
  realtime?: boolean;
}

const TRIALS: Record<string, Trial> = {
  rps: {
    change: (gateway, tun) =>
      write(gateway, `/sys/class/net/${tun}/queues/rx-0/rps_cpus`, ALL_CORES),
  },
  'threaded-napi': { change: (gateway) => gateway.run('sh', ['-c', THREADED]) },
  'no-policies': {
    policy: [
      'limits = { sessions = 0, owned-ports = 8, new-per-second = 0, new-at-once = 0 }',
      'unanswered-per-remote = 0',
      'quic = "allow"',
      'private-destinations = "allow"',
      'pressure = { levels = [98, 99, 100], evict = false }',
      'timers = { other = 300, unanswered = 300 }',
    ],
  },
  ordinary: { realtime: false },
};

export function trialOf(name: string): Trial {
  const trial = TRIALS[name];
  if (trial !== undefined) return trial;
  const known = Object.keys(TRIALS).join(', ');
  throw new LabError('BENCH_BAD_OPTION', 2, `--try is "${name}"; possible are ${known}`);
}

const write = (gateway: Namespace, file: string, value: string): Promise<unknown> =>
  gateway.run('sh', ['-c', `echo ${value} > ${file}`]);
