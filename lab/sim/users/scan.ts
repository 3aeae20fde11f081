/** A port scan: SYNs to ever new endpoints, of which nobody answers. It is not an action of anybody's; what it does to others is. */
import { z } from 'zod';
import { PROTOCOL_TCP } from '../../../core/wire/ipv4.ts';
import { amount, count, duration } from '../values.ts';
import { userKind } from './kind.ts';

const BURST_MS = 100;
const TARGET_FIRST = (185 << 24) | (220 << 16);
const TARGETS = 65_536;

export const scan = userKind({
  table: z.strictObject({
    count: count.default(1),
    'per-second': amount(100_000).default(500),
    after: duration.default(60_000),
    lasts: duration.default(300_000),
  }),
  begin(world, options, random) {
    for (let n = 0; n < options.count; n++) {
      const own = random.fork(n);
      const host = world.addHost();
      const endMs = options.after + options.lasts;
      const packets = Math.max(1, Math.round((options['per-second'] * BURST_MS) / 1000));
      const burst = (): void => {
        for (let packet = 0; packet < packets; packet++)
          world.flows.begin({
            protocol: PROTOCOL_TCP,
            host,
            remoteAddress: TARGET_FIRST + own.below(TARGETS),
            remotePort: 1 + own.below(1024),
            isDead: true,
            rounds: 0,
            rttMs: 0,
            gapMs: 0,
          });
        if (world.timeline.nowMs < endMs) world.after(BURST_MS, burst);
      };
      world.after(options.after, burst);
    }
  },
});
