/**
 * States and classes of a session, and the timer of each pair.
 *
 * The timer table has one entry per profile, class and state, in ticks, so that the sweep needs one load to know how long a session
 * may be idle: `timers[commit & TIMER_MASK]`.
 *
 *   commit word:  | generation 8 | flags 12 | profile 2 | class 4 | state 6 |
 *
 * A *class* says what a session is for, as its first packet showed. A *profile* is what holds for the hosts of one LAN (policy.ts).
 */

/** One tick of the sweep's clock, in milliseconds. */
export const TICK_MS = 250;
export const TICKS_PER_SECOND = 1000 / TICK_MS;

/** 0 means that the record is free. */
export const State = {
  Free: 0,
  /** TCP: SYN seen from inside / from outside, not yet answered. */
  TcpInit: 1,
  TcpEstablished: 2,
  /** One FIN seen; the flags say from which side. */
  TcpHalfClosed: 3,
  /** Both FINs seen, or a valid RST: RFC 7857's TRANS. */
  TcpClosing: 4,
  TcpReset: 5,
  /** UDP and ICMP: nothing came back yet / something did. */
  Unanswered: 6,
  Answered: 7,
} as const;

export const STATE_NAMES: readonly string[] = [
  'free',
  'half-open',
  'established',
  'half-closed',
  'closing',
  'reset',
  'unanswered',
  'answered',
];

/** The numbers are in restored arenas: they never change. */
export const Class = {
  Other: 0,
  Tcp: 1,
  Icmp: 2,
  Dns: 3,
  Stun: 4,
  Ntp: 5,
  Quic: 6,
  Dtls: 7,
  Wireguard: 8,
  Ike: 9,
  EspInUdp: 10,
  Openvpn: 11,
  Sip: 12,
  Rtp: 13,
  Dht: 14,
  Utp: 15,
} as const;

export const CLASS_NAMES: readonly string[] = [
  'other',
  'tcp',
  'icmp',
  'dns',
  'stun',
  'ntp',
  'quic',
  'dtls',
  'wireguard',
  'ike',
  'esp-in-udp',
  'openvpn',
  'sip',
  'rtp',
  'dht',
  'utp',
];

export const CLASSES_MAX = 16;
/** The class among the six bits of profile and class. */
export const CLASS_MASK = CLASSES_MAX - 1;
export const STATES_MAX = 64;

/** Shift of the six bits of profile and class in the commit word, and of the profile's two. */
export const COMMIT_CLASS_SHIFT = 6;
export const COMMIT_PROFILE_SHIFT = 10;
/** The bits of the commit word that choose a timer. */
export const TIMER_MASK = 0xfff;
export const TIMERS = TIMER_MASK + 1;

/** Bits 12 … 23 of the commit word. */
export const Flag = {
  Answered: 1,
  CreatedInbound: 2,
  Diverted: 4,
  /** On an owned port without being its owner. */
  GuestOfOwned: 8,
  Hairpin: 16,
  RemoteClosedFirst: 32,
  HasTimestamps: 64,
  FinOut: 128,
  FinIn: 256,
  Static: 512,
  Killed: 1024,
  /** Counted in the permits of the port's owner. */
  Permit: 2048,
} as const;

export const FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [Flag.Answered, 'answered'],
  [Flag.CreatedInbound, 'inbound'],
  [Flag.Diverted, 'diverted'],
  [Flag.GuestOfOwned, 'guest-of-owned'],
  [Flag.Hairpin, 'hairpin'],
  [Flag.RemoteClosedFirst, 'remote-closed-first'],
  [Flag.HasTimestamps, 'timestamps'],
  [Flag.FinOut, 'fin-out'],
  [Flag.FinIn, 'fin-in'],
  [Flag.Static, 'static'],
  [Flag.Killed, 'killed'],
  [Flag.Permit, 'permit'],
];

if (STATE_NAMES.length !== Object.keys(State).length) throw new Error('every state needs a name');
if (CLASS_NAMES.length !== Object.keys(Class).length) throw new Error('every class needs a name');
if (CLASS_NAMES.length !== CLASSES_MAX) throw new Error('a class is four bits');
