/**
 * One LAN host makes 100,000 attempts a second, each a new flow. Its limits end it at the gateway's door, and a neighbour's first
 * packet is hardly later than without: the slowest hundredth at most by half.
 *
 * The flooding host is another machine in life and may not take the processor from the gateway, the servers or the neighbour that is
 * measured: it goes after all of them, and what it sent is printed.
 *
 * Only with PORTFOLD_TEST_FULL=1, and for a machine that does nothing else: sender, kernel, gateway, relay and servers take all
 * of two processors, and whatever else runs is waited for.
 */
import assert from 'node:assert/strict';
import { startEcho, startSink, udpFlows } from '../../lab/flows.ts';
import type { LineType } from '../../lab/lines.ts';
import { firstPackets, RawFlood } from '../../lab/raw.ts';
import { assertUndisturbed, bareUdp, type Delays, IS_FULL, withPrecedence } from './hostile.ts';
import { dropped } from './policies.ts';
import { withBed } from './support.ts';

const ATTEMPTS_PER_SECOND = 100_000;
const FLOODING_HOST = '192.168.7.12';
const SINK_PORT = 7001;
/**
 * Numbers without a common divisor: thirty million attempts before one comes again. Each turn has other destinations, since what comes
 * again belongs to a session that stands, and is no attempt.
 */
const SPREAD = { destinations: 509, sourcePorts: 60_000 };
/** More than a host may open at once: behind these its limit is in force. */
const ATTEMPTS_BEFORE = 50_000;
const FLOWS = 1500;
const FLOWS_PER_SECOND = 1000;
const MEASURING_FIRST = '10.64.16.0';
const ESTABLISHED = { flows: 2000, addresses: 20, remotes: 100, rounds: 1 };

const LINES: LineType[] = IS_FULL ? ['map-e', 'address'] : [];

for (const line of LINES)
  describe(`a LAN host with ${ATTEMPTS_PER_SECOND} attempts a second on a line of type ${line}`, () => {
    withPrecedence();
    // The gateway as a user starts it: only its datapath goes before others.
    const bed = withBed({
      line,
      programs: ['taskset', 'chrt'],
      gateway: { prefix: ['chrt', '-o', '0'] },
    });
    let sourcePort = 21_000;

    /** Flows of neighbours, each from an endpoint that was not used before. */
    const measure = async (): Promise<Delays> => {
      const result = await firstPackets(bed.lab.load, {
        flows: FLOWS,
        from: MEASURING_FIRST,
        to: '198.18.0.1',
        remotes: 1000,
        sourcePort: sourcePort++,
        ratePerSecond: FLOWS_PER_SECOND,
      });
      return { ...result, lost: FLOWS - result.answered };
    };

    before(async () => {
      await startEcho(bed.lab.internet);
      await startSink(bed.lab.internet, { port: SINK_PORT, idleMs: 60_000 });
    });

    it('is refused by its own limits, and no neighbour is late', async () => {
      const established = await udpFlows(bed.lab.load, ESTABLISHED);
      assert.equal(established.answeredEveryRound, ESTABLISHED.flows);
      await measure();
      const [, flooding] = bed.lab.hosts;
      let turn = 0;
      const attempt = (): Uint8Array =>
        bareUdp([FLOODING_HOST, 1024], [`198.19.${2 * turn++}.1`, SINK_PORT], new Uint8Array(20));
      const before = await RawFlood.start(flooding, [attempt()], {
        ...SPREAD,
        count: ATTEMPTS_BEFORE,
        ratePerSecond: ATTEMPTS_PER_SECOND / 4,
      });
      await before.ended();
      assert.ok((await dropped(bed, 'HostRateLimit')) > 0);
      await assertUndisturbed('first packets of neighbours', measure, async () => {
        const flood = await RawFlood.start(flooding, [attempt()], {
          ...SPREAD,
          ratePerSecond: ATTEMPTS_PER_SECOND,
          isOrdinary: true,
          processor: -1,
        });
        const delays = await measure();
        const { perSecond } = await flood.stop();
        const { counters } = await bed.gateway.control.status();
        console.log(`        ${perSecond} a second, ${counters.packetsLostAtTun} lost at the TUN`);
        return delays;
      });
      const again = await udpFlows(bed.lab.load, ESTABLISHED);
      assert.equal(again.answeredEveryRound, ESTABLISHED.flows);
    });
  });
