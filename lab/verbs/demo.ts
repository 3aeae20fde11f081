/**
 * `portfold demo`: a house, a line with few ports and an internet, in namespaces; then what people
 * do, and what it looks like from the gateway. Ends by itself within a minute and removes what it
 * made.
 *
 * Words go to stderr as they happen; the last table, which is the point, goes to stdout. A step
 * whose helper program is missing is named and left out; a step that fails makes the demo fail,
 * after the others have run.
 */
import type { HostItem, PortItem, Status } from '../../gateway/control/api.ts';
import { type FlowsResult, startEcho, udpFlows } from '../flows.ts';
import { Gateway } from '../gateway.ts';
import type { LineType } from '../lines.ts';
import {
  builtProgram,
  LabError,
  missingPrograms,
  missingSentence,
  requireLab,
} from '../programs.ts';
import {
  download,
  page,
  ping,
  resolve,
  startNameServer,
  startWebServer,
  traceroute,
  WEB_GREETING,
  WEB_NAME,
} from '../services.ts';
import { buildLab, type Lab, NAME_SERVER, SERVER } from '../topology.ts';

export interface DemoOptions {
  line: LineType;
  flows: number;
  keep?: boolean;
}

const FILE_BYTES = 100_000_000;
/** The gateway's table holds 262,144 sessions, and the other steps need some. */
const FLOWS_MAX = 250_000;
/** As many as the port set of v6 Plus has ports: each remote is filled to the last one. */
const FLOWS_PER_REMOTE = 240;
const FLOWS_PER_ADDRESS = 250;
const FLOW_RATE_PER_SECOND = 20_000;
const FLOW_PAUSE_SECONDS = 3;
const HOSTS_SHOWN = 5;

interface Step {
  name: string;
  /** Programs without which the step is left out. */
  programs: string[];
  /** What happened, in words. Throws when it did not. */
  run(): Promise<string>;
}

export async function demo(options: DemoOptions): Promise<number> {
  if (!Number.isInteger(options.flows) || options.flows < 1 || options.flows > FLOWS_MAX)
    throw new LabError(
      'DEMO_FLOWS',
      2,
      `${options.flows} flows cannot be shown; use a number from 1 to ${FLOWS_MAX}`,
    );
  requireLab();
  builtProgram('flows');
  const started = performance.now();
  say(`Building a house, a provider and an internet (${options.line} line) …`);
  const lab = await buildLab({ line: options.line });
  const gateway = new Gateway(lab);
  try {
    const status = await gateway.start();
    introduce(status);
    const failed = await runSteps(stepsOf(lab, options.flows));
    await printHoldings(gateway);
    say('');
    say(
      failed === 0
        ? `Everything came through, in ${seconds(started)} s.`
        : `${failed} of the steps failed.`,
    );
    if (options.keep) await keepRunning(lab, gateway);
    return failed === 0 ? 0 : 1;
  } finally {
    await stopQuietly(gateway);
    lab.remove();
  }
}

function introduce(status: Status): void {
  const line = status.lines[0];
  const ports = `${number(line.portCount)} ports`;
  say(`Portfold ${status.version} forwards. The line ${line.name} has ${line.externalAddress}:`);
  if (line.type === 'map-e') {
    say(`  ${ports} of a shared address (PSID ${line.psid}): ${shorten(line.portRanges)}`);
    say(`  IPv4 travels in IPv6 to the relay ${line.brAddress} (${line.encapsulation})`);
  } else say(`  ${ports}: ${shorten(line.portRanges)}`);
  say('');
}

function stepsOf(lab: Lab, flows: number): Step[] {
  const host = lab.hosts[0];
  let fileSum = '';
  return [
    {
      name: 'name',
      programs: ['dnsmasq', 'dig'],
      run: async () => {
        await startNameServer(lab.internet);
        const address = await resolve(host);
        expect(address === SERVER, `${WEB_NAME} was not resolved`);
        return `${WEB_NAME} is ${address}, says ${NAME_SERVER}`;
      },
    },
    {
      name: 'page',
      programs: ['nginx', 'curl'],
      run: async () => {
        fileSum = (await startWebServer(lab.internet, lab.folder, FILE_BYTES)).sha256;
        const text = await page(host);
        expect(text === WEB_GREETING, `the page says "${text}"`);
        return `http://${SERVER}/ says "${text}"`;
      },
    },
    {
      name: 'ping',
      programs: ['ping'],
      run: async () => {
        const result = await ping(host, SERVER, { count: 5 });
        expect(result.received === 5, `${result.received} of 5 answers`);
        return `5 of 5 answers from ${SERVER}, ${result.averageMs} ms`;
      },
    },
    {
      name: 'way',
      programs: ['traceroute'],
      run: async () => {
        const hops = await traceroute(host);
        expect(hops.at(-1) === SERVER, `the way ends at ${hops.at(-1)}`);
        return hops.join(' → ');
      },
    },
    {
      name: 'file',
      programs: ['nginx', 'curl'],
      run: async () => {
        const got = await download(host);
        expect(got.sha256 === fileSum, 'the checksum of the file is wrong');
        const rate = (FILE_BYTES * 8) / got.seconds / 1e9;
        return `100 MB in ${got.seconds.toFixed(1)} s (${rate.toFixed(1)} Gbit/s), checksum right`;
      },
    },
    { name: 'flows', programs: [], run: () => showFlows(lab, flows) },
  ];
}

async function runSteps(steps: Step[]): Promise<number> {
  let failed = 0;
  for (const step of steps) {
    const missing = missingPrograms(step.programs);
    if (missing.length > 0) {
      tell(step.name, `left out: ${missingSentence(missing)}`);
      continue;
    }
    try {
      tell(step.name, await step.run());
    } catch (error) {
      failed++;
      tell(step.name, `FAILED: ${error instanceof Error ? error.message : error}`);
    }
  }
  return failed;
}

async function showFlows(lab: Lab, flows: number): Promise<string> {
  const remotes = Math.ceil(flows / FLOWS_PER_REMOTE);
  await startEcho(lab.internet);
  tell(
    'flows',
    `${number(flows)} UDP flows, each from an endpoint of its own, to ${number(remotes)} servers …`,
  );
  const result = await udpFlows(lab.load, {
    flows,
    addresses: Math.ceil(flows / FLOWS_PER_ADDRESS),
    remotes,
    ratePerSecond: FLOW_RATE_PER_SECOND,
    pauseSeconds: FLOW_PAUSE_SECONDS,
  });
  expect(result.samePort === flows, flowsInWords(result));
  return flowsInWords(result);
}

function flowsInWords(result: FlowsResult): string {
  const [first] = result.rounds;
  const refused = first.refused > 0 ? `, ${number(first.refused)} refused` : '';
  return (
    `${number(first.answered)} of ${number(result.flows)} answered${refused}; ` +
    `${number(result.samePort)} answered again at the same external port, ` +
    `${number(result.retries)} retries; seen outside: ${number(result.externalPorts)} ports`
  );
}

/**
 * Who holds what, by the control API: the same that `portfold status`, `hosts` and `ports` print.
 */
async function printHoldings(gateway: Gateway): Promise<void> {
  const status = await gateway.control.status();
  const hosts = await gateway.control.list('hosts', { sort: '-sessions', limit: HOSTS_SHOWN });
  const ports = await gateway.control.list('ports', { filter: ['proto=udp'], limit: 65_536 });
  print('');
  print(`${number(status.sessions.used)} sessions of ${number(status.sessions.capacity)}`);
  for (const protocol of ['udp', 'tcp', 'icmp'] as const) {
    const use = status.ports[protocol];
    const sessions = status.sessions[protocol];
    print(
      `  ${protocol.padEnd(5)}${number(sessions).padStart(8)} sessions on ${number(use.used)} of ` +
        `${number(use.total)} ports, ${number(use.owned)} owned`,
    );
  }
  print(`  ${foldedInWords(ports.items)}`);
  print(
    `  ${number(status.counters.sessionsDiverted)} diverted to a second port, ` +
      `${number(status.counters.sessionsRefused)} refused, ` +
      `${(status.memory.residentBytes / 1e6).toFixed(0)} MB resident`,
  );
  print('');
  print(`who holds what (${number(hosts.total)} hosts, the first ${hosts.items.length}):`);
  for (const host of hosts.items) print(`  ${hostInWords(host)}`);
}

function foldedInWords(ports: PortItem[]): string {
  const counts = ports.map((port) => port.sessions).filter((count) => count > 0);
  if (counts.length === 0) return 'no UDP port carries a session';
  counts.sort((a, b) => a - b);
  const middle = counts[counts.length >> 1];
  return (
    `UDP sessions folded on one port: ${number(counts[0])} at least, ${number(middle)} in the ` +
    `middle, ${number(counts[counts.length - 1])} at most`
  );
}

function hostInWords(host: HostItem): string {
  return (
    `${host.address.padEnd(15)} ${number(host.sessions).padStart(7)} sessions, ` +
    `${number(host.mappings).padStart(6)} endpoints, ${number(host.portsOwned)} ports of its own`
  );
}

async function keepRunning(lab: Lab, gateway: Gateway): Promise<void> {
  say('');
  say('The lab stays until Ctrl-C. Meanwhile:');
  say(`  PORTFOLD_SOCKET=${gateway.socket} portfold status`);
  for (const [who, name] of [
    ['a LAN host', lab.hosts[0].name],
    ['the gateway', lab.gateway.name],
    ['the internet', lab.internet.name],
  ])
    say(`  ip netns exec ${name} bash      # ${who}`);
  // The lab's own signal handler removes it; the gateway's end on its own is the other way out.
  await gateway.process.ended;
  say('The gateway ended.');
}

async function stopQuietly(gateway: Gateway): Promise<void> {
  try {
    await gateway.stop();
  } catch {
    // It was never started.
  }
}

function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}

function tell(name: string, text: string): void {
  say(`  ${name.padEnd(6)} ${text}`);
}

function say(text: string): void {
  process.stderr.write(text + '\n');
}

function print(text: string): void {
  process.stdout.write(text + '\n');
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(0);
}

function shorten(ranges: string[]): string {
  return ranges.length <= 3 ? ranges.join(', ') : `${ranges[0]}, ${ranges[1]}, … ${ranges.at(-1)}`;
}
