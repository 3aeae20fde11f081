/** A gateway that dies, or is replaced, in the middle of everything: the next one goes on where it ended. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Capture } from '../../lab/audit.ts';
import { flowsText, startEcho, udpFlows } from '../../lab/flows.ts';
import type { LineType } from '../../lab/lines.ts';
import { until } from '../../lab/netns.ts';
import { download, startWebServer } from '../../lab/services.ts';
import { assertClean, type BedOptions, withBed } from './support.ts';

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

const CASES: [string, LineType, NodeJS.Signals, Partial<BedOptions>][] = [
  ['kill -9 on a MAP-E line', 'map-e', 'SIGKILL', {}],
  ['kill -9 on an address line', 'address', 'SIGKILL', {}],
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
        pauseSeconds: 10,
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
