/** People who read the web: each opens a page now and then, at times that nobody foresees. */
import { z } from 'zod';
import { amount, count, range, share } from '../values.ts';
import { userKind } from './kind.ts';
import { Browser, Page } from './page.ts';

/** The sessions of a page: fifty to a hundred, half of them DNS (a dozen servers, three questions each), and some twenty QUIC. */
export const pageKeys = {
  sessions: range(1000).default([50, 100]),
  'dns-share': share.default(0.5),
  'quic-share': share.default(0.27),
};

const HOUR_MS = 3_600_000;

export const pages = userKind({
  table: z.strictObject({ count, 'pages-per-hour': amount(10_000).default(40), ...pageKeys }),
  begin(world, options, random) {
    const meanMs = HOUR_MS / options['pages-per-hour'];
    const shape = {
      sessions: options.sessions,
      dnsShare: options['dns-share'],
      quicShare: options['quic-share'],
    };
    for (let n = 0; n < options.count; n++) {
      const own = random.fork(n);
      const browser = new Browser(world.addHost());
      let page = 0;
      const next = (): void =>
        world.after(own.exponential(meanMs), () => {
          new Page(world, browser, shape, own.fork(page++), 'page');
          next();
        });
      next();
    }
  },
});
