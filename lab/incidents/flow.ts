/**
 * The incident `flow`: a mouse driver eats the 240 ports of a MAP-E line, with real packets.
 *
 *   h1     names and pages, and a peer that has asked a STUN server            ┐
 *   h2     the driver: first to a private address in another house, then to a  ├─ gateway, 240 ports ─ provider ─ internet
 *          public one where nobody answers                                     │
 *   load   flows that are answered, over as many servers as fill every port    ┘
 *
 * The same load, one system after the other:
 *
 *   portfold                   preset home on the lab's MAP-E line
 *   a port for each            Portfold's preset rfc, with private destinations let through: each endpoint owns a port, as it
 *                              does in routers whose port saving leaves UDP out. This is what failed
 *   kernel, OpenWrt’s rules    connection tracking on the same 15 blocks of ports
 *   kernel, one range          the same with 240 ports side by side, which no MAP-E line has
 *
 * The house is 192.168.7.0/24, so that 192.168.1.211 is no neighbour there. The dead public address is swallowed on the way.
 */
import type { SessionItem } from '../../gateway/control/api.ts';
import { type FlowsResult, startEcho, udpFlows } from '../flows.ts';
import { Gateway } from '../gateway.ts';
import { KERNEL_RULES, kernelPortsTowards, PORTS, startKernelNat } from '../kernel-nat.ts';
import type { LineType } from '../lines.ts';
import { natDiscovery, startNameServer, startStun, startWebServer } from '../services.ts';
import { buildLab, type Lab } from '../topology.ts';
import { startDriver } from './driver.ts';
import { tryHousehold } from './household.ts';
import type { Expectation, Figure, Incident, IncidentOptions } from './report.ts';
import { say } from './report.ts';

export const PROGRAMS = ['dnsmasq', 'dig', 'nginx', 'curl', 'turnserver', 'conntrack'];

/** The laptop that is in another house, and an address of the internet where nobody is. */
const PRIVATE_DESTINATION = '192.168.1.211';
const DEAD_DESTINATION = '20.7.7.7';
const DRIVER_HOST = '192.168.7.12';
const PEER_ADDRESS = '192.168.7.11';
const PEER_PORT = 5000;
/** "At most a handful". */
const HANDFUL = 8;
/** What is younger than three seconds may still be answered, and no gateway may know better. */
const SETTLED_MS = 4500;
const ATTEMPTS = 20;
const FLOWS_PER_ADDRESS = 240;
const FLOWS_PER_SECOND = 6_000;
const RETRIES = 1;

interface System {
  name: string;
  line: LineType;
  start(lab: Lab): Promise<Nat>;
}

/** How a system is asked what it holds. */
interface Nat {
  portsTowards(remote: string): Promise<number>;
  refusedPrivate(): Promise<number | string>;
  why(): Promise<string>;
  stop(): Promise<void>;
}

const OURS = 'portfold';

export const SYSTEMS: System[] = [
  { name: OURS, line: 'map-e', start: (lab) => startPortfold(lab, 'home') },
  {
    name: 'a port for each',
    line: 'map-e',
    start: (lab) => startPortfold(lab, 'rfc', ['private-destinations = "allow"']),
  },
  ...(
    [
      ['kernel, OpenWrt’s rules', 'OpenWrt'],
      ['kernel, one range', 'one range'],
    ] as const
  ).map(
    ([name, rules]): System => ({
      name,
      line: 'address',
      start: (lab) => startKernel(lab, KERNEL_RULES[rules]),
    }),
  ),
];

async function startPortfold(
  lab: Lab,
  preset: 'home' | 'rfc',
  policy: readonly string[] = [],
): Promise<Nat> {
  const gateway = new Gateway(lab, { preset, policy });
  await gateway.start();
  return {
    portsTowards: async (remote) => {
      const filter = ['proto=udp', `remote=${remote}`];
      const { items } = await gateway.control.list('sessions', { filter, limit: 100_000 });
      return new Set(items.map((item: SessionItem) => item.external)).size;
    },
    refusedPrivate: async () => {
      const { items } = await gateway.control.list('drops', {});
      return items.find(({ reason }) => reason === 'PrivateDestination')?.packets ?? 0;
    },
    why: async () => (await gateway.portfold('why')).stdout,
    stop: async () => {
      await gateway.stop();
    },
  };
}

async function startKernel(lab: Lab, rules: string): Promise<Nat> {
  await startKernelNat(lab, rules);
  return {
    portsTowards: (remote) => kernelPortsTowards(lab, remote),
    refusedPrivate: async () => 'none',
    why: async () => '',
    stop: async () => {},
  };
}

interface Seen {
  /** Datagrams of the driver, as many to each of the two destinations. */
  packets: number;
  refusedPrivate: number | string;
  portsPrivate: number;
  portsDead: number;
  flows: FlowsResult;
  namesFailed: number;
  pagesFailed: number;
  peer: { before: string; after: string; isIndependent: boolean };
  why: string;
}

export async function flow(
  options: IncidentOptions,
  systems: readonly System[] = SYSTEMS,
): Promise<Incident> {
  const seen = new Map<string, Seen>();
  for (const system of systems) {
    say(`${system.name}:`);
    seen.set(system.name, await suffer(system, options));
  }
  const ours = seen.get(OURS) as Seen;
  return {
    name: 'flow',
    about:
      `A host sends ${ours.packets} datagrams to a private address of another house, then as many to a public one where ` +
      `nobody answers, each from a new source port, on a line of ${PORTS} ports.`,
    systems: [...seen.keys()],
    figures: figuresOf(seen, options),
    expectations: expectationsOf(ours, options),
    why: ours.why,
  };
}

async function suffer(system: System, { seconds, flows }: IncidentOptions): Promise<Seen> {
  const lab = await buildLab({ line: system.line });
  let nat: Nat | undefined;
  try {
    const [household, driving] = lab.hosts;
    // What nobody answers is swallowed, as far away, and not refused by a router on the way.
    for (const one of [lab.provider, lab.relay, lab.internet])
      await one.ip(['route add blackhole 20.0.0.0/8', 'route add blackhole 192.168.0.0/16']);
    nat = await system.start(lab);
    await startEcho(lab.internet);
    await startNameServer(lab.internet);
    await startWebServer(lab.internet, lab.folder, 0);
    await startStun(lab.internet, lab.folder);
    const before = await natDiscovery(household, PEER_ADDRESS, PEER_PORT);

    const toPrivate = await startDriver(driving, DRIVER_HOST, PRIVATE_DESTINATION, seconds);
    await toPrivate.ended;
    const portsPrivate = await nat.portsTowards(PRIVATE_DESTINATION);
    const refusedPrivate = await nat.refusedPrivate();
    say(`  ${toPrivate.packets} datagrams to ${PRIVATE_DESTINATION} hold ${portsPrivate} ports`);

    const toDead = await startDriver(driving, DRIVER_HOST, DEAD_DESTINATION, seconds);
    const beside = { rounds: 2, ratePerSecond: FLOWS_PER_SECOND, retries: RETRIES };
    const [held, tried, after] = await Promise.all([
      udpFlows(lab.load, {
        ...beside,
        flows,
        addresses: Math.ceil(flows / FLOWS_PER_ADDRESS),
        remotes: Math.ceil(flows / PORTS),
        pauseSeconds: seconds / 2,
      }),
      tryHousehold(household, ATTEMPTS, seconds),
      natDiscovery(household, PEER_ADDRESS, PEER_PORT),
      toDead.ended,
    ]);
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
    const portsDead = await nat.portsTowards(DEAD_DESTINATION);
    const again = await natDiscovery(household, PEER_ADDRESS, PEER_PORT);
    say(`  ${toDead.packets} datagrams to ${DEAD_DESTINATION} hold ${portsDead} ports`);
    say(
      `  ${held.samePort} of ${held.flows} flows held, ${tried.pagesFailed} of ${ATTEMPTS} pages failed`,
    );
    return {
      packets: toDead.packets,
      refusedPrivate,
      portsPrivate,
      portsDead,
      flows: held,
      namesFailed: tried.namesFailed,
      pagesFailed: tried.pagesFailed,
      peer: {
        before: before.reflexive,
        after: again.reflexive,
        isIndependent: after.endpointIndependent && again.endpointIndependent,
      },
      why: await nat.why(),
    };
  } finally {
    await nat?.stop().catch(() => {});
    lab.remove();
  }
}

function figuresOf(all: Map<string, Seen>, { flows }: IncidentOptions): Figure[] {
  const figure = (name: string, of: (seen: Seen) => number | string): Figure => ({
    name,
    of: Object.fromEntries([...all].map(([system, seen]) => [system, of(seen)])),
  });
  const [{ packets }] = all.values();
  return [
    figure(`ports held for ${packets} datagrams to ${PRIVATE_DESTINATION}`, (s) => s.portsPrivate),
    figure('  refused as private', (s) => s.refusedPrivate),
    figure(
      `ports held for ${packets} datagrams to ${DEAD_DESTINATION}, 4 s later`,
      (s) => s.portsDead,
    ),
    figure(`flows held of ${flows}`, (s) => s.flows.samePort),
    figure(`names not resolved of ${ATTEMPTS}`, (s) => s.namesFailed),
    figure(`pages failed of ${ATTEMPTS}`, (s) => s.pagesFailed),
    figure('peer keeps its endpoint', ({ peer }) => (keepsEndpoint(peer) ? 'yes' : 'no')),
  ];
}

/** Known to everybody by the same endpoint, all the time. */
const keepsEndpoint = ({ before, after, isIndependent }: Seen['peer']): boolean =>
  isIndependent && before !== '' && before === after;

function expectationsOf(ours: Seen, { flows }: IncidentOptions): Expectation[] {
  const { peer, why } = ours;
  return [
    {
      name: 'private destinations take no port, and each datagram is counted',
      isMet: ours.portsPrivate === 0 && ours.refusedPrivate === ours.packets,
      seen: `${ours.portsPrivate} ports, ${ours.refusedPrivate} of ${ours.packets} counted`,
    },
    {
      name: 'a dead destination holds a handful of ports',
      isMet: ours.portsDead <= HANDFUL,
      seen: `${ours.portsDead} ports`,
    },
    {
      name: 'every answered flow lives on',
      isMet: ours.flows.samePort === flows,
      seen: `${ours.flows.samePort} of ${flows}`,
    },
    {
      name: 'names and pages come',
      isMet: ours.namesFailed === 0 && ours.pagesFailed === 0,
      seen: `${ours.namesFailed} names and ${ours.pagesFailed} pages of ${ATTEMPTS} failed`,
    },
    {
      name: 'the peer keeps its endpoint',
      isMet: keepsEndpoint(peer),
      seen: `${peer.before || 'none'} before, ${peer.after || 'none'} after`,
    },
    {
      name: 'why names the host and the destination',
      isMet: why.includes(DRIVER_HOST) && why.includes(DEAD_DESTINATION),
      seen: why.trim(),
    },
  ];
}
