/**
 * NEC UNIVERGE IX, with the table of an IX2215.
 *
 * Source: command reference of the series, "ip napt translation timeout": tcp 900, syn 30, finrst 60, udp 300, dns 60, icmp 60.
 * Entries: 250,000. How the ports are assigned by default is not published (endpoint-independent mapping is an option); assumed is
 * that they are shared, for TCP and UDP alike, which needs the fewest of them.
 */
import type { RouterParameters } from './parameters.ts';

export const necIx: RouterParameters = {
  name: 'nec-ix',
  entries: 250_000,
  timers: {
    tcpSyn: 30,
    tcpEstablished: 900,
    tcpFin: 60,
    tcpClosed: 60,
    tcpReset: 60,
    udpNew: 300,
    udp: 300,
    dnsNew: 60,
    dns: 60,
    icmp: 60,
  },
  assignment: { tcp: 'shared', udp: 'shared', icmp: 'shared' },
};
