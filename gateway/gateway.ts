/**
 * The gateway: brings configuration, host settings, arena, datapath and control API together, in an order in which a failure at any
 * step leaves nothing behind.
 *
 *   lock → control socket → arena → host settings → datapath       and back in the opposite order
 *
 * The lock and the socket come first, since they tell of a gateway that already runs, before anything is touched.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Arena, arenaBytes, IDENTITY_WORDS } from '../core/table/arena.ts';
import { Counter } from '../core/table/counters.ts';
import { PortSet } from '../core/table/port-set.ts';
import type { LanNetwork, Line } from '../core/translate/context.ts';
import { parseIpv4 } from '../core/wire/ipv4.ts';
import { standardPolicy } from '../policies/standard.ts';
import {
  applyHost,
  type HostRequest,
  type HostResult,
  undoHostOrThrow,
} from '../tun/host/index.ts';
import { bootMilliseconds, type FileLock, isTmpfs, lockFile, mapArena } from '../tun/native.ts';
import { parseIpv4Prefix, parseIpv6 } from './config/addresses.ts';
import { type DerivedLine, deriveLine, rulesOfLine } from './config/line.ts';
import { formatRange } from './config/ports.ts';
import { resolvePrefix } from './config/prefix.ts';
import type { LanConfig, PortfoldConfig, WanConfig } from './config/types.ts';
import { configWarnings } from './config/warnings.ts';
import type { Status } from './control/api.ts';
import { type ControlServer, startControlServer } from './control/server.ts';
import type { ControlSource } from './control/source.ts';
import { Datapath } from './datapath/datapath.ts';
import { GatewayError } from './errors.ts';
import type { Logger } from './log.ts';
import { type Change, changesBetween } from './reload.ts';
import { ArenaSource } from './source/arena-source.ts';
import { EventLog } from './source/event-log.ts';

const TUNNEL_HEADER_BYTES = 40;
const EVENT_POLL_MILLISECONDS = 250;
const RUNTIME_MODE = 0o750;
/** Where the arena lies when the runtime directory is not in memory. */
const SHARED_MEMORY = '/dev/shm';

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
    const line = this.engineLine();
    const lans = engineLans(this.host);
    const adopt = this.openArena(set, line);
    const arena = this.arena as Arena;
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
      line: this.hostLine(),
      runtimeDirectory: config.gateway.runtimeDirectory,
    };
    const result = await applyHost(request);
    this.hostIsSet = true;
    return result;
  }

  private hostLine(): HostRequest['line'] {
    const { wan, line } = this;
    const common = {
      name: wan.name,
      interface: wan.interface,
      externalAddress: line.externalAddress,
    };
    if (wan.type === 'address') return { type: 'address', ...common, ports: line.portRanges };
    const { ceAddress = '', brAddress = '' } = line;
    // What was chosen at the start stays chosen at a reload.
    const chosen = this.host?.encapsulation ?? 'none';
    const encapsulation = chosen === 'none' ? wan.encapsulation : chosen;
    return { type: 'map-e', ...common, ceAddress, brAddress, encapsulation };
  }

  private engineLine(): Line {
    const { line, host } = this;
    return {
      externalAddress: parseIpv4(line.externalAddress),
      externalIndex: 0,
      mtu: this.mtu,
      restoreHopsOutbound: host?.restoreHopsOutbound ?? 0,
      restoreHopsInbound: host?.restoreHopsInbound ?? 0,
      isShared: line.psid !== undefined,
      sharedWithHost: host?.sharedWithHost ?? false,
      fragmentsHere: host !== undefined && host.encapsulation !== 'none',
      encapsulatesHere: host?.encapsulation === 'own',
      ...(line.ceAddress ? { ceAddress: parseIpv6(line.ceAddress) } : {}),
      ...(line.brAddress ? { brAddress: parseIpv6(line.brAddress) } : {}),
    };
  }

  /** Maps the arena: a predecessor's, if it was made for the same line, else a new one. True if it was there. */
  private openArena(set: PortSet, line: Line): boolean {
    const { config } = this.options;
    const { runtimeDirectory, capacity } = config.gateway;
    const shape = { capacity, portCount: set.count, externalCount: 1 };
    const path = arenaPathFor(runtimeDirectory);
    const identity = arenaIdentity(this.line.ports);
    this.arenaPath = path;
    if (statSync(path, { throwIfNoEntry: false })?.size === arenaBytes(shape)) {
      const { buffer } = mapArena(path, arenaBytes(shape), { create: false });
      this.arena = new Arena(buffer, shape);
      if (this.arena.isFor([line.externalAddress], identity)) return true;
    }
    rmSync(path, { force: true });
    const { buffer } = mapArena(path, arenaBytes(shape), { create: true });
    this.arena = new Arena(buffer, shape);
    this.arena.format(bootMilliseconds(), [line.externalAddress], identity);
    return false;
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
    const { options, wan, line, host, arena, source } = this;
    const count = (index: number): number => source?.counters[index] ?? 0;
    const capacity = options.config.gateway.capacity;
    const usage = (index: number) => ({ used: count(index), capacity });
    const none = { used: 0, owned: 0, total: line.ports.length };
    return {
      schema: 'portfold/status/v1',
      version: options.version,
      state: this.state,
      pid: process.pid,
      startedAt: this.startedAt.toISOString(),
      uptimeSeconds: (Date.now() - this.startedAt.getTime()) / 1000,
      tun: options.config.gateway.tun,
      configFile: options.configFile,
      lines: [
        {
          name: wan.name,
          type: wan.type,
          interface: wan.interface,
          externalAddress: line.externalAddress,
          portCount: line.ports.length,
          portRanges: line.portRanges.map(formatRange),
          mtu: this.mtu,
          encapsulation: host?.encapsulation ?? 'none',
          ...(line.ceAddress ? { ceAddress: line.ceAddress, brAddress: line.brAddress } : {}),
          ...(line.psid === undefined ? {} : { psid: line.psid }),
        },
      ],
      lans: options.config.lans.map((lan) => ({
        name: lan.name,
        interfaces: lan.interfaces,
        networks: (host?.lanNetworks ?? [])
          .filter((network) => network.lan === lan.name)
          .map((network) => network.network),
      })),
      sessions: {
        ...usage(Counter.SessionsNow),
        tcp: count(Counter.TcpSessionsNow),
        udp: count(Counter.UdpSessionsNow),
        icmp: count(Counter.IcmpSessionsNow),
      },
      mappings: usage(Counter.MappingsNow),
      remotes: usage(Counter.RemotesNow),
      hosts: { used: count(Counter.HostsNow), capacity: arena ? arena.hosts.length >> 4 : 0 },
      ports: source?.portUse() ?? { tcp: none, udp: none, icmp: none },
      counters: {
        packetsOutbound: count(Counter.PacketsOutbound),
        packetsInbound: count(Counter.PacketsInbound),
        bytesOutbound: count(Counter.BytesOutbound),
        bytesInbound: count(Counter.BytesInbound),
        sessionsCreated: count(Counter.SessionsCreated),
        sessionsEnded: count(Counter.SessionsEnded),
        sessionsDiverted: count(Counter.SessionsDiverted),
        sessionsRefused: count(Counter.SessionsRefused),
        packetsDropped: source?.droppedTotal() ?? 0,
        packetsAnswered: count(Counter.PacketsAnswered),
      },
      memory: {
        residentBytes: process.memoryUsage.rss(),
        arenaBytes: arena ? arenaBytes(arena.shape) : 0,
      },
    };
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

/** Reads a prefix that is "auto" from the interface. */
async function resolveWan(wan: WanConfig): Promise<WanConfig> {
  if (wan.type !== 'map-e' || wan.prefix !== 'auto') return wan;
  const { stdout } = await promisify(execFile)('ip', ['-6', '-j', 'addr', 'show']);
  const rulePrefixes = rulesOfLine(wan).rules.map((rule) => rule.ipv6);
  return { ...wan, prefix: resolvePrefix(wan.interface, stdout, rulePrefixes) };
}

function takeLock(runtimeDirectory: string): FileLock {
  try {
    mkdirSync(runtimeDirectory, { recursive: true, mode: RUNTIME_MODE });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isRight = code === 'EACCES' || code === 'EPERM';
    throw new GatewayError(
      'RUNTIME_DIRECTORY',
      `the runtime directory ${runtimeDirectory} cannot be made (${code}); run as root, or set gateway.runtime-directory to one that you may write`,
      isRight ? 4 : 1,
    );
  }
  const lock = lockFile(join(runtimeDirectory, 'gateway.lock'));
  if (lock === 'held')
    throw new GatewayError(
      'GATEWAY_RUNNING',
      `another gateway already runs with the runtime directory ${runtimeDirectory}; stop it first, or give this one a runtime-directory, a tun name and a --socket of its own`,
      1,
    );
  return lock;
}

/** The arena lies in memory: in the runtime directory if that is tmpfs, else in /dev/shm under a name made from it. */
function arenaPathFor(runtimeDirectory: string): string {
  if (isTmpfs(runtimeDirectory)) return join(runtimeDirectory, 'arena');
  const name = createHash('sha256').update(runtimeDirectory).digest('hex').slice(0, 12);
  return join(SHARED_MEMORY, `portfold-${name}`);
}

/** What an arena must have been made for to be taken over: this boot, since its clock counts from there, and this port set. */
function arenaIdentity(ports: Uint16Array): Int32Array {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const digest = createHash('sha256').update(boot).update(ports).digest();
  return Int32Array.from({ length: IDENTITY_WORDS }, (_, i) => digest.readInt32LE(i * 4));
}

function lineMtu(wan: WanConfig, host: HostResult): number {
  if (wan.mtu !== undefined) return wan.mtu;
  return host.interfaceMtu - (host.encapsulation === 'none' ? 0 : TUNNEL_HEADER_BYTES);
}

function engineLans(host: HostResult): LanNetwork[] {
  return host.lanNetworks.map(({ network, gatewayAddress }) => {
    const prefix = parseIpv4Prefix(network);
    if (prefix === undefined) throw new Error(`"${network}" is no IPv4 network`);
    return {
      address: prefix.address | 0,
      mask: prefix.length === 0 ? 0 : (-1 << (32 - prefix.length)) | 0,
      gatewayAddress: parseIpv4(gatewayAddress),
    };
  });
}
