/** Answered UDP flows over few destinations, opened one after the other and kept alive to the end: as many as the line can be asked for. */
import { z } from 'zod';
import { PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import type { FlowOwner } from '../flows.ts';
import { Payload } from '../payloads.ts';
import { count, duration } from '../values.ts';
import type { Host } from '../world.ts';
import { userKind } from './kind.ts';

const REMOTE_FIRST = (198 << 24) | (51 << 16) | (100 << 8);
const REMOTE_PORT = 4500;
/** Sockets of one host. */
const FLOWS_PER_HOST = 240;
const KIND = 'flow';

export const flows = userKind({
  table: z.strictObject({
    count,
    remotes: count.default(100),
    'keep-alive': duration.default(20_000),
    'opened-in': duration.default(60_000),
  }),
  begin(world, options, random) {
    const gapMs = options['keep-alive'];
    const owner: FlowOwner = {
      failed: () => world.tally.failed(KIND, 'no answer'),
      ended: (_tag, broken) => {
        if (broken) world.tally.failed(KIND, 'flow broke');
      },
    };
    let host: Host | undefined;
    for (let n = 0; n < options.count; n++) {
      if (host === undefined || n % FLOWS_PER_HOST === 0) host = world.addHost();
      world.tally.began(KIND);
      world.flows.begin(
        {
          protocol: PROTOCOL_UDP,
          host,
          remoteAddress: REMOTE_FIRST + (n % options.remotes),
          remotePort: REMOTE_PORT,
          first: Payload.Unknown,
          answer: Payload.Unknown,
          later: Payload.Unknown,
          rounds: Math.ceil(world.durationMs / gapMs),
          rttMs: random.between(10, 50),
          gapMs,
          retries: 2,
          owner,
        },
        (n / options.count) * options['opened-in'],
      );
    }
  },
});
