/**
 * How many flows fit through 240 ports: the kernel in three ways that people use, and Portfold.
 *
 *   one range, OpenWrt, numgen    lab/kernel-nat.ts
 *   portfold                      the MAP-E line itself
 *
 * A flow is held when it is answered in two rounds and seen outside at one external endpoint in
 * both; so all that are held live at the same time.
 */
import { type FlowsResult, startEcho, udpFlows } from '../../lab/flows.ts';
import { Gateway } from '../../lab/gateway.ts';
import { KERNEL_RULES, PORTS, startKernelNat } from '../../lab/kernel-nat.ts';
import { buildLab, type Lab } from '../../lab/topology.ts';
import { readSessions } from '../datapath/options.ts';
import type { Row, SuiteOptions, Target } from '../verbs/report.ts';

const PER_SECOND = 30_000;
const PER_SECOND_SMOKE = 5_000;
const RETRIES = 2;
const ADDRESSES_MOST = 50_000;
const CAPACITY = 262_144;

const FLOWS = '24000,250000';
const FLOWS_SMOKE = '2400';

interface Load {
  flows: number;
  remotes: number;
  retries: number;
  ratePerSecond: number;
}

/** As many remotes as the flows need: each port once towards every one of them. */
function loadsOf(options: SuiteOptions): Load[] {
  const sessions = options.sessions ?? (options.smoke ? FLOWS_SMOKE : FLOWS);
  return readSessions({ ...options, sessions })
    .filter((flows) => flows > 0)
    .map((flows) => ({
      flows,
      remotes: Math.ceil(flows / PORTS),
      retries: options.smoke ? 1 : RETRIES,
      ratePerSecond: options.smoke ? PER_SECOND_SMOKE : PER_SECOND,
    }));
}

export async function held(options: SuiteOptions): Promise<{ rows: Row[]; targets: Target[] }> {
  const rows: Row[] = [];
  const targets: Target[] = [];
  for (const load of loadsOf(options)) {
    const found: Record<string, FlowsResult> = {};
    for (const [name, rules] of Object.entries(KERNEL_RULES))
      found[name] = await byKernel(rules, load);
    found.portfold = await byPortfold(load);
    const title = `${load.flows} flows to ${load.remotes} remotes on ${PORTS} ports`;
    const row = (name: string, unit: string, of: (result: FlowsResult) => number): Row => ({
      name,
      unit,
      samples: Object.fromEntries(
        Object.entries(found).map(([each, result]) => [each, [of(result)]]),
      ),
    });
    rows.push(
      row(`${title}, held`, 'flows', (result) => result.samePort),
      row('  external ports seen', 'ports', (result) => result.externalPorts),
      row('  datagrams sent again', 'packets', (result) => result.retries),
    );
    targets.push({
      name: `${title}, held by portfold`,
      value: found.portfold.samePort,
      bound: 'at least',
      wanted: load.flows,
    });
  }
  return { rows, targets };
}

async function byKernel(rules: string, load: Load): Promise<FlowsResult> {
  const lab = await buildLab({ line: 'address', hosts: 0 });
  try {
    await startKernelNat(lab, rules);
    return await offer(lab, load);
  } finally {
    lab.remove();
  }
}

async function byPortfold(load: Load): Promise<FlowsResult> {
  const lab = await buildLab({ line: 'map-e', hosts: 0 });
  const gateway = new Gateway(lab, { capacity: CAPACITY });
  try {
    await gateway.start();
    return await offer(lab, load);
  } finally {
    await gateway.stop();
    lab.remove();
  }
}

async function offer(
  lab: Lab,
  { flows, remotes, retries, ratePerSecond }: Load,
): Promise<FlowsResult> {
  await startEcho(lab.internet);
  const sockets = Math.ceil(flows / ADDRESSES_MOST);
  return udpFlows(lab.load, {
    flows,
    addresses: Math.ceil(flows / sockets),
    remotes,
    rounds: 2,
    ratePerSecond,
    retries,
  });
}
