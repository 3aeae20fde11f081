/**
 * What must hold for every packet that comes out, whoever sent what: judged from the bytes alone, by code of its own.
 *
 *   - it is a sound IPv4 packet within its own frame;
 *   - from the external address: never a LAN source on the line, and the port or identifier is in the set;
 *   - to a LAN otherwise: an answer of the gateway, or a packet from outside to a host that exists;
 *   - an input whose checksums were right comes out with right checksums, also inside an ICMP error;
 *   - a UDP checksum of zero stays zero, and none becomes zero.
 */
import {
  checksumOffset,
  headerBytes,
  i32,
  isSoundIpv4,
  isTransportRight,
  pseudoSum,
  u16,
} from './build.ts';
import type { Input } from './input.ts';
import { EXTERNAL, isGateway, isInternal } from './world.ts';

const FRAGMENT_BITS = 0x3fff;
const OFFSET_BITS = 0x1fff;
const PARTIAL = 1;

/** How the checksums of an input are. */
export interface Facts {
  isSound: boolean;
  isWhole: boolean;
  /** Complete or partial, the transport checksum is right. */
  isRight: boolean;
  hasUdpSum: boolean;
}

export function factsOf(input: Input): Facts {
  const { bytes, flags } = input;
  const isSound = isSoundIpv4(bytes);
  const isWhole = isSound && (u16(bytes, 6) & FRAGMENT_BITS) === 0;
  const l4 = headerBytes(bytes);
  const isPartial = (flags & PARTIAL) !== 0;
  const isRight = isWhole && (isPartial ? isPartialRight(bytes) : isTransportRight(bytes));
  const hasUdpSum =
    isWhole && bytes[9] === 17 && l4 + 8 <= u16(bytes, 2) && u16(bytes, l4 + 6) !== 0;
  return { isSound, isWhole, isRight, hasUdpSum };
}

function isPartialRight(packet: Uint8Array): boolean {
  const l4 = headerBytes(packet);
  const offset = checksumOffset(packet[9]);
  if (packet[9] === 1 || offset < 0 || l4 + offset + 2 > u16(packet, 2)) return false;
  return u16(packet, l4 + offset) % 0xffff === pseudoSum(packet) % 0xffff;
}

/** What is wrong with a packet that came out, or undefined. */
export function faultOf(
  input: Input,
  facts: Facts,
  output: Uint8Array,
  outputFlags: number,
  isPort: (port: number) => boolean,
  isKnownHost: (address: number) => boolean,
  sharedWithHost = false,
): string | undefined {
  if (output.length < 20 || output[0] >> 4 !== 4) return 'not an IPv4 packet';
  if (u16(output, 2) !== output.length) return 'its total length is not its length';
  const header = headerBytes(output);
  if (header < 20 || header > output.length) return 'its header length lies';
  const isTunnelError = input.bytes[0] >> 4 === 6;
  if ((facts.isSound || isTunnelError) && !isSoundIpv4(output)) return 'a wrong header checksum';
  if (sharedWithHost && isTheHosts(output))
    return (u16(output, 6) & OFFSET_BITS) !== 0 || isUnchanged(input, output)
      ? undefined
      : 'a packet for the host was changed';
  return (
    addressFault(input, output, isPort, isKnownHost) ??
    checksumFault(input, facts, output, outputFlags)
  );
}

/** On an address that the host has too: ICMP to it may pass. */
function isTheHosts(output: Uint8Array): boolean {
  const from = i32(output, 12);
  return output[9] === 1 && i32(output, 16) === EXTERNAL && !isInternal(from) && from !== EXTERNAL;
}

function isUnchanged({ bytes }: Input, output: Uint8Array): boolean {
  for (let i = 0; i < output.length; i++) if (bytes[i] !== output[i]) return false;
  return true;
}

function addressFault(
  input: Input,
  output: Uint8Array,
  isPort: (port: number) => boolean,
  isKnownHost: (address: number) => boolean,
): string | undefined {
  const from = i32(output, 12);
  const to = i32(output, 16);
  const l4 = headerBytes(output);
  if (from === EXTERNAL) {
    if (isInternal(to) && !isKnownHost(to)) return 'a hairpin to a host that nobody has seen';
    if ((u16(output, 6) & OFFSET_BITS) !== 0) return undefined;
    // A neighbour on the same address: what it sends keeps its source.
    const isNeighbours = input.bytes.length >= 20 && i32(input.bytes, 12) === EXTERNAL;
    if (isNeighbours && isInternal(to))
      return output[9] !== 1 && isPort(u16(output, l4)) ? 'a neighbour with our port' : undefined;
    if (output[9] === 6 || output[9] === 17)
      return isPort(u16(output, l4)) ? undefined : `source port ${u16(output, l4)} is not ours`;
    if (output[9] !== 1) return `protocol ${output[9]} left on the line`;
    if (output[l4] === 8)
      return isPort(u16(output, l4 + 4)) ? undefined : 'an identifier that is not ours';
    return quoteFault(output, l4);
  }
  if (!isInternal(to))
    return isInternal(from) ? 'a LAN source on the line' : 'nobody’s packet left';
  if (!isKnownHost(to)) return 'delivered to a host that nobody has seen';
  if (isInternal(from) && (!isGateway(from) || output[9] !== 1)) return 'LAN to LAN';
  return undefined;
}

/** An ICMP error on the line must quote our external endpoint, never an internal one. */
function quoteFault(output: Uint8Array, l4: number): string | undefined {
  if (output[l4] === 0) return undefined;
  const quote = l4 + 8;
  if (quote + 20 > output.length) return 'an error that quotes nothing';
  return isInternal(i32(output, quote + 16)) ? 'an error that quotes a LAN address' : undefined;
}

function checksumFault(
  input: Input,
  facts: Facts,
  output: Uint8Array,
  outputFlags: number,
): string | undefined {
  const isOutputWhole = (u16(output, 6) & FRAGMENT_BITS) === 0;
  const l4 = headerBytes(output);
  const isError = output[9] === 1 && output[l4] !== 0 && output[l4] !== 8;
  if (!isOutputWhole) return undefined;
  if (!facts.isRight && !isError) return undefined;
  if (isError) {
    if (!isTransportRight(output)) return 'a wrong ICMP checksum';
    // An answer quotes its packet as it came; the kernel lets no packet with a wrong header checksum come this far.
    const isAsGood = !facts.isSound && input.bytes[0] >> 4 !== 6;
    return isAsGood || isSoundQuote(output, l4 + 8)
      ? undefined
      : 'a quote with a wrong header checksum';
  }
  if ((outputFlags & PARTIAL) !== 0 && output[9] !== 1)
    return isPartialRight(output) ? undefined : 'a wrong partial checksum';
  if (!isTransportRight(output)) return 'a wrong transport checksum';
  if (output[9] === 17 && input.bytes[9] === 17) {
    const hasSum = u16(output, l4 + 6) !== 0;
    if (hasSum !== facts.hasUdpSum) return hasSum ? 'a checksum from nowhere' : 'a checksum lost';
  }
  return undefined;
}

/** True if the header of the quoted packet is right; its length need not be that of the quote. */
function isSoundQuote(output: Uint8Array, quote: number): boolean {
  const header = (output[quote] & 15) * 4;
  if (quote + header > output.length) return false;
  const copy = output.slice(quote, quote + header);
  let total = 0;
  for (let i = 0; i < header; i += 2) total += u16(copy, i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total === 0xffff;
}
