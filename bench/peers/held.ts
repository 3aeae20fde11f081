/**
 * How many flows fit through 240 ports: the kernel in three ways that people use, and Portfold.
 *
 *   one range   snat to ADDRESS:4096-4335. The best the kernel can do, with ports that lie side by
 *               side; no MAP-E line has such
 *   OpenWrt     one snat rule for each of the 15 blocks and protocol, as its map.sh writes them.
 *               The first rule takes every packet, so that 16 of the 240 ports are used
 *   numgen      snat to ADDRESS : numgen inc mod 240 map { … }: every port is used, but a flow
 *               whose port is taken gets no other
 *   portfold    the MAP-E line itself
 *
 * A flow is held when it is answered in two rounds and seen outside at one external endpoint in
 * both; so all that are held live at the same time.
 */
import { type FlowsResult, startEcho, udpFlows } from '../../lab/flows.ts';
import { Gateway } from '../../lab/gateway.ts';
import { ADDRESS, portRanges } from '../../lab/lines.ts';
import { buildLab, type Lab } from '../../lab/topology.ts';
import { readSessions } from '../datapath/options.ts';
import type { Row, SuiteOptions, Target } from '../verbs/report.ts';

const PORTS = 240;
const FIRST_PORT = 4096;
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

/** Port blocks of the lab's MAP-E line. */
const blocks = portRanges('map-e');
const ports = blocks.flatMap(([first, last]) =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i),
);

const table = (rules: readonly string[]): string =>
  `table ip bench_held {
  chain post {
    type nat hook postrouting priority srcnat;
    ${rules.join('\n    ')}
  }
}`;

const external = ADDRESS.externalAddress;
const numbered = ports.map((port, i) => `${i} : ${port}`).join(', ');

/** Rule sets of the kernel by name. */
export const RULES: Record<string, string> = {
  'one range': table([
    `oifname "wan0" meta l4proto { tcp, udp } snat to ${external}:${FIRST_PORT}-${FIRST_PORT + PORTS - 1}`,
  ]),
  OpenWrt: table(
    blocks.flatMap(([first, last]) =>
      ['icmp', 'tcp', 'udp'].map(
        (protocol) =>
          `oifname "wan0" meta l4proto ${protocol} snat to ${external}:${first}-${last}`,
      ),
    ),
  ),
  numgen: table([
    `oifname "wan0" meta l4proto { tcp, udp } snat to ${external} : numgen inc mod ${ports.length} map { ${numbered} }`,
  ]),
};

export async function held(options: SuiteOptions): Promise<{ rows: Row[]; targets: Target[] }> {
  const rows: Row[] = [];
  const targets: Target[] = [];
  for (const load of loadsOf(options)) {
    const found: Record<string, FlowsResult> = {};
    for (const [name, rules] of Object.entries(RULES)) found[name] = await byKernel(rules, load);
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
    await lab.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    // What belongs to no flow must not run in circles between gateway and provider.
    await lab.gateway.ip([`route add blackhole ${external}/32`]);
    await lab.gateway.run('nft', ['-f', '-'], { input: rules });
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
