/**
 * A million sessions at once: as many internal endpoints, 4,167 remotes, 240 ports, a real TUN.
 *
 *   load (50,000 addresses × 20 ports) ── gw, MAP-E line ── br ── echo on 4,167 addresses
 *
 * 240 ports × 4,167 remotes = 1,000,080: the table is full to the last port for nearly every
 * remote. Two rounds: each session is opened and answered, and then answered again at the external
 * port that it had. No figure to compare, since nobody else holds them; the question is whether all
 * are answered, how long it takes, and that the kernel's connection tracking saw none of it.
 */
import { udpFlows } from '../../lab/flows.ts';
import type { Report, Row, SuiteOptions } from '../verbs/report.ts';
import { withCores } from './cores.ts';
import { commandOf } from './options.ts';
import { Portfold } from './rivals.ts';
import { buildScene } from './scene.ts';

const SESSIONS = 1_000_000;
const SESSIONS_SMOKE = 20_000;
const SESSIONS_PER_REMOTE = 240;
const ADDRESSES = 50_000;
const CAPACITY = 1_048_576;
const OPEN_PER_SECOND = 20_000;
const RETRIES = 20;
const SECONDS_MOST = 300;

export async function million(options: SuiteOptions): Promise<Report> {
  const sessions = options.smoke ? SESSIONS_SMOKE : SESSIONS;
  const remotes = Math.ceil(sessions / SESSIONS_PER_REMOTE);
  const found = await withCores(() => hold(sessions, remotes));
  const row = (name: string, unit: string, value: number): Row => ({
    name,
    unit,
    samples: { portfold: [value] },
  });
  return {
    suite: 'datapath, a million sessions',
    command: commandOf('datapath', options),
    smoke: options.smoke,
    rows: [
      row('answered', 'sessions', found.answered),
      row('answered twice at one port', 'sessions', found.samePort),
      row('in the table at once', 'sessions', found.present),
      row('first round', 's', found.firstSeconds),
      row('both rounds', 's', found.seconds),
      row('datagrams sent again', 'packets', found.retries),
      row('tracked by the kernel', 'connections', found.conntrack),
    ],
    targets: [
      { name: 'answered', value: found.answered, bound: 'at least', wanted: sessions },
      { name: 'in the table at once', value: found.present, bound: 'at least', wanted: sessions },
      {
        name: 'time for all',
        value: found.seconds,
        bound: 'at most',
        wanted: SECONDS_MOST,
        unit: 's',
      },
      { name: 'tracked by the kernel', value: found.conntrack, bound: 'at most', wanted: 0 },
    ],
    notes: { sessions: `${sessions} endpoints, ${remotes} remotes, 240 ports` },
  };
}

async function hold(sessions: number, remotes: number) {
  const lab = await buildScene({ line: 'map-e' });
  const gateway = new Portfold(lab, { capacity: CAPACITY });
  try {
    await gateway.start();
    const started = performance.now();
    const result = await udpFlows(lab.load, {
      flows: sessions,
      addresses: ADDRESSES,
      remotes,
      rounds: 2,
      ratePerSecond: OPEN_PER_SECOND,
      retries: RETRIES,
      runSecondsMax: SECONDS_MOST * 2,
    });
    const seconds = (performance.now() - started) / 1000;
    const tracked = await lab.gateway.run('cat', ['/proc/sys/net/netfilter/nf_conntrack_count'], {
      check: false,
    });
    return {
      answered: result.answeredEveryRound,
      samePort: result.samePort,
      present: (await gateway.gateway.control.status()).sessions.udp,
      firstSeconds: result.rounds[0].seconds,
      seconds,
      retries: result.retries,
      conntrack: tracked.code === 0 ? Number(tracked.stdout) : 0,
    };
  } finally {
    await gateway.stop();
    lab.remove();
  }
}
