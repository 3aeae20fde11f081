/**
 * Plausible packets, one after the other, that remember what came out before:
 *
 *   outbound      UDP, STUN, DNS, TCP in the order of a connection, echo, superpackets, other protocols, too big, out of hops
 *   inbound       answers to what went out, other ports of known servers, strangers, ICMP errors about what went out
 *   errors out    of hosts, about what was delivered to them
 *   fragments     of datagrams both ways, in any order
 *   tunnel        packets from the line in IPv6, errors about what went out in it, and the kernel's chatter (tunnels.ts)
 *   replays       of what came out, and plain noise
 *
 * `next` returns one packet; `heard` tells what became of it.
 */
import { parseIpv4 } from '../../core/wire/ipv4.ts';
import {
  ACK,
  copyOf,
  cut,
  FIN,
  fixHeader,
  type Head,
  headerBytes,
  i32,
  icmp,
  ipv4,
  put16,
  put32,
  RST,
  SYN,
  tcp,
  u16,
  udp,
} from './build.ts';
import type { Dice } from './dice.ts';
import { type Input, makePartial, plain, refreshed } from './input.ts';
import { Tunnels } from './tunnels.ts';
import { EXTERNAL, isInternal, type Variant } from './world.ts';

interface Flow {
  protocol: 6 | 17 | 1;
  internal: number;
  internalPort: number;
  remote: number;
  remotePort: number;
  /** As seen on the line; -1 before the first packet came out. */
  externalPort: number;
  /** Sequence numbers of both sides, and how far the connection is. */
  sequenceOut: number;
  sequenceIn: number;
  step: number;
}

const HOSTS = [
  ...Array.from({ length: 14 }, (_, i) => parseIpv4(`192.168.1.${i + 10}`)),
  ...Array.from({ length: 8 }, (_, i) => parseIpv4(`10.${i}.0.9`)),
];
const SERVERS = [
  ...Array.from({ length: 8 }, (_, i) => parseIpv4(`198.51.100.${i + 1}`)),
  parseIpv4('8.8.8.8'),
  parseIpv4('172.16.5.5'),
];
const ODD_ADDRESSES = [
  parseIpv4('0.0.0.0'),
  parseIpv4('127.0.0.1'),
  parseIpv4('224.0.0.251'),
  parseIpv4('255.255.255.255'),
  parseIpv4('192.168.1.1'),
  parseIpv4('192.168.1.255'),
  EXTERNAL,
];
const REMOTE_PORTS = [53, 80, 443, 443, 3478, 123, 0, 65535, 20000];
const FLOWS_MAX = 600;
const OUTPUTS_MAX = 64;
const EMPTY = new Uint8Array(0);

export class Traffic {
  private readonly dice: Dice;
  private readonly variant: Variant;
  private readonly flows: Flow[] = [];
  /** Packets that left on the line, and that were delivered to hosts. */
  private readonly left: Uint8Array[] = [];
  private readonly delivered: Uint8Array[] = [];
  private readonly queue: Input[] = [];
  private readonly tunnels: Tunnels;
  /** How many of a hundred packets from the line come in the tunnel. */
  private wrappedPercent = 0;
  private datagrams = 0;
  private asked: Flow | undefined;

  constructor(dice: Dice, variant: Variant) {
    this.dice = dice;
    this.variant = variant;
    const { ceAddress, encapsulatesHere, mesh } = variant.line;
    this.tunnels = new Tunnels(dice, this.queue, mesh !== undefined);
    if (ceAddress !== undefined) this.wrappedPercent = encapsulatesHere ? 90 : 15;
  }

  next(): Input {
    const { dice, queue } = this;
    this.asked = undefined;
    const waits = queue.length > 0 && dice.chance(18);
    const input = waits ? queue.splice(dice.below(queue.length), 1)[0] : this.fresh();
    const isWrapped = this.isFromLine(input.bytes) && dice.chance(this.wrappedPercent);
    return isWrapped ? this.tunnels.wrap(input) : input;
  }

  /** True for an IPv4 packet to us that comes from the line. */
  private isFromLine(bytes: Uint8Array): boolean {
    if (bytes.length < 20 || bytes[0] >> 4 !== 4) return false;
    return i32(bytes, 16) === EXTERNAL && !isInternal(i32(bytes, 12));
  }

  private fresh(): Input {
    const { dice, left } = this;
    const kind = dice.below(100);
    if (kind < 42) return this.outbound();
    if (kind < 62) return this.answer();
    if (kind < 66) return this.stranger();
    if (kind < 74) return this.errorInbound();
    if (kind < 80) return this.errorOutbound();
    if (kind < 83) return this.fragments();
    if (kind < 90)
      return plain(this.tunnels.outside(left.length === 0 ? undefined : dice.pick(left)));
    if (kind < 94) return plain(this.oddity());
    if (kind < 97) return plain(this.replay());
    return plain(this.noise());
  }

  /** Tells of a packet that came out for the last one that `next` gave. */
  heard(output: Uint8Array): void {
    if (output.length < 28 || output[0] >> 4 !== 4) return;
    const isOut = i32(output, 12) === EXTERNAL && !isInternal(i32(output, 16));
    const list = isOut ? this.left : this.delivered;
    const copy = copyOf(output, 0, Math.min(1600, output.length));
    if (list.length < OUTPUTS_MAX) list.push(copy);
    else list[this.dice.below(OUTPUTS_MAX)] = copy;
    const flow = this.asked;
    if (flow !== undefined && isOut && output[9] === flow.protocol)
      flow.externalPort = u16(output, headerBytes(output) + (flow.protocol === 1 ? 4 : 0));
  }

  private flow(): Flow {
    const { dice, flows } = this;
    if (flows.length > 0 && dice.chance(70)) return dice.pick(flows);
    const protocol = dice.pick([6, 17, 17, 1] as const);
    const isUsual = this.variant.hasOneServer === true && dice.chance(90);
    const flow: Flow = {
      protocol,
      internal: this.host(),
      internalPort: dice.chance(80) ? 5000 + dice.below(6) : dice.below(65536),
      remote: isUsual ? SERVERS[0] : dice.pick(SERVERS),
      remotePort: protocol === 1 ? 0 : isUsual ? 443 : dice.pick(REMOTE_PORTS),
      externalPort: -1,
      sequenceOut: dice.next(),
      sequenceIn: dice.next(),
      step: 0,
    };
    if (flows.length < FLOWS_MAX) flows.push(flow);
    else flows[dice.below(FLOWS_MAX)] = flow;
    return flow;
  }

  private host(): number {
    const { dice, variant } = this;
    if (variant.hosts === 'many') return (10 << 24) | (dice.next() & 0xffffff);
    return variant.hosts === 'one' && dice.chance(97) ? HOSTS[0] : dice.pick(HOSTS);
  }

  private head(from: number, to: number): Head {
    const { dice } = this;
    return {
      from,
      to,
      ttl: dice.chance(3) ? dice.below(2) : dice.between(2, 255),
      df: dice.chance(70),
      id: dice.chance(50) ? dice.below(4) : dice.below(65536),
      tos: dice.chance(70) ? 0 : dice.below(256),
      ...(dice.chance(4) ? { options: dice.bytes(4 * dice.between(1, 10)) } : {}),
    };
  }

  private outbound(): Input {
    const { dice } = this;
    const flow = this.flow();
    this.asked = flow;
    const to = dice.chance(3) ? EXTERNAL : flow.remote;
    const head = this.head(flow.internal, to);
    if (flow.protocol === 1)
      return plain(icmp(head, 8, 0, (flow.internalPort << 16) | 1, dice.bytes(dice.below(64))));
    const ends = { ...head, fromPort: flow.internalPort, toPort: flow.remotePort };
    if (to === EXTERNAL) ends.toPort = this.ourPort();
    if (flow.protocol === 17) return this.withOffload(udp(ends, this.udpPayload()), 5);
    return this.withOffload(this.segmentOut(flow, ends), 1);
  }

  private ourPort(): number {
    const { dice, variant, flows } = this;
    if (flows.length > 0 && dice.chance(60)) return Math.max(0, dice.pick(flows).externalPort);
    return dice.chance(80) ? variant.ports[dice.below(variant.ports.length)] : dice.below(65536);
  }

  private udpPayload(): Uint8Array {
    const { dice } = this;
    const kind = dice.below(10);
    if (kind < 2) {
      const stun = dice.bytes(20);
      stun.set([0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
      return stun;
    }
    if (kind < 4) {
      const dns = dice.bytes(29);
      makeDnsQuery(dns);
      return dns;
    }
    if (kind === 9) return dice.bytes(dice.pick([1432, 1433, 1472, 3000, 9000]));
    return dice.bytes(dice.below(80));
  }

  /** The next segment of a connection from inside, now and then one that does not belong there. */
  private segmentOut(flow: Flow, ends: Head & { fromPort: number; toPort: number }): Uint8Array {
    const { dice } = this;
    const payload = flow.step >= 2 && dice.chance(50) ? dice.bytes(dice.below(200)) : EMPTY;
    let flags: number;
    if (dice.chance(8)) flags = dice.below(64);
    else if (flow.step === 0) flags = SYN;
    else if (flow.step >= 2 && dice.chance(15)) flags = dice.chance(70) ? FIN | ACK : RST;
    else flags = ACK;
    const options = this.tcpOptions(flags);
    const packet = tcp(
      { ...ends, flags, seq: flow.sequenceOut, ack: flow.sequenceIn, tcpOptions: options },
      payload,
    );
    const length = payload.length + (flags & FIN) + ((flags & SYN) >> 1);
    if (!dice.chance(10)) flow.sequenceOut = (flow.sequenceOut + length) | 0;
    if (flow.step === 0) flow.step = 1;
    else if ((flags & (FIN | RST)) !== 0 && dice.chance(50)) flow.step = 0;
    return packet;
  }

  private tcpOptions(flags: number): number[] {
    const { dice } = this;
    const options: number[] = [];
    if ((flags & SYN) !== 0 && dice.chance(70)) {
      // An odd place now and then: the sum then takes the value with its bytes swapped.
      if (dice.chance(30)) options.push(1);
      const mss = dice.pick([536, 1220, 1460, 8960, 65535]);
      options.push(2, 4, mss >> 8, mss & 255);
    }
    if (dice.chance(40)) {
      const t = dice.next();
      options.push(1, 1, 8, 10, t >>> 24, (t >>> 16) & 255, (t >>> 8) & 255, t & 255, 0, 0, 0, 0);
    }
    while (options.length % 4 !== 0) options.push(dice.chance(50) ? 1 : 0);
    return options;
  }

  /** A packet as a host with offload hands it over: partial checksum, maybe a superpacket. */
  private withOffload(packet: Uint8Array, gsoType: number): Input {
    const { dice } = this;
    const input = plain(packet);
    if (!dice.chance(25)) return input;
    makePartial(input);
    if (!dice.chance(15)) return input;
    const big = new Uint8Array(dice.pick([4000, 20000, 65535]));
    big.set(packet.subarray(0, big.length));
    put16(big, 2, big.length);
    if (packet[9] === 17) put16(big, headerBytes(big) + 4, big.length - headerBytes(big));
    return Object.assign(makePartial(refreshed(plain(big))), {
      gsoType,
      gsoSize: dice.pick([500, 1200, 1420, 1448]),
    });
  }

  /** What the remote side of a known flow says next. */
  private answer(): Input {
    const { dice, flows } = this;
    if (flows.length === 0) return this.outbound();
    const flow = dice.pick(flows);
    const externalPort = flow.externalPort < 0 ? this.ourPort() : flow.externalPort;
    const head = this.head(flow.remote, EXTERNAL);
    if (flow.protocol === 1)
      return plain(icmp(head, dice.chance(97) ? 0 : 8, 0, (externalPort << 16) | 1, dice.bytes(8)));
    // Another port of the same server now and then: the filter of an owner lets it in.
    const fromPort = dice.chance(90) ? flow.remotePort : dice.below(65536);
    const ends = { ...head, fromPort, toPort: externalPort };
    if (flow.protocol === 17) {
      const payload = dice.bytes(dice.chance(1) ? dice.between(2000, 30_000) : dice.below(80));
      return this.withOffload(udp(ends, payload), 5);
    }
    let flags: number;
    if (dice.chance(8)) flags = dice.below(64);
    else if (flow.step <= 1) flags = dice.chance(85) ? SYN | ACK : dice.pick([RST | ACK, SYN]);
    else if (dice.chance(15)) flags = dice.chance(70) ? FIN | ACK : RST;
    else flags = ACK;
    const payload = flow.step >= 2 && dice.chance(50) ? dice.bytes(dice.below(200)) : EMPTY;
    const packet = tcp(
      {
        ...ends,
        flags,
        seq: flow.sequenceIn,
        ack: flow.sequenceOut,
        tcpOptions: this.tcpOptions(flags),
      },
      payload,
    );
    const length = payload.length + (flags & FIN) + ((flags & SYN) >> 1);
    flow.sequenceIn = (flow.sequenceIn + length) | 0;
    if (flow.step === 1) flow.step = 2;
    return this.withOffload(packet, 1);
  }

  /** From the line, by nobody we know, to a port that is ours or not. */
  private stranger(): Input {
    const { dice } = this;
    const from = this.anybody();
    const head = this.head(from, EXTERNAL);
    const ends = { ...head, fromPort: dice.pick(REMOTE_PORTS), toPort: this.ourPort() };
    const kind = dice.below(4);
    if (kind === 0) return plain(udp(ends, dice.bytes(20)));
    if (kind === 1) return plain(icmp(head, dice.pick([0, 8, 13]), 0, dice.next(), EMPTY));
    return plain(
      tcp({ ...ends, flags: dice.pick([SYN, ACK, SYN | ACK, RST]), seq: 1, ack: 1 }, EMPTY),
    );
  }

  /** A server, any address, a host of the LAN, or a neighbour on our own address. */
  private anybody(): number {
    const { dice } = this;
    if (dice.chance(50)) return dice.pick(SERVERS);
    if (dice.chance(70)) return dice.next();
    return dice.chance(50) ? EXTERNAL : dice.pick(HOSTS);
  }

  private errorInbound(): Input {
    const { dice, left } = this;
    if (left.length === 0) return this.outbound();
    return plain(
      this.errorAbout(
        dice.pick(left),
        dice.chance(50) ? dice.pick(SERVERS) : dice.next(),
        EXTERNAL,
      ),
    );
  }

  private errorOutbound(): Input {
    const { dice, delivered } = this;
    if (delivered.length === 0) return this.outbound();
    const quoted = dice.pick(delivered);
    const from = dice.chance(80) ? i32(quoted, 16) : dice.pick(HOSTS);
    const to = dice.chance(90) ? i32(quoted, 12) : dice.pick(ODD_ADDRESSES);
    return plain(this.errorAbout(quoted, from, to));
  }

  private errorAbout(quoted: Uint8Array, from: number, to: number): Uint8Array {
    const { dice } = this;
    const type = dice.pick([3, 3, 3, 11, 12, 4, 5]);
    const size = dice.chance(60) ? quoted.length : dice.between(0, Math.min(80, quoted.length));
    const code = dice.below(16);
    const quote = copyOf(quoted, 0, size);
    if (size >= 20 && dice.chance(10)) this.forge(quote);
    return icmp(this.head(from, to), type, code, dice.below(1501), quote);
  }

  /** Makes a quote of something that was never sent, with a right header checksum. */
  private forge(quote: Uint8Array): void {
    const { dice } = this;
    const kind = dice.below(4);
    if (kind === 0) quote[9] = dice.pick([0, 1, 4, 6, 17, 50]);
    else if (kind === 1) put16(quote, 6, dice.pick([1, 100, 0x2000, 0x2001]));
    else if (kind === 2) put32(quote, dice.pick([12, 16]), dice.pick(ODD_ADDRESSES));
    else quote[0] = 0x40 | dice.below(16);
    if (headerBytes(quote) <= quote.length) fixHeader(quote);
  }

  /** Cuts a datagram, queues its parts in a random order, and gives one of them. */
  private fragments(): Input {
    const { dice, flows, queue } = this;
    if (flows.length === 0) return this.outbound();
    const flow = this.flow();
    const payload = dice.bytes(dice.between(100, 4000));
    const isOut = dice.chance(50);
    const external = Math.max(0, flow.externalPort);
    const datagram = ++this.datagrams;
    // Identifications of their own, or the parts of two datagrams would be mixed rightly.
    const head = { ...this.head(0, 0), df: dice.chance(20), ttl: 60, id: datagram & 0xffff };
    head.from = isOut ? flow.internal : flow.remote;
    head.to = isOut ? flow.remote : EXTERNAL;
    const fromPort = isOut ? flow.internalPort : flow.remotePort;
    const toPort = isOut ? flow.remotePort : external;
    let packet: Uint8Array;
    if (flow.protocol === 17) packet = udp({ ...head, fromPort, toPort }, payload);
    else if (flow.protocol === 1)
      packet = icmp(head, isOut ? 8 : 0, 0, (isOut ? fromPort : toPort) << 16, payload);
    else
      packet = tcp(
        { ...head, fromPort, toPort, flags: SYN, seq: flow.sequenceOut, ack: 0 },
        payload,
      );
    const step = dice.pick([8, 24, 256, 1000, 1424, 1480]);
    const parts = cut(
      packet,
      Math.max(step, Math.ceil(payload.length / dice.pick([3, 3, 5, 40]) / 8) * 8),
    );
    for (const part of parts) {
      queue.splice(dice.below(queue.length + 1), 0, { ...plain(part), datagram });
      if (dice.chance(3)) queue.push({ ...plain(part.slice()), datagram });
    }
    while (queue.length > 60) queue.shift();
    return queue.splice(dice.below(queue.length), 1)[0];
  }

  /** Something that came out before, once more. */
  private replay(): Uint8Array {
    const { dice, left, delivered } = this;
    const at = dice.below(left.length + delivered.length + 1);
    if (at === left.length + delivered.length) return EMPTY;
    const output = at < left.length ? left[at] : delivered[at - left.length];
    return copyOf(output, 0, output.length);
  }

  private oddity(): Uint8Array {
    const { dice } = this;
    const kind = dice.below(4);
    const from = dice.chance(70) ? dice.pick(HOSTS) : dice.pick(ODD_ADDRESSES);
    const to = dice.chance(50) ? dice.pick(ODD_ADDRESSES) : dice.pick(SERVERS);
    if (kind === 0)
      return ipv4(dice.pick([47, 50, 97, 41, 0, 255]), this.head(from, to), dice.bytes(30));
    const ends = { ...this.head(from, to), fromPort: 5000, toPort: dice.pick(REMOTE_PORTS) };
    if (kind === 1) return udp(ends, dice.bytes(10));
    if (kind === 2) return tcp({ ...ends, flags: SYN, seq: 1, ack: 0 }, EMPTY);
    return icmp(this.head(from, to), dice.below(20), 0, 5000 << 16, dice.bytes(8));
  }

  private noise(): Uint8Array {
    const { dice } = this;
    const bytes = dice.bytes(dice.below(120));
    if (bytes.length > 0) bytes[0] = dice.pick([0x45, 0x46, 0x4f, 0x60, 0x40, bytes[0]]);
    return bytes;
  }
}

/** Makes random bytes a DNS query: a standard one with one question. */
function makeDnsQuery(dns: Uint8Array): void {
  put32(dns, 2, 0x01000001);
}
