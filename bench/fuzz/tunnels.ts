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
  private outerDatagrams = 0;

  /** @param queue fragments that come later */
  constructor(dice: Dice, queue: Input[]) {
    this.dice = dice;
    this.queue = queue;
  }

  /** The packet as it comes out of the network towards our tunnel end. */
  wrap(input: Input): Input {
    const { dice } = this;
    // A fragment that is told apart by its datagram stays what it is.
    if (input.datagram === 0 && dice.chance(15)) mutate(dice, input);
    const { bytes } = input;
    const kind = dice.below(100);
    if (kind < 30 && input.flags === 0 && bytes.length > 8) return this.fragments(input);
    const trafficClass = this.trafficClass();
    if (kind < 35 && input.flags === 0) {
      const atomic = fragment(bytes, 0, bytes.length, dice.next(), false);
      return { ...input, bytes: this.outer(NEXT_FRAGMENT, atomic, trafficClass), inner: bytes };
    }
    return {
      ...input,
      bytes: this.outer(NEXT_IPV4, bytes, trafficClass),
      csumStart: input.csumStart + 40,
      // A superpacket of the tunnel is something that no kernel hands over.
      gsoType: dice.chance(90) ? 0 : input.gsoType,
      inner: bytes,
    };
  }

  private fragments(input: Input): Input {
    const { dice, queue } = this;
    const { bytes } = input;
    const outerDatagram = ++this.outerDatagrams;
    const id = dice.next();
    const least = Math.ceil(bytes.length / PARTS_MAX / 8) * 8;
    const step = Math.max(least, dice.pick([8, 16, 24, 64, 256, 1232]));
    for (let at = 0; at < bytes.length; at += step) {
      const end = Math.min(bytes.length, at + step);
      const twice = dice.chance(2);
      this.put(input, fragment(bytes, at, end, id, end < bytes.length), outerDatagram);
      if (twice) this.put(input, fragment(bytes, at, end, id, end < bytes.length), outerDatagram);
      if (dice.chance(1) && at >= 8)
        this.put(input, fragment(bytes, at - 8, end, id, end < bytes.length), outerDatagram);
    }
    return queue.splice(dice.below(queue.length), 1)[0];
  }

  private put({ bytes, datagram }: Input, part: Uint8Array, outerDatagram: number): void {
    const { queue, dice } = this;
    const outer = plain(this.outer(NEXT_FRAGMENT, part, this.trafficClass()));
    queue.splice(dice.below(queue.length + 1), 0, {
      ...outer,
      datagram,
      outerDatagram,
      inner: bytes,
    });
  }

  private outer(next: number, payload: Uint8Array, trafficClass: number): Uint8Array {
    const { dice } = this;
    const from = dice.chance(98) ? BR : dice.bytes(16);
    return ipv6(next, from, CE, payload, trafficClass);
  }

  private trafficClass(): number {
    return this.dice.chance(60) ? 0 : this.dice.below(256);
  }

  /** Everything else that comes in IPv6. @param quoted something that went out in the tunnel */
  outside(quoted: Uint8Array | undefined): Uint8Array {
    const { dice } = this;
    const kind = dice.below(12);
    if (kind === 0 || quoted === undefined) return icmpv6(CE, ALL_ROUTERS, 133, 0, EMPTY);
    const inner = ipv6(NEXT_IPV4, CE, kind === 1 ? CE : BR, quoted);
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
