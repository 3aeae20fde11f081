/**
 * A TUN interface between two hosts, in namespaces of its own.
 *
 *   pfn-left 10.91.1.2 ── gl  pfn-gw  gr ── 10.91.2.2 pfn-right
 *                              │ ▲
 *                              ▼ │  iif gl, iif gr: table 100, to the TUN; from the TUN: main
 *                           forwarder.ts
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const LEFT = 'pfn-left';
const GATEWAY = 'pfn-gw';
const RIGHT = 'pfn-right';
const NAMESPACES = [LEFT, GATEWAY, RIGHT];
const TUN = 'pfn-tun0';
const RIGHT_ADDRESS = '10.91.2.2';
const FORWARDER = fileURLToPath(new URL('../tun/fixtures/forwarder.ts', import.meta.url));

interface Totals {
  superpackets: number;
  packetsIn: number;
  packetsOut: number;
  writeErrors: number;
  writeFull: number;
}

function ip(...words: string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function inside(namespace: string, ...command: string[]): string {
  return ip('netns', 'exec', namespace, ...command);
}

/** A program that prints lines, in a namespace. */
class Program {
  readonly child: ChildProcess;
  private readonly lines: Interface;
  private readonly reader: AsyncIterator<string>;

  constructor(namespace: string, ...command: string[]) {
    this.child = spawn('ip', ['netns', 'exec', namespace, ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.lines = createInterface({ input: this.child.stdout! });
    this.reader = this.lines[Symbol.asyncIterator]();
  }

  /** The next line, or undefined when the program has ended. */
  async line(): Promise<string | undefined> {
    const { value, done } = await this.reader.next();
    return done ? undefined : value;
  }

  async lineWith(text: string): Promise<void> {
    for (;;) {
      const line = await this.line();
      assert.notEqual(line, undefined, `the program ended without a line with "${text}"`);
      if (line?.includes(text)) return;
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill(signal);
    await exited;
  }
}

function makeNamespaces(): void {
  for (const namespace of NAMESPACES) {
    ip('netns', 'add', namespace);
    ip('-n', namespace, 'link', 'set', 'lo', 'up');
  }
  const sides = [
    { host: LEFT, link: 'gl', network: '10.91.1' },
    { host: RIGHT, link: 'gr', network: '10.91.2' },
  ];
  for (const { host, link, network } of sides) {
    const pair = ['link', 'add', 'eth0', 'netns', host, 'type', 'veth'];
    ip(...pair, 'peer', 'name', link, 'netns', GATEWAY);
    ip('-n', host, 'addr', 'add', `${network}.2/24`, 'dev', 'eth0');
    ip('-n', host, 'link', 'set', 'eth0', 'up');
    ip('-n', GATEWAY, 'addr', 'add', `${network}.1/24`, 'dev', link);
    ip('-n', GATEWAY, 'link', 'set', link, 'up');
    ip('-n', host, 'route', 'add', 'default', 'via', `${network}.1`);
    ip('-n', GATEWAY, 'rule', 'add', 'pref', '300', 'iif', link, 'lookup', '100');
  }
  const switches = ['ip_forward=1', 'conf.all.rp_filter=0', 'conf.default.rp_filter=0'];
  inside(GATEWAY, 'sysctl', '-qw', ...switches.map((text) => `net.ipv4.${text}`));
}

function removeNamespaces(): void {
  const present = ip('netns', 'list');
  for (const namespace of NAMESPACES) {
    if (new RegExp(`^${namespace}\\b`, 'm').test(present)) ip('netns', 'del', namespace);
  }
}

function tunExists(): boolean {
  return ip('-n', GATEWAY, '-j', 'link', 'show').includes(`"${TUN}"`);
}

async function startForwarder(...flags: string[]): Promise<{ forwarder: Program; hello: string }> {
  const forwarder = new Program(
    GATEWAY,
    process.execPath,
    '--import',
    'tsx',
    FORWARDER,
    TUN,
    ...flags,
  );
  const hello = await forwarder.line();
  assert.ok(hello, 'the forwarder says that it forwards');
  return { forwarder, hello };
}

function routeThroughTun(): void {
  ip('-n', GATEWAY, 'link', 'set', TUN, 'mtu', '65535', 'addrgenmode', 'none', 'up');
  ip('-n', GATEWAY, 'route', 'replace', 'default', 'dev', TUN, 'table', '100');
}

describe('TunDevice in namespaces', function () {
  this.timeout(60_000);
  const programs: Program[] = [];

  before(() => {
    removeNamespaces();
    makeNamespaces();
  });

  afterEach(async () => {
    for (const program of programs.splice(0)) await program.end('SIGKILL');
    if (tunExists()) ip('-n', GATEWAY, 'link', 'del', TUN);
  });

  after(removeNamespaces);

  it('forwards ping and TCP, the latter in superpackets', async () => {
    const { forwarder, hello } = await startForwarder();
    programs.push(forwarder);
    assert.deepEqual(JSON.parse(hello), { name: TUN, adopted: false });
    routeThroughTun();
    const ping = inside(LEFT, 'ping', '-c', '3', '-i', '0.2', '-W', '5', RIGHT_ADDRESS);
    assert.match(ping, /3 received, 0% packet loss/);
    // One hop for the way into the TUN and one for the way out of it.
    assert.match(ping, /ttl=62/);

    const server = new Program(RIGHT, 'iperf3', '-s', '-1', '--forceflush');
    programs.push(server);
    await server.lineWith('listening');
    const client = ['iperf3', '-J', '-c', RIGHT_ADDRESS, '-n', '200M'];
    const { end } = JSON.parse(inside(LEFT, ...client));
    assert.ok(end.sum_received.bytes >= 190 << 20, `${end.sum_received.bytes} bytes arrived`);

    const last = forwarder.line();
    await forwarder.end('SIGTERM');
    const totals = JSON.parse((await last) ?? '{}') as Totals;
    assert.ok(totals.superpackets > 100, `${totals.superpackets} superpackets were seen`);
    assert.equal(totals.writeErrors, 0);
    assert.equal(totals.writeFull, 0);
    assert.equal(totals.packetsOut, totals.packetsIn);
    // Without superpackets 200 MB are 145,000 segments.
    assert.ok(totals.packetsIn < 50_000, `${totals.packetsIn} packets were read`);
    assert.equal(tunExists(), false, 'what is not persistent goes with its process');
  });

  it('is adopted with its routes after a kill -9', async () => {
    const first = await startForwarder('--persist');
    programs.push(first.forwarder);
    routeThroughTun();
    inside(LEFT, 'ping', '-c', '1', '-W', '5', RIGHT_ADDRESS);
    await first.forwarder.end('SIGKILL');
    assert.equal(tunExists(), true);
    assert.throws(() => inside(LEFT, 'ping', '-c', '1', '-W', '1', RIGHT_ADDRESS));

    const second = await startForwarder('--persist');
    programs.push(second.forwarder);
    assert.deepEqual(JSON.parse(second.hello), { name: TUN, adopted: true });
    inside(LEFT, 'ping', '-c', '1', '-W', '5', RIGHT_ADDRESS);
  });

  it('belongs to one process at a time', async () => {
    const { forwarder } = await startForwarder();
    programs.push(forwarder);
    const error = runInside(`new TunDevice('${TUN}');`);
    assert.equal(
      error,
      `TUN_BUSY 1 the interface ${TUN} is in use by another process (EBUSY): stop that one, or choose another name`,
    );
  });

  it('refuses names and interfaces that cannot be a TUN of ours', () => {
    assert.match(runInside(`new TunDevice('gl');`), /^TUN_NOT_OURS 1 gl exists/);
    assert.match(runInside(`new TunDevice('much-too-long-a-name');`), /^TUN_NAME 1 /);
    assert.match(runInside(`new TunDevice('a/b');`), /^TUN_NAME 1 /);
    // The addon is loaded before, since the project may lie where only root can read.
    const unprivileged = `loadNative(); process.setgid(65534); process.setuid(65534); new TunDevice('${TUN}');`;
    assert.match(runInside(unprivileged), /^TUN_PERMISSION 4 .*CAP_NET_ADMIN/);
  });

  it('says that the interface was deleted instead of spinning', () => {
    const error = runInside(`
      const device = new TunDevice('${TUN}');
      device.register(new Frames(1 << 17, 8));
      execFileSync('ip', ['link', 'del', '${TUN}']);
      device.readBatch(10_000);`);
    assert.match(error, /^TUN_READ_FAILED 1 the interface pfn-tun0 was deleted while in use/);
  });

  it('is woken from another thread, and by nobody once it is closed', () => {
    const output = runInside(`
      const device = new TunDevice('${TUN}');
      const text = \`
        const { workerData } = require('node:worker_threads');
        const native = require(workerData.addon);
        setTimeout(() => native.wake(workerData.token), 100);\`;
      const workerData = { token: device.wakeToken, addon };
      const worker = new Worker(text, { eval: true, execArgv: [], workerData });
      await new Promise((done) => worker.once('online', done));
      const from = performance.now();
      device.wait(30_000);
      if (performance.now() - from > 20_000) throw new Error('nobody woke it');
      device.register(new Frames(1 << 17, 8));
      device.wake();
      if (device.readBatch(30_000) !== 0 || performance.now() - from > 20_000) throw new Error('its own wake was lost');
      if (Math.abs(device.readAt - bootMilliseconds()) > 1000) throw new Error('the clock of the batch stood still');
      const closedToken = device.wakeToken;
      device.close();
      const next = new TunDevice('${TUN}');
      console.log(wakeDevice(closedToken), wakeDevice(next.wakeToken), closedToken !== next.wakeToken);`);
    assert.equal(output, 'false true true');
  });

  it('counts what the kernel refuses, and writes the rest of the batch', () => {
    const output = runInside(`
      const device = new TunDevice('${TUN}');
      const frames = new Frames(1 << 17, 8);
      device.register(frames);
      execFileSync('ip', ['link', 'set', '${TUN}', 'up']);
      // A version that is neither 4 nor 6, outside of the buffer, not to be written, fine.
      const offsets = [128, 1 << 17, 1024, 2048];
      for (const [i, offset] of offsets.entries()) {
        frames.descriptors.set([offset, 28, 0, i === 2 ? -1 : 0], i * 4);
        frames.bytes[offset] = 0x45;
      }
      frames.bytes[128] = 0;
      frames.count = 4;
      const written = device.writeBatch();
      const { packetsOut, bytesOut, writeErrors, writeFull, lastWriteErrno } = device.counters;
      console.log(written, packetsOut, bytesOut, writeErrors, writeFull, lastWriteErrno);`);
    assert.equal(output, '1 1 28 2 0 14');
  });
});

/**
 * Runs statements in the gateway's namespace; answers what they print, or "CODE EXITCODE MESSAGE"
 * of what they throw.
 */
function runInside(statements: string): string {
  const url = (path: string): string => new URL(path, import.meta.url).href;
  const program = `
    import { execFileSync } from 'node:child_process';
    import { Worker } from 'node:worker_threads';
    import { Frames } from '${url('../../core/frames.ts')}';
    import { bootMilliseconds, loadNative, wakeDevice } from '${url('../../tun/native.ts')}';
    import { TunDevice } from '${url('../../tun/tun-device.ts')}';
    const addon = '${fileURLToPath(new URL('../../build/Release/portfold.node', import.meta.url))}';
    try { ${statements} } catch (error) {
      console.log(error.code, error.exitCode, error.message);
    }
    process.exit(0);`;
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', program];
  return inside(GATEWAY, ...node).trim();
}
