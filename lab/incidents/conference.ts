/**
 * The incident `conference`: visitors fill the small table of the venue's router by QUIC, with real packets.
 *
 *   load   visitors ── gateway ── wan: a private address ── venue's router ── internet
 *   h1     names and pages                                  masquerade, ENTRIES at most, a timer for all
 *
 * The venue's router is the kernel's NAT in the provider's namespace: `ct count over ENTRIES … drop` is its table, and its
 * timers are those of a namespace. It stands for an RTX1200 (20,000 entries, 900 s) at a tenth of the size and a thirtieth of
 * the time: 2,000 entries that are kept for 30 s. Forty visitors open ten pages in that time, as 400 did in a quarter of an hour.
 *
 *   organisers’ router   connection tracking, UDP kept for 2 s: of no use, since the entries above stay
 *   portfold, no guard   preset event, knowing nothing of the table above: the control
 *   portfold             with `upstream`, the model of that table
 */
import { startEcho } from '../flows.ts';
import { Gateway } from '../gateway.ts';
import { ADDRESS, configuration } from '../lines.ts';
import { startNameServer, startWebServer, WEB_NAME } from '../services.ts';
import { buildLab, type Lab, NAME_SERVER } from '../topology.ts';
import { tryHousehold } from './household.ts';
import {
  type Expectation,
  type Figure,
  type Incident,
  type IncidentOptions,
  say,
} from './report.ts';
import type { VisitorsPlan, VisitorsResult } from './visitors.ts';

export const PROGRAMS = ['dnsmasq', 'dig', 'nginx', 'curl', 'conntrack'];

export const ENTRIES = 2000;
const TIMER_SECONDS = 30;
/** After both sides have closed: a minute in the real one. */
const TCP_CLOSED_SECONDS = 2;
const HOUSE_UDP_SECONDS = 2;
const USERS = 40;
const PAGES_PER_USER = 10;
/** Sessions by QUIC that a page leaves behind. */
const OBJECTS = 20;
const SERVERS = 200;
const SEED = 20_230_901;
const ATTEMPTS = 10;
const SAMPLE_MS = 500;
/** The gateway's address in the venue. */
const PRIVATE_EXTERNAL = '10.77.0.1';
const OURS = 'portfold';

const VENUE_RULES = `table ip venue {
  counter full { }
  chain passing {
    type filter hook forward priority filter;
    ct state new ct count over ${ENTRIES} counter name full drop
  }
  chain post {
    type nat hook postrouting priority srcnat;
    oifname "up0" masquerade
  }
}
`;

const HOUSE_RULES = `table ip house {
  chain post {
    type nat hook postrouting priority srcnat;
    oifname "wan0" masquerade
  }
}
`;

const TCP_CLOSED = ['close', 'time_wait', 'last_ack', 'fin_wait', 'close_wait'];

/** Timers of connection tracking in a namespace. */
const timers = (udpSeconds: number, tcpSeconds: number): Record<string, number> => ({
  'net.netfilter.nf_conntrack_udp_timeout': udpSeconds,
  'net.netfilter.nf_conntrack_udp_timeout_stream': udpSeconds,
  'net.netfilter.nf_conntrack_tcp_timeout_established': tcpSeconds,
  ...Object.fromEntries(
    TCP_CLOSED.map((state) => [
      `net.netfilter.nf_conntrack_tcp_timeout_${state}`,
      TCP_CLOSED_SECONDS,
    ]),
  ),
});

interface Seen {
  visitors: VisitorsResult;
  /** Most entries of the table above at once. */
  peak: number;
  /** Packets that it had no entry for. */
  dropped: number;
  namesFailed: number;
  pagesFailed: number;
  /** QUIC that the gateway refused, sessions that took over an entry above. */
  rejected: number | string;
  why: string;
}

interface House {
  rejected(): Promise<number | string>;
  why(): Promise<string>;
  stop(): Promise<void>;
}

export const SYSTEMS: Record<string, (lab: Lab) => Promise<House>> = {
  'organisers’ router': startKernel,
  'portfold, no guard': (lab) => startPortfold(lab, []),
  [OURS]: (lab) => startPortfold(lab, GUARD),
};

/** The gateway's own timers at a thirtieth too: what it gives up long before the router above does is what it can take over. */
const SCALED = ['timers = { quic = 1, dns = 1, unanswered = 1, tcp-closing = 2, tcp-reset = 1 }'];

const GUARD = [
  `upstream = { entries = ${ENTRIES}, timers = { udp = ${TIMER_SECONDS}, tcp = ${TIMER_SECONDS}, ` +
    `icmp = ${TIMER_SECONDS}, tcp-closed = ${TCP_CLOSED_SECONDS} } }`,
];

async function startKernel(lab: Lab): Promise<House> {
  await lab.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
  await lab.gateway.run('nft', ['-f', '-'], { input: HOUSE_RULES });
  await lab.gateway.sysctl(timers(HOUSE_UDP_SECONDS, TIMER_SECONDS));
  return { rejected: async () => 'none', why: async () => '', stop: async () => {} };
}

async function startPortfold(lab: Lab, guard: readonly string[]): Promise<House> {
  const config = configuration('address', {
    runtimeDirectory: 'DIR',
    preset: 'event',
    policy: [...SCALED, ...guard],
  }).replace(ADDRESS.externalAddress, PRIVATE_EXTERNAL);
  const gateway = new Gateway(lab, { config });
  await gateway.start();
  return {
    rejected: async () => {
      const { items } = await gateway.control.list('drops', {});
      return items.find(({ reason }) => reason === 'QuicRejected')?.packets ?? 0;
    },
    why: async () => (await gateway.portfold('why')).stdout,
    stop: async () => {
      await gateway.stop();
    },
  };
}

export async function conference(
  { seconds }: IncidentOptions,
  systems = SYSTEMS,
): Promise<Incident> {
  const seen = new Map<string, Seen>();
  for (const [name, start] of Object.entries(systems)) {
    say(`${name}:`);
    const one = await suffer(start, seconds);
    seen.set(name, one);
    const { visitors, peak } = one;
    say(
      `  ${visitors.failed} of ${visitors.pages} pages failed, ${peak} of ${ENTRIES} entries above`,
    );
  }
  const ours = seen.get(OURS) as Seen;
  return {
    name: 'conference',
    about:
      `${USERS} visitors open ${ours.visitors.pages} pages of ${OBJECTS} QUIC sessions in ${seconds} s below a router with ` +
      `${ENTRIES} entries that are kept for ${TIMER_SECONDS} s.`,
    systems: [...seen.keys()],
    figures: figuresOf(seen),
    expectations: expectationsOf(seen),
    why: ours.why,
  };
}

async function suffer(start: (lab: Lab) => Promise<House>, seconds: number): Promise<Seen> {
  const lab = await buildLab({ line: 'address' });
  let house: House | undefined;
  try {
    await buildVenue(lab);
    house = await start(lab);
    await startEcho(lab.internet, { port: 443 });
    await startNameServer(lab.internet);
    await startWebServer(lab.internet, lab.folder, 0, '*');
    let peak = 0;
    const watch = setInterval(async () => {
      peak = Math.max(peak, await entriesOf(lab));
    }, SAMPLE_MS);
    const [visitors, tried] = await Promise.all([
      startVisitors(lab, seconds),
      tryHousehold(lab.hosts[0], ATTEMPTS, seconds),
    ]).finally(() => clearInterval(watch));
    return {
      visitors,
      peak,
      dropped: await droppedBy(lab),
      namesFailed: tried.namesFailed,
      pagesFailed: tried.pagesFailed,
      rejected: await house.rejected(),
      why: await house.why(),
    };
  } finally {
    await house?.stop().catch(() => {});
    lab.remove();
  }
}

/** The provider becomes the venue's router. */
async function buildVenue(lab: Lab): Promise<void> {
  await lab.provider.run('nft', ['-f', '-'], { input: VENUE_RULES });
  await lab.provider.sysctl(timers(TIMER_SECONDS, TIMER_SECONDS));
  await lab.provider.ip([`route add ${PRIVATE_EXTERNAL}/32 via 192.0.2.2`]);
}

/** As `ct count` counts: without what has run out and was not collected yet, and without TCP that is closed. */
async function entriesOf(lab: Lab): Promise<number> {
  const { stdout } = await lab.provider.run('conntrack', ['-L'], { check: false });
  const lines = stdout.split('\n').filter((line) => line.includes('src='));
  return lines.filter((line) => !/ (TIME_WAIT|CLOSE) /.test(line)).length;
}

async function droppedBy(lab: Lab): Promise<number> {
  const words = ['list', 'counter', 'ip', 'venue', 'full'];
  const { stdout } = await lab.provider.run('nft', words);
  return Number(stdout.match(/packets (\d+)/)?.[1]);
}

async function startVisitors(lab: Lab, seconds: number): Promise<VisitorsResult> {
  const plan: VisitorsPlan = {
    users: USERS,
    prefix: '10.64.0.',
    seconds,
    pagesPerSecond: (USERS * PAGES_PER_USER) / TIMER_SECONDS,
    objects: OBJECTS,
    servers: SERVERS,
    serverPrefix: '198.18.0.',
    nameServer: NAME_SERVER,
    name: WEB_NAME,
    seed: SEED,
  };
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = new URL(`./visitors.${extension}`, import.meta.url).pathname;
  const importer = process.env.PORTFOLD_WORKER_IMPORT;
  const words = [...(importer ? ['--import', importer] : []), program, JSON.stringify(plan)];
  const timeoutMs = (seconds + 60) * 1000;
  const { stdout } = await lab.load.run(process.execPath, words, { timeoutMs });
  return JSON.parse(stdout) as VisitorsResult;
}

function figuresOf(all: Map<string, Seen>): Figure[] {
  const figure = (name: string, of: (seen: Seen) => number | string): Figure => ({
    name,
    of: Object.fromEntries([...all].map(([system, seen]) => [system, of(seen)])),
  });
  const [{ visitors }] = all.values();
  const share = ({ quicRefused, quicTried }: VisitorsResult): string =>
    `${((100 * quicRefused) / quicTried).toFixed(1)} %`;
  return [
    figure(`pages failed of ${visitors.pages}`, (s) => s.visitors.failed),
    figure('pages before the first failed', (s) => s.visitors.before),
    figure(`most entries above, of ${ENTRIES}`, (s) => s.peak),
    figure('packets dropped above for want of one', (s) => s.dropped),
    figure('QUIC refused by the gateway', (s) => share(s.visitors)),
    figure('TCP connections instead of it', (s) => s.visitors.tcpTried),
    figure(`names not resolved of ${ATTEMPTS}, by dig`, (s) => s.namesFailed),
    figure(`pages failed of ${ATTEMPTS}, by curl`, (s) => s.pagesFailed),
  ];
}

function expectationsOf(all: Map<string, Seen>): Expectation[] {
  const ours = all.get(OURS) as Seen;
  const { failed, pages } = ours.visitors;
  return [
    {
      name: 'all pages come below the guard',
      isMet: failed === 0 && ours.pagesFailed === 0 && ours.namesFailed === 0,
      seen: `${failed} of ${pages} failed; ${ours.pagesFailed} by curl, ${ours.namesFailed} names`,
    },
    {
      name: 'the table above never overflows',
      isMet: ours.dropped === 0 && ours.peak < ENTRIES,
      seen: `${ours.peak} of ${ENTRIES} entries, ${ours.dropped} packets dropped there`,
    },
    ...[...all]
      .filter(([name]) => name !== OURS)
      .map(([name, { visitors, dropped }]) => ({
        name: `${name} overflows it (control)`,
        isMet: dropped > 0 && visitors.failed > 0,
        seen: `${dropped} packets dropped above, ${visitors.failed} pages failed`,
      })),
  ];
}
