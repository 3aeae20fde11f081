/**
 * The relay as a service: host settings, packet path and control API brought together.
 *
 *   lock → control socket → host settings → worker       and back in the opposite order
 *
 * It answers the control API as far as a relay has anything to say: status and drops. It is stateless, and says so to whoever asks for
 * sessions.
 */

import { RelayCounter } from '../../core/relay/context.ts';
import { RELAY_DROP_MEANING } from '../../core/relay/drops.ts';
import { COUNTER_DROPS } from '../../core/table/counters.ts';
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import { undoHostOrThrow } from '../../tun/host/index.ts';
import type { FileLock } from '../../tun/native.ts';
import { parseIpv6 } from '../config/addresses.ts';
import type { DropItem, Status } from '../control/api.ts';
import { QueryError } from '../control/filter.ts';
import { type ControlServer, startControlServer } from '../control/server.ts';
import type { ControlSource } from '../control/source.ts';
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { takeLock } from '../runtime.ts';
import { TunLosses } from '../source/tun-losses.ts';
import { coreFormatOf, coreRulesOf, networkOf, type RelayConfig } from './config.ts';
import { applyRelayHost, type RelayHost } from './host.ts';
import { RelayThread } from './thread.ts';

const TUNNEL_HEADER_BYTES = 40;

export interface RelayOptions {
  config: RelayConfig;
  configFile: string;
  socket: string;
  version: string;
  logger: Logger;
  /** Hears of a failure while running. */
  onFailure: (error: Error) => void;
}

export class RelayService implements ControlSource {
  private readonly options: RelayOptions;
  private readonly startedAt = new Date();
  private readonly losses: TunLosses;
  private state: Status['state'] = 'starting';
  private mtu = 0;
  private host: RelayHost | undefined;
  private thread: RelayThread | undefined;
  private server: ControlServer | undefined;
  private lock: FileLock | undefined;

  constructor(options: RelayOptions) {
    this.options = options;
    this.losses = new TunLosses(options.config.tun);
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
    this.lock = takeRelayLock(config.runtimeDirectory);
    this.server = await startControlServer({
      socket,
      source: this,
      onError: (error) => logger.error({ error: error.stack }, 'a control request failed'),
    });
    this.host = await applyRelayHost(config);
    this.mtu = config.mtu ?? this.host.interfaceMtu - TUNNEL_HEADER_BYTES;
    this.losses.begin();
    const plan = {
      address: parseIpv6(config.address)!,
      ipv4Address: parseIpv4(this.host.ipv4Address),
      rules: coreRulesOf(config),
      iidFormat: coreFormatOf(config),
      mtu: this.mtu,
    };
    this.thread = await RelayThread.start(config.tun, plan, this.options.onFailure);
    this.state = 'forwarding';
    const rules = config.rules.map(networkOf);
    const { ipv4Address } = this.host;
    logger.info({ address: config.address, ipv4Address, mtu: this.mtu, rules }, 'relaying');
  }

  /**
   * Ends everything that runs and undoes what was changed on the host.
   * @returns false if something could not be undone; the log says what
   */
  async stop(): Promise<boolean> {
    const { config, logger } = this.options;
    let isUndone = true;
    this.state = 'stopping';
    await this.thread?.stop();
    if (this.host !== undefined) {
      try {
        await undoHostOrThrow(config.runtimeDirectory);
      } catch (error) {
        isUndone = false;
        logger.error((error as Error).message);
      }
    }
    await this.server?.close();
    this.lock?.release();
    return isUndone;
  }

  // What the control API asks.

  status(): Status {
    const { config, configFile, version } = this.options;
    const count = (index: number): number => this.thread?.counters[index] ?? 0;
    const nothing = { used: 0, capacity: 0 };
    const noPorts = { used: 0, owned: 0, total: 0 };
    return {
      schema: 'portfold/status/v1',
      version,
      state: this.state,
      relay: {
        address: config.address,
        ipv4Address: this.host?.ipv4Address ?? config.ipv4Address ?? '',
        interface: config.interface,
        mtu: this.mtu,
        rules: config.rules.map((rule) => ({ ...rule, ipv4: networkOf(rule) })),
        packetsBetweenCes: count(RelayCounter.PacketsBetweenCes),
      },
      pid: process.pid,
      startedAt: this.startedAt.toISOString(),
      uptimeSeconds: (Date.now() - this.startedAt.getTime()) / 1000,
      tun: config.tun,
      configFile,
      lines: [],
      lans: [],
      sessions: { ...nothing, tcp: 0, udp: 0, icmp: 0 },
      mappings: nothing,
      remotes: nothing,
      hosts: nothing,
      ports: { tcp: noPorts, udp: noPorts, icmp: noPorts },
      counters: {
        packetsOutbound: count(RelayCounter.PacketsOutbound),
        packetsInbound: count(RelayCounter.PacketsInbound),
        bytesOutbound: count(RelayCounter.BytesOutbound),
        bytesInbound: count(RelayCounter.BytesInbound),
        sessionsCreated: 0,
        sessionsEnded: 0,
        sessionsDiverted: 0,
        sessionsRefused: 0,
        packetsDropped: this.reasons().reduce((sum, item) => sum + item.packets, 0),
        packetsAnswered: count(RelayCounter.PacketsAnswered),
        packetsLostAtTun: this.losses.count(),
      },
      memory: { residentBytes: process.memoryUsage.rss(), arenaBytes: 0 },
    };
  }

  drops(): DropItem[] {
    return [...this.reasons(), this.losses.item()];
  }

  private reasons(): DropItem[] {
    const counters = this.thread?.counters;
    return RELAY_DROP_MEANING.map(([reason, meaning], index) => ({
      reason,
      meaning,
      packets: counters?.[COUNTER_DROPS + index] ?? 0,
    }));
  }

  sessions(): never {
    throw hasNone('sessions');
  }

  mappings(): never {
    throw hasNone('mappings');
  }

  hosts(): never {
    throw hasNone('hosts');
  }

  ports(): never {
    throw hasNone('ports');
  }

  events(): never {
    throw hasNone('events');
  }
}

const hasNone = (what: string): QueryError =>
  new QueryError(
    'RELAY',
    `this is a border relay: it is stateless and has no ${what}; it answers \`status\` and \`drops\``,
  );

/** The lock of the runtime directory, in the words of a relay. */
export function takeRelayLock(runtimeDirectory: string): FileLock {
  try {
    return takeLock(runtimeDirectory);
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'GATEWAY_RUNNING') throw error;
    throw new GatewayError(
      'RELAY_RUNNING',
      `a relay or a gateway already runs with the runtime directory ${runtimeDirectory}; stop it first`,
      1,
    );
  }
}
