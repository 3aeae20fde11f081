/** A gateway that dies, or is replaced, in the middle of everything: the next one goes on where it ended. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Capture } from '../../lab/audit.ts';
import { flowsText, startEcho, udpFlows } from '../../lab/flows.ts';
import { hostState, stateDifferences } from '../../lab/host-state.ts';
import type { LineType } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { download, ping, startWebServer } from '../../lab/services.ts';
import { assertClean, type Bed, type BedOptions, withBed } from './support.ts';

const FLOWS = 24_000;
const LOAD = { flows: FLOWS, addresses: 100, remotes: 100, ratePerSecond: 20_000 };
/**
 * What is sent while nobody forwards is lost, and a busy machine starts a gateway late: so a flow is
 * asked for half a minute before it counts as lost. At another port it must never be, however often
 * it was asked.
 */
const PATIENCE = { retries: 15, timeoutMs: 2000 };
/** How long nobody forwards: this is the outage itself, not a wait for something. */
const OUTAGE_MS = 2000;
const FILE_BYTES = 60_000_000;

type Case = [string, LineType, NodeJS.Signals, Partial<BedOptions>];

/** An address of our own is the simpler half of one that the host uses too. */
const OWN_ADDRESS: Case = ['kill -9 on an address line', 'address', 'SIGKILL', {}];
const CASES: Case[] = [
  ['kill -9 on a MAP-E line', 'map-e', 'SIGKILL', {}],
  ...(process.env.PORTFOLD_TEST_FULL === '1' ? [OWN_ADDRESS] : []),
  ["kill -9 on the host's own address", 'address', 'SIGKILL', { shared: true }],
  ['SIGTERM with --handover', 'map-e', 'SIGTERM', { gateway: { args: ['--handover'] } }],
];

for (const [name, line, signal, options] of CASES)
  describe(`restart after ${name}`, () => {
    const bed = withBed({ line, programs: ['tcpdump', 'nginx', 'curl'], ...options });
    after(async () => {
      // A gateway with --handover leaves everything as it is; the lab goes with its namespaces.
      if (bed.gateway?.running) await bed.gateway.stop();
    });

    it('a transfer and 24,000 flows go on at the same ports', async () => {
      const { sha256 } = await startWebServer(bed.lab.internet, bed.lab.folder, FILE_BYTES);
      await startEcho(bed.lab.internet);
      const capture = await Capture.start(bed.lab);
      const flows = udpFlows(bed.lab.load, {
        ...LOAD,
        ...PATIENCE,
        rounds: 2,
        pauseSeconds: 6,
      });
      const transfer = download(bed.lab.hosts[0], { limitRate: '6M' });
      const before = await until(
        'all flows and the transfer to stand',
        async () => {
          const status = await bed.gateway.control.status();
          const isReady = status.sessions.udp >= FLOWS && status.counters.bytesInbound > 1_000_000;
          return isReady ? status : undefined;
        },
        20_000,
      );

      await bed.gateway.stop(signal);
      await sleep(OUTAGE_MS);
      const after = await bed.gateway.start();
      assert.ok(
        after.sessions.used >= before.sessions.udp,
        `${after.sessions.used} sessions of ${before.sessions.used} were taken over`,
      );

      const result = await flows;
      console.log(`      ${flowsText(result)}`);
      assert.equal(result.changedPort, 0, JSON.stringify(result));
      assert.equal(result.samePort, FLOWS, JSON.stringify(result));
      assert.equal((await transfer).sha256, sha256);
      const audit = await capture.stop();
      assertClean(audit, FLOWS * 2);
      // The host knows nothing of these connections: it must not have answered for the dead gateway.
      assert.equal(audit.resets, 0);
    });
  });

const FEW_FLOWS = 2000;
/** Room for the arena of the capacity below, and for a second one, but not for one of 16 times that. */
const ROOM = 'size=60m';
const CAPACITY = 65_536;
/** Opens the TUN as the gateway does and holds it. */
const HOLD_TUN = `
import fcntl, signal, struct
tun = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'portfold0', 0x0001 | 0x1000 | 0x4000))
print('held', flush=True)
signal.pause()
`;

interface Trigger {
  name: string;
  says: RegExp;
  /** Makes the next start fail; answers with what makes the one after it succeed. */
  spoil(bed: Bed): Promise<() => unknown>;
}

const TRIGGERS: Trigger[] = [
  {
    name: 'has no room for a larger arena',
    says: /arena\.new needs \d+ bytes.*ENOSPC.*the predecessor's of \d+ bytes is kept/,
    async spoil(bed) {
      const file = bed.gateway.configFile;
      const text = readFileSync(file, 'utf8');
      assert.match(text, new RegExp(`capacity = ${CAPACITY}`));
      writeFileSync(file, text.replace(`capacity = ${CAPACITY}`, `capacity = ${CAPACITY * 16}`));
      return () => writeFileSync(file, text);
    },
  },
  {
    name: 'finds its TUN held by another program',
    says: /portfold0 is in use by another process/,
    async spoil(bed) {
      const holder = bed.lab.gateway.start('python3', ['-c', HOLD_TUN]);
      await until('the TUN to be held', () => holder.stdout.includes('held'), 5000);
      return () => holder.stop();
    },
  },
];

for (const { name, says, spoil } of TRIGGERS)
  describe(`a start after kill -9 that ${name}`, () => {
    const bed = withBed({
      line: 'address',
      programs: ['tcpdump', 'python3'],
      start: false,
      gateway: { capacity: CAPACITY },
    });

    it('leaves what the predecessor left; the next one takes all sessions over', async () => {
      const state = join(bed.gateway.folder, 'state');
      mkdirSync(state);
      execFileSync('mount', ['-t', 'tmpfs', '-o', ROOM, 'none', state]);
      try {
        // The host forwards by itself as well: only the rules that were left keep the LAN in.
        await bed.lab.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
        const before = await hostState(bed.lab.gateway);
        await bed.gateway.start();
        await startEcho(bed.lab.internet);
        const capture = await Capture.start(bed.lab);
        const load = { ...LOAD, flows: FEW_FLOWS, ...PATIENCE };
        const flows = udpFlows(bed.lab.load, { ...load, rounds: 2, pauseSeconds: 4 });
        await until(
          'all flows to stand',
          async () => (await bed.gateway.control.status()).sessions.udp >= FEW_FLOWS,
          20_000,
        );
        await bed.gateway.stop('SIGKILL');

        const repair = await spoil(bed);
        const failed = await bed.gateway.spawn().ended;
        assert.equal(failed.code, 1, failed.stderr);
        assert.match(failed.stderr, says);
        assert.match(failed.stderr, /not started; what the predecessor left stays/);
        assert.equal((await ping(bed.lab.hosts[0])).received, 0);
        await repair();

        const status = await bed.gateway.start();
        assert.ok(status.sessions.used >= FEW_FLOWS, `${status.sessions.used} were taken over`);
        const result = await flows;
        assert.equal(result.samePort, FEW_FLOWS, JSON.stringify(result));
        assertClean(await capture.stop(), FEW_FLOWS);

        // The snapshot still is the first one.
        const end = await bed.gateway.stop();
        assert.match(end.stderr, /ended; the host is as it was before/);
        assert.deepEqual(stateDifferences(before, await hostState(bed.lab.gateway)), []);
      } finally {
        if (bed.gateway.running) await bed.gateway.stop();
        execFileSync('umount', ['-l', state]);
      }
    });
  });
