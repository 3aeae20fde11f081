/**
 * 100,000 fragments whose first one never comes: the memory for what waits is bounded, each is
 * counted by name, and who only pings does not notice.
 */
import assert from 'node:assert/strict';
import { cut } from '../../bench/fuzz/build.ts';
import { externalAddress, type LineType } from '../../lab/lines.ts';
import type { Namespace } from '../../lab/netns.ts';
import { until } from '../../lab/netns.ts';
import { RawFlood } from '../../lab/raw.ts';
import { SERVER } from '../../lab/topology.ts';
import {
  assertUndisturbed,
  bareUdp,
  type Delays,
  dropsOf,
  dropsSince,
  IS_FULL,
  pingDelays,
  SPOOFED_FIRST,
  swallowSpoofed,
  withPrecedence,
} from './hostile.ts';
import { type Bed, withBed } from './support.ts';

const FRAGMENTS = 100_000;
const RATE_PER_SECOND = 100_000;
/** As long as the flood takes, at 10 ms each. */
const PINGS = 100;
const GROWTH_BYTES_MAX = 16e6;

/** The later half of a datagram of 2,000 bytes. */
function laterFragment(from: string, to: string): Uint8Array {
  return cut(bareUdp([from, 4000], [to, 5472], new Uint8Array(1992)), 1000)[1];
}

interface Side {
  namespace: Namespace;
  packet: Uint8Array;
  from: string;
}

const LINES: LineType[] = ['map-e', 'address'];

for (const line of LINES)
  describe(`fragments without a first one on a line of type ${line}`, () => {
    withPrecedence();
    const bed = withBed({ line, programs: ['ping', 'taskset'] });
    let lan: Side;
    let outside: Side;

    before(async () => {
      await swallowSpoofed(bed.lab);
      const { load, internet, provider } = bed.lab;
      lan = { namespace: load, packet: laterFragment('10.64.0.0', SERVER), from: '10.64.0.0' };
      outside = {
        namespace: line === 'map-e' ? internet : provider,
        packet: laterFragment(SPOOFED_FIRST, externalAddress(line)),
        from: SPOOFED_FIRST,
      };
    });

    it('from both sides at once disturb no ping', () => disturbNobody(bed, [lan, outside]));

    if (IS_FULL) {
      it('from the LAN disturb no ping', () => disturbNobody(bed, [lan]));
      it('from outside disturb no ping', () => disturbNobody(bed, [outside]));
    }
  });

/** Each round sends 100,000 fragments from all sides together. */
async function disturbNobody(bed: Bed, sides: Side[]): Promise<void> {
  const { gateway, lab } = bed;
  await pingDelays(lab.hosts[0], PINGS);
  const before = await gateway.control.status();
  const dropsBefore = await dropsOf(gateway);
  const residentBefore = gateway.residentBytes();
  let fragments = 0;

  const idle = (): Promise<Delays> => pingDelays(lab.hosts[0], PINGS);
  const flooded = async (): Promise<Delays> => {
    const floods = await Promise.all(
      sides.map((side) =>
        RawFlood.start(side.namespace, [side.packet], {
          from: side.from,
          sources: 256,
          countsIds: true,
          ratePerSecond: RATE_PER_SECOND / sides.length,
          count: FRAGMENTS / sides.length,
        }),
      ),
    );
    const delays = await pingDelays(lab.hosts[0], PINGS);
    for (const flood of floods) fragments += (await flood.ended()).sent;
    return delays;
  };
  await assertUndisturbed(`ping beside ${FRAGMENTS} fragments`, idle, flooded);

  // What waited is given up after two seconds; then each fragment was counted under one name.
  const lostAtTun = async (): Promise<number> =>
    (await gateway.control.status()).counters.packetsLostAtTun - before.counters.packetsLostAtTun;
  await until('every fragment to be counted', async () => {
    const dropped = dropsSince(dropsBefore, await dropsOf(gateway)).FragmentWithoutFirst ?? 0;
    return dropped + (await lostAtTun()) === fragments;
  });
  const { TunQueueFull: _, ...drops } = dropsSince(dropsBefore, await dropsOf(gateway));
  assert.deepEqual(Object.keys(drops), ['FragmentWithoutFirst']);

  const after = await gateway.control.status();
  assert.equal(after.sessions.udp, before.sessions.udp);
  assert.equal(after.hosts.used, before.hosts.used);
  assert.equal(after.remotes.used, before.remotes.used);
  const growth = gateway.residentBytes() - residentBefore;
  assert.ok(growth < GROWTH_BYTES_MAX, `${growth} bytes more are resident`);
}
