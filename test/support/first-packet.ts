/** The first packet of a session as a policy sees it. */
import type { FirstPacket } from '../../core/policy.ts';
import { PROTOCOL_UDP, parseIpv4 } from '../../core/wire/ipv4.ts';

export interface FirstOptions extends Partial<Omit<FirstPacket, 'bytes'>> {
  /** "address:port" */
  from?: string;
  to?: string;
  payload?: Uint8Array;
}

/** A UDP datagram of three bytes from 192.168.1.11:5000 to 198.51.100.7:7000, but for what is given. */
export function firstPacket(options: FirstOptions = {}): FirstPacket {
  const { from = '192.168.1.11:5000', to = '198.51.100.7:7000', payload, ...more } = options;
  const bytes = payload ?? Uint8Array.of(1, 2, 3);
  const [internalAddress, internalPort] = endpoint(from);
  const [remoteAddress, remotePort] = endpoint(to);
  return {
    bytes,
    payloadAt: 0,
    payloadBytes: bytes.length,
    protocol: PROTOCOL_UDP,
    internalAddress,
    internalPort,
    remoteAddress,
    remotePort,
    lan: 0,
    hasMapping: false,
    hostSessions: 0,
    hostOwned: 0,
    pressure: 0,
    upstreamFill256: 0,
    ...more,
  };
}

function endpoint(text: string): [address: number, port: number] {
  const [address, port] = text.split(':');
  return [parseIpv4(address), Number(port)];
}
