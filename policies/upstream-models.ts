/**
 * NATs that may stand above a gateway, by model: how many entries their table holds and how long they keep one in silence.
 *
 * Sizes are those that the makers publish. Timers are the defaults. Yamaha: 900 s for everything, but 60 s for
 * TCP after a FIN and 10 s for DNS after the reply. NEC: TCP 900 s, 60 s after a FIN or RST; UDP 300 s, DNS 60 s; ICMP 60 s. Whoever
 * knows that a router is set otherwise writes the numbers.
 */
import type { UpstreamSettings } from '../core/table/upstream.ts';

const yamaha = (entries: number): UpstreamSettings => ({
  entries,
  udpSeconds: 900,
  tcpSeconds: 900,
  icmpSeconds: 900,
  dnsSeconds: 10,
  tcpClosedSeconds: 60,
});

const nec = (entries: number): UpstreamSettings => ({
  entries,
  udpSeconds: 300,
  tcpSeconds: 900,
  icmpSeconds: 60,
  dnsSeconds: 60,
  tcpClosedSeconds: 60,
});

export const UPSTREAM_MODELS: Readonly<Record<string, UpstreamSettings>> = {
  rtx1100: yamaha(4096),
  nvr500: yamaha(4096),
  rtx810: yamaha(10_000),
  rtx1200: yamaha(20_000),
  rtx3000: yamaha(40_000),
  rtx830: yamaha(65_534),
  rtx1210: yamaha(65_534),
  rtx3500: yamaha(65_534),
  nvr510: yamaha(65_534),
  rtx1300: yamaha(250_000),
  ix2105: nec(65_535),
  ix2106: nec(250_000),
  ix2107: nec(250_000),
  ix2215: nec(250_000),
  ix2235: nec(250_000),
  ix2310: nec(250_000),
  ix3110: nec(250_000),
  ix3315: nec(500_000),
};

/** For a table whose timers are not known: as long as any known one keeps an entry. */
export const UPSTREAM_SECONDS_UNKNOWN = 900;
