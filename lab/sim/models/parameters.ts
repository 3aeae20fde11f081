/**
 * What a known router is described by: one short file of these for each, with its sources. router.ts acts on them.
 *
 * A model says how a router assigns ports and when it forgets, and nothing of how fast it is. Where a maker is silent the file says
 * what was assumed, and assumes what is better for that router.
 */

/**
 * How an endpoint comes by its external port.
 *
 *   own        one port for each internal endpoint, whatever it sends to, and nobody else's (endpoint-independent mapping, no sharing)
 *   shared     each entry the first port that is free towards its remote endpoint (address-and-port-dependent; "port saving")
 *   netfilter  the endpoint's own port number if it is one of ours, else the port that it has already, else a random one, each if free
 *              towards the remote endpoint; at most 128 are tried, then 64, 32 and 16 from other places
 *   rotating   the next port in turn, and no other if that one is taken towards the remote endpoint
 */
export type Assignment = 'own' | 'shared' | 'netfilter' | 'rotating';

/** Seconds of silence after which an entry ends. */
export interface RouterTimers {
  /** While no SYN has been answered. */
  tcpSyn: number;
  tcpEstablished: number;
  /** Behind the first FIN, behind both, and behind a RST. */
  tcpFin: number;
  tcpClosed: number;
  tcpReset: number;
  /** While nothing has come back, and after that. */
  udpNew: number;
  udp: number;
  /** The same for port 53. */
  dnsNew: number;
  dns: number;
  icmp: number;
}

export interface RouterParameters {
  name: string;
  /** Entries that its table holds. */
  entries: number;
  timers: RouterTimers;
  assignment: { tcp: Assignment; udp: Assignment; icmp: Assignment };
  /** Identifiers of ICMP queries are taken from the same pool as UDP ports. */
  icmpFromUdpPool?: true;
  /** UDP counts as answered only when it goes on for longer than this. */
  streamAfterSeconds?: number;
  /** A full table lets go of an entry that nothing has confirmed yet, if one is found among a few. */
  dropsEarly?: true;
  /** Which of the line's ports it can use; absent: all of them. */
  usable?: (ports: Uint16Array) => Uint16Array;
}
