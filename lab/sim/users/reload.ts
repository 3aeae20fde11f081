/** A reload storm: one person reloads a page in several windows at once, again and again. */
import { z } from 'zod';
import { count, duration } from '../values.ts';
import { userKind } from './kind.ts';
import { Browser, Page } from './page.ts';
import { pageKeys } from './pages.ts';

export const reload = userKind({
  table: z.strictObject({
    count: count.default(1),
    windows: count.default(10),
    every: duration.default(2000),
    times: count.default(10),
    ...pageKeys,
  }),
  begin(world, options, random) {
    const shape = {
      sessions: options.sessions,
      dnsShare: options['dns-share'],
      quicShare: options['quic-share'],
    };
    for (let n = 0; n < options.count; n++) {
      const browser = new Browser(world.addHost());
      // Each window shows the same page each time, so it asks the same servers.
      for (let time = 0; time < options.times; time++)
        for (let window = 0; window < options.windows; window++)
          world.after((time + 1) * options.every, () => {
            new Page(world, browser, shape, random.fork(n, window), 'reload');
          });
    }
  },
});
