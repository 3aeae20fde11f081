/**
 * VPN tunnels (WireGuard): one flow for hours, with a keep-alive now and then. The far side may speak first, after a pause; what it says
 * must find its way in, or the person behind waits for the next packet of this side. Each tunnel counts as one action an hour at
 * least: it fails when it cannot be opened, or breaks.
 */
import { z } from 'zod';
import { PROTOCOL_UDP } from '../../../core/wire/ipv4.ts';
import type { FlowOwner } from '../flows.ts';
import { Payload } from '../payloads.ts';
import { count, duration } from '../values.ts';
import { userKind } from './kind.ts';

const WIREGUARD_PORT = 51_820;
const KIND = 'vpn';
const REKEY_MS = 1_800_000;

export const vpn = userKind({
  table: z.strictObject({ count, 'keep-alive': duration.default(25_000) }),
  begin(world, options, random) {
    const gapMs = options['keep-alive'];
    for (let n = 0; n < options.count; n++) {
      const own = random.fork(n);
      const host = world.addHost();
      const internalPort = host.takePort();
      const remoteAddress = world.server(own);
      const open = (): void => {
        world.tally.began(KIND);
        const owner: FlowOwner = {
          failed: () => {
            world.tally.failed(KIND, 'no tunnel');
            world.after(REKEY_MS, open);
          },
          ended: (_tag, broken) => {
            if (broken) world.tally.failed(KIND, 'tunnel broke');
            open();
          },
        };
        world.flows.begin({
          protocol: PROTOCOL_UDP,
          host,
          internalPort,
          remoteAddress,
          remotePort: WIREGUARD_PORT,
          first: Payload.WireguardInitiation,
          answer: Payload.WireguardResponse,
          later: Payload.WireguardData,
          rounds: Math.ceil(REKEY_MS / gapMs),
          rttMs: own.between(10, 60),
          gapMs,
          retries: 3,
          retryMs: 5000,
          owner,
        });
      };
      world.after(own.between(0, 60_000), open);
    }
  },
});
