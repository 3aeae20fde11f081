import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIpv4 } from '../../../core/wire/ipv4.ts';
import { ROUTER_NAMES } from '../../../lab/sim/routers.ts';
import { type SimOptions, sim } from '../../../lab/sim/sim.ts';

const SCENARIO = `
duration = "1m"
ports = "v6plus"
[[model]]
router = "linux-masquerade"
[[users]]
kind = "mouse"
`;
const DAY_SECONDS = 86_400;

/** A pcap file of UDP packets to a resolver, one at each of these seconds. */
function recording(...seconds: number[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4);
  head.writeUInt32LE(101, 20);
  const records = seconds.map((second) => {
    const bytes = Buffer.alloc(16 + 28);
    bytes.writeUInt32LE(second);
    bytes.writeUInt32LE(28, 8);
    bytes.writeUInt32LE(28, 12);
    bytes[16] = 0x45;
    bytes.writeUInt16BE(28, 18);
    bytes[25] = 17;
    bytes.writeInt32BE(parseIpv4('192.168.7.20'), 28);
    bytes.writeInt32BE(parseIpv4('8.8.8.8'), 32);
    bytes.writeUInt16BE(40_000, 36);
    bytes.writeUInt16BE(53, 38);
    bytes.writeUInt16BE(8, 40);
    return bytes;
  });
  return Buffer.concat([head, ...records]);
}

describe('portfold sim, before it runs', () => {
  let folder: string;
  let scenario: string;
  let capture: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pfs-'));
    scenario = join(folder, 'small.toml');
    capture = join(folder, 'lan.pcap');
    writeFileSync(scenario, SCENARIO);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** What it prints, with stdout and stderr held back. */
  async function printed(options: Partial<SimOptions>): Promise<string> {
    const said: string[] = [];
    const { stdout, stderr } = process;
    const writes = [stdout.write, stderr.write];
    stdout.write = (text: unknown) => said.push(String(text)) > 0;
    stderr.write = () => true;
    try {
      assert.equal(await sim({ scenario, output: 'json', ...options }), 0);
    } finally {
      [stdout.write, stderr.write] = writes;
    }
    return said.join('');
  }

  /** The usage error with which it ends, without having run. */
  const refused = (options: Partial<SimOptions>, code: string, message: RegExp): Promise<void> =>
    assert.rejects(
      async () => {
        throw new Error(`it ran: ${(await printed(options)).slice(0, 80)}`);
      },
      { code, exitCode: 2, message },
    );

  it('refuses a recording that spans more than a day, and says how to play a part of it', async () => {
    writeFileSync(capture, recording(0, 1, 20 * DAY_SECONDS));
    await refused(
      { capture },
      'SIM_LONG_CAPTURE',
      /lan\.pcap spans 480 hours, more than the 24 .*--duration 1h/,
    );
    const { models } = JSON.parse(await printed({ capture, duration: '2s' }));
    assert.equal(models[0].packets, 2);
  });

  it('plays a recording of two hours whole', async () => {
    writeFileSync(capture, recording(5, 7205));
    const { models } = JSON.parse(await printed({ capture }));
    assert.equal(models[0].packets, 2);
  });

  it('refuses a folder for plots that cannot be made', async () => {
    await refused(
      { plots: join(scenario, 'plots') },
      'SIM_BAD_PLOTS',
      /^no plot can be written to .*small\.toml\/plots \(ENOTDIR\); name a folder/,
    );
    await refused({ plots: scenario }, 'SIM_BAD_PLOTS', /\(EEXIST\)/);
  });

  it('refuses a folder for plots below one that takes none', async () => {
    // In a process of its own: it would not come back.
    const program = `
      import { sim } from '${new URL('../../../lab/sim/sim.ts', import.meta.url).href}';
      try {
        await sim({ scenario: 'flow', output: 'json', plots: '/proc/plots/x' });
      } catch ({ code, message }) {
        console.log(code, message);
      }`;
    const file = join(folder, 'program.mts');
    writeFileSync(file, program);
    const argv = ['--import', 'tsx', file];
    const { stdout } = spawnSync(process.execPath, argv, { encoding: 'utf8', timeout: 15_000 });
    assert.match(stdout, /^SIM_BAD_PLOTS no plot can be written to \/proc\/plots\/x \(ENOENT\)/);
  });

  it('refuses a model that is named twice', async () => {
    const model = ['nec-ix', 'portfold', 'nec-ix'];
    await refused({ model }, 'SIM_MODEL_TWICE', /^--model names "nec-ix" twice/);
  });

  it('says of a scenario file that is not there how to see those that are', () => {
    assert.throws(() => sim({ scenario: join(folder, 'none.toml'), output: 'json' }), {
      message: /none\.toml does not exist; check the path; `portfold sim` lists the scenarios/,
    });
  });

  it('says what a recording holds of which nothing can be played', async () => {
    const bytes = recording(0, 1);
    bytes.writeUInt32LE(9, 20);
    writeFileSync(capture, bytes);
    await refused({ capture }, 'SIM_EMPTY_CAPTURE', /lan\.pcap holds no IPv4 .* 2 × PPP \(link/);
  });

  it('refuses more models than a plot has colours, and makes no folder for it', async () => {
    const plots = join(folder, 'plots');
    const model = ROUTER_NAMES.slice(0, 9);
    await refused({ plots, model }, 'SIM_TOO_MANY_MODELS', /8 models apart, not 9; name fewer/);
    assert.equal(existsSync(plots), false);
  });

  it('makes the folder for plots and draws there', async () => {
    const plots = join(folder, 'some', 'plots');
    await printed({ plots });
    assert.match(readFileSync(join(plots, 'sim-small.svg'), 'utf8'), /^<svg /);
  });
});
