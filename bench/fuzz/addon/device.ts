/**
 * The real gateway with the addon under the sanitizers, and a day's worth of traffic in small:
 *
 *   node --import tsx bench/fuzz/addon/device.ts [--seconds 5] [--flows 4000] [--only own]
 *
 *   for each of: an address line, MAP-E by the kernel's encapsulation (seg6), MAP-E by our own
 *     programs ─ kill -9 ─ programs ─ SIGTERM with --handover ─ programs ─ the TUN is taken away
 *
 * The programs are ping (with fragments), traceroute, tracepath, dig, curl both ways, iperf3 with
 * TCP and UDP both ways, and the lab's flows of UDP and TCP; `--seconds` is what iperf3 gets each
 * time, `--flows` how many the lab's flows are. kill -9 falls into the middle of them. Whatever a
 * program fetches must be right, or the gateway was not one; how fast it is does not matter here.
 *
 * Needs root, the programs of the lab, gcc and its libasan. Exit 1 on a report or a wrong result,
 * 2 for usage.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startEcho, startTcpServer, tcpHold, udpFlows } from '../../../lab/flows.ts';
import { Gateway, type GatewayOptions } from '../../../lab/gateway.ts';
import { configuration } from '../../../lab/lines.ts';
import { type Background, until } from '../../../lab/netns.ts';
import {
  download,
  iperf,
  ping,
  resolve,
  startIperf,
  startNameServer,
  startWebServer,
  tracepath,
  traceroute,
  upload,
} from '../../../lab/services.ts';
import { buildLab, type Lab, type LabOptions, SERVER } from '../../../lab/topology.ts';
import {
  buildSanitized,
  EXIT_REPORTED,
  readReports,
  sanitizedEnvironment,
  sanitizedFolder,
} from './sanitized.ts';

const FILE_BYTES = 8_000_000;
const UDP_BITS_PER_SECOND = 20e6;
const FRAGMENTED_BYTES = 4000;
/** Under the sanitizers, and on a busy machine. */
const START_TIMEOUT_MS = 120_000;
/** At its end a process is searched for leaks, which takes a while. */
const END_TIMEOUT_MS = 120_000;
const ATTEMPTS_MAX = 5;
const TCP_PORT = 7100;
const TUN = 'portfold0';
/** Of all flows: patient enough for a gateway that a sanitizer slows down. */
const SPREAD = { addresses: 100, remotes: 100, ratePerSecond: 5000, retries: 15, timeoutMs: 2000 };

interface Bed {
  name: 'address' | 'seg6' | 'own';
  lab: LabOptions;
  gateway: GatewayOptions;
}

const KEEP: GatewayOptions = { args: ['--handover'] };
const BEDS: readonly Bed[] = [
  { name: 'address', lab: { line: 'address' }, gateway: KEEP },
  { name: 'seg6', lab: { line: 'map-e' }, gateway: KEEP },
  {
    name: 'own',
    lab: { line: 'map-e', relay: 'socat' },
    gateway: {
      ...KEEP,
      config: configuration('map-e', { runtimeDirectory: 'DIR' }).replace(
        'type = "map-e"',
        'type = "map-e"\nencapsulation = "own"',
      ),
    },
  },
];

interface Options {
  seconds: number;
  flows: number;
}

/** `portfold run` with the sanitizers in front. */
class SanitizedGateway extends Gateway {
  private readonly words: string[];

  constructor(lab: Lab, options: GatewayOptions, words: string[]) {
    super(lab, options);
    this.words = words;
  }

  override spawn(): Background {
    return super.spawn(['env', ...this.words]);
  }

  /** Starts it and looks whether it is what runs: an addon of the usual build would never fail. */
  async startChecked(addon: string): Promise<void> {
    const child = this.spawn();
    await until(
      'the gateway to forward',
      async () => child.over || (await this.control.status()).state === 'forwarding',
      START_TIMEOUT_MS,
    );
    assert.ok(!child.over, child.stderr);
    const maps = readFileSync(`/proc/${this.process.pid}/maps`, 'utf8');
    assert.ok(maps.includes(addon), `the gateway has not loaded ${addon}`);
    assert.ok(maps.includes('libasan'), 'the gateway runs without the sanitizer');
  }
}

const isByRoutes = ({ lab }: Bed): boolean => lab.line === 'map-e' && lab.relay === undefined;

/** A busy machine may be late for a program once; a gateway that loses packets is every time. */
async function inTheEnd(what: string, action: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) if (await action()) return;
  throw new Error(`${what} failed ${ATTEMPTS_MAX} times`);
}

/** Each program once; resolves when all are through. */
async function programs(lab: Lab, bed: Bed, sha256: string, options: Options): Promise<void> {
  const [one, other] = lab.hosts;
  const { seconds, flows } = options;
  const small = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) {
      await inTheEnd('a ping', async () => (await ping(one, SERVER, { count: 20 })).received > 0);
      const fragmented = { count: 20, bytes: FRAGMENTED_BYTES, dontFragment: false };
      // The relay by the kernel's routes cuts nothing, so its answers of this size do not arrive.
      await inTheEnd('a ping in fragments', async () => {
        const { received } = await ping(other, SERVER, fragmented);
        return received > 0 || isByRoutes(bed);
      });
      await inTheEnd('a name', async () => (await resolve(other)) === SERVER);
    }
    for (const kind of ['udp', 'icmp', 'tcp'] as const)
      await inTheEnd(`traceroute by ${kind}`, async () =>
        (await traceroute(one, SERVER, kind)).includes(SERVER),
      );
    await inTheEnd('tracepath', async () => (await tracepath(one)).reached);
  };
  const files = async (): Promise<void> => {
    assert.equal((await download(other)).sha256, sha256);
    assert.equal((await upload(other, lab.folder, 'file')).sha256, sha256);
  };
  const streams = async (): Promise<void> => {
    const udp = { udpBitsPerSecond: UDP_BITS_PER_SECOND, bytes: 1400 };
    for (const more of [{}, { reverse: true, streams: 4 }, udp, { ...udp, reverse: true }]) {
      const stream = (): Promise<boolean> =>
        iperf(one, { seconds, ...more }).then(
          ({ bitsPerSecond }) => bitsPerSecond > 0,
          () => false,
        );
      await inTheEnd(`iperf3 with ${JSON.stringify(more)}`, stream);
    }
  };
  const many = async (): Promise<void> => {
    const udp = await udpFlows(lab.load, { ...SPREAD, flows, rounds: 2 });
    assert.equal(udp.changedPort, 0, JSON.stringify(udp));
    const connections = Math.ceil(flows / 10);
    const tcp = await tcpHold(lab.load, {
      ...{ connections, addresses: 10, remotes: 100, port: TCP_PORT },
      ...{ processes: 1, ratePerSecond: 500, holdSeconds: 1, timeoutMs: 20_000 },
    });
    assert.equal(tcp.answeredTwice, connections, JSON.stringify(tcp));
  };
  await Promise.all([small(), files(), streams(), many()]);
}

/** A download and flows that go on while the gateway is killed and started again. */
async function throughRestart(
  gateway: SanitizedGateway,
  sha256: string,
  { flows }: Options,
  restart: () => Promise<void>,
): Promise<void> {
  const { lab, control } = gateway;
  const before = await control.status();
  const transfer = download(lab.hosts[0], { limitRate: '1M' });
  const standing = udpFlows(lab.load, { ...SPREAD, flows, rounds: 2, pauseSeconds: 5 });
  // Either may fail while nobody awaits it yet.
  const results = Promise.all([transfer, standing]);
  results.catch(() => {});
  await until(
    'the flows and the download to stand',
    async () => {
      const { sessions, counters } = await control.status();
      const received = counters.bytesInbound - before.counters.bytesInbound;
      return sessions.udp >= flows && received > 1_000_000;
    },
    START_TIMEOUT_MS,
  );
  await restart();
  const [{ sha256: fetched }, udp] = await results;
  assert.equal(fetched, sha256);
  assert.equal(udp.changedPort, 0, JSON.stringify(udp));
}

async function runBed(bed: Bed, addon: string, reports: string, options: Options): Promise<number> {
  const lab = await buildLab(bed.lab);
  const gateway = new SanitizedGateway(lab, bed.gateway, sanitizedEnvironment(addon, reports));
  const ends: string[] = [];
  const stop = async (signal: NodeJS.Signals): Promise<void> => {
    const { code, stderr } = await gateway.process.stop(signal, END_TIMEOUT_MS);
    ends.push(`${signal} ${code}`);
    // Undefined behaviour is reported there, and nowhere else.
    assert.doesNotMatch(stderr, /runtime error:/);
    if (signal === 'SIGTERM') assert.ok([0, EXIT_REPORTED].includes(code), stderr);
  };
  try {
    await startNameServer(lab.internet);
    const { sha256 } = await startWebServer(lab.internet, lab.folder, FILE_BYTES);
    await startIperf(lab.internet);
    await startEcho(lab.internet);
    await startTcpServer(lab.internet, { port: TCP_PORT });
    await gateway.startChecked(addon);
    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      await programs(lab, bed, sha256, options);
      await throughRestart(gateway, sha256, options, async () => {
        await stop(signal);
        await gateway.startChecked(addon);
      });
    }
    await programs(lab, bed, sha256, options);
    const packets = await packetsOf(lab);
    await lab.gateway.ip([`link del ${TUN}`]);
    // Without its interface a gateway ends, and says so; what matters here is how.
    await until('the gateway to notice', () => !gateway.running, END_TIMEOUT_MS);
    const { code, stderr } = await gateway.process.ended;
    assert.doesNotMatch(stderr, /runtime error:/);
    ends.push(`TUN taken away ${code}`);
    console.log(`${bed.name}: ${packets} packets at the TUN; ${ends.join(', ')}`);
    return packets;
  } finally {
    if (gateway.running) await gateway.stop();
    lab.remove();
  }
}

/** Reads and writes of the TUN, as the kernel counted them: a superpacket is one. */
async function packetsOf(lab: Lab): Promise<number> {
  const words = ['-s', '-j', 'link', 'show', 'dev', TUN];
  const [{ stats64 }] = JSON.parse((await lab.gateway.run('ip', words)).stdout);
  return stats64.rx.packets + stats64.tx.packets;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '5' },
      flows: { type: 'string', default: '4000' },
      only: { type: 'string' },
    },
  });
  const options = { seconds: Number(values.seconds), flows: Number(values.flows) };
  if (Object.values(options).some((value) => !Number.isInteger(value) || value < 1)) {
    console.error('--seconds and --flows are whole numbers above 0');
    return 2;
  }
  const beds = BEDS.filter(({ name }) => name === (values.only ?? name));
  if (beds.length === 0) {
    console.error(`--only is one of ${BEDS.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  const started = performance.now();
  const addon = buildSanitized(sanitizedFolder());
  const folder = mkdtempSync(join('/dev/shm', 'portfold-addon-'));
  try {
    let packets = 0;
    for (const bed of beds) packets += await runBed(bed, addon, folder, options);
    const { errors, leaks, leaksOfNode } = readReports(folder);
    for (const report of [...errors, ...leaks]) console.log(report);
    const seconds = Math.round((performance.now() - started) / 1000);
    console.log(
      `${packets} packets in ${seconds} s, ${errors.length} errors, ` +
        `${leaks.length} leaks of the addon, ${leaksOfNode} of Node itself`,
    );
    return errors.length + leaks.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main();
