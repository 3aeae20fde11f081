/**
 * The control API: what travels over the control socket, HTTP and JSON. The command line and the dashboard know this file and nothing else
 * of the gateway.
 *
 * JSON holds raw numbers (bytes, seconds, port numbers); names for people are made by whoever prints. A list answers
 * `{ schema, generatedAt, total, items }`; `total` counts what the filter matched, `items` holds at most `limit` of them.
 *
 *   GET /v1/status            Status
 *   GET /v1/sessions          List<SessionItem>    ?filter=…&limit=N
 *   GET /v1/mappings          List<MappingItem>
 *   GET /v1/hosts             List<HostItem>
 *   GET /v1/ports             List<PortItem>
 *   GET /v1/drops             List<DropItem>
 *   GET /v1/events            EventList            ?since=SEQUENCE
 *   GET /v1/why               WhyAnswer            ?host=ADDRESS
 *   errors                    { error: { code, message } } with status 400, 404, 405, 500 or 503
 *
 * Every list takes
 *
 *   filter=TERMS     the filter language of gateway/control/filter.ts, terms parted by blanks; all must hold
 *   limit=N          at most N items, 0 … 1,000,000; 1,000 if absent. Of events the newest N
 *   sort=KEY         ascending by a key of the list (the keys of its filter); sort=-KEY descending. Then at most 10,000
 *                    items, since the gateway holds them while it sorts
 *   stream=ndjson    one item a line and nothing else, written as they are found
 */
export const SOCKET_DEFAULT = '/run/portfold/portfold.sock';

export type ProtocolName = 'tcp' | 'udp' | 'icmp';

export interface List<T> {
  /** For instance "portfold/sessions/v1". */
  schema: string;
  /** RFC 3339. */
  generatedAt: string;
  total: number;
  items: T[];
}

export interface LineStatus {
  name: string;
  type: string;
  interface: string;
  externalAddress: string;
  /** Number of ports in the port set, and the ranges as "4096-4111". */
  portCount: number;
  portRanges: string[];
  mtu: number;
  /** How packets are encapsulated: "none", "seg6", "ip6tnl", "own". */
  encapsulation: string;
  ceAddress?: string;
  brAddress?: string;
  /** Neighbours are reached directly; absent where they are not. */
  mesh?: true;
  psid?: number;
}

/** What a border relay (`portfold br`) says of itself. */
export interface RelayStatus {
  address: string;
  /** Source of its ICMP messages. */
  ipv4Address: string;
  interface: string;
  /** Of the IPv4 packets in the tunnel. */
  mtu: number;
  rules: {
    ipv6: string;
    ipv4: string;
    eaLength: number;
    psidOffset: number;
    psidLength?: number;
  }[];
  packetsBetweenCes: number;
}

export interface Usage {
  used: number;
  capacity: number;
}

export interface Status {
  schema: 'portfold/status/v1';
  version: string;
  state: 'forwarding' | 'starting' | 'stopping';
  /** The gateway runs, but packets do not pass, and why: a sentence for people. Absent while they do. */
  degraded?: string;
  /** Present in the answer of a border relay, which has no lines, LANs, sessions or ports. */
  relay?: RelayStatus;
  pid: number;
  startedAt: string;
  uptimeSeconds: number;
  tun: string;
  configFile: string;
  lines: LineStatus[];
  lans: { name: string; interfaces: string[]; networks: string[] }[];
  sessions: Usage & { tcp: number; udp: number; icmp: number };
  mappings: Usage;
  remotes: Usage;
  hosts: Usage;
  /** Per protocol: external ports that carry at least one session, ports owned by peers, and the size of the set. */
  ports: Record<ProtocolName, { used: number; owned: number; total: number }>;
  /** Since the start. */
  counters: {
    packetsOutbound: number;
    packetsInbound: number;
    bytesOutbound: number;
    bytesInbound: number;
    sessionsCreated: number;
    sessionsEnded: number;
    sessionsDiverted: number;
    sessionsRefused: number;
    packetsDropped: number;
    packetsAnswered: number;
    /** Of those that the kernel had for the gateway: the queue towards it was full. Not in packetsDropped. */
    packetsLostAtTun: number;
  };
  memory: { residentBytes: number; arenaBytes: number };
  /** 0 … 3: how short things are, and so how soon idle sessions end. Absent in the answer of a border relay, as are the two below. */
  pressure?: {
    level: number;
    /** "sessions", "owned-ports", "destinations" or "upstream"; absent at level 0. */
    cause?: string;
    changes: number;
    endedSooner: number;
    /** Sessions ended to make room, and those among them that whoever held most had to give. */
    evicted: number;
    evictedFromHeaviest: number;
    /** Unanswered sessions that gave way to a newer one of the same host towards the same address. */
    unansweredGaveWay: number;
    /** How full each is by which pressure is measured, 0 … 1. */
    fill: Record<'sessions' | 'owned-ports' | 'destinations' | 'upstream', number>;
    /** What happened while each of the levels 0 to 3 was in force, since the start. */
    levels: {
      seconds: number;
      endedSooner: number;
      evicted: number;
      quicRejected: number;
      refused: number;
    }[];
  };
  /** Sessions by class. */
  classes?: Record<string, { now: number; created: number }>;
  /** Table of the NAT above, as estimated; absent too where none is configured. */
  upstream?: Usage & { reused: number };
}

export interface SessionItem {
  protocol: ProtocolName;
  /** address:port; for ICMP the port is the query identifier. */
  internal: string;
  external: string;
  remote: string;
  state: string;
  class: string;
  /** "answered", "inbound", "diverted", "guest", … */
  flags: string[];
  ageSeconds: number;
  idleSeconds: number;
  /** Until the session ends if nothing passes. */
  timeLeftSeconds: number;
  packetsOut?: number;
  packetsIn?: number;
  bytesOut: number;
  bytesIn: number;
}

export interface MappingItem {
  protocol: ProtocolName;
  internal: string;
  external: string;
  role: 'owner' | 'guest';
  class: string;
  sessions: number;
  ageSeconds: number;
  idleSeconds: number;
}

export interface HostItem {
  address: string;
  lan: string;
  sessions: number;
  mappings: number;
  /** Ports that this host owns alone. */
  portsOwned: number;
  sessionsPeak: number;
  sessionsCreated: number;
  sessionsRefused: number;
  /** What the host may have; 0 is no limit. */
  sessionsMax: number;
  newPerSecondMax: number;
  portsOwnedMax: number;
  bytesOut: number;
  bytesIn: number;
  lastSeenSeconds: number;
}

export interface PortItem {
  protocol: ProtocolName;
  externalAddress: string;
  port: number;
  sessions: number;
  /** internal endpoint of the owner, if the port has one. */
  owner?: string;
}

export interface DropItem {
  /** Stable name, for instance "NoPortLeft". */
  reason: string;
  /** A sentence for people. */
  meaning: string;
  packets: number;
}

export interface EventItem {
  sequence: number;
  /** RFC 3339. */
  time: string;
  /** For instance "session-refused". */
  kind: string;
  protocol?: ProtocolName;
  internal?: string;
  remote?: string;
  external?: string;
  /** Where the event tells of a refusal: why, as `reason` in `drops`. */
  reason?: string;
  /** Events of the same kind that were left out before this one, since events are limited. */
  suppressed: number;
  /** A sentence for people. */
  text: string;
}

export interface EventList extends List<EventItem> {
  /** Pass it as `since` to see only what comes after. Smaller than the `since` asked for: the gateway started anew. */
  lastSequence: number;
  /** Events after `since` that were forgotten before they were asked for. */
  missed: number;
}

/** Something fails now; something is nearly used up; or it does no harm and is worth knowing. */
export type WhySeverity = 'short' | 'tight' | 'notice';

/** What a finding is about. */
export type WhyKind =
  | 'not-forwarding'
  | 'queue-full'
  | 'ports-towards'
  | 'owned-ports'
  | 'peers-without-port'
  | 'session-table'
  | 'remote-table'
  | 'host-table'
  | 'upstream'
  | 'host-limit'
  | 'reserve'
  | 'dead-destination'
  | 'private-destination'
  | 'half-open'
  | 'refused-by-policy'
  | 'pressure';

export interface WhyHost {
  address: string;
  sessions?: number;
  /** External ports that it owns, or that its sessions take. */
  ports?: number;
  /** Packets refused, as far as events told of them. */
  refused?: number;
}

export interface WhyDestination {
  protocol?: ProtocolName;
  address: string;
  port?: number;
  sessions?: number;
  refused?: number;
}

export interface WhyClass {
  class: string;
  state?: string;
  /** Sessions; of a finding about owned ports: ports. */
  count: number;
}

/** One thing that is short, or that somebody should know. */
export interface WhyFinding {
  kind: WhyKind;
  severity: WhySeverity;
  /** A few words, for instance "ports towards udp 198.51.100.1:53". */
  title: string;
  /** RFC 3339. `until` is there when it is over. */
  since?: string;
  until?: string;
  /** Drop reason, or what caused the pressure. */
  reason?: string;
  /** Who, whereto and what; most first. */
  hosts: WhyHost[];
  destinations: WhyDestination[];
  classes: WhyClass[];
  /** Figures by name; which there are depends on the kind. */
  numbers: Record<string, number>;
  /** Sentences for people: what is so, and what to do about it. */
  text: string;
  advice: string;
}

/** What is known of one host. */
export interface WhyHostReport extends WhyHost {
  lan: string;
  sessionsPeak: number;
  sessionsCreated: number;
  sessionsRefused: number;
  classes: WhyClass[];
  destinations: WhyDestination[];
  /** By reason, most recent first. */
  refusals: { reason: string; told: number; since: string; destinations: WhyDestination[] }[];
  /** 0 is no limit. */
  limits: { sessions: number; newPerSecond: number; ownedPorts: number };
  text: string;
}

/** Figures of one minute. */
export interface WhyMinute {
  /** When it began. RFC 3339. */
  time: string;
  seconds: number;
  sessionsCreated: number;
  sessionsRefused: number;
  unansweredGaveWay: number;
  sessionsEvicted: number;
  /** Greatest of the minute. */
  sessions: number;
  pressure: number;
}

export interface WhyAnswer {
  schema: 'portfold/why/v1';
  generatedAt: string;
  /** One sentence for people. */
  summary: string;
  /** Worst first. With `host`: those that it has to do with. */
  findings: WhyFinding[];
  /** The three hosts that hold most sessions. */
  users: WhyHost[];
  pressure: { level: number; cause?: string; since?: string };
  /** The host that was asked about; absent where none was, or where it is not known. */
  host?: WhyHostReport;
  /** Oldest first; at most the last hour. */
  minutes: WhyMinute[];
}

/** Each list and what its items are; the path is /v1/ and the name. */
export interface ListItems {
  sessions: SessionItem;
  mappings: MappingItem;
  hosts: HostItem;
  ports: PortItem;
  drops: DropItem;
  events: EventItem;
}

export type ListName = keyof ListItems;

/** Items that an answer holds when no limit is asked for, and at most. */
export const LIMIT_DEFAULT = 1_000;
export const LIMIT_MAX = 1_000_000;
/** Items that a sorted answer holds at most. */
export const SORT_LIMIT_MAX = 10_000;

export interface ApiError {
  error: { code: string; message: string };
}
