/**
 * The gateway: brings configuration, host settings, arena, datapath and control API together, in an order in which a failure at any
 * step leaves nothing behind.
 *
 *   lock → control socket → arena → host settings → datapath       and back in the opposite order
 *
 * The lock and the socket come first, since they tell of a gateway that already runs, before anything is touched.
 */
import { rmSync } from 'node:fs';
import { type Arena, arenaBytes } from '../core/table/arena.ts';
import { PortSet } from '../core/table/port-set.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import { standardPolicy } from '../policies/standard.ts';
import {
  applyHost,
  type HostRequest,
  type HostResult,
  undoHostOrThrow,
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
import { engineLans, engineLine, hostLine, lineMtu, resolveWan } from './line.ts';
import type { Logger } from './log.ts';
import { type Change, changesBetween } from './reload.ts';
import { openArena, takeLock } from './runtime.ts';
import { ArenaSource } from './source/arena-source.ts';
import { EventLog } from './source/event-log.ts';
import { describeStatus } from './source/status.ts';

const EVENT_POLL_MILLISECONDS = 250;

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
  private arenaPath = '';
  private source: ArenaSource | undefined;
  private eventLog: EventLog | undefined;
  private datapath: Datapath | undefined;
  private server: ControlServer | undefined;
  private lock: FileLock | undefined;
  private eventTimer: NodeJS.Timeout | undefined;
  private hostIsSet = false;

  constructor(options: GatewayOptions) {
    this.options = { ...options };
    this.wan = options.config.wans[0];
  }

  /** Starts everything, or throws after undoing what was done. */
  async start(): Promise<void> {
    try {
      await this.startSteps();
    } catch (error) {
      await this.stop();
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
    this.arenaPath = opened.path;
    this.source = this.viewOf(arena, config, this.host);
    const epochTime = Date.now() - (bootMilliseconds() - arena.epochMs);
    this.eventLog = new EventLog(arena, set.count, epochTime);
    // What a predecessor told is known, but not told again.
    this.eventLog.poll();

    this.datapath = await Datapath.start(
      {
        tun: config.gateway.tun,
        arenaPath: this.arenaPath,
        arenaBytes: arenaBytes(arena.shape),
        capacity: config.gateway.capacity,
        ports: this.line.ports,
        line,
        lans,
        preset: config.policy.preset,
        adopt,
      },
      this.options.onFailure,
    );
    const { restored, dropped } = this.datapath.ready;
    if (adopt) logger.info({ restored, dropped }, 'sessions of the predecessor taken over');
    if (!this.datapath.ready.arenaIsLocked)
      logger.debug('the arena could not be locked into memory and may be swapped out');
    this.eventTimer = setInterval(() => this.logEvents(), EVENT_POLL_MILLISECONDS);
    this.state = 'forwarding';
    logger.info(this.describe(), `forwarding ${this.wan.name}`);
  }

  /**
   * Ends everything that runs and undoes what was changed on the host.
   * @param handover leave host settings and sessions in place for a successor
   */
  async stop(handover = false): Promise<void> {
    const { config, logger } = this.options;
    this.state = 'stopping';
    clearInterval(this.eventTimer);
    await this.datapath?.stop();
    if (this.hostIsSet && !handover) {
      try {
        await undoHostOrThrow(config.gateway.runtimeDirectory);
      } catch (error) {
        logger.error(`not everything on the host could be undone: ${(error as Error).message}`);
      }
    }
    if (this.arenaPath !== '' && !handover) rmSync(this.arenaPath, { force: true });
    await this.server?.close();
    this.lock?.release();
  }

  /**
   * Puts another configuration into force while packets flow, and tells what changed. Throws when it cannot; then the old one still
   * is in force. Not before the start is over, and one at a time.
   */
  async reload(next: PortfoldConfig): Promise<Change[]> {
    const { options, datapath, arena, host } = this;
    if (this.state !== 'forwarding' || !datapath || !arena || !host)
      throw new GatewayError('RELOAD_NOT_NOW', 'the gateway is not forwarding', 1);
    const changes = changesBetween(options.config, next);
    let nextHost = host;
    if (changes.includes('lan')) nextHost = await this.applyHost(next.lans);
    try {
      await datapath.change({ lans: engineLans(nextHost), preset: next.policy.preset });
    } catch {
      if (changes.includes('lan')) await this.applyHost(options.config.lans);
      throw new GatewayError('RELOAD_UNANSWERED', 'the datapath did not take the change', 1);
    }
    for (const warning of nextHost.warnings ?? [])
      if (!host.warnings?.includes(warning)) options.logger.warn(warning);
    this.host = { ...host, lanNetworks: nextHost.lanNetworks, warnings: nextHost.warnings };
    this.source = this.viewOf(arena, next, nextHost);
    options.config = next;
    options.logger.level = next.gateway.logLevel;
    return changes;
  }

  /** The tables of the arena as the control API sees them. */
  private viewOf(arena: Arena, config: PortfoldConfig, host: HostResult): ArenaSource {
    const { timers } = standardPolicy(config.policy.preset);
    const lanNames = host.lanNetworks.map((network) => network.lan);
    const set = new PortSet(this.line.ports);
    const address = parseIpv4(this.line.externalAddress);
    return new ArenaSource(arena, set, timers, address, engineLans(host), lanNames);
  }

  private async applyHost(lans: LanConfig[]): Promise<HostResult> {
    const { config } = this.options;
    const request: HostRequest = {
      tun: config.gateway.tun,
      lans,
      line: hostLine(this.wan, this.line, this.host),
      runtimeDirectory: config.gateway.runtimeDirectory,
    };
    const result = await applyHost(request);
    this.hostIsSet = true;
    return result;
  }

  private logEvents(): void {
    for (const event of this.eventLog?.poll() ?? [])
      this.options.logger.warn(
        { event: event.kind, sequence: event.sequence, suppressed: event.suppressed },
        event.text,
      );
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
    return this.source?.drops() ?? [];
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
