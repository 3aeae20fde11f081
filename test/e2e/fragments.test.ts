/** Datagrams of every size, there and back: cut by the sender, by the gateway and by whoever stands behind it. */
import assert from 'node:assert/strict';
import { Capture } from '../../lab/audit.ts';
import { ping } from '../../lab/services.ts';
import { SERVER } from '../../lab/topology.ts';
import { assertClean, type BedOptions, withBed } from './support.ts';

/** Bytes of payload: around the MTU of the tunnel and of the link, and up to 20,000. */
const SIZES = [1000, 1432, 1433, 1440, 1472, 1473, 3000, 9000, 20_000];

const CASES: [string, BedOptions][] = [
  // The relay by the kernel's routes cuts nothing, so answers that need it want the independent one.
  ['a MAP-E line', { line: 'map-e', relay: 'socat', programs: ['socat', 'ethtool', 'ping'] }],
  ['an address line', { line: 'address', programs: ['ping'] }],
];

for (const [name, options] of CASES)
  describe(`datagrams of 1,000 to 20,000 bytes through ${name}`, () => {
    const bed = withBed(options);

    it('come through both ways, from two hosts at once', async () => {
      const capture = await Capture.start(bed.lab);
      for (const bytes of SIZES) {
        const results = await Promise.all(
          bed.lab.hosts.map((host) => ping(host, SERVER, { bytes, dontFragment: false })),
        );
        for (const result of results)
          assert.equal(result.received, 3, `${bytes}: ${result.output}`);
      }
      assertClean(await capture.stop(), SIZES.length * 6);
      const { items } = await bed.gateway.control.list('drops', {});
      const lost = items.filter((item) => item.reason.startsWith('Fragment') && item.packets > 0);
      assert.deepEqual(lost, []);
    });
  });
