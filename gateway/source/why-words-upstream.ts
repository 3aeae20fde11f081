/** The words for the NAT above: its table is full for everybody, or a host holds its share of it while the others go on. */
import type { Finding } from './why-finding.ts';
import {
  address,
  type Clock,
  capital,
  howMany,
  lead,
  list,
  minutes,
  number,
  place,
  plural,
  quicShare,
  refusedMost,
  share,
  sharesOf,
  times,
  when,
  withSessions,
} from './why-phrases.ts';
import type { Words } from './why-words.ts';

/** From this share on it is worth rejecting. */
const QUIC_SHARE_MIN = 0.2;

export const upstreamWords = (one: Finding, clock: Clock): Words =>
  one.numbers.shareOnly === 1 ? shareWords(one, clock) : tableWords(one, clock);

/** It fills up for everybody. */
function tableWords(one: Finding, clock: Clock): Words {
  const { used, ours, recentSeconds, reused, count, shareMet } = one.numbers;
  const makers = one.hosts.filter(({ sessions }) => sessions !== undefined);
  const live =
    used > ours
      ? `${plural(ours, 'session')} ${ours === 1 ? 'lives' : 'live'} here, the others have ended here and linger there.`
      : 'all of them are of sessions that live here.';
  return {
    title: 'the table of the NAT above',
    text:
      `${inUse(one, count === undefined ? when(one, clock) : '')}; ${live}` +
      lead(
        ` In the last ${minutes(recentSeconds)} most were made for `,
        sharesOf(one.classes),
        `${lead(' by ', makers.map(withSessions), '')}.`,
      ) +
      lead(' What lives here goes to ', one.destinations.slice(0, 3).map(place), ' most.') +
      (count === undefined
        ? ''
        : ` ${capital(howMany(one, clock, 'new session', 'refused'))}${lead(', most of ', refusedMost(one.hosts).map(address), '')}.`) +
      (shareMet === 1
        ? ' So far only such hosts are refused as hold no fewer entries than are left for all; the others go on.'
        : '') +
      reusedWords(reused),
    advice: advice(one),
  };
}

/** Nobody may hold more of it than is left of it for all. */
function shareWords(one: Finding, clock: Clock): Words {
  const { used, ours, reused } = one.numbers;
  const { hosts, until } = one;
  const isOver = until !== undefined;
  const [first] = hosts;
  const who = hosts.length === 0 ? 'whoever' : list(hosts.slice(0, 3).map(address));
  const rest = hosts.length > 3 ? ` and ${plural(hosts.length - 3, 'more host')}` : '';
  // What has ended here and lingers there is known by number, but not whose it is.
  const isExact = !isOver && hosts.length === 1 && first.sessions !== undefined && used <= ours;
  const holds = isOver ? 'held' : hosts.length > 1 ? 'hold' : 'holds';
  const held = isExact ? `${number(first.sessions ?? 0)} of them, ` : '';
  const amount = `${held}no fewer than ${isOver ? 'were' : 'are'} left for all`;
  return {
    title:
      hosts.length === 0
        ? 'the share of a host in the table of the NAT above'
        : `the share of ${who}${rest} in the table of the NAT above`,
    text:
      `${inUse(one)}. ${capital(who)}${rest} ${holds} ${amount}, and such a host ${isOver ? 'opened' : 'opens'} no new ones: ` +
      `${howMany(one, clock, 'new session', 'refused')}. Other hosts are not affected.` +
      reusedWords(reused),
    advice:
      `${first === undefined ? '`portfold hosts --sort -refused`' : `\`portfold why --host ${first.address}\``} shows what that host ` +
      'does. Nothing, if it is meant so. If the NAT above holds more entries for this line than `upstream` in its policy says, say so there.',
  };
}

const inUse = ({ numbers: { used, capacity } }: Finding, since = ''): string =>
  `The NAT above this gateway has room for ${times(capacity, 'entry', 'entries')}, and ${number(used)} (${share(used, capacity)}) must be ` +
  `in use by what was sent${since}`;

const reusedWords = (reused: number): string =>
  reused > 0 ? ` ${plural(reused, 'session')} took an entry that was there already.` : '';

function advice({ classes, numbers }: Finding): string {
  const { quicRejected, quicAllowed } = numbers;
  if (quicRejected > 0)
    return (
      `QUIC is rejected for it (${plural(quicRejected, 'packet')} lately), and browsers take TCP at once. Else fewer new sessions ` +
      'help: `portfold hosts --sort -created` shows who opens most.'
    );
  if (quicAllowed === 1 && quicShare(classes) >= QUIC_SHARE_MIN)
    return 'Much of it is QUIC, which pages do not need: with `quic = "pressure"` or `"reject"` in `[policy]` browsers take TCP at once.';
  return 'Fewer new sessions are what helps: see `portfold hosts --sort -created` for who opens most.';
}
