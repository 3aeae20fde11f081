/**
 * Verdicts: what becomes of a packet. Every packet that is not forwarded has one of the reasons below, and a counter.
 *
 *   verdict >= 0   the device writes the frame: FORWARDED, or ANSWERED when it was turned into an ICMP message for its sender
 *                  ENCAPSULATE: behind the IPv6 header that stands in front of its virtio header, in segments if it is a superpacket
 *                  COALESCE: as it stands, or merged with the TCP segments that follow it
 *   verdict <  0   it does not; ~verdict is the reason
 *
 * A reason is counted also when the packet was answered: the answer is how the sender learns of it.
 */
export const FORWARDED = 0;
export const ANSWERED = 1;
export const ENCAPSULATE = 2;
export const COALESCE = 3;

/** Dense, so that a counter array can be indexed by it. Add new ones at the end: the numbers are in restored arenas. */
export const Drop = {
  TruncatedHeader: 0,
  NotIp: 1,
  FragmentOfDropped: 2,
  LoopedOwnSource: 3,
  SourceNotInternal: 4,
  SourceIsInternal: 5,
  UnroutableDestination: 6,
  TtlExpired: 7,
  TooBigForLine: 8,
  ProtocolNotTranslated: 9,
  NoPortLeft: 10,
  SessionTableFull: 11,
  RemoteTableFull: 12,
  RefusedByPolicy: 13,
  NotInPortSet: 14,
  NoSession: 15,
  FilteredByOwner: 16,
  TcpWithoutSession: 17,
  IcmpTypeNotTranslated: 18,
  IcmpBadChecksum: 19,
  IcmpBadQuote: 20,
  IcmpErrorWithoutSession: 21,
  KernelChatter: 22,
  TunnelPacketNotAccepted: 23,
  TunnelErrorWithoutSession: 24,
  AnswerLimited: 25,
  FragmentWithoutFirst: 26,
  FragmentOverlapsHeader: 27,
  FragmentRoom: 28,
  TunnelReassembly: 29,
  TunnelCongestion: 30,
  TunnelSourceSpoofed: 31,
  PrivateDestination: 32,
  QuicRejected: 33,
  UdpBlocked: 34,
  HostSessionLimit: 35,
  HostRateLimit: 36,
  ReservedForOthers: 37,
  UpstreamFull: 38,
} as const;

export type DropReason = (typeof Drop)[keyof typeof Drop];

/** Names by number, and what each means for a person. */
export const DROP_MEANING: readonly (readonly [name: keyof typeof Drop, meaning: string])[] = [
  [
    'TruncatedHeader',
    'The packet ends before its headers do, or its IP length; or a header length is too small.',
  ],
  ['NotIp', 'The first four bits say neither IPv4 nor IPv6.'],
  ['FragmentOfDropped', 'A later fragment of a packet whose first fragment was not forwarded.'],
  ['LoopedOwnSource', 'A packet with our own external address as source came back: a loop.'],
  [
    'SourceNotInternal',
    'A packet that is not to our external address, from a source in none of the LAN networks.',
  ],
  ['SourceIsInternal', 'A packet from the WAN whose source claims to be in a LAN network.'],
  [
    'UnroutableDestination',
    'The destination is multicast, broadcast, loopback, reserved or in a LAN.',
  ],
  ['TtlExpired', 'The hop count ran out here; the sender was told (ICMP 11/0).'],
  [
    'TooBigForLine',
    'Too big for the line and marked "do not fragment"; the sender was told (ICMP 3/4).',
  ],
  [
    'ProtocolNotTranslated',
    'A protocol without ports on a shared address; the sender was told (ICMP 3/2).',
  ],
  [
    'NoPortLeft',
    'No external port is left towards that remote endpoint, or none to own where ports are not shared; the sender was told (ICMP 3/13).',
  ],
  ['SessionTableFull', 'The session table is full; the sender was told (ICMP 3/13).'],
  ['RemoteTableFull', 'The table of remote endpoints is full; the sender was told (ICMP 3/13).'],
  ['RefusedByPolicy', 'A policy refused the session; the sender was told (ICMP 3/13).'],
  ['NotInPortSet', 'Inbound to a port or identifier outside our port set.'],
  ['NoSession', 'Inbound, and no session or owner holds that port for this remote endpoint.'],
  [
    'FilteredByOwner',
    'Inbound to an owned port from a remote address that its owner never sent to.',
  ],
  [
    'TcpWithoutSession',
    'A TCP segment in the middle of a connection that the gateway does not know.',
  ],
  [
    'IcmpTypeNotTranslated',
    'An ICMP message that a NAT does not translate (redirect, source quench, …).',
  ],
  ['IcmpBadChecksum', 'An ICMP error with a wrong checksum.'],
  [
    'IcmpBadQuote',
    'An ICMP error whose quoted packet is cut short or has a wrong header checksum.',
  ],
  ['IcmpErrorWithoutSession', 'An ICMP error about a packet that belongs to no session.'],
  [
    'KernelChatter',
    'What the kernel itself says into the TUN (router solicitations, multicast reports).',
  ],
  [
    'TunnelPacketNotAccepted',
    'To the tunnel address, but not IPv4 from the relay, nor an ICMPv6 error that can be passed on.',
  ],
  [
    'TunnelErrorWithoutSession',
    'An ICMPv6 error about a tunnel packet that belongs to no session.',
  ],
  [
    'AnswerLimited',
    'Not forwarded, and not answered because the limit of answers a second was reached.',
  ],
  ['FragmentWithoutFirst', 'A later fragment whose first one did not come in time.'],
  [
    'FragmentOverlapsHeader',
    'A later fragment that would overwrite a transport header (RFC 1858).',
  ],
  [
    'FragmentRoom',
    'No room to fragment the packet, or to keep the fragment until the first one comes.',
  ],
  [
    'TunnelReassembly',
    'Fragments of a tunnel packet that overlap, are too many or never became whole.',
  ],
  [
    'TunnelCongestion',
    'The tunnel marked congestion, and the packet inside cannot carry the mark (RFC 6040).',
  ],
  [
    'TunnelSourceSpoofed',
    'A tunnel packet from neither the relay nor the neighbour who owns the source inside (RFC 7597).',
  ],
  [
    'PrivateDestination',
    'The destination is private or reserved, and the line leads to the public network; told by ICMP 3/13.',
  ],
  [
    'QuicRejected',
    'A policy refuses QUIC, so that the browser takes TCP; told by ICMP 3/13 unless it is silent.',
  ],
  ['UdpBlocked', 'A policy refuses UDP; told by ICMP 3/13 unless it is silent.'],
  [
    'HostSessionLimit',
    'The host has as many sessions as a host may have, or as many ports; told by ICMP 3/13.',
  ],
  ['HostRateLimit', 'The host begins more sessions a second than a host may; told by ICMP 3/13.'],
  [
    'ReservedForOthers',
    'The last records are kept for hosts with few sessions, and for the gateway; told by ICMP 3/13.',
  ],
  [
    'UpstreamFull',
    'The NAT above has no room left, or none for a host that holds so much; told by ICMP 3/13.',
  ],
];

export const DROP_COUNT = DROP_MEANING.length;

if (DROP_COUNT !== Object.keys(Drop).length) throw new Error('every drop reason needs a meaning');
DROP_MEANING.forEach(([name], index) => {
  if (Drop[name] !== index) throw new Error(`the meaning of ${name} is out of order`);
});
