/**
 * The words for findings: what is so, for somebody who owns a line and knows no NAT, and what to do about it.
 *
 * First who, what and whereto, then since when and how much, then whom it hurts. Numbers that scripts need are in the finding; here
 * are those that a person needs.
 */
import type { WhyHost, WhyHostReport, WhyKind } from '../control/api.ts';
import type { WhyFacts } from './why-facts.ts';
import { type Finding, HIGH_SHARE } from './why-finding.ts';
import {
  address,
  addressesWithPorts,
  type Clock,
  capital,
  className,
  howMany,
  lead,
  list,
  number,
  place,
  plural,
  refusedMost,
  times,
  when,
  withCount,
  withSessions,
} from './why-phrases.ts';
import { silentWords } from './why-words-dead.ts';
import { upstreamWords } from './why-words-upstream.ts';

export interface Words {
  title: string;
  text: string;
  advice: string;
}

export const wordsFor = (finding: Finding, clock: Clock): Words =>
  WORDS[finding.kind](finding, clock);

const NOTICES_IN_SUMMARY = 3;

/** One sentence over all. */
export function summaryOf(findings: readonly (Finding & Words)[], facts: WhyFacts): string {
  const titles = (severity: string): string[] => [
    ...new Set(findings.filter((one) => one.severity === severity).map(({ title }) => title)),
  ];
  const [short, tight, noted] = [titles('short'), titles('tight'), titles('notice')];
  const more = noted.length - NOTICES_IN_SUMMARY;
  const also =
    noted.length === 0
      ? ''
      : ` Worth knowing: ${noted.slice(0, NOTICES_IN_SUMMARY).join('; ')}${more > 0 ? `; ${more} more` : ''}.`;
  if (short.length > 0)
    return `Short: ${short.join('; ')}.${tight.length > 0 ? ` Nearly used up: ${tight.join('; ')}.` : ''}${also}`;
  if (tight.length > 0)
    return `Nothing is refused, but nearly used up: ${tight.join('; ')}.${also}`;
  const [busiest] = facts.remotes;
  const ports =
    busiest === undefined
      ? `none of ${plural(facts.portCount, 'port')} is in use`
      : `${number(busiest.sessions)} of ${plural(facts.portCount, 'port')} taken towards the busiest destination, ` +
        place(busiest);
  const { used, capacity } = facts.sessions;
  return `Nothing is short: ${ports}; ${number(used)} of ${number(capacity)} sessions.${also}`;
}

const WORDS: Record<WhyKind, (finding: Finding, clock: Clock) => Words> = {
  'not-forwarding': ({ reason }) => ({
    title: 'the line itself',
    text: `Packets do not pass: ${reason}.`,
    advice: '`portfold status` tells when that is over, `portfold doctor` what this host lacks.',
  }),

  'queue-full': (one, clock) => ({
    title: 'processor time',
    text:
      `The queue towards the gateway was full: ${howMany(one, clock, 'packet', 'lost')}. More comes than the gateway has ` +
      `processor time for.${lead(' Most new sessions are opened by ', one.hosts.slice(0, 1).map(address))}`,
    advice:
      'Look with `top` what else runs on this machine, and with `portfold hosts --sort -created` for a host that floods.',
  }),

  'ports-towards': (one, clock) => {
    const [to, ...others] = one.destinations;
    const { sessions, ports, hosts } = one.numbers;
    const holders = one.hosts.filter((host) => host.sessions !== undefined);
    const victims = one.hosts.filter((host) => host.refused !== undefined);
    const taken =
      sessions >= ports ? `All ${number(ports)}` : `${number(sessions)} of ${number(ports)}`;
    const isOver = one.numbers.count !== undefined && sessions < ports;
    const refused =
      one.numbers.count === undefined
        ? '; nothing is refused yet'
        : `; ${howMany(one, clock, 'new session', 'refused')}`;
    return {
      title: `ports towards ${place(to)}${others.length > 0 ? ` and ${number(others.length)} more` : ''}`,
      text:
        (isOver
          ? `All ${number(ports)} external ports were taken towards ${place(to)}${refused}. ${sessions === 0 ? 'None' : number(sessions)} of them ${sessions === 1 ? 'is' : 'are'} now.`
          : `${taken} external ports are taken towards ${place(to)}${refused}.`) +
        lead(' Nearly as many towards ', others.slice(0, 3).map(place)) +
        (hosts > 1
          ? ` ${number(hosts)} hosts hold them${lead(', most ', holders.slice(0, 3).map(withSessions), '')}.`
          : lead(' They are held by ', holders.map(withSessions))) +
        lead(' They are ', one.classes.map(withCount)) +
        lead(' Refused was ', victims.slice(0, 3).map(address)) +
        ' Other destinations are not affected.',
      advice: adviceTowards(one, holders, sessions),
    };
  },

  'owned-ports': (one, clock) => ({
    title: `${one.reason} ports that ${one.numbers.unshared === 1 ? 'endpoints' : 'peers'} own`,
    text:
      `${number(one.numbers.owned)} of the ${number(one.numbers.most)} ${one.reason} ports that may have an owner have one, and ` +
      'what one endpoint owns is gone for all others.' +
      lead(
        ' Most are owned by ',
        one.hosts
          .filter(({ ports }) => ports !== undefined)
          .map((host) => `${host.address} (${number(host.ports ?? 0)})`),
      ) +
      lead(
        ' They are for ',
        one.classes.map(({ class: name, count }) => `${className(name)} (${number(count)})`),
      ) +
      (one.numbers.unshared === 1
        ? ` Where a LAN does not share ports, whoever finds none is refused: ${howMany(one, clock, 'new session', 'refused')}` +
          `${lead(', most of ', refusedMost(one.hosts).map(address), '')}.`
        : one.numbers.count === undefined
          ? ''
          : ` ${capital(howMany(one, clock, 'endpoint', 'left without'))}.`),
    advice:
      `\`portfold ports ${one.reason} role=owned\` lists them. A lower \`owned-ports\` limit per host leaves some for the others` +
      (one.numbers.unshared === 1
        ? `${one.numbers.most < one.numbers.ports ? ', a higher `owned-percent` lets more have one' : ''}; with \`sharing = true\` only ` +
          'calls, games and the like own a port.'
        : '; with the preset `rfc` every endpoint owns its port, with `home` only calls, games and the like do.'),
  }),

  'peers-without-port': (one, clock) => ({
    title: `ports of its own for ${one.hosts[0]?.address ?? 'a host'}`,
    text:
      `${capital(list(one.hosts.map(address)))} had ${times(one.numbers.count, 'call or game', 'calls or games')} that found no ` +
      `port of ${one.hosts.length > 1 ? 'their' : 'its'} own${when(one, clock)}` +
      (one.numbers.ownedMax > 0 ? `: a host owns ${number(one.numbers.ownedMax)} at most` : '') +
      '. They go on with a shared port, but others may not reach them from outside.',
    advice:
      'If games say "strict NAT" there, raise the `owned-ports` limit, or give that LAN the preset `game`.',
  }),

  'session-table': (one, clock) => tableWords(one, clock, 'the session table', 'sessions'),

  'remote-table': (one, clock) => ({
    ...tableWords(one, clock, 'the table of destinations', 'destinations'),
    advice:
      'Mostly that is a host that scans: `portfold hosts --sort -created`. Else raise `capacity` and restart.',
  }),

  'host-table': (one) => ({
    title: 'the table of hosts',
    text:
      `${number(one.numbers.used)} of ${number(one.numbers.capacity)} host records are in use. Hosts beyond them share one, so that ` +
      'no limit of a single host holds for them; nobody is refused for that.',
    advice: 'Raise `capacity`: there is one host record for 16 sessions.',
  }),

  reserve: (one, clock) => ({
    title: 'the last session records',
    text:
      `The last records of the session table are kept for hosts that hold few: ${howMany(one, clock, 'new session', 'refused')}` +
      `${lead(' to ', one.hosts.map(address), '')}. Hosts with few sessions notice nothing.`,
    advice:
      'See `portfold hosts --sort -sessions`; a limit of sessions per host, or a larger `capacity`, helps.',
  }),

  upstream: (one, clock) => upstreamWords(one, clock),
  'host-limit': (one, clock) => limitWords(one, clock),
  'dead-destination': (one, clock) => silentWords(one, clock),

  'private-destination': (one, clock) => {
    const [host] = one.hosts;
    const { addresses = 0 } = one.numbers;
    const who = host === undefined ? 'Somebody in the LAN' : host.address;
    const isOne = addresses === 1;
    const to = isOne
      ? addressesWithPorts(one.destinations)
      : addresses === 0
        ? 'private addresses'
        : `private addresses (${list(one.destinations.slice(0, 3).map(place))}${addresses > 3 ? ', …' : ''})`;
    return {
      title:
        host === undefined
          ? 'private destinations'
          : `${who} seeks ${isOne ? `the private ${one.destinations[0].address}` : `${number(addresses)} private addresses`}`,
      text:
        `${who} sends to ${to}. ${isOne ? 'That is a private address, which' : 'Those'} no network here holds and no public line leads ` +
        `to: ${howMany(one, clock, 'packet', 'refused')}. It takes no external port and hurts nobody else.`,
      advice:
        `Look on ${host?.address ?? 'that host'} for a program with an address of another network in its settings: the driver of a ` +
        'device, a printer, a VPN. If that network does lie behind a router of yours, give this gateway a route to it; behind the line, ' +
        '`private-except` in `[policy]` lets it through.',
    };
  },

  'half-open': (one) => ({
    title: `half-open connections of ${one.hosts[0].address}`,
    text:
      `${one.hosts[0].address} has begun ${number(one.numbers.halfOpen)} TCP connections that nobody answers, of ` +
      `${plural(one.numbers.sessions, 'session')} in all${lead(', most to ', one.destinations.map(place), '')}. That is what a port ` +
      'scan or a flood looks like.',
    advice: `Find out what runs on ${one.hosts[0].address}; \`new-per-second\` in the limits of \`[policy]\` slows it down.`,
  }),

  'refused-by-policy': (one, clock) => ({
    title: POLICY_TITLES[one.reason ?? ''] ?? 'what a policy refuses',
    text:
      `${POLICY_TEXTS[one.reason ?? ''] ?? 'A policy refuses new sessions'}: ${howMany(one, clock, 'packet', 'refused')}` +
      `${lead(', most of ', one.hosts.map(address), '')}${lead(', to ', one.destinations.slice(0, 3).map(place), '')}.`,
    advice: 'Nothing, if it is meant so; `[policy]` in the configuration says it.',
  }),

  pressure: (one, clock) => ({
    title: `pressure, level ${one.numbers.level} of 3`,
    text:
      `There is pressure${when(one, clock)}, now at level ${one.numbers.level} of 3: ` +
      `${causeSentence(one.reason)}. So idle sessions end sooner than otherwise` +
      `${one.numbers.endedSooner > 0 ? `, ${number(one.numbers.endedSooner)} until now` : ''}` +
      (one.numbers.evicted > 0
        ? `, and ${plural(one.numbers.evicted, 'session')} of whoever held most ${one.numbers.evicted === 1 ? 'was' : 'were'} ended to make room.`
        : '.'),
    advice: 'It falls back by itself when there is room again.',
  }),
};

const POLICY_TITLES: Record<string, string> = {
  QuicRejected: 'QUIC, by policy',
  UdpBlocked: 'UDP, by policy',
};
const POLICY_TEXTS: Record<string, string> = {
  QuicRejected: 'A policy refuses QUIC, so that browsers take TCP',
  UdpBlocked: 'A policy refuses UDP',
};

const CAUSES: Record<string, string> = {
  sessions: 'the session table fills up',
  'owned-ports': 'most ports have an owner',
  destinations: 'ports towards some destinations are used up',
  upstream: 'the table of the NAT above fills up',
};

/** What pressure comes from. */
export const causeSentence = (cause: string | undefined): string =>
  CAUSES[cause ?? ''] ?? 'something fills up';

function adviceTowards(one: Finding, holders: readonly WhyHost[], sessions: number): string {
  const [to] = one.destinations;
  const waiting = one.classes
    .filter(({ state }) => state === 'unanswered' || state === 'half-open')
    .reduce((total, { count }) => total + count, 0);
  const [first] = holders;
  if (sessions > 0 && waiting >= sessions / 2)
    return `Most of them have no answer: see whether ${to.address} lives, and what asks it so often.`;
  if (first !== undefined && (first.sessions ?? 0) >= sessions / 2)
    return (
      `See what ${first.address} does there: \`portfold sessions ${first.address} remote=${to.address}:${to.port}\`. A limit of ` +
      'sessions per host keeps some for the others.'
    );
  return 'Many hosts use one service: more ports help, that is a second address; or fewer sessions that stay open there.';
}

function tableWords(one: Finding, clock: Clock, title: string, what: string): Words {
  const { used, capacity, count } = one.numbers;
  const [first] = one.hosts;
  const isOnes = first?.sessions !== undefined && first.sessions >= used / 2;
  return {
    title,
    text:
      `${capital(title)} is ${used >= capacity ? 'full' : used >= HIGH_SHARE * capacity ? 'nearly full' : 'filling up'}: ${number(used)} of ${number(capacity)} ${what}` +
      (count === undefined ? '.' : `; ${howMany(one, clock, 'new session', 'refused')}.`) +
      lead(' Most sessions are held by ', one.hosts.map(withSessions)) +
      lead(' They are ', one.classes.map(withCount)) +
      ' What is there goes on; only new ones fail.',
    advice: isOnes
      ? `${first.address} holds more than half: look there first (\`portfold why --host ${first.address}\`), and limit the sessions of a ` +
        'host in `[policy]`.'
      : 'Raise `capacity` in `[gateway]` and restart, or limit the sessions of a host in `[policy]`.',
  };
}

function limitWords(one: Finding, clock: Clock): Words {
  const who = one.hosts[0]?.address ?? 'a host';
  return {
    title: `the limit of ${who}`,
    text:
      `${capital(who)} ${limitMet(one)}: ${howMany(one, clock, 'packet', 'refused')}` +
      `${lead(', most to ', one.destinations.slice(0, 3).map(place), '')}. Other hosts are not affected.`,
    advice: `\`portfold why --host ${who}\` shows what it does. If that is meant so, raise the \`limits\` in \`[policy]\`, or of its LAN.`,
  };
}

/** Which limit, and how much that is; of a refusal under limits that have changed since, what it is now. */
function limitMet({ reason, numbers, until }: Finding): string {
  const { newPerSecondMax = 0, sessionsMax = 0, sessionsPeak, ownedMax = 0, sessions } = numbers;
  const isChanged = numbers.limitsChanged === 1;
  if (reason === 'HostRateLimit') {
    if (isChanged)
      return (
        'began more new sessions than a host might then ' +
        `(${newPerSecondMax > 0 ? `now ${number(newPerSecondMax)} a second` : 'now as many as it likes'})`
      );
    const most = newPerSecondMax > 0 ? `the ${number(newPerSecondMax)} a second that ` : '';
    return `${until === undefined ? 'begins' : 'began'} more new sessions than ${most}a host may`;
  }
  if (isChanged)
    return (
      'had met what a single host might have then ' +
      `(now ${sessionsMax > 0 ? plural(sessionsMax, 'session') : 'as many sessions as it likes'})`
    );
  if (sessionsMax > 0 && sessionsPeak >= sessionsMax)
    return `has met the limit of ${number(sessionsMax)} sessions that a host may have, and holds ${number(sessions)} now`;
  if (ownedMax > 0) return `has met the limit of ${number(ownedMax)} ports that a host may own`;
  return 'has met what a single host may have';
}

/** A host in a few sentences. */
export function hostWords(host: Omit<WhyHostReport, 'text'>, clock: Clock): string {
  const { limits } = host;
  const limit = [
    limits.sessions > 0 ? `${number(limits.sessions)} sessions` : '',
    limits.newPerSecond > 0 ? `${number(limits.newPerSecond)} new ones a second` : '',
    limits.ownedPorts > 0 ? `${number(limits.ownedPorts)} ports of its own` : '',
  ].filter((text) => text !== '');
  return (
    `${host.address}${host.lan === '' ? '' : ` (LAN ${host.lan})`} holds ${plural(host.sessions ?? 0, 'session')}, at most ` +
    `${number(host.sessionsPeak)} so far${host.ports ? `, and owns ${plural(host.ports, 'port')}` : ''}.` +
    lead(' They are ', host.classes.map(withCount)) +
    lead(
      ' Most go to ',
      host.destinations.slice(0, 3).map((to) => `${place(to)} (${number(to.sessions ?? 0)})`),
    ) +
    (host.sessionsRefused === 0
      ? ' Nothing was refused to it.'
      : ` ${plural(host.sessionsRefused, 'new session')} ${host.sessionsRefused === 1 ? 'was' : 'were'} refused to it` +
        `${lead(
          ', lately for ',
          host.refusals.map((one) => refusalWords(one, clock)),
          '',
        )}.`) +
    lead(' It may have ', limit)
  );
}

/** By the name that `portfold drops` has for it. */
const refusalWords = (one: WhyHostReport['refusals'][number], clock: Clock): string =>
  `${one.reason} (since ${clock(new Date(one.since))}` +
  `${lead(', to ', one.destinations.slice(0, 2).map(place), '')})`;
