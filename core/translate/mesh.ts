/**
 * A mesh of CEs: what goes to a neighbour goes there directly and not through the relay (RFC 7597 sections 5.3, 5.4 and 8.1).
 *
 *   out   IPv4 destination, port ──longest forwarding rule──▶ address of the CE that owns both     outer destination
 *   in    outer source  ═══ must be ═══  address of the CE that owns inner source and port         else TunnelSourceSpoofed
 *
 * Which port counts in which packet is in core/wire/ports.ts, the arithmetic in core/mape/forward.ts.
 *
 * Out: only whole packets with a port that somebody owns. Fragments take the usual way to the relay, all of one packet alike; a first one
 * alone would name its CE. On an address that we share, a port outside our set is a neighbour's like any other.
 *
 * In: the relay may send what comes from a neighbour too (hub and spoke), and is not checked: its inner sources are the Internet. Of a
 * neighbour the whole outer address must fit. An ICMP error must also be about a packet to that same neighbour, else one CE could speak
 * of the sessions with another.
 *
 *   rules, found by binary search among ranges that do not overlap; the longest rule of each was chosen at the start:
 *
 *      starts   | -2^31 | 106.72.0.0 | 106.73.0.0 | 106.75.0.0 | …      addresses with the top bit turned, so that signed numbers ascend
 *      found    | -1    | rule 0     | -1         | rule 3     |
 *
 *   owners, the last that were worked out, one for each value of a hash: who talks to a neighbour asks for the same one again and again.
 *   A small packet takes 0.8 µs out and 1.0 in with them, and 1.2 and 1.8 where the arithmetic is done for each.
 *
 *      key, 2 words:   0 IPv4 address   1 KNOWN | OWNED | port          address, 16 bytes: of the CE, where it is OWNED
 */
import type { IidFormat } from '../mape/address.ts';
import { IPV6_BYTES, ipv4Mask, prefixMatches } from '../mape/bits.ts';
import {
  checkSourceOfLaterFragment,
  findRuleByIpv4,
  SourceCheck,
  writeNeighbourAddress,
} from '../mape/forward.ts';
import { type MapRule, rulePsidBits } from '../mape/rule.ts';
import { readI32, readU16 } from '../wire/bytes.ts';
import { IPV4_DESTINATION, IPV4_FRAGMENT, IPV4_OFFSET_BITS, IPV4_SOURCE } from '../wire/ipv4.ts';
import { ipv6AddressIs } from '../wire/ipv6.ts';
import { NO_PORT, portOfDestination, portOfSource, quotedPacket } from '../wire/ports.ts';
import { Reassembly } from './reassembly.ts';

/** What a line in a mesh knows of its neighbours. */
export interface MeshRules {
  /** Those without the F flag are passed over. */
  rules: readonly MapRule[];
  iidFormat: IidFormat;
}

const TOP_BIT = -0x80000000;

const OWNERS_BITS = 10;
const KNOWN = 1 << 16;
const OWNED = 1 << 17;
const NOBODY = -1;

export class Mesh {
  /** Outer fragments of neighbours: they take no room from those of the relay. */
  readonly reassembly = new Reassembly();
  private readonly rules: readonly MapRule[];
  private readonly format: IidFormat;
  private readonly ceAddress: Uint8Array;
  private readonly starts: Int32Array;
  private readonly found: Int32Array;
  private readonly ownerKeys = new Int32Array(2 << OWNERS_BITS);
  private readonly ownerAddresses = new Uint8Array(IPV6_BYTES << OWNERS_BITS);

  constructor({ rules, iidFormat }: MeshRules, ceAddress: Uint8Array) {
    this.rules = rules.filter((rule) => rule.forwarding);
    this.format = iidFormat;
    this.ceAddress = ceAddress;
    const starts = boundaries(this.rules);
    this.starts = Int32Array.from(starts);
    this.found = Int32Array.from(starts, (start) =>
      findRuleByIpv4(this.rules, start ^ TOP_BIT, true),
    );
  }

  /** Number of the longest forwarding rule that covers the address, or -1. */
  ruleOf(ipv4: number): number {
    const { starts } = this;
    const wanted = ipv4 ^ TOP_BIT;
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (starts[middle] <= wanted) low = middle;
      else high = middle;
    }
    return this.found[low];
  }

  /**
   * Writes the address of the neighbour to whom the packet at `at` is sent; false if it is none, and nothing of use is written.
   * @param end of the packet
   */
  writeDestination(
    out: Uint8Array,
    outAt: number,
    bytes: Uint8Array,
    at: number,
    end: number,
  ): boolean {
    const port = portOfDestination(bytes, at, end);
    const owner = this.ownerOf(readI32(bytes, at + IPV4_DESTINATION), port);
    if (owner === NOBODY) return false;
    const { ownerAddresses } = this;
    for (let i = 0; i < IPV6_BYTES; i++) out[outAt + i] = ownerAddresses[owner + i];
    return !ipv6AddressIs(out, outAt, this.ceAddress);
  }

  /** Whether the outer address at `outer` is that of the neighbour to whom the packet at `at` is sent. */
  isDestination(bytes: Uint8Array, outer: number, at: number, end: number): boolean {
    const port = portOfDestination(bytes, at, end);
    return this.owns(bytes, outer, readI32(bytes, at + IPV4_DESTINATION), port);
  }

  /** Whether the packet at `at` may come from the outer address at `outer`. The caller has checked the IPv4 header. */
  isSource(bytes: Uint8Array, outer: number, at: number, end: number): boolean {
    // Our own address is nobody's source but ours.
    if (ipv6AddressIs(bytes, outer, this.ceAddress)) return false;
    const ipv4 = readI32(bytes, at + IPV4_SOURCE);
    if ((readU16(bytes, at + IPV4_FRAGMENT) & IPV4_OFFSET_BITS) !== 0)
      return this.mayOwnPartOf(bytes, outer, ipv4);
    const port = portOfSource(bytes, at, end);
    if (!this.owns(bytes, outer, ipv4, port)) return false;
    const quote = quotedPacket(bytes, at, end);
    if (quote < 0) return true;
    const about = readI32(bytes, quote + IPV4_DESTINATION);
    return about === ipv4 || this.owns(bytes, outer, about, port);
  }

  /** Whether the outer address at `outer` lies in the prefix of some rule: all that a fragment of the tunnel tells. */
  mayBeNeighbour(bytes: Uint8Array, outer: number): boolean {
    for (let i = 0; i < this.rules.length; i++) {
      const { ipv6, ipv6Length } = this.rules[i];
      if (prefixMatches(bytes, outer, ipv6, ipv6Length)) return true;
    }
    return false;
  }

  private owns(bytes: Uint8Array, outer: number, ipv4: number, port: number): boolean {
    const owner = this.ownerOf(ipv4, port);
    if (owner === NOBODY) return false;
    const { ownerAddresses } = this;
    for (let i = 0; i < IPV6_BYTES; i++)
      if (bytes[outer + i] !== ownerAddresses[owner + i]) return false;
    return true;
  }

  /** Where in `ownerAddresses` the address of the CE stands that owns both, or NOBODY. Valid until the next call. */
  private ownerOf(ipv4: number, port: number): number {
    if (port === NO_PORT) {
      const found = this.ruleOf(ipv4);
      if (found < 0 || rulePsidBits(this.rules[found]) > 0) return NOBODY;
    }
    // Of an address that is not shared all ports are one.
    const known = KNOWN | Math.max(0, port);
    const { ownerKeys } = this;
    const hash = Math.imul(ipv4, 0x9e3779b1) ^ Math.imul(known, 0x85ebca6b);
    const entry = hash >>> (32 - OWNERS_BITS);
    const key = entry * 2;
    if (ownerKeys[key] !== ipv4 || (ownerKeys[key + 1] & ~OWNED) !== known) {
      ownerKeys[key] = ipv4;
      ownerKeys[key + 1] = this.workOut(entry, ipv4, known & 0xffff) ? known | OWNED : known;
    }
    return (ownerKeys[key + 1] & OWNED) === 0 ? NOBODY : entry * IPV6_BYTES;
  }

  private workOut(entry: number, ipv4: number, port: number): boolean {
    const found = this.ruleOf(ipv4);
    if (found < 0) return false;
    const { ownerAddresses, rules, format } = this;
    const to = entry * IPV6_BYTES;
    return writeNeighbourAddress(ownerAddresses, to, rules[found], ipv4, port, format);
  }

  private mayOwnPartOf(bytes: Uint8Array, outer: number, ipv4: number): boolean {
    const found = this.ruleOf(ipv4);
    if (found < 0) return false;
    const rule = this.rules[found];
    return checkSourceOfLaterFragment(rule, this.format, bytes, outer, ipv4) === SourceCheck.Fits;
  }
}

/** Where, among all addresses, another rule may be the longest: ascending, the lowest address first. */
function boundaries(rules: readonly MapRule[]): number[] {
  const starts = new Set([TOP_BIT]);
  for (const { ipv4, ipv4Length } of rules) {
    const mask = ipv4Mask(ipv4Length);
    const first = ipv4 & mask;
    starts.add(first ^ TOP_BIT);
    // Behind the last address of all there is nothing: the sum wraps to the lowest one.
    starts.add(((first | ~mask) + 1) ^ TOP_BIT);
  }
  return [...starts].sort((a, b) => a - b);
}
