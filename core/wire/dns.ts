/** A DNS query recognised by its bytes (RFC 1035 section 4.1): at least a header, QR clear, opcode QUERY, one question. */
import { readU16 } from './bytes.ts';

export const DNS_HEADER_BYTES = 12;
export const DNS_PORT = 53;

export function isDnsQuery(bytes: Uint8Array, at: number, length: number): boolean {
  if (length < DNS_HEADER_BYTES + 5) return false;
  const flags = readU16(bytes, at + 2);
  return (flags & 0xf800) === 0 && readU16(bytes, at + 4) === 1;
}
