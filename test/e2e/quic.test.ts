/**
 * What a browser makes of each answer to QUIC: chromium in the LAN, and a server that speaks HTTP/3
 * outside.
 *
 *   offered.test   the browser knows from an earlier visit that the server speaks HTTP/3, begins
 *                  with QUIC, and has TCP to fall back to
 *   quic.test      is asked by QUIC alone: the time until the browser gives up is what a program
 *                  without a second way waits
 *
 * Each mode begins with a browser that remembers the same visit, since one that failed once marks
 * QUIC as broken for five minutes.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Browser } from '../../lab/browser.ts';
import {
  type Http3Server,
  OFFERED_NAME,
  QUIC_ONLY_NAME,
  startHttp3Server,
} from '../../lab/http3-server.ts';
import { until } from '../../lab/netns.ts';
import { SERVER } from '../../lab/topology.ts';
import { withBed } from './support.ts';

const IS_FULL = process.env.PORTFOLD_TEST_FULL === '1';
/** Visits to each name, one after the other. */
const ROUNDS = IS_FULL ? 10 : 1;
/** Chromium waits this long for a server that says nothing. */
const SILENT_MS_MIN = 3000;
/** Some milliseconds on an idle machine; a busy one adds its own. */
const TOLD_MS_MAX = 1000;

interface Page {
  protocol: string;
  milliseconds: number;
}

interface Answer extends Page {
  failed: boolean;
}

/** Opens a page of the server, and awaits what stands there. */
async function open(browser: Browser, name: string): Promise<Page> {
  await browser.evaluate(`location.assign('https://${name}/${Math.random()}')`);
  return until(`the page of ${name}`, async () => {
    const said = await browser.evaluate<Page | false>(`
      location.host === '${name}' && document.readyState === 'complete' && {
        protocol: document.body.innerText,
        milliseconds: performance.getEntriesByType('navigation')[0].responseEnd,
      }`);
    return said;
  });
}

/** Asks from the page that is open, and says how long the answer, or the failure, took. */
const ask = (browser: Browser, name: string): Promise<Answer> =>
  browser.evaluate<Answer>(`(async () => {
    const started = performance.now();
    const said = (protocol, failed) =>
      ({ protocol, failed, milliseconds: performance.now() - started });
    try {
      return said(await (await fetch('https://${name}/')).text(), false);
    } catch (error) {
      return said(String(error), true);
    }
  })()`);

/** What the browser's host sent to port 443 and was told, as tcpdump says it. */
class Flight {
  readonly #lines: string[];

  constructor(lines: string[]) {
    this.#lines = lines;
  }

  get quicDatagrams(): number {
    return this.#matching(/ UDP, /).length;
  }

  get refusalsTold(): number {
    return this.#matching(/ICMP .* admin prohibited/).length;
  }

  get errorsTold(): number {
    return this.#matching(/ICMP /).length;
  }

  /** From the first QUIC datagram to the first answer about one, and to the first SYN. */
  get toAnswerMs(): number {
    return this.#atMs(/ICMP /) - this.#atMs(/ UDP, /);
  }

  get toTcpMs(): number {
    return this.#atMs(/ Flags \[S\],/) - this.#atMs(/ UDP, /);
  }

  toString(): string {
    return this.#lines.join('\n');
  }

  #matching(pattern: RegExp): string[] {
    return this.#lines.filter((line) => pattern.test(line));
  }

  #atMs(pattern: RegExp): number {
    return Number(this.#matching(pattern)[0]?.split(' ')[0]) * 1000;
  }
}

/** One line of figures. Milliseconds. */
function print(mode: string, page: Page, answer: Answer, flight?: Flight): void {
  const words = [
    `${mode}: page by ${page.protocol} in ${page.milliseconds.toFixed(0)} ms`,
    `QUIC alone ${answer.failed ? 'given up' : 'answered'} in ${answer.milliseconds.toFixed(0)} ms`,
  ];
  if (flight !== undefined) words.push(`TCP ${flight.toTcpMs.toFixed(1)} ms behind QUIC`);
  if (flight?.errorsTold) words.push(`first refusal told in ${flight.toAnswerMs.toFixed(1)} ms`);
  console.log(`      ${words.join('; ')}`);
}

describe('QUIC by policy, with a browser and an HTTP/3 server', () => {
  const bed = withBed({
    line: 'map-e',
    hosts: 1,
    programs: ['chromium', 'caddy', 'tcpdump'],
    gateway: { policy: ['quic = "allow"'] },
  });
  let http3: Http3Server;
  let visited: string | undefined;
  let profiles = 0;

  /** A browser that was here before, and what its host sends and hears. */
  async function withBrowser(
    visit: (browser: Browser, flight: () => Flight) => Promise<void>,
  ): Promise<void> {
    const [host] = bed.lab.hosts;
    const profile = join(bed.lab.folder, `profile-${++profiles}`);
    if (visited !== undefined) cpSync(visited, profile, { recursive: true });
    const filter = 'port 443 or icmp';
    const words = ['-l', '-n', '-tt', '-i', 'eth0', '--immediate-mode', filter];
    const capture = host.start('tcpdump', words);
    await capture.line(/listening on/);
    const flags = [...http3.flags, `--user-data-dir=${profile}`];
    const browser = await Browser.start(host, bed.lab.folder, flags);
    await visit(browser, () => new Flight(capture.stdout.split('\n').filter(Boolean)));
    await browser.stop();
    await capture.stop();
    visited ??= profile;
  }

  async function reloadWith(mode: string, ...more: string[]): Promise<void> {
    const { gateway } = bed;
    const text = readFileSync(gateway.configFile, 'utf8');
    const lines = [`quic = "${mode}"`, ...more].join('\n');
    writeFileSync(gateway.configFile, text.replace(/^quic = .*(\nquic-.*)*$/m, lines));
    const saidBefore = gateway.process.stderr.length;
    gateway.process.kill('SIGHUP');
    await until('the gateway to reload', () =>
      /reloaded/.test(gateway.process.stderr.slice(saidBefore)),
    );
  }

  const refused = async (): Promise<number> => {
    const { items } = await bed.gateway.control.list('drops');
    return items.find(({ reason }) => reason === 'QuicRejected')?.packets ?? 0;
  };

  before(async () => {
    http3 = await startHttp3Server(bed.lab.internet, bed.lab.folder);
  });

  it('allow: after a first visit by HTTP/2 everything comes by HTTP/3', async () => {
    await withBrowser(async (browser) => {
      assert.equal((await open(browser, OFFERED_NAME)).protocol, 'HTTP/2.0');
      const page = await until('a page by HTTP/3', async () => {
        const page = await open(browser, OFFERED_NAME);
        return page.protocol === 'HTTP/3.0' && page;
      });
      const answer = await ask(browser, QUIC_ONLY_NAME);
      assert.equal(answer.protocol, 'HTTP/3.0');
      print('allow', page, answer);
    });
    assert.equal(await refused(), 0);
    const { items } = await bed.gateway.control.list('sessions');
    assert.ok(items.some((session) => session.class === 'quic' && session.state === 'answered'));
  });

  it('reject: the browser is told about each datagram, and has the page by HTTP/2 at once', async () => {
    await reloadWith('reject');
    for (let round = 0; round < ROUNDS; round++)
      await withBrowser(async (browser, flight) => {
        const before = await refused();
        const page = await open(browser, OFFERED_NAME);
        const answer = await ask(browser, QUIC_ONLY_NAME);
        assert.equal(page.protocol, 'HTTP/2.0');
        assert.ok(page.milliseconds < TOLD_MS_MAX, `the page took ${page.milliseconds} ms`);
        assert.ok(answer.failed, answer.protocol);
        assert.ok(answer.milliseconds < TOLD_MS_MAX, `given up after ${answer.milliseconds} ms`);
        await until('each datagram to be answered', async () => {
          const rejected = (await refused()) - before;
          const { quicDatagrams, refusalsTold } = flight();
          return quicDatagrams === rejected && refusalsTold === rejected;
        }).catch((error: Error) => assert.fail(`${error.message}\n${flight()}`));
        // A flight for each name, of two datagrams where the first answer does not come before.
        assert.ok(flight().refusalsTold >= 2, `${flight()}`);
        print('reject', page, answer, flight());
      });
  });

  if (IS_FULL)
    it('reject with an exception for this server: it is asked by HTTP/3', async () => {
      await reloadWith('reject', `quic-except = { to = ["${SERVER}"] }`);
      await withBrowser(async (browser, flight) => {
        assert.equal((await ask(browser, QUIC_ONLY_NAME)).protocol, 'HTTP/3.0');
        assert.equal(flight().errorsTold, 0, `${flight()}`);
      });
    });

  it('drop: nobody is told, and who knows nothing but QUIC waits for seconds', async () => {
    await reloadWith('drop');
    await withBrowser(async (browser, flight) => {
      const before = await refused();
      const page = await open(browser, OFFERED_NAME);
      const answer = await ask(browser, QUIC_ONLY_NAME);
      assert.equal(page.protocol, 'HTTP/2.0');
      assert.ok(answer.failed, answer.protocol);
      assert.ok(answer.milliseconds > SILENT_MS_MIN, `given up after ${answer.milliseconds} ms`);
      assert.ok((await refused()) - before > 4, `${flight()}`);
      assert.equal(flight().errorsTold, 0, `${flight()}`);
      print('drop', page, answer, flight());
    });
  });
});
