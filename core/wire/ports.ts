/**
 * The port by which an address that is shared tells whose a packet is (RFC 7597 sections 8.1 and
 * 8.2).
 *
 *   protocol            of the source         of the destination
 *   TCP, UDP            source port           destination port
 *   ICMP query          identifier            identifier
 *   ICMP error          destination port      source port           of the quoted packet: it went the
 *                                                                   other way
 *
 * An echo request carries the identifier of its sender, and its answer the same one: both belong to
 * whoever has that identifier on the address in question.
 */
import { readU16 } from './bytes.ts';
import {
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_ID,
  isIcmpError,
} from './icmp.ts';
import {
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_OFFSET_BITS,
  IPV4_PROTOCOL,
  ipv4HeaderBytes,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './ipv4.ts';

/** What there is instead of a port: another protocol, a later fragment, or too few bytes. */
export const NO_PORT = -1;

const PORTS_BYTES = 4;
const SOURCE = 0;
const DESTINATION = 2;

/** The port that belongs to the packet's source. @param end of the packet, behind its IPv4 header */
export const portOfSource = (bytes: Uint8Array, at: number, end: number): number =>
  portOf(bytes, at, end, SOURCE);

/** The port that belongs to the packet's destination. Parameters as of `portOfSource`. */
export const portOfDestination = (bytes: Uint8Array, at: number, end: number): number =>
  portOf(bytes, at, end, DESTINATION);

/** The packet that an ICMP error quotes, or -1 if this is none or quotes too little. */
export function quotedPacket(bytes: Uint8Array, at: number, end: number): number {
  if (bytes[at + IPV4_PROTOCOL] !== PROTOCOL_ICMP) return -1;
  const icmp = at + ipv4HeaderBytes(bytes, at);
  const quote = icmp + ICMP_HEADER_BYTES;
  if (quote + IPV4_HEADER_BYTES > end || !isIcmpError(bytes[icmp])) return -1;
  return ipv4HeaderBytes(bytes, quote) < IPV4_HEADER_BYTES ? -1 : quote;
}

function portOf(bytes: Uint8Array, at: number, end: number, side: number): number {
  const quote = quotedPacket(bytes, at, end);
  if (quote < 0) return portInHeader(bytes, at, end, side);
  return portInHeader(bytes, quote, end, side === SOURCE ? DESTINATION : SOURCE);
}

function portInHeader(bytes: Uint8Array, at: number, end: number, side: number): number {
  if ((readU16(bytes, at + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0) return NO_PORT;
  const l4 = at + ipv4HeaderBytes(bytes, at);
  const protocol = bytes[at + IPV4_PROTOCOL];
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP)
    return l4 + PORTS_BYTES <= end ? readU16(bytes, l4 + side) : NO_PORT;
  if (protocol !== PROTOCOL_ICMP || l4 + ICMP_HEADER_BYTES > end) return NO_PORT;
  const type = bytes[l4];
  return type === ICMP_ECHO_REQUEST || type === ICMP_ECHO_REPLY
    ? readU16(bytes, l4 + ICMP_ID)
    : NO_PORT;
}
