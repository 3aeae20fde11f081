/**
 * IPv6 around the packets of a line with a tunnel, as its relay, or somebody who would like to be, sends it:
 *
 *   wrap      an IPv4 packet for us: whole, as an atomic fragment, or in fragments that are queued in a random order; now and then
 *             mutated before, marked with congestion, of a wrong source, with a fragment twice or one that overlaps
 *   outside   ICMPv6 errors about what went out, tunnel packets of others, and what the kernel says of itself
 */
import { allocate, icmpv6, ipv6, put16, put32 } from './build.ts';
import type { Dice } from './dice.ts';
import { type Input, plain } from './input.ts';
import { neighbourOf } from './mesh.ts';
import { mutate } from './mutate.ts';
import { BR, CE } from './world.ts';

const EMPTY = new Uint8Array(0);
const ALL_ROUTERS = Uint8Array.from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
const NEXT_IPV4 = 4;
const NEXT_FRAGMENT = 44;
const PARTS_MAX = 24;

export class Tunnels {
  private readonly dice: Dice;
  private readonly queue: Input[];
  private readonly inMesh: boolean;
  private outerDatagrams = 0;

  /** @param queue fragments that come later */
  constructor(dice: Dice, queue: Input[], inMesh: boolean) {
    this.dice = dice;
    this.queue = queue;
    this.inMesh = inMesh;
  }

  /** The packet as it comes out of the network towards our tunnel end. */
  wrap(input: Input): Input {
    const { dice } = this;
    // A fragment that is told apart by its datagram stays what it is.
    if (input.datagram === 0 && dice.chance(15)) mutate(dice, input);
    const { bytes } = input;
    const from = this.senderOf(bytes);
    const kind = dice.below(100);
    if (kind < 30 && input.flags === 0 && bytes.length > 8) return this.fragments(input, from);
    const trafficClass = this.trafficClass();
    if (kind < 35 && input.flags === 0) {
      const atomic = fragment(bytes, 0, bytes.length, dice.next(), false);
      return { ...input, bytes: ipv6(NEXT_FRAGMENT, from, CE, atomic, trafficClass), inner: bytes };
    }
    return {
      ...input,
      bytes: ipv6(NEXT_IPV4, from, CE, bytes, trafficClass),
      csumStart: input.csumStart + 40,
      // A superpacket of the tunnel is something that no kernel hands over.
      gsoType: dice.chance(90) ? 0 : input.gsoType,
      inner: bytes,
    };
  }

  private fragments(input: Input, from: Uint8Array): Input {
    const { dice, queue } = this;
    const { bytes } = input;
    const outerDatagram = ++this.outerDatagrams;
    const id = dice.next();
    const least = Math.ceil(bytes.length / PARTS_MAX / 8) * 8;
    const step = Math.max(least, dice.pick([8, 16, 24, 64, 256, 1232]));
    for (let at = 0; at < bytes.length; at += step) {
      const end = Math.min(bytes.length, at + step);
      const more = end < bytes.length;
      const twice = dice.chance(2) ? 2 : 1;
      for (let i = 0; i < twice; i++)
        this.put(input, from, fragment(bytes, at, end, id, more), outerDatagram);
      if (dice.chance(1) && at >= 8)
        this.put(input, from, fragment(bytes, at - 8, end, id, more), outerDatagram);
    }
    return queue.splice(dice.below(queue.length), 1)[0];
  }

  private put(
    { bytes, datagram }: Input,
    from: Uint8Array,
    part: Uint8Array,
    outerDatagram: number,
  ): void {
    const { queue, dice } = this;
    const outer = plain(ipv6(NEXT_FRAGMENT, from, CE, part, this.trafficClass()));
    queue.splice(dice.below(queue.length + 1), 0, {
      ...outer,
      datagram,
      outerDatagram,
      inner: bytes,
    });
  }

  /** The relay; in a mesh as often the neighbour whose packet it is; now and then somebody else. */
  private senderOf(packet: Uint8Array): Uint8Array {
    const { dice } = this;
    if (dice.chance(2)) return dice.bytes(16);
    if (!this.inMesh || dice.chance(40) || packet.length < 20) return BR;
    const neighbour = neighbourOf(packet, 0);
    if (neighbour === undefined) return BR;
    if (dice.chance(10)) neighbour[dice.below(16)] ^= 1 << dice.below(8);
    return neighbour;
  }

  private trafficClass(): number {
    return this.dice.chance(60) ? 0 : this.dice.below(256);
  }

  /** Everything else that comes in IPv6. @param quoted something that went out in the tunnel */
  outside(quoted: Uint8Array | undefined): Uint8Array {
    const { dice } = this;
    const kind = dice.below(12);
    if (kind === 0 || quoted === undefined) return icmpv6(CE, ALL_ROUTERS, 133, 0, EMPTY);
    const neighbour = this.inMesh && dice.chance(60) ? neighbourOf(quoted, 1) : undefined;
    const inner = ipv6(NEXT_IPV4, CE, kind === 1 ? CE : (neighbour ?? BR), quoted);
    if (kind === 2) return inner;
    if (kind === 3) return ipv6(dice.below(256), dice.bytes(16), CE, dice.bytes(dice.below(90)));
    // To ourselves, from the relay: every next header, and payloads of any kind.
    if (kind === 4) {
      const next = dice.pick([NEXT_IPV4, NEXT_FRAGMENT, 58, 41, 0, 60]);
      return ipv6(next, BR, CE, dice.bytes(dice.below(60)));
    }
    const type = dice.pick([1, 2, 2, 2, 3, 4, 128, 100, 0]);
    const word = type === 2 ? dice.pick([1280, 1400, 900, 1500, 70000, -1]) : 0;
    const size = dice.chance(80) ? Math.min(inner.length, 1232) : dice.below(120);
    return icmpv6(dice.chance(50) ? BR : dice.bytes(16), CE, type, word, inner.subarray(0, size));
  }
}

/** Fragment header and the bytes from `start` to `end`. */
function fragment(
  whole: Uint8Array,
  start: number,
  end: number,
  id: number,
  more: boolean,
): Uint8Array {
  const part = allocate(8 + end - start);
  part[0] = NEXT_IPV4;
  put16(part, 2, start | (more ? 1 : 0));
  put32(part, 4, id);
  part.set(whole.subarray(start, end), 8);
  return part;
}
