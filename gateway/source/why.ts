/**
 * Why something is short: brings together what is held now, what grew lately and what events told, has it analysed, and puts it in words.
 *
 *   every 5 s       history.sample         counters only
 *   every 60 s      silence                one or two passes over the sessions, if any is UDP; every 10 s while sessions give way
 *   an event        refusals, pressure     as it is read from the ring
 *   a question      census → facts → analysis → words
 *
 * All of it runs in the control thread, and the packet path pays nothing. Questions that come while one is answered get that answer.
 */
import { type Arena, HOST_WORDS } from '../../core/table/arena.ts';
import { COUNTER_DROPS, COUNTER_PRESSURE_CAUSE, Counter } from '../../core/table/counters.ts';
import { Event } from '../../core/table/events.ts';
import { DROP_MEANING, Drop } from '../../core/verdict.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import type { WhyAnswer, WhyHostReport } from '../control/api.ts';
import { formatAddress } from '../control/text.ts';
import type { ArenaSource } from './arena-source.ts';
import type { RawEvent } from './event-log.ts';
import { analyse, concerning } from './why-analysis.ts';
import { type Census, takeCensus } from './why-census.ts';
import {
  type FillFacts,
  type HostFacts,
  PRESSURE_CAUSES,
  type RefusalFacts,
  type SilentFacts,
  type WhyFacts,
} from './why-facts.ts';
import {
  HIGH_SHARE,
  hostOf,
  NAMED_MAX,
  UPSTREAM_FULL_SHARE,
  UPSTREAM_HIGH_SHARE,
} from './why-finding.ts';
import { SAMPLE_MILLISECONDS, STREAK_QUIET_MS, WhyHistory } from './why-history.ts';
import { type Clock, localClock } from './why-phrases.ts';
import { PolicyWatch } from './why-policy.ts';
import { RefusalTally } from './why-refusals.ts';
import { findSilence } from './why-silence.ts';
import { ownedMost, refusedOwner } from './why-unshared.ts';
import { hostWords, summaryOf, wordsFor } from './why-words.ts';

/** What may change while the gateway runs. */
export interface WhyView {
  source: Pick<ArenaSource, 'policy' | 'limitsOf' | 'lanName'>;
  /** Why packets do not pass. */
  degraded: string | undefined;
}

export interface WhyOptions {
  arena: Arena;
  portCount: number;
  view: () => WhyView;
  /** Packets lost before the gateway, since the start. */
  lostAtTun: () => number;
  /** Wall clock; another one in tests. */
  clock?: () => number;
}

const SILENCE_MILLISECONDS = 60_000;
const SILENCE_BUSY_MILLISECONDS = 10_000;
const SILENT_PAIRS_MAX = 1_024;
const USERS = 3;
/** Peers that found no port, kept apart from the reasons of refusals. */
const PEERS = -1;

export class Why {
  private readonly options: WhyOptions;
  private readonly clock: () => number;
  private readonly history: WhyHistory;
  private readonly tally = new RefusalTally();
  private readonly policy: PolicyWatch;
  private readonly silent = new Map<string, { sinceMs: number; lastMs: number }>();
  private readonly startedMs: number;
  private silenceMs = 0;
  private gaveWayBefore = 0;
  /** When the table of the NAT above was last seen full for everybody. */
  private upstreamFullMs: number | undefined;
  /** When pressure began, as an event told. */
  private pressureSinceMs: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly answers = new Map<string, Promise<WhyAnswer>>();

  constructor(options: WhyOptions) {
    this.options = options;
    this.clock = options.clock ?? Date.now;
    this.startedMs = this.clock();
    this.history = new WhyHistory(options.arena, options.lostAtTun, this.startedMs);
    this.policy = new PolicyWatch(options.view().source.policy);
    this.gaveWayBefore = this.count(Counter.UnansweredGaveWay);
  }

  /** Looks by itself from now on. @param onError hears of a failure; it looks again all the same */
  begin(onError: (error: Error) => void): void {
    this.timer = setInterval(() => {
      this.sample().catch(onError);
    }, SAMPLE_MILLISECONDS);
    this.timer.unref();
  }

  end(): void {
    clearInterval(this.timer);
  }

  /** Takes note of an event. Why a session was refused, if an event alone would say something else. */
  hear(event: RawEvent): string | undefined {
    const { kind, timeMs, internalAddress, remoteAddress, remotePort, protocol, detail } = event;
    if (kind === Event.PressureChanged) {
      this.pressureSinceMs = detail >> 8 === 0 ? undefined : (this.pressureSinceMs ?? timeMs);
      return undefined;
    }
    const reason = kind === Event.PeerWithoutPort ? PEERS : detail;
    this.tally.note(reason, timeMs, internalAddress, remoteAddress, remotePort, protocol);
    if (kind !== Event.SessionRefused) return undefined;
    const { arena, portCount } = this.options;
    const profile = this.options.view().source.limitsOf(internalAddress);
    return refusedOwner(arena, portCount, profile, protocol);
  }

  /** What is done every five seconds. */
  async sample(): Promise<void> {
    const now = this.clock();
    this.history.sample(now);
    this.lookAtPolicy(now);
    this.fills(now);
    this.pressureNow(now);
    const gaveWay = this.count(Counter.UnansweredGaveWay);
    const isBusy = gaveWay > this.gaveWayBefore;
    const pause = isBusy ? SILENCE_BUSY_MILLISECONDS : SILENCE_MILLISECONDS;
    if (now - this.silenceMs < pause || this.count(Counter.UdpSessionsNow) < 2) return;
    this.silenceMs = now;
    this.gaveWayBefore = gaveWay;
    this.remember(await findSilence(this.options.arena, now), now);
  }

  /** The answer to "why"; about one host, if its address is given. */
  answer(host?: number): Promise<WhyAnswer> {
    const key = String(host);
    let answer = this.answers.get(key);
    if (answer === undefined) {
      answer = this.make(host).finally(() => this.answers.delete(key));
      this.answers.set(key, answer);
    }
    return answer;
  }

  private async make(host: number | undefined): Promise<WhyAnswer> {
    const now = this.clock();
    this.history.sample(now);
    this.lookAtPolicy(now);
    const facts = this.factsOf(await this.census(host, now), host, now);
    const clock = localClock(new Date(now));
    const all = analyse(facts);
    const findings = (host === undefined ? all : concerning(all, formatAddress(host))).map(
      (one) => ({ ...one, ...wordsFor(one, clock) }),
    );
    const report = this.reportOf(facts, host, clock);
    const { level, cause, sinceMs } = facts.pressure;
    return {
      schema: 'portfold/why/v1',
      generatedAt: new Date(now).toISOString(),
      summary: summaryOf(findings, facts),
      findings,
      users: facts.hosts
        .filter(({ sessions }) => sessions > 0)
        .slice(0, USERS)
        .map((user) => ({ ...hostOf(user), ports: user.owned })),
      pressure: {
        level,
        ...(cause === undefined ? {} : { cause }),
        ...(sinceMs === undefined ? {} : { since: new Date(sinceMs).toISOString() }),
      },
      ...(report === undefined ? {} : { host: report }),
      minutes: this.history.minutes(now),
    };
  }

  private census(host: number | undefined, now: number): Promise<Census> {
    const { arena, portCount } = this.options;
    const { source } = this.options.view();
    const wanted = this.tally.addresses(now);
    if (host !== undefined) wanted.add(host);
    return takeCensus({
      arena,
      portCount,
      nowMs: now,
      wanted,
      createdRecently: (record, address, created) =>
        this.history.createdRecently(record, address, created),
      lanName: (address) => source.lanName(address),
      limitsOf: (address) => limitsOf(source, address),
      ownedMost: Math.max(
        ...source.policy.profiles.map((profile) => ownedMost(profile, portCount)),
      ),
    });
  }

  private factsOf(census: Census, host: number | undefined, now: number): WhyFacts {
    const { history, tally, policy } = this;
    const quicRejected = history.refusals(Drop.QuicRejected)?.count ?? 0;
    const quicNew = this.count(COUNTER_DROPS + Drop.QuicRejected) - policy.quicBase;
    const { degraded } = this.options.view();
    const peers = history.peersWithoutPort;
    const asked = host === undefined ? undefined : formatAddress(host);
    const facts: WhyFacts = {
      nowMs: now,
      startedMs: this.startedMs,
      portCount: this.options.portCount,
      ...this.fills(now),
      owned: census.owned,
      hosts: census.hosts,
      classes: census.classes,
      remotes: census.remotes,
      silent: this.remember(census.silent, now),
      refusals: DROP_MEANING.flatMap(([reason], index) => {
        const streak = history.refusals(index);
        return streak === undefined ? [] : [{ reason, ...streak, hosts: this.refused(index, now) }];
      }),
      pressure: this.pressureNow(now),
      recentSeconds: history.recentSeconds(now),
      createdByClass: history.createdByClass(),
      quic: {
        mode: policy.quic,
        rejected: policy.quic === 'pressure' ? Math.min(quicRejected, quicNew) : 0,
      },
    };
    if (policy.limitsSinceMs !== undefined) facts.limitsSinceMs = policy.limitsSinceMs;
    const known = census.hosts.find(({ address }) => address === asked);
    if (known !== undefined) facts.host = known;
    if (degraded !== undefined) facts.degraded = degraded;
    if (peers !== undefined)
      facts.peersWithoutPort = {
        ...peers,
        hosts: tally.hosts(PEERS, now).map(({ address }) => address),
      };
    for (const name of ['gaveWay', 'evicted', 'endedByPressure'] as const)
      if (history[name] !== undefined) facts[name] = history[name];
    if (history.lost !== undefined) facts.lostAtTun = history.lost;
    return facts;
  }

  private lookAtPolicy(now: number): void {
    const { policy } = this.options.view().source;
    this.policy.look(policy, now, this.count(COUNTER_DROPS + Drop.QuicRejected));
  }

  /** Whose packets were refused; with what their LAN may own, where it does not share ports. */
  private refused(reason: number, now: number): RefusalFacts['hosts'] {
    const hosts = this.tally.hosts(reason, now);
    if (reason !== Drop.NoPortLeft) return hosts;
    const { source } = this.options.view();
    return hosts.map((host) => {
      const profile = source.limitsOf(parseIpv4(host.address));
      if (profile.sharing) return host;
      return { ...host, ownedMost: ownedMost(profile, this.options.portCount) };
    });
  }

  /** How full the tables are; asked at each sample as well, so that it is known since when. */
  private fills(
    now: number,
  ): Pick<WhyFacts, 'sessions' | 'remotesTable' | 'hostsTable' | 'upstream'> {
    const { arena } = this.options;
    const { capacity } = arena.shape;
    const fill = (name: string, used: number, size: number, high: number): FillFacts => {
      const since = this.history.since(name, size > 0 && used >= high * size, now);
      return { used, capacity: size, ...(since === undefined ? {} : { highSinceMs: since }) };
    };
    const upstreamCapacity = this.count(Counter.UpstreamCapacity);
    const entries = this.count(Counter.UpstreamEntries);
    if (upstreamCapacity > 0 && entries >= UPSTREAM_FULL_SHARE * upstreamCapacity)
      this.upstreamFullMs = now;
    const fullMs = this.upstreamFullMs;
    return {
      sessions: fill('sessions', this.count(Counter.SessionsNow), capacity, HIGH_SHARE),
      remotesTable: fill('remotes', this.count(Counter.RemotesNow), capacity, HIGH_SHARE),
      hostsTable: fill(
        'hosts',
        this.count(Counter.HostsNow),
        arena.hosts.length / HOST_WORDS,
        HIGH_SHARE,
      ),
      ...(upstreamCapacity > 0
        ? {
            upstream: {
              ...fill('upstream', entries, upstreamCapacity, UPSTREAM_HIGH_SHARE),
              reused: this.count(Counter.UpstreamReused),
              ...(fullMs === undefined ? {} : { fullMs }),
            },
          }
        : {}),
    };
  }

  private pressureNow(now: number): WhyFacts['pressure'] {
    const level = this.count(Counter.PressureLevel);
    const since = this.history.since('pressure', level > 0, now);
    if (level === 0) return { level };
    const cause = PRESSURE_CAUSES[this.count(COUNTER_PRESSURE_CAUSE)];
    const sinceMs = this.pressureSinceMs ?? since;
    return {
      level,
      ...(cause === undefined ? {} : { cause }),
      ...(sinceMs === undefined ? {} : { sinceMs }),
    };
  }

  /** Notes since when each pair is silent, and says it in what it returns. */
  private remember(found: SilentFacts[], now: number): SilentFacts[] {
    for (const [key, { lastMs }] of this.silent)
      if (now - lastMs > STREAK_QUIET_MS) this.silent.delete(key);
    return found.map((one) => {
      const key = `${one.host} ${one.remote}`;
      const known = this.silent.get(key);
      const sinceMs = Math.min(one.sinceMs, known?.sinceMs ?? one.sinceMs);
      if (known !== undefined || this.silent.size < SILENT_PAIRS_MAX)
        this.silent.set(key, { sinceMs, lastMs: now });
      return { ...one, sinceMs };
    });
  }

  private reportOf(
    facts: WhyFacts,
    host: number | undefined,
    clock: Clock,
  ): WhyHostReport | undefined {
    const { host: known, nowMs } = facts;
    if (host === undefined || known === undefined) return undefined;
    const report: Omit<WhyHostReport, 'text'> = {
      address: known.address,
      lan: known.lan,
      sessions: known.sessions,
      ports: known.owned,
      sessionsPeak: known.peak,
      sessionsCreated: known.created,
      sessionsRefused: known.refused,
      classes: known.classes.map((one) => ({
        class: one.class,
        state: one.state,
        count: one.sessions,
      })),
      destinations: known.destinations,
      refusals: this.refusalsOf(known.address, nowMs),
      limits: {
        sessions: known.limits.sessions,
        newPerSecond: known.limits.newPerSecond,
        ownedPorts: known.limits.owned,
      },
    };
    return { ...report, text: hostWords(report, clock) };
  }

  private refusalsOf(address: string, now: number): WhyHostReport['refusals'] {
    return DROP_MEANING.flatMap(([reason], index) =>
      this.tally
        .hosts(index, now)
        .filter((host) => host.address === address)
        .map((host) => ({
          reason,
          told: host.told,
          since: new Date(host.sinceMs).toISOString(),
          lastMs: host.lastMs,
          destinations: host.destinations
            .slice(0, NAMED_MAX)
            .map(({ protocol, address: to, port, told }) => ({
              protocol,
              address: to,
              port,
              refused: told,
            })),
        })),
    )
      .sort((a, b) => b.lastMs - a.lastMs)
      .map(({ lastMs: _, ...rest }) => rest);
  }

  private count(counter: number): number {
    return this.options.arena.counters[counter];
  }
}

function limitsOf(source: WhyView['source'], address: number): HostFacts['limits'] {
  const profile = source.limitsOf(address);
  return {
    sessions: profile.sessionsPerHostMax,
    newPerSecond: profile.newPerSecondMax,
    owned: profile.ownedPerHostMax,
  };
}
