/**
 * Settings of the host that are said to make a gateway faster: tried on one of two gateways, which then run in turn.
 *
 *   rps            the packets that Portfold writes are forwarded on every core, not in the thread that wrote them
 *                  (receive packet steering of the TUN)
 *   threaded-napi  the links of the gateway that have NAPI hand their packets over in threads of the kernel (veth does so with GRO on)
 */
import { availableParallelism } from 'node:os';
import type { Namespace } from '../../lab/netns.ts';
import { LabError } from '../../lab/programs.ts';

const ALL_CORES = ((1 << availableParallelism()) - 1).toString(16);
/** A bridge has no NAPI of its own, its ports have. */
const THREADED =
  'n=0; for d in /sys/class/net/*; do ethtool -K $(basename $d) gro on; echo 1 > $d/threaded && n=$((n+1)); done 2>/dev/null; test $n -gt 0';

type Trial = (gateway: Namespace, tun: string) => Promise<unknown>;

const TRIALS: Record<string, Trial> = {
  rps: (gateway, tun) => write(gateway, `/sys/class/net/${tun}/queues/rx-0/rps_cpus`, ALL_CORES),
  'threaded-napi': (gateway) => gateway.run('sh', ['-c', THREADED]),
};

export function trialOf(name: string): Trial {
  const trial = TRIALS[name];
  if (trial !== undefined) return trial;
  const known = Object.keys(TRIALS).join(', ');
  throw new LabError('BENCH_BAD_OPTION', 2, `--try is "${name}"; possible are ${known}`);
}

const write = (gateway: Namespace, file: string, value: string): Promise<unknown> =>
  gateway.run('sh', ['-c', `echo ${value} > ${file}`]);
