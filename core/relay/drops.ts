/**
 * Why a border relay did not forward a packet. Verdicts are those of core/verdict.ts: >= 0 the device writes the frame, < 0 it does not and
 * ~verdict is one of these reasons. A reason is counted also when the sender was told.
 */

/** Dense, so that a counter array can be indexed by it. */
export const RelayDrop = {
  TruncatedHeader: 0,
  NotIp: 1,
  KernelChatter: 2,
  TunnelPacketNotAccepted: 3,
  LoopedOwnSource: 4,
  SourceOutsideRules: 5,
  SourceSpoofed: 6,
  SourceWithoutPort: 7,
  SourceClaimsCe: 8,
  UnroutableDestination: 9,
  DestinationOutsideRules: 10,
  DestinationUnassigned: 11,
  DestinationWithoutPort: 12,
  TtlExpired: 13,
  TooBigForTunnel: 14,
  TunnelCongestion: 15,
  TunnelReassembly: 16,
  FragmentWithoutFirst: 17,
  FragmentOfDropped: 18,
  FragmentRoom: 19,
  IcmpBadChecksum: 20,
  IcmpBadQuote: 21,
  TunnelErrorNotForwarded: 22,
  AnswerLimited: 23,
} as const;

/** Names by number, and what each means for a person. */
export const RELAY_DROP_MEANING: readonly (readonly [
  name: keyof typeof RelayDrop,
  meaning: string,
])[] = [
  ['TruncatedHeader', 'The packet ends before its headers do, or a header lies about its length.'],
  ['NotIp', 'The first four bits say neither IPv4 nor IPv6, or inside the tunnel not IPv4.'],
  [
    'KernelChatter',
    'What the kernel itself says into the TUN (router solicitations, multicast reports).',
  ],
  [
    'TunnelPacketNotAccepted',
    'To the relay, but neither IPv4 in IPv6 nor ICMPv6; a Linux tunnel needs "encaplimit none".',
  ],
  ['LoopedOwnSource', 'A packet with the relay’s own IPv6 address as source came back: a loop.'],
  [
    'SourceOutsideRules',
    'From a CE, and the IPv4 source inside is in no rule; the CE was told (ICMPv6 1/5).',
  ],
  [
    'SourceSpoofed',
    'From an IPv6 address that does not own the IPv4 address and port inside; it was told (ICMPv6 1/5).',
  ],
  [
    'SourceWithoutPort',
    'From a CE that shares its address, and the packet inside has no port to tell whose it is.',
  ],
  ['SourceClaimsCe', 'From the Internet, with an IPv4 source that belongs to a CE.'],
  [
    'UnroutableDestination',
    'From a CE to a multicast, broadcast, loopback or reserved IPv4 address.',
  ],
  ['DestinationOutsideRules', 'An IPv4 packet that was routed to the relay and is in no rule.'],
  [
    'DestinationUnassigned',
    'To a port or identifier that no CE can own; the sender was told (ICMP 3/1).',
  ],
  [
    'DestinationWithoutPort',
    'To a shared address, and the packet has no port or echo identifier to tell whose it is.',
  ],
  ['TtlExpired', 'The hop count ran out here; the sender was told (ICMP 11/0).'],
  [
    'TooBigForTunnel',
    'Too big for the tunnel and marked "do not fragment"; the sender was told (ICMP 3/4).',
  ],
  [
    'TunnelCongestion',
    'The tunnel marked congestion, and the packet inside cannot carry the mark (RFC 6040).',
  ],
  [
    'TunnelReassembly',
    'Fragments of a tunnel packet that overlap, are too many or never became whole.',
  ],
  ['FragmentWithoutFirst', 'A later fragment to a CE whose first one did not come in time.'],
  ['FragmentOfDropped', 'A later fragment of a packet whose first fragment was not forwarded.'],
  [
    'FragmentRoom',
    'No room to fragment the packet, or to keep the fragment until the first one comes.',
  ],
  ['IcmpBadChecksum', 'An ICMPv6 error with a wrong checksum.'],
  [
    'IcmpBadQuote',
    'An ICMPv6 error that quotes nothing that the relay sent, or cuts the packet inside short.',
  ],
  [
    'TunnelErrorNotForwarded',
    'An ICMPv6 error of which the IPv4 sender cannot be told (no "do not fragment", unknown type).',
  ],
  [
    'AnswerLimited',
    'Not forwarded, and not answered because the limit of answers a second was reached.',
  ],
];

export const RELAY_DROP_COUNT = RELAY_DROP_MEANING.length;

if (RELAY_DROP_COUNT !== Object.keys(RelayDrop).length)
  throw new Error('every drop reason needs a meaning');
RELAY_DROP_MEANING.forEach(([name], index) => {
  if (RelayDrop[name] !== index) throw new Error(`the meaning of ${name} is out of order`);
});
