/** The three protocols that are translated, as small numbers. */
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';

export const PROTOCOLS = 3;

/** 0 TCP, 1 UDP, 2 ICMP. */
export const protocolIndexOf = (protocol: number): number =>
  protocol === PROTOCOL_TCP ? 0 : protocol === PROTOCOL_UDP ? 1 : 2;

export const PROTOCOL_NUMBERS = [PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP] as const;
export const PROTOCOL_NAMES = ['tcp', 'udp', 'icmp'] as const;
