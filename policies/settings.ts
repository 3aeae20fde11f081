/**
 * What a policy is made of: plain numbers and words, so that it travels to the datapath's thread, into the simulator and into
 * `portfold check` as it is. build.ts makes the policy of it that the engine asks.
 *
 *   preset ──▶ PolicySettings ◀── keys of [policy], [lan.policy], [wan.policy]
 *                   │
 *                   ├─ timers ──▶ four tables, one for each pressure level      timers.ts
 *                   └─ the rest ─▶ rules, limits, pressure plan                 build.ts
 *
 * Settings are whole: nothing is left to a default further down. Units stand in the names.
 */
import type { UpstreamSettings } from '../core/table/upstream.ts';
import { event } from './presets/event.ts';
import { game } from './presets/game.ts';
import { home } from './presets/home.ts';
import { rfc } from './presets/rfc.ts';
import type { Exceptions, Network } from './rule.ts';

export type PresetName = 'home' | 'event' | 'rfc' | 'game';

/** UDP classes as they are called in the configuration and in lists. */
export const UDP_CLASS_NAMES = [
  'dns',
  'ntp',
  'quic',
  'stun',
  'dtls',
  'sip',
  'rtp',
  'dht',
  'utp',
  'wireguard',
  'ike',
  'esp-in-udp',
  'openvpn',
  'other',
] as const;
export type UdpClassName = (typeof UDP_CLASS_NAMES)[number];

/**
 * A UDP session lives by its class. While nothing has come back it lives no longer than `unanswered`. An ICMP query lives by `icmp`,
 * answered or not: its one answer may be late.
 */
export const TIMER_NAMES = [
  'tcp-half-open',
  'tcp-established',
  'tcp-half-closed',
  'tcp-closing',
  'tcp-reset',
  'icmp',
  'unanswered',
  ...UDP_CLASS_NAMES,
] as const;
export type TimerName = (typeof TIMER_NAMES)[number];

/** Seconds of silence after which a session ends, at the pressure levels 0 to 3. */
export type TimerSeconds = readonly [number, number, number, number];
export type Timers = Readonly<Record<TimerName, TimerSeconds>>;

export interface QuicSettings {
  /** reject tells the sender, so that it goes on with TCP at once; drop does not. pressure rejects while things are short. */
  readonly mode: 'allow' | 'reject' | 'drop' | 'pressure';
  /** For `pressure`: from this level on, or from this fill of the NAT above, in 1/256. */
  readonly fromLevel: number;
  readonly fromUpstream256: number;
  readonly except: Exceptions;
}

export interface UdpSettings {
  /** What becomes of all UDP that is not excepted. */
  readonly mode: 'allow' | 'reject' | 'drop';
  readonly except: Exceptions & { readonly classes: readonly UdpClassName[] };
}

/** TCP to port 25 of the outside. */
export interface MailSettings {
  readonly mode: 'allow' | 'reject';
  readonly except: Exceptions;
}

/** Of one host; 0 is no limit. */
export interface LimitSettings {
  readonly sessions: number;
  readonly ownedPorts: number;
  /** New sessions a second in the long run, and at once. */
  readonly newPerSecond: number;
  readonly newAtOnce: number;
}

/** Shares of the session table that are kept free for others. */
export interface ReserveSettings {
  /** For hosts with few sessions, in percent of the table. */
  readonly percent: number;
  /** A host with up to so many holds few. */
  readonly fewSessions: number;
}

export interface PressureSettings {
  /** Fill at which levels 1, 2 and 3 begin, in percent. */
  readonly levelsPercent: readonly [number, number, number];
  /** What is full makes room by ending a session of whoever holds most. */
  readonly evict: boolean;
}

export interface PolicySettings {
  readonly preset: PresetName;
  /** Endpoints share ports as guests; false: each owns one. */
  readonly sharing: boolean;
  /** A UDP session that was never answered gives way before a new one is refused. */
  readonly evictUnanswered: boolean;
  /** Whom an owned port lets in: addresses that its owner has sent to, or everybody. */
  readonly filtering: 'address' | 'open';
  /** UDP classes whose endpoints own a port. */
  readonly peers: readonly UdpClassName[];
  /** Of the port set, the share that may be owned, in percent. */
  readonly ownedPercent: number;
  readonly timers: Timers;
  /** UDP sessions of a host to one address that may stay unanswered for more than three seconds; 0 is no limit. */
  readonly unansweredPerRemote: number;
  readonly limits: LimitSettings;
  /** Line-wide, as are pressure and upstream: those of the first profile count. */
  readonly reserve: ReserveSettings;
  readonly pressure: PressureSettings;
  /** Another NAT above this one. */
  readonly upstream?: UpstreamSettings;
  readonly quic: QuicSettings;
  readonly udp: UdpSettings;
  /** auto: refused on a line whose own address is public. */
  readonly privateDestinations: 'auto' | 'refuse' | 'allow';
  readonly privateExcept: readonly Network[];
  readonly mail: MailSettings;
}

export const PRESETS: Readonly<Record<PresetName, PolicySettings>> = { home, event, rfc, game };
export const PRESET_NAMES = Object.keys(PRESETS) as PresetName[];
