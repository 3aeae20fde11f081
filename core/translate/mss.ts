/**
 * MSS clamping: the MSS option of a SYN is lowered to what the line carries, MTU - 40, never raised (RFC 6691: options do not count).
 * TCP then works even where ICMP is filtered.
 */
import { VNET_NEEDS_CSUM } from '../frames.ts';
import { readU16, writeU16 } from '../wire/bytes.ts';
import { replaceWord } from '../wire/checksum.ts';
import { IPV4_HEADER_BYTES } from '../wire/ipv4.ts';
import { findMss, TCP_CHECKSUM, TCP_HEADER_BYTES, tcpHeaderBytes } from '../wire/tcp.ts';

/**
 * Clamps the option of the SYN at `tcp`. The caller has checked that it is one and that the header lies within the packet.
 * @returns true if the option was changed
 */
export function clampMss(
  bytes: Uint8Array,
  tcp: number,
  mtu: number,
  virtioFlags: number,
): boolean {
  const option = findMss(bytes, tcp, tcp + tcpHeaderBytes(bytes, tcp));
  if (option < 0) return false;
  const limit = mtu - IPV4_HEADER_BYTES - TCP_HEADER_BYTES;
  if (readU16(bytes, option) <= limit) return false;
  // A partial checksum does not cover the options yet.
  if ((virtioFlags & VNET_NEEDS_CSUM) !== 0) writeU16(bytes, option, limit);
  else replaceWord(bytes, option, limit, tcp + TCP_CHECKSUM, tcp);
  return true;
}
