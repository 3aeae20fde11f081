/**
 * The gateway: brings configuration, host settings, arena, datapath and control API together, in an order in which a failure at any
 * step leaves nothing behind, or what a predecessor left.
 *
 *   lock → control socket → arena → host settings → datapath       and back in the opposite order
 *
 * The lock and the socket come first, since they tell of a gateway that already runs, before anything is touched. While it forwards, it
 * follows the host: what an interface that goes and comes back took along is made anew (watch.ts says when).
 */
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isDeepStrictEqual } from 'node:util';
import { type Arena, arenaBytes } from '../core/table/arena.ts';
import { PortSet } from '../core/table/port-set.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import { buildPolicy, type PolicyPlan } from '../policies/build.ts';
import {
  applyHost,
  type HostRequest,
  type HostResult,
  undoHostOrThrow,
  verifyHost,
} from '../tun/host/index.ts';
import { bootMilliseconds, type FileLock } from '../tun/native.ts';
import { type DerivedLine, deriveLine } from './config/line.ts';
import type { LanConfig, PortfoldConfig, WanConfig } from './config/types.ts';
import { configWarnings } from './config/warnings.ts';
import type { Status } from './control/api.ts';
import { type ControlServer, startControlServer } from './control/server.ts';
import type { ControlSource } from './control/source.ts';
import { Datapath } from './datapath/datapath.ts';
import { GatewayError } from './errors.ts';
import { EventJournal } from './event-journal.ts';
import { engineLans, engineLine, hostLine, lineMtu, resolveWan } from './line.ts';
import type { Logger } from './log.ts';
import { type ProfileNumbers, policyPlan, profileNumbers } from './policy-plan.ts';
import { type Change, changesBetween } from './reload.ts';
import { type OpenedArena, openArena, takeLock } from './runtime.ts';
import { ArenaSource } from './source/arena-source.ts';
import { EventLog } from './source/event-log.ts';
import { describeStatus } from './source/status.ts';
import { TunLosses } from './source/tun-losses.ts';
import { Why } from './source/why.ts';
import { HostWatch, RepairPace } from './watch.ts';

const EVENT_POLL_MILLISECONDS = 250;
/** After a repair, until it is looked at. */
const REVIEW_MILLISECONDS = 500;

/** How it ended. */
export interface Ending {
  /** False if something on the host could not be undone; the log says what. */
  isUndone: boolean;
  /** Settings that stay since their value of before is not known; undefined if all is known. */
  unknown?: string[];
}

export interface GatewayOptions {
  config: PortfoldConfig;
  configFile: string;
  socket: string;
  version: string;
  logger: Logger;
  /** Hears of a failure while running. */
  onFailure: (error: Error) => void;
}

export class Gateway implements ControlSource {
  private readonly options: GatewayOptions;
  private readonly wan: WanConfig;
  private readonly startedAt = new Date();
  private state: Status['state'] = 'starting';
  private line!: DerivedLine;
  private host: HostResult | undefined;
  private mtu = 0;
  private arena: Arena | undefined;
  private opened: OpenedArena | undefined;
  /** Of the arena in use; empty until packets pass. */
  private arenaPath = '';
  private source: ArenaSource | undefined;
  private eventLog: EventLog | undefined;
  private causes: Why | undefined;
  private datapath: Datapath | undefined;
  private server: ControlServer | undefined;
  private lock: FileLock | undefined;
  private eventTimer: NodeJS.Timeout | undefined;
  private hostIsSet = false;
  private watch: HostWatch | undefined;
  /** Why packets do not pass although the gateway runs. */
  private degraded: string | undefined;
  private readonly pace = new RepairPace();
  private readonly losses: TunLosses;
  private readonly journal: EventJournal;
  /** Profiles of the LANs that have a policy of their own. */
  private profiles: ProfileNumbers;
  /** Reloads and passes over the host, one after the other. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(options: GatewayOptions) {
    this.options = { ...options };
    this.wan = options.config.wans[0];
    this.losses = new TunLosses(options.config.gateway.tun);
    this.journal = new EventJournal(options.logger);
    this.profiles = profileNumbers(options.config, new Map());
  }

  /** Starts everything, or throws after undoing what was done. What a predecessor left stays for the next start. */
  async start(): Promise<void> {
    try {
      await this.startSteps();
    } catch (error) {
      const isTakeover = this.host?.adopted === true;
      await this.stop(isTakeover);
      if (isTakeover)
        this.options.logger.warn(
          'not started; what the predecessor left stays: the sessions, and rules that drop IPv4 of the LAN until a start ' +
            'succeeds or `portfold doctor --clean` takes all back',
        );
      throw error;
    }
  }

  private async startSteps(): Promise<void> {
    const { config, logger, socket } = this.options;
    const wan = await resolveWan(this.wan);
    this.line = deriveLine(wan);
    for (const warning of configWarnings(config)) logger.warn(warning);

    this.lock = takeLock(config.gateway.runtimeDirectory);
    this.server = await startControlServer({
      socket,
      source: this,
      onError: (error) => logger.error({ error: error.stack }, 'a control request failed'),
    });
    this.host = await this.applyHost(config.lans);
    for (const warning of this.host.warnings ?? []) logger.warn(warning);
    this.mtu = lineMtu(wan, this.host);
    this.losses.begin();

    const set = new PortSet(this.line.ports);
    const line = engineLine(this.line, this.host, this.mtu);
    const lans = engineLans(this.host);
    const shape = {
      capacity: config.gateway.capacity,
      portCount: set.count,
      externalCount: 1,
    };
    const { runtimeDirectory } = config.gateway;
    const opened = openArena(runtimeDirectory, shape, [line.externalAddress], this.line.ports);
    const { arena, adopted: adopt } = opened;
    this.arena = arena;
    this.opened = opened;
    this.source = this.viewOf(arena, config, this.host);
    const epochTime = Date.now() - (bootMilliseconds() - arena.epochMs);
    this.eventLog = new EventLog(arena, set.count, epochTime);
    // What a predecessor told is known, but not told again.
    this.eventLog.poll();
    this.causes = this.causesOf(arena, set.count);

    this.datapath = await Datapath.start(
      {
        tun: config.gateway.tun,
        arenaPath: opened.path,
        arenaBytes: arenaBytes(arena.shape),
        capacity: config.gateway.capacity,
        ports: this.line.ports,
        line,
        lans,
        policy: this.policyOf(config, this.host),
        adopt,
        realtime: config.gateway.realtime ?? availableParallelism() > 1,
      },
      this.options.onFailure,
    );
    // Only now is a predecessor's arena that does not fit given up.
    this.arenaPath = opened.keep();
    const { restored, dropped } = this.datapath.ready;
    if (adopt) logger.info({ restored, dropped }, 'sessions of the predecessor taken over');
    if (!this.datapath.ready.arenaIsLocked)
      logger.debug('the arena could not be locked into memory and may be swapped out');
    const { realtimeRefused } = this.datapath.ready;
    if (realtimeRefused !== undefined)
      logger.warn(
        `the datapath may not go before other programs (${realtimeRefused}; a service needs LimitRTPRIO=1): packets wait while they use the processors`,
      );
    this.eventTimer = setInterval(() => this.logEvents(), EVENT_POLL_MILLISECONDS);
    this.state = 'forwarding';
    logger.info(this.describe(), `forwarding ${this.wan.name}`);
    this.watch = new HostWatch(() => this.inTurn(() => this.followHost()));
  }

  /**
   * Ends everything that runs and undoes what was changed on the host.
   * @param handover leave host settings and sessions in place for a successor
   */
  async stop(handover = false): Promise<Ending> {
    const { config, logger } = this.options;
    const ending: Ending = { isUndone: true };
    this.state = 'stopping';
    await this.watch?.stop();
    clearInterval(this.eventTimer);
    this.journal.end(bootMilliseconds());
    this.causes?.end();
    await this.datapath?.stop();
    if (this.hostIsSet && !handover) {
      try {
        ending.unknown = (await undoHostOrThrow(config.gateway.runtimeDirectory)).unknown;
      } catch (error) {
        ending.isUndone = false;
        logger.error((error as Error).message);
      }
    }
    this.opened?.discard();
    if (this.arenaPath !== '' && !handover) rmSync(this.arenaPath, { force: true });
    await this.server?.close();
    this.lock?.release();
    return ending;
  }

  /**
   * Puts another configuration into force while packets flow, and tells what changed. Throws when it cannot; then the old one still
   * is in force. Not before the start is over, and one at a time.
   */
  reload(next: PortfoldConfig): Promise<Change[]> {
    return this.inTurn(() => this.reloadNow(next));
  }

  private async reloadNow(next: PortfoldConfig): Promise<Change[]> {
    const { options, datapath, arena, host } = this;
    if (this.state !== 'forwarding' || !datapath || !arena || !host)
      throw new GatewayError('RELOAD_NOT_NOW', 'the gateway is not forwarding', 1);
    const changes = changesBetween(options.config, next);
    let nextHost = host;
    if (changes.includes('lan')) nextHost = await this.applyHost(next.lans);
    try {
      const lans = engineLans(nextHost);
      await datapath.change({ lans, policy: this.policyOf(next, nextHost), mtu: this.mtu });
    } catch {
      if (changes.includes('lan')) await this.applyHost(options.config.lans);
      throw new GatewayError('RELOAD_UNANSWERED', 'the datapath did not take the change', 1);
    }
    for (const warning of nextHost.warnings ?? [])
      if (!host.warnings?.includes(warning)) options.logger.warn(warning);
    this.host = { ...host, lanNetworks: nextHost.lanNetworks, warnings: nextHost.warnings };
    this.source = this.viewOf(arena, next, nextHost);
    this.profiles = profileNumbers(next, this.profiles);
    options.config = next;
    options.logger.level = next.gateway.logLevel;
    return changes;
  }

  /**
   * Makes anew what the host lost, and takes up what is different now (networks of the LANs, MTU of the line). Never throws: a gateway
   * outlives the absence of its interfaces.
   * @returns milliseconds after which it should look again, or 0
   */
  private async followHost(): Promise<number> {
    const { host } = this;
    if (this.state !== 'forwarding' || host === undefined) return 0;
    let again = 0;
    try {
      const { lans } = this.options.config;
      const review = await verifyHost(this.hostRequest(lans, host), host);
      if (review.blocked === undefined && review.missing.length > 0) {
        const { missing } = review;
        again = this.pace.take(performance.now());
        if (again > 0) {
          this.setDegraded(
            `another program keeps removing settings of ours: ${missing.join(', ')}`,
          );
          return again;
        }
        // Looked at once more afterwards: applying may find more to do, or be in vain.
        again = REVIEW_MILLISECONDS;
        const next = await this.applyHost(lans);
        this.options.logger.info({ missing }, 'settings of the host are made anew');
        await this.takeUp(next);
      } else if (review.interfaceMtu !== undefined) {
        await this.takeUp({ ...host, interfaceMtu: review.interfaceMtu });
      }
      this.setDegraded(review.blocked ?? review.degraded);
    } catch (error) {
      this.setDegraded((error as Error).message);
    }
    return again;
  }

  /** Puts what applying told into force, if it differs from what is. */
  private async takeUp(next: HostResult): Promise<void> {
    const { options, datapath, arena, host } = this;
    if (!datapath || !arena || !host) return;
    const mtu = lineMtu(this.wan, next);
    const isSame = isDeepStrictEqual(next.lanNetworks, host.lanNetworks) && mtu === this.mtu;
    if (!isSame) {
      const policy = this.policyOf(options.config, next);
      await datapath.change({ lans: engineLans(next), policy, mtu });
      this.source = this.viewOf(arena, options.config, next);
      const networks = next.lanNetworks.map(({ network }) => network);
      options.logger.info({ mtu, networks }, 'the line or the LANs have changed');
    }
    this.mtu = mtu;
    const { lanNetworks, interfaceMtu } = next;
    this.host = { ...host, lanNetworks, interfaceMtu };
  }

  /** One line in the log when it begins and one when it is over; in between the status has the latest reason. */
  private setDegraded(reason: string | undefined): void {
    const { logger } = this.options;
    if (reason !== undefined && this.degraded === undefined)
      logger.warn(`not forwarding: ${reason}; it goes on by itself when that is over`);
    if (reason === undefined && this.degraded !== undefined) logger.info('forwarding again');
    this.degraded = reason;
  }

  /** Runs what changes host or datapath, after whatever does so now. */
  private inTurn<T>(action: () => Promise<T>): Promise<T> {
    const result = this.turn.then(action);
    this.turn = result.catch(() => {});
    return result;
  }

  /** The tables of the arena as the control API sees them. */
  private viewOf(arena: Arena, config: PortfoldConfig, host: HostResult): ArenaSource {
    const policy = buildPolicy(this.policyOf(config, host));
    const lanNames = host.lanNetworks.map((network) => network.lan);
    const set = new PortSet(this.line.ports);
    const address = parseIpv4(this.line.externalAddress);
    return new ArenaSource(arena, set, policy, address, engineLans(host), lanNames);
  }

  /** Watches what runs short, and answers why. */
  private causesOf(arena: Arena, portCount: number): Why {
    const causes = new Why({
      arena,
      portCount,
      view: () => ({ source: this.source!, degraded: this.degraded }),
      lostAtTun: () => this.losses.count(),
    });
    this.eventLog!.onEvent = (event) => causes.hear(event);
    causes.begin((error) =>
      this.options.logger.error({ error: error.stack }, 'why failed to look'),
    );
    return causes;
  }

  private policyOf(config: PortfoldConfig, host: HostResult): PolicyPlan {
    const lanNames = host.lanNetworks.map((network) => network.lan);
    const numbers = profileNumbers(config, this.profiles);
    return policyPlan(config, numbers, lanNames, this.line.externalAddress);
  }

  private async applyHost(lans: LanConfig[]): Promise<HostResult> {
    const result = await applyHost(this.hostRequest(lans, this.host));
    this.hostIsSet = true;
    return result;
  }

  private hostRequest(lans: LanConfig[], running: HostResult | undefined): HostRequest {
    const { tun, runtimeDirectory } = this.options.config.gateway;
    const hostLans = lans.map(({ policy: _, ...lan }) => lan);
    return { tun, lans: hostLans, line: hostLine(this.wan, this.line, running), runtimeDirectory };
  }

  private logEvents(): void {
    this.journal.note(this.eventLog?.poll() ?? [], bootMilliseconds());
  }

  private describe(): Record<string, unknown> {
    const { line, host } = this;
    return {
      type: this.wan.type,
      address: line.externalAddress,
      ports: line.ports.length,
      ...(line.ceAddress ? { ce: line.ceAddress, br: line.brAddress } : {}),
      encapsulation: host?.encapsulation,
      mtu: this.mtu,
      capacity: this.options.config.gateway.capacity,
    };
  }

  // What the control API asks.

  status(): Status {
    return describeStatus({
      ...this.options,
      wan: this.wan,
      line: this.line,
      state: this.state,
      startedAt: this.startedAt,
      mtu: this.mtu,
      host: this.host,
      source: this.source,
      arena: this.arena,
      degraded: this.degraded,
      packetsLostAtTun: this.losses.count(),
    });
  }

  sessions() {
    return this.source?.sessions() ?? [];
  }

  mappings() {
    return this.source?.mappings() ?? [];
  }

  hosts() {
    return this.source?.hosts() ?? [];
  }

  ports() {
    return this.source?.ports() ?? [];
  }

  drops() {
    return [...(this.source?.drops() ?? []), this.losses.item()];
  }

  why(host?: number) {
    this.logEvents();
    return this.causes?.answer(host);
  }

  events(since: number) {
    this.logEvents();
    const { eventLog } = this;
    return {
      events: eventLog?.after(since) ?? [],
      lastSequence: eventLog?.lastSequence ?? 0,
      oldestSequence: eventLog?.oldestSequence ?? 1,
    };
  }
}
