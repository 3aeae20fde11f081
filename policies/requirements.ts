/**
 * Which requirements of the RFCs a policy keeps, and which it departs from: for `portfold check`, so that whoever saves ports knows what
 * is given up.
 *
 *   RFC 4787 REQ-5       UDP 120 s at least, 300 s recommended; a well-known port may have less (5a): DNS and NTP have it,
 *                        and a DNS query to another port has it too, which departs
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

/** One requirement, and the settings that keep it or depart from it. */
export interface Judgement {
  /** For instance "RFC 4787 REQ-5". */
  requirement: string;
  /** Keys of the configuration, and what they are. */
  values: { key: string; value: string }[];
  /** What keeps it. */
  wanted: string;
}

interface TimerRequirement {
  requirement: string;
  wanted: string;
  leastSeconds: number;
  timers: readonly TimerName[];
}

/** RFC 4787 REQ-5a: these are told by their well-known port as well, and may be short there. QUIC may speak at any port. */
const WELL_KNOWN: readonly UdpClassName[] = ['dns', 'ntp'];
/** NTP is known at its port alone; DNS queries are known by their bytes to any port, where the same timer is held against REQ-5. */
const UDP_TIMERS: readonly TimerName[] = [
  'unanswered',
  ...UDP_CLASS_NAMES.filter((name) => name !== 'ntp'),
];
const DNS_ELSEWHERE = ', at other ports than 53';

const TIMER_REQUIREMENTS: readonly TimerRequirement[] = [
  {
    requirement: 'RFC 4787 REQ-5a',
    wanted: 'any time, at the well-known ports 53 and 123',
    leastSeconds: 0,
    timers: WELL_KNOWN,
  },
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

const SHARING =
  'RFC 4787 REQ-1, REQ-3, REQ-8 and REQ-11, RFC 5382 REQ-1, REQ-3 and REQ-7, RFC 7857 section 3';
const SHARING_WANTED = 'a port for each endpoint, sharing = false';
const ROOM = 'RFC 6888 REQ-11';
const ROOM_WANTED = 'evict-unanswered = false, unanswered-per-remote = 0, pressure.evict = false';

/** What the settings depart from, in the order of the list above; of each timer the least requirement that is too much for it. */
export function departures(settings: PolicySettings): Judgement[] {
  return [
    ...(settings.sharing ? [sharingJudgement(settings)] : []),
    ...timerJudgements(
      settings,
      (name) =>
        requirementsOf(name).find(({ leastSeconds }) => leastOf(settings, name) < leastSeconds),
      DNS_ELSEWHERE,
    ),
    ...judged(
      ROOM,
      ROOM_WANTED,
      roomValues(settings).filter(({ departs }) => departs),
    ),
  ];
}

/** What the settings keep, in the same order; of each timer the most that it keeps. */
export function keeps(settings: PolicySettings): Judgement[] {
  return [
    ...(settings.sharing ? [] : [sharingJudgement(settings)]),
    ...timerJudgements(settings, (name) =>
      requirementsOf(name).findLast(({ leastSeconds }) => leastOf(settings, name) >= leastSeconds),
    ),
    ...judged(
      ROOM,
      ROOM_WANTED,
      roomValues(settings).filter(({ departs }) => !departs),
    ),
  ];
}

const leastOf = ({ timers }: PolicySettings, name: TimerName): number => Math.min(...timers[name]);

/** Least first. */
const requirementsOf = (name: TimerName): TimerRequirement[] =>
  TIMER_REQUIREMENTS.filter(({ timers }) => timers.includes(name)).sort(
    (a, b) => a.leastSeconds - b.leastSeconds,
  );

const sharingJudgement = ({ sharing }: PolicySettings): Judgement => ({
  requirement: SHARING,
  values: [{ key: 'sharing', value: `${sharing}` }],
  wanted: SHARING_WANTED,
});

/** @param ofDns what to say behind the time of DNS */
function timerJudgements(
  { timers }: PolicySettings,
  of: (name: TimerName) => TimerRequirement | undefined,
  ofDns = '',
): Judgement[] {
  return TIMER_REQUIREMENTS.flatMap((row) => {
    const names = row.timers.filter((name) => of(name) === row);
    const values = names.map((name) => ({
      key: `timers.${name}`,
      value: timerText(timers[name]) + (name === 'dns' ? ofDns : ''),
    }));
    return judged(row.requirement, row.wanted, values);
  });
}

function judged(requirement: string, wanted: string, values: Judgement['values']): Judgement[] {
  const plain = values.map(({ key, value }) => ({ key, value }));
  return plain.length === 0 ? [] : [{ requirement, values: plain, wanted }];
}

function timerText(seconds: readonly number[]): string {
  const [relaxed] = seconds;
  const least = Math.min(...seconds);
  return least < relaxed ? `${relaxed} s, under pressure ${least} s` : `${relaxed} s`;
}

const roomValues = ({ evictUnanswered, pressure, unansweredPerRemote }: PolicySettings) => [
  { key: 'evict-unanswered', value: `${evictUnanswered}`, departs: evictUnanswered },
  {
    key: 'unanswered-per-remote',
    value: `${unansweredPerRemote}`,
    departs: unansweredPerRemote > 0,
  },
  { key: 'pressure.evict', value: `${pressure.evict}`, departs: pressure.evict },
];
