/**
 * The driver of a mouse: sends UDP to a host that is not there, two to four packets every three seconds, each from a port of its own. No
 * person waits for an answer, so nothing of it counts as an action.
 */
import { z } from 'zod';
import { PROTOCOL_UDP, parseIpv4 } from '../../../core/wire/ipv4.ts';
import { text } from '../../../gateway/config/schema.ts';
import { Payload } from '../payloads.ts';
import { count, duration } from '../values.ts';
import { userKind } from './kind.ts';

const PORTS = [59_870, 59_781];

const isAddress = (words: string): boolean => {
  try {
    parseIpv4(words);
    return true;
  } catch {
    return false;
  }
};

export const address = text((words) =>
  isAddress(words)
    ? undefined
    : { what: `"${words}" is not an IPv4 address`, hint: 'write it like "192.168.1.211"' },
);

export const mouse = userKind({
  table: z.strictObject({
    count: count.default(1),
    to: address.default('192.168.1.211'),
    every: duration.default(3000),
  }),
  begin(world, options, random) {
    const remoteAddress = parseIpv4(options.to);
    for (let n = 0; n < options.count; n++) {
      const own = random.fork(n);
      const host = world.addHost();
      const burst = (): void => {
        const packets = 2 + own.below(3);
        for (let packet = 0; packet < packets; packet++)
          world.flows.begin(
            {
              protocol: PROTOCOL_UDP,
              host,
              remoteAddress,
              remotePort: PORTS[own.below(PORTS.length)],
              first: Payload.Unknown,
              isDead: true,
              rounds: 0,
              rttMs: 0,
              gapMs: 0,
            },
            packet * 10,
          );
        world.after(options.every, burst);
      };
      world.after(own.between(0, options.every), burst);
    }
  },
});
