/**
 * Which requirements of the RFCs a policy departs from: for `portfold check`, so that whoever saves ports knows what is given up.
 *
 *   RFC 4787 REQ-5       UDP 120 s at least, 300 s recommended; a well-known port may have less (5a): DNS and NTP have it
 *   RFC 5382 REQ-5       TCP 7,440 s established, half-closed included (section 5); 240 s while it opens or closes
 *   RFC 7857 section 2   240 s after a reset; the timer of half-open connections may be set lower (2.1)
 *   RFC 5508 REQ-2       ICMP queries 60 s
 *   RFC 4787 REQ-3 …     no port has two users
 *   RFC 6888 REQ-11      nothing that lives gives way to something new
 *
 * What is judged are the settings, at every pressure level. docs/rfc-compliance.md says of each requirement how it is kept.
 */
import type { PolicySettings, TimerName, UdpClassName } from './settings.ts';
import { UDP_CLASS_NAMES } from './settings.ts';

/** One requirement, and how the settings stand to it. */
export interface Departure {
  /** For instance "RFC 4787 REQ-5". */
  requirement: string;
  /** Keys of the configuration, and what they are. */
  values: { key: string; value: string }[];
  /** What would keep it. */
  wanted: string;
}

interface TimerRequirement {
  requirement: string;
  wanted: string;
  leastSeconds: number;
  timers: readonly TimerName[];
}

/** RFC 4787 REQ-5a: these are told by their well-known port as well, and may be short. QUIC may speak at any port. */
const WELL_KNOWN: readonly UdpClassName[] = ['dns', 'ntp'];
const UDP_TIMERS: readonly TimerName[] = [
  'unanswered',
  ...UDP_CLASS_NAMES.filter((name) => !WELL_KNOWN.includes(name)),
];

const TIMER_REQUIREMENTS: readonly TimerRequirement[] = [
  {
    requirement: 'RFC 4787 REQ-5',
    wanted: '120 s at least, 300 s recommended',
    leastSeconds: 120,
    timers: UDP_TIMERS,
  },
  {
    requirement: 'RFC 4787 REQ-5c',
    wanted: '300 s recommended',
    leastSeconds: 300,
    timers: UDP_TIMERS,
  },
  {
    requirement: 'RFC 5382 REQ-5',
    wanted: '7440 s at least',
    leastSeconds: 7440,
    timers: ['tcp-established', 'tcp-half-closed'],
  },
  {
    requirement: 'RFC 5382 REQ-5, RFC 7857 section 2.1',
    wanted: '240 s, or less if somebody decides so',
    leastSeconds: 240,
    timers: ['tcp-half-open'],
  },
  {
    requirement: 'RFC 5382 REQ-5',
    wanted: '240 s at least',
    leastSeconds: 240,
    timers: ['tcp-closing'],
  },
  {
    requirement: 'RFC 7857 section 2.2',
    wanted: '240 s',
    leastSeconds: 240,
    timers: ['tcp-reset'],
  },
  {
    requirement: 'RFC 5508 REQ-2',
    wanted: '60 s at least',
    leastSeconds: 60,
    timers: ['icmp'],
  },
];

/** What the settings depart from, in the order of the list above. */
export function departures(settings: PolicySettings): Departure[] {
  return [
    ...sharingDepartures(settings),
    ...timerDepartures(settings),
    ...roomDepartures(settings),
  ];
}

function sharingDepartures({ sharing }: PolicySettings): Departure[] {
  if (!sharing) return [];
  return [
    {
      requirement:
        'RFC 4787 REQ-1, REQ-3, REQ-8 and REQ-11, RFC 5382 REQ-1, REQ-3 and REQ-7, RFC 7857 section 3',
      values: [{ key: 'sharing', value: 'true' }],
      wanted: 'a port for each endpoint, sharing = false',
    },
  ];
}

function timerDepartures({ timers }: PolicySettings): Departure[] {
  const reported = new Set<TimerName>();
  return TIMER_REQUIREMENTS.flatMap(({ requirement, wanted, leastSeconds, timers: names }) => {
    const short = names.filter((name) => {
      // Said once: what is below the least is below the recommended too.
      if (reported.has(name)) return false;
      return Math.min(...timers[name]) < leastSeconds;
    });
    if (short.length === 0) return [];
    for (const name of short) reported.add(name);
    const values = short.map((name) => ({ key: `timers.${name}`, value: timerText(timers[name]) }));
    return [{ requirement, values, wanted }];
  });
}

function timerText(seconds: readonly number[]): string {
  const [relaxed] = seconds;
  const least = Math.min(...seconds);
  return least < relaxed ? `${relaxed} s, under pressure ${least} s` : `${relaxed} s`;
}

function roomDepartures(settings: PolicySettings): Departure[] {
  const { evictUnanswered, pressure, unansweredPerRemote } = settings;
  const values: Departure['values'] = [];
  if (evictUnanswered) values.push({ key: 'evict-unanswered', value: 'true' });
  if (unansweredPerRemote > 0)
    values.push({ key: 'unanswered-per-remote', value: `${unansweredPerRemote}` });
  if (pressure.evict) values.push({ key: 'pressure.evict', value: 'true' });
  if (values.length === 0) return [];
  const wanted = 'evict-unanswered = false, unanswered-per-remote = 0, pressure.evict = false';
  return [{ requirement: 'RFC 6888 REQ-11', values, wanted }];
}
