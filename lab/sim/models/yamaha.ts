/**
 * Yamaha RTX and NVR routers, by the type of their NAT (`nat descriptor backward-compatibility`).
 *
 *   type 1   no port saving: every internal endpoint holds a port of its own
 *   type 2   port saving for TCP: a port serves several connections to different remote endpoints. UDP and ICMP as in type 1
 *   type 3   port saving for TCP and UDP
 *
 * Sources: RT series command reference, chapter 23 (types, timers: 900 s, 60 s behind a FIN; entries by model); rtpro.yamaha.co.jp,
 * "NAT descriptor" (timers; DNS some 10 s behind its answer). The type is 2 on most models; 3 is not to be had on RTX830, RTX1210 and
 * older ones. That ICMP takes its identifiers from the ports of UDP follows from a report of 2024: with 240 UDP ports in use, pings
 * were lost as well. That "port saving" takes the first port that is free is assumed.
 *
 * The RTX1200 knows no port saving and holds 20,000 entries (report of a conference, 2023).
 */
import type { RouterParameters, RouterTimers } from './parameters.ts';

const timers: RouterTimers = {
  tcpSyn: 900,
  tcpEstablished: 900,
  tcpFin: 60,
  tcpClosed: 60,
  tcpReset: 60,
  udpNew: 900,
  udp: 900,
  dnsNew: 900,
  dns: 10,
  icmp: 900,
};

export const yamahaType1: RouterParameters = {
  name: 'yamaha-type-1',
  entries: 65_534,
  timers,
  assignment: { tcp: 'own', udp: 'own', icmp: 'own' },
  icmpFromUdpPool: true,
};

export const yamahaType2: RouterParameters = {
  ...yamahaType1,
  name: 'yamaha-type-2',
  assignment: { tcp: 'shared', udp: 'own', icmp: 'own' },
};

/** With the table of an RTX1300. */
export const yamahaType3: RouterParameters = {
  ...yamahaType1,
  name: 'yamaha-type-3',
  entries: 250_000,
  assignment: { tcp: 'shared', udp: 'shared', icmp: 'shared' },
};

export const rtx1200: RouterParameters = { ...yamahaType1, name: 'rtx1200', entries: 20_000 };
