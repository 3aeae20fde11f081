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
 */
import type { IidFormat } from '../mape/address.ts';
import { ipv4Mask, prefixMatches } from '../mape/bits.ts';
import {
  checkSource,
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

export class Mesh {
  /** Outer fragments of neighbours: they take no room from those of the relay. */
  readonly reassembly = new Reassembly();
  private readonly rules: readonly MapRule[];
  private readonly format: IidFormat;
  private readonly ceAddress: Uint8Array;
  private readonly starts: Int32Array;
  private readonly found: Int32Array;

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
    const ipv4 = readI32(bytes, at + IPV4_DESTINATION);
    const found = this.ruleOf(ipv4);
    if (found < 0) return false;
    const rule = this.rules[found];
    const port = portOfDestination(bytes, at, end);
    if (port === NO_PORT && rulePsidBits(rule) > 0) return false;
    return (
      writeNeighbourAddress(out, outAt, rule, ipv4, port, this.format) &&
      !ipv6AddressIs(out, outAt, this.ceAddress)
    );
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
    const found = this.ruleOf(ipv4);
    if (found < 0) return false;
    const rule = this.rules[found];
    if (port === NO_PORT && rulePsidBits(rule) > 0) return false;
    return checkSource(rule, this.format, bytes, outer, ipv4, port) === SourceCheck.Fits;
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
