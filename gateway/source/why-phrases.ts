/** Pieces of the sentences of why-words.ts: numbers, lists, names, times. A piece with nothing to say is empty. */
import type { WhyClass, WhyDestination, WhyHost } from '../control/api.ts';
import type { Finding } from './why-finding.ts';

/** Says a moment shortly, for instance "14:02". */
export type Clock = (time: Date) => string;

/** Time of day where the gateway is, with the date unless it is today's. */
export const localClock = (now: Date): Clock => {
  const time = (date: Date): string =>
    `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`;
  const day = (date: Date): string =>
    date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' });
  return (date) => (day(date) === day(now) ? time(date) : `${day(date)} ${time(date)}`);
};

export const number = (value: number): string =>
  String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');

export const plural = (count: number, word: string): string =>
  `${number(count)} ${word}${count === 1 ? '' : 's'}`;

export const times = (count: number, one: string, many: string): string =>
  `${number(count)} ${count === 1 ? one : many}`;

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export const list = (words: readonly string[]): string =>
  words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;

/** Nothing where there is nothing to name. */
export const lead = (before: string, words: readonly string[], after = '.'): string =>
  words.length === 0 ? '' : `${before}${list(words)}${after}`;

export const address = (host: WhyHost): string => host.address;

export const withSessions = (host: WhyHost): string =>
  host.sessions === undefined ? host.address : `${host.address} (${number(host.sessions)})`;

/** The three of them to whom most was refused. */
export const refusedMost = (hosts: readonly WhyHost[]): WhyHost[] =>
  hosts
    .filter(({ refused = 0 }) => refused > 0)
    .toSorted((a, b) => (b.refused ?? 0) - (a.refused ?? 0))
    .slice(0, 3);

const CLASS_NAMES: Record<string, string> = {
  other: 'other UDP',
  tcp: 'TCP',
  icmp: 'ping',
  dns: 'DNS',
  ntp: 'NTP',
  quic: 'QUIC',
  stun: 'calls and games (STUN)',
  dtls: 'DTLS',
  wireguard: 'WireGuard',
  ike: 'IKE',
  'esp-in-udp': 'IPsec',
  openvpn: 'OpenVPN',
  sip: 'SIP',
  rtp: 'RTP',
  dht: 'BitTorrent DHT',
  utp: 'BitTorrent (uTP)',
};

export const className = (name: string): string => CLASS_NAMES[name] ?? name;

const STATE_WORDS: Record<string, string> = {
  answered: '',
  established: '',
  unanswered: ' without an answer',
};

export const withCount = ({ class: name, state = '', count }: WhyClass): string =>
  `${number(count)} ${className(name)}${STATE_WORDS[state] ?? ` (${state})`}`;

/** "QUIC (61 %)", of what is named. */
export function sharesOf(classes: readonly WhyClass[]): string[] {
  const all = classes.reduce((total, { count }) => total + count, 0);
  return classes
    .slice(0, 3)
    .filter(({ count }) => count > 0)
    .map(({ class: name, count }) => `${className(name)} (${share(count, all)})`);
}

export function quicShare(classes: readonly WhyClass[]): number {
  const all = classes.reduce((total, { count }) => total + count, 0);
  const quic = classes.find((one) => one.class === 'quic')?.count ?? 0;
  return all === 0 ? 0 : quic / all;
}

export const share = (part: number, whole: number): string =>
  whole === 0 ? '0 %' : `${Math.round((100 * part) / whole)} %`;

export const minutes = (seconds: number): string =>
  seconds < 90 ? plural(Math.round(seconds), 'second') : plural(Math.round(seconds / 60), 'minute');

export const place = ({ protocol, address: to, port }: WhyDestination): string =>
  `${protocol === undefined ? '' : `${protocol} `}${to}${port === undefined || protocol === 'icmp' ? '' : `:${port}`}`;

/** "udp 192.168.1.211 ports 59870 and 59781"; all are of one address. */
export function addressesWithPorts(places: readonly WhyDestination[]): string {
  if (places.length === 0) return '';
  const [first] = places;
  if (first.protocol === 'icmp') return `${first.address} (ping)`;
  const ports = [...new Set(places.slice(0, 4).map(({ port }) => String(port)))];
  return `${first.protocol} ${first.address} port${ports.length > 1 ? 's' : ''} ${list(ports)}`;
}

/** "since 14:02", "from 14:02 to 14:05", or nothing. */
export function when({ since, until }: Finding, clock: Clock): string {
  if (since === undefined) return '';
  if (until === undefined) return ` since ${clock(new Date(since))}`;
  return ` from ${clock(new Date(since))} to ${clock(new Date(until))}`;
}

/** "20 new sessions were refused in the last minute, 812 since 14:02". */
export function howMany(one: Finding, clock: Clock, thing: string, what: string): string {
  const { count = 0, lastMinute } = one.numbers;
  const were = (many: number): string => (many === 1 ? 'was' : 'were');
  if (lastMinute === undefined || one.until !== undefined || lastMinute === count)
    return `${plural(count, thing)} ${were(count)} ${what}${when(one, clock)}`;
  return (
    `${plural(lastMinute, thing)} ${were(lastMinute)} ${what} in the last minute, ` +
    `${number(count)}${when(one, clock)}`
  );
}
