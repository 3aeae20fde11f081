/** The answer to "how are you": made from what the gateway knows at that moment, also while it starts or stops. */
import { CLASS_NAMES } from '../../core/state.ts';
import { type Arena, arenaBytes, HOST_WORDS } from '../../core/table/arena.ts';
import {
  COUNTER_CLASS_CREATED,
  COUNTER_CLASS_NOW,
  COUNTER_PRESSURE_CAUSE,
  COUNTER_PRESSURE_FILL,
  COUNTER_PRESSURE_RECORD,
  Counter,
  PRESSURE_RECORD_WORDS,
  PressureRecord,
} from '../../core/table/counters.ts';
import { PRESSURE_LEVELS, PressureCause } from '../../core/table/pressure.ts';
import type { HostResult } from '../../tun/host/index.ts';
import type { DerivedLine } from '../config/line.ts';
import { formatRange } from '../config/ports.ts';
import type { PortfoldConfig, WanConfig } from '../config/types.ts';
import type { LineStatus, Status } from '../control/api.ts';
import type { ArenaSource } from './arena-source.ts';
import { PRESSURE_CAUSES } from './why-facts.ts';

export interface StatusFacts {
  version: string;
  config: PortfoldConfig;
  configFile: string;
  wan: WanConfig;
  line: DerivedLine;
  state: Status['state'];
  startedAt: Date;
  mtu: number;
  /** Absent until the host is set up. */
  host: HostResult | undefined;
  source: ArenaSource | undefined;
  arena: Arena | undefined;
  /** Why packets do not pass although the gateway runs. */
  degraded: string | undefined;
  packetsLostAtTun: number;
}

export function describeStatus(facts: StatusFacts): Status {
  const { config, host, arena, source, startedAt } = facts;
  const count = (index: number): number => source?.counters[index] ?? 0;
  const usage = (index: number) => ({ used: count(index), capacity: config.gateway.capacity });
  const none = { used: 0, owned: 0, total: facts.line.ports.length };
  return {
    schema: 'portfold/status/v1',
    version: facts.version,
    state: facts.state,
    ...(facts.degraded === undefined ? {} : { degraded: facts.degraded }),
    pid: process.pid,
    startedAt: startedAt.toISOString(),
    uptimeSeconds: (Date.now() - startedAt.getTime()) / 1000,
    tun: config.gateway.tun,
    configFile: facts.configFile,
    lines: [describeLine(facts)],
    lans: config.lans.map((lan) => ({
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
    hosts: { used: count(Counter.HostsNow), capacity: (arena?.hosts.length ?? 0) / HOST_WORDS },
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
      packetsLostAtTun: facts.packetsLostAtTun,
    },
    memory: {
      residentBytes: process.memoryUsage.rss(),
      arenaBytes: arena ? arenaBytes(arena.shape) : 0,
    },
    pressure: describePressure(count),
    classes: Object.fromEntries(
      CLASS_NAMES.map((name, i) => [
        name,
        { now: count(COUNTER_CLASS_NOW + i), created: count(COUNTER_CLASS_CREATED + i) },
      ]),
    ),
    ...(count(Counter.UpstreamCapacity) > 0
      ? {
          upstream: {
            used: count(Counter.UpstreamEntries),
            capacity: count(Counter.UpstreamCapacity),
            reused: count(Counter.UpstreamReused),
          },
        }
      : {}),
  };
}

function describePressure(count: (index: number) => number): NonNullable<Status['pressure']> {
  const cause = PRESSURE_CAUSES[count(COUNTER_PRESSURE_CAUSE)];
  const fill = (number: number): number => count(COUNTER_PRESSURE_FILL + number) / 256;
  return {
    level: count(Counter.PressureLevel),
    ...(cause === undefined ? {} : { cause }),
    changes: count(Counter.PressureChanges),
    endedSooner: count(Counter.EndedByPressure),
    evicted: count(Counter.SessionsEvicted),
    evictedFromHeaviest: count(Counter.EvictedFromHeaviest),
    unansweredGaveWay: count(Counter.UnansweredGaveWay),
    fill: {
      sessions: fill(PressureCause.Table),
      'owned-ports': fill(PressureCause.OwnedPorts),
      destinations: fill(PressureCause.Destinations),
      upstream: fill(PressureCause.Upstream),
    },
    levels: Array.from({ length: PRESSURE_LEVELS }, (_, level) => {
      const at = COUNTER_PRESSURE_RECORD + level * PRESSURE_RECORD_WORDS;
      return {
        seconds: count(at + PressureRecord.Seconds),
        endedSooner: count(at + PressureRecord.EndedSooner),
        evicted: count(at + PressureRecord.Evicted),
        quicRejected: count(at + PressureRecord.QuicRejected),
        refused: count(at + PressureRecord.Refused),
      };
    }),
  };
}

function describeLine({ wan, line, host, mtu }: StatusFacts): LineStatus {
  return {
    name: wan.name,
    type: wan.type,
    interface: wan.interface,
    externalAddress: line.externalAddress,
    portCount: line.ports.length,
    portRanges: line.portRanges.map(formatRange),
    mtu,
    encapsulation: host?.encapsulation ?? 'none',
    ...(line.ceAddress ? { ceAddress: line.ceAddress, brAddress: line.brAddress } : {}),
    ...(line.forwardingRules === undefined ? {} : { mesh: true }),
    ...(line.psid === undefined ? {} : { psid: line.psid }),
  };
}
