/**
 * Linux: masquerade by nf_nat, and the two ways in which it is used on the port blocks of a MAP-E line.
 *
 *   linux-masquerade   as if the line's ports were one range, which is all that the kernel can use; so it does better here than it can
 *                      on the blocks of a MAP-E line
 *   openwrt-map        the first block only: package `map` writes a rule for each block, and fw4 ignores what would lead past the first
 *   numgen             `snat to ADDRESS : numgen inc mod N map { … }`: each flow gets the next port, and no other if that one is taken
 *
 * Sources: Documentation/networking/nf_conntrack-sysctl.rst (timers, size of the table), net/netfilter/nf_nat_core.c (get_unique_tuple,
 * nf_nat_l4proto_unique_tuple), nf_conntrack_proto_udp.c (a stream is what goes on for more than 2 s), nf_conntrack_core.c (early_drop);
 * OpenWrt's package/network/ipv6/map/files/map.sh and its issues 11972 and 14449.
 */
import type { RouterParameters } from './parameters.ts';

export const linuxMasquerade: RouterParameters = {
  name: 'linux-masquerade',
  entries: 262_144,
  timers: {
    tcpSyn: 120,
    tcpEstablished: 432_000,
    tcpFin: 120,
    tcpClosed: 120,
    tcpReset: 10,
    udpNew: 30,
    udp: 120,
    dnsNew: 30,
    dns: 120,
    icmp: 30,
  },
  assignment: { tcp: 'netfilter', udp: 'netfilter', icmp: 'netfilter' },
  streamAfterSeconds: 2,
  dropsEarly: true,
};

/** The ports up to the first gap. */
function firstBlock(ports: Uint16Array): Uint16Array {
  let count = 1;
  while (count < ports.length && ports[count] === ports[count - 1] + 1) count++;
  return ports.slice(0, count);
}

export const openwrtMap: RouterParameters = {
  ...linuxMasquerade,
  name: 'openwrt-map',
  usable: firstBlock,
};

export const numgen: RouterParameters = {
  ...linuxMasquerade,
  name: 'numgen',
  assignment: { tcp: 'rotating', udp: 'rotating', icmp: 'rotating' },
};
