/** A gateway's tables made up from a seed: rows as a real source yields them, one object used again and again. */
import type { DropItem, EventItem, Status, WhyAnswer } from '../../../gateway/control/api.ts';
import type {
  ControlSource,
  HostRow,
  MappingRow,
  PortRow,
  SessionRow,
} from '../../../gateway/control/source.ts';
import { formatAddress } from '../../../gateway/control/text.ts';

const PROTOCOLS = ['tcp', 'udp', 'icmp'] as const;
const CLASSES = ['dns', 'quic', 'stun', 'other'];
const STATES = ['established', 'unanswered', 'closing'];
const FLAGS = [[], ['answered'], ['answered', 'diverted'], ['inbound']];

export const address = (a: number, b: number, c: number, d: number): number =>
  (a << 24) | (b << 16) | (c << 8) | d;

export const EXTERNAL = address(203, 0, 113, 5);

/** Row number `i` written into `row`: every value depends on `i` alone. */
export function sessionAt(row: SessionRow, i: number): SessionRow {
  row.protocol = PROTOCOLS[i % 3];
  row.internalAddress = address(192, 168, i & 1, 2 + (i % 50));
  row.internalPort = 1_024 + (i % 60_000);
  row.externalAddress = EXTERNAL;
  row.externalPort = 5_136 + (i % 240);
  row.remoteAddress = address(198, 51, 100, i % 100);
  row.remotePort = [53, 80, 443, 3_478][i % 4];
  row.lan = i & 1 ? 'guests' : 'home';
  row.class = CLASSES[(i >> 2) % 4];
  row.state = STATES[i % 3];
  row.flags = FLAGS[(i >> 1) % 4];
  row.ageSeconds = (i * 7) % 10_000;
  row.idleSeconds = ((i * 13) % 1_200) / 4;
  row.timeLeftSeconds = 300 - row.idleSeconds;
  row.packetsOut = i % 5 === 0 ? -1 : i;
  row.packetsIn = i % 5 === 0 ? -1 : i * 2;
  row.bytesOut = i * 64;
  row.bytesIn = i * 6_400;
  return row;
}

export const emptySession = (): SessionRow => ({
  protocol: 'tcp',
  internalAddress: 0,
  internalPort: 0,
  externalAddress: 0,
  externalPort: 0,
  remoteAddress: 0,
  remotePort: 0,
  lan: '',
  state: '',
  class: '',
  flags: [],
  ageSeconds: 0,
  idleSeconds: 0,
  timeLeftSeconds: 0,
  packetsOut: 0,
  packetsIn: 0,
  bytesOut: 0,
  bytesIn: 0,
});

export class FakeSource implements ControlSource {
  readonly eventItems: EventItem[] = [];
  readonly count: number;
  oldestSequence = 1;
  /** Set: what the next status() throws. */
  failure: Error | undefined;
  state: Status['state'] = 'forwarding';
  /** Rows that were stepped over since the start. */
  stepped = 0;

  constructor(sessions: number) {
    this.count = sessions;
  }

  status(): Status {
    if (this.failure !== undefined) throw this.failure;
    return { ...fakeStatus(), state: this.state };
  }

  *sessions(): Generator<SessionRow> {
    const row = emptySession();
    for (let i = 0; i < this.count; i++) {
      this.stepped++;
      yield sessionAt(row, i);
    }
  }

  *mappings(): Generator<MappingRow> {
    const session = emptySession();
    const row: MappingRow = { ...session, role: 'guest', sessions: 0 };
    for (let i = 0; i < 100; i++) {
      Object.assign(row, sessionAt(session, i));
      row.role = i % 10 === 0 ? 'owner' : 'guest';
      row.sessions = i;
      yield row;
    }
  }

  *hosts(): Generator<HostRow> {
    for (let i = 0; i < 5; i++)
      yield {
        address: address(192, 168, 0, 10 + i),
        lan: 'home',
        sessions: i * 1_000,
        mappings: i * 10,
        portsOwned: i,
        sessionsPeak: i * 1_500,
        sessionsCreated: i * 100_000,
        sessionsRefused: i === 3 ? 12 : 0,
        sessionsMax: i === 3 ? 3_000 : 0,
        newPerSecondMax: 0,
        portsOwnedMax: 8,
        bytesOut: i * 1_234_567,
        bytesIn: i * 7_654_321_000,
        lastSeenSeconds: i * 40,
      };
  }

  *ports(): Generator<PortRow> {
    for (const protocol of PROTOCOLS)
      for (let i = 0; i < 240; i++)
        yield {
          protocol,
          externalAddress: EXTERNAL,
          port: 5_136 + (i >> 4) * 4_096 + (i & 15),
          sessions: protocol === 'icmp' ? 0 : i,
          ownerAddress: i === 7 && protocol === 'udp' ? address(192, 168, 0, 12) : 0,
          ownerPort: i === 7 && protocol === 'udp' ? 5_060 : -1,
        };
  }

  *drops(): Generator<DropItem> {
    yield { reason: 'NotInPortSet', meaning: 'destination port is not ours', packets: 1_234 };
    yield { reason: 'NoPortLeft', meaning: 'every port is taken towards that remote', packets: 9 };
    yield { reason: 'Loop', meaning: 'our own packet came back', packets: 0 };
  }

  events(since: number) {
    return {
      events: this.eventItems.filter((item) => item.sequence > since),
      lastSequence: this.eventItems.at(-1)?.sequence ?? 0,
      oldestSequence: this.oldestSequence,
    };
  }

  /** Not there yet: answers as a gateway that starts. */
  isReady = true;

  why(host?: number): Promise<WhyAnswer> | undefined {
    if (!this.isReady) return undefined;
    return Promise.resolve(fakeWhy(host === undefined ? undefined : formatAddress(host)));
  }

  addEvent(event: Partial<EventItem> = {}): void {
    const sequence = (this.eventItems.at(-1)?.sequence ?? 0) + 1;
    this.eventItems.push({
      sequence,
      time: `2026-11-22T10:00:${String(sequence % 60).padStart(2, '0')}.000Z`,
      kind: 'session-refused',
      protocol: 'udp',
      internal: '192.168.0.10:40001',
      remote: '198.51.100.7:53',
      suppressed: 0,
      text: 'no port left for 192.168.0.10:40001 towards 198.51.100.7:53',
      ...event,
    });
  }
}

export const fakeStatus = (): Status => ({
  schema: 'portfold/status/v1',
  version: '0.1.0',
  state: 'forwarding',
  pid: 1_234,
  startedAt: '2026-11-22T01:02:03.000Z',
  uptimeSeconds: 277_500,
  tun: 'portfold0',
  configFile: '/etc/portfold/portfold.toml',
  lines: [
    {
      name: 'v6plus',
      type: 'map-e',
      interface: 'wan0',
      externalAddress: '106.72.18.52',
      portCount: 240,
      portRanges: ['5136-5151', '9232-9247', '13328-13343', '17424-17439', '21520-21535'],
      mtu: 1_460,
      encapsulation: 'seg6',
      ceAddress: '240b:10:1234:5600:6a:4812:3400:5600',
      brAddress: '2404:9200:225:100::64',
      psid: 52,
    },
  ],
  lans: [{ name: 'home', interfaces: ['lan0'], networks: ['192.168.0.0/24'] }],
  sessions: { used: 24_120, capacity: 262_144, tcp: 120, udp: 24_000, icmp: 0 },
  mappings: { used: 24_050, capacity: 262_144 },
  remotes: { used: 100, capacity: 65_536 },
  hosts: { used: 3_900, capacity: 4_096 },
  ports: {
    tcp: { used: 60, owned: 0, total: 240 },
    udp: { used: 240, owned: 12, total: 240 },
    icmp: { used: 0, owned: 0, total: 240 },
  },
  counters: {
    packetsOutbound: 123_456,
    packetsInbound: 654_321,
    bytesOutbound: 98_765_432,
    bytesInbound: 1_098_765_432,
    sessionsCreated: 50_000,
    sessionsEnded: 25_880,
    sessionsDiverted: 240,
    sessionsRefused: 12,
    packetsDropped: 1_243,
    packetsAnswered: 31,
    packetsLostAtTun: 0,
  },
  memory: { residentBytes: 121_000_000, arenaBytes: 33_554_432 },
});

/** One finding of each weight; 192.168.0.10 is the only host that is known. */
export const fakeWhy = (host?: string): WhyAnswer => ({
  schema: 'portfold/why/v1',
  generatedAt: '2026-11-22T10:00:00.000Z',
  summary: 'Short: ports towards udp 198.51.100.7:53. Worth knowing: 192.168.0.10 seeks a printer.',
  findings: [
    {
      kind: 'ports-towards',
      severity: 'short',
      title: 'ports towards udp 198.51.100.7:53',
      since: '2026-11-22T09:58:00.000Z',
      hosts: [{ address: '192.168.0.12', sessions: 240 }],
      destinations: [{ protocol: 'udp', address: '198.51.100.7', port: 53, sessions: 240 }],
      classes: [{ class: 'dns', state: 'unanswered', count: 240 }],
      numbers: { sessions: 240, ports: 240, count: 12 },
      text: 'All 240 external ports are taken towards udp 198.51.100.7:53; 12 new sessions were refused since 09:58.',
      advice: 'See whether 198.51.100.7 lives.',
    },
    {
      kind: 'private-destination',
      severity: 'notice',
      title: '192.168.0.10 seeks a printer',
      hosts: [{ address: '192.168.0.10', refused: 3 }],
      destinations: [],
      classes: [],
      numbers: { count: 3 },
      text: 'It sends to \x1b[31m192.168.7.211.',
      advice: 'Look there.',
    },
  ],
  users: [
    { address: '192.168.0.14', sessions: 4_000, ports: 4 },
    { address: '192.168.0.13', sessions: 3_000, ports: 0 },
  ],
  pressure: { level: 0 },
  ...(host === '192.168.0.10'
    ? {
        host: {
          address: host,
          lan: 'home',
          sessions: 1,
          ports: 0,
          sessionsPeak: 2,
          sessionsCreated: 9,
          sessionsRefused: 3,
          classes: [],
          destinations: [],
          refusals: [],
          limits: { sessions: 0, newPerSecond: 0, ownedPorts: 8 },
          text: '192.168.0.10 (LAN home) holds 1 session.',
        },
      }
    : {}),
  minutes: [],
});
